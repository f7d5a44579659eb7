"""All pages that are made, the table in the README and the words of notebooks."""

from __future__ import annotations

from pathlib import Path

from ..inputs.page import inputs_page
from ..record.chapter import chapters
from ..record.files import write_together
from .api import api_page
from .cards import data_page
from .plain import render
from .runs import changes_page, runs_page, status_page
from .verdicts import missed_page, results_page, sentences_page, verdict_table
from .weights import weights_page

__all__ = ["check_pages", "generate", "write_pages"]

NOTICE = "<!-- Made by `python -m mchelpers pages` from the record; do not edit. -->\n"
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"


def generate(root: Path) -> dict[Path, str]:
    """Make the text of every generated page: path -> text.

    Raises
    ------
    ValueError
        If a claim, a record, a title or the README's marks are not as they must be.
    """
    record = root / "book" / "record"
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or not mark:
        raise ValueError(f"README.md needs one line {BEGIN} and one line {END} below it")
    counted = verdict_table(root)
    return {
        record / "sentences.md": sentences_page(root, NOTICE),
        record / "missed.md": missed_page(root, NOTICE),
        record / "results.md": results_page(root, NOTICE),
        record / "runs.md": runs_page(root, NOTICE),
        record / "status.md": status_page(root, NOTICE),
        record / "changes.md": changes_page(root, NOTICE),
        record / "_verdicts.md": NOTICE + "\n" + counted,
        root / "book" / "reference" / "api.md": api_page(root, NOTICE),
        root / "book" / "reference" / "inputs.md": inputs_page(NOTICE),
        readme: f"{before}{BEGIN}\n{counted}{END}{after}",
        **weights_page(root),
        **data_page(root),
    }


def write_pages(root: Path) -> list[str]:
    """Write every generated page, and the words of every notebook.

    Returns
    -------
    list of str
        One sentence per notebook that stays as it is: its code changed, or a word is unknown.
    """
    files, failures = generate(root), []
    for chapter in chapters(root):
        try:
            if chapter.notebook.exists():
                files[chapter.notebook] = render(chapter)
        except ValueError as error:
            failures.append(str(error))
    write_together(files)
    return failures


def check_pages(root: Path) -> list[str]:
    """List generated pages that are not what the record makes."""
    try:
        pages = generate(root)
    except ValueError as error:
        return [str(error)]
    faults = []
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            name = path.relative_to(root)
            faults.append(f"{name} is not what the record makes; run: python -m mchelpers pages")
    return faults
