"""Each result of the book leads to the cell that made it."""

import re

import nbformat
import pytest
from conftest import REPOSITORY
from mdit_py_plugins.anchors.index import slugify

from mchelpers.record import chapter as record

CHAPTERS = [c for c in record.chapters(REPOSITORY) if c.record.exists()]


def headings(text):
    """Headings outside fenced blocks, in order."""
    fence, found = None, []
    for line in text.splitlines():
        mark = re.match(r"(`{3,}|~{3,})", line)
        if mark and fence is None:
            fence = mark[1]
        elif fence is not None and line.strip() == fence:
            fence = None
        elif fence is None and re.match(r"#{1,6} ", line):
            found.append(line.lstrip("#").strip())
    return found


def glued(cell):
    return {o.get("metadata", {}).get("scrapbook", {}).get("name") for o in cell.get("outputs", [])}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
def test_each_result_names_the_cell_that_glued_it_and_its_heading(chapter):
    heading, there = None, {}
    for cell in nbformat.read(chapter.notebook, 4).cells:
        if cell.cell_type == "markdown":
            heading = (headings(cell.source) or [heading])[-1]
        else:
            there.update({name: (cell.get("execution_count"), heading) for name in glued(cell)})
    for key, result in record.load_record(chapter)["results"].items():
        assert (result["cell"], result["heading"]) == there[key], key


def test_each_link_of_the_results_page_leads_to_a_heading():
    text = (REPOSITORY / "book" / "record" / "results.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\(/(book/[\w/]+)\.ipynb#([^)]*)\)", text))
    assert links
    for page, anchor in links:
        source = (REPOSITORY / f"{page}.md").read_text(encoding="utf-8")
        assert anchor in {slugify(h) for h in headings(source)}, (page, anchor)
