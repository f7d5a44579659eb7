"""What the site is built from, and what it hands out."""

import os
import shutil
from base64 import b64encode
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_output

from mchelpers.book import site
from mchelpers.pages.plain import dump, render
from mchelpers.record import chapter as record


@pytest.fixture
def chapter(book):
    """A chapter with a note, and a notebook with an output."""
    chapter = record.Chapter("demo/01_first", book)
    note = "## A number\n\n:::{note}\nMind it.\n:::\n"
    chapter.source.write_text(chapter.source.read_text().replace("## A number\n", note))
    notebook = jupytext.read(chapter.source)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    code[0].outputs = [new_output("stream", name="stdout", text="hello\n")]
    code[0].execution_count = 1
    notebook.metadata["widgets"] = {"state": {}}
    chapter.notebook.write_text(dump(notebook))
    chapter.notebook.write_text(render(chapter))
    return chapter


def test_the_source_holds_the_text_with_the_recorded_outputs(chapter):
    source = site.lay_source(chapter.root)
    page = nbformat.read(source / "book" / "demo" / "01_first.ipynb", 4)
    text = jupytext.read(chapter.source)
    assert [c.source for c in page.cells] == [c.source for c in text.cells]
    assert ":::{note}" in page.cells[2].source
    assert page.cells[1].outputs[0].text == "hello\n"
    assert page.cells[1].execution_count == 1
    assert "widgets" in page.metadata
    assert ":::{note}" not in chapter.notebook.read_text()


def test_each_page_stands_there_once_beside_the_other_files(chapter):
    (chapter.root / "book" / "demo" / ".ipynb_checkpoints").mkdir()
    (chapter.root / "_build" / "source" / "book").mkdir(parents=True)
    (chapter.root / "_build" / "source" / "book" / "old.md").write_text("gone from the book")
    source = site.lay_source(chapter.root)
    found = sorted(str(f.relative_to(source)) for f in source.rglob("*") if f.is_file())
    assert found == [
        "book/demo/01_first.ipynb",
        "book/demo/claims.yml",
        "book/demo/index.md",
    ]


def test_labelled_figures_stand_ready_for_other_pages(chapter):
    head = "```{code-cell} ipython3\n"
    named = f"{head}---\nmystnb:\n  figure:\n    caption: A.\n    name: fig-a\n---\nrun.log("
    chapter.source.write_text(chapter.source.read_text().replace(f"{head}run.log(", named))
    notebook = jupytext.read(chapter.source)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    png = b"\x89PNG and so on"
    for cell in code:  # only the second has a label
        cell.outputs = [new_output("display_data", {"image/png": b64encode(png).decode()})]
    chapter.notebook.write_text(dump(notebook))
    folder = site.lay_source(chapter.root) / "book" / "_figures"
    assert [(f.name, f.read_bytes()) for f in folder.iterdir()] == [("fig-a.png", png)]


def test_the_records_are_found_from_the_source(chapter):
    assert record.find_root(site.lay_source(chapter.root)) == chapter.root


def test_an_unchanged_page_keeps_its_time(chapter):
    for path in (chapter.source, chapter.notebook):
        os.utime(path, (1000, 1000))
    page = site.lay_source(chapter.root) / "book" / "demo" / "01_first.ipynb"
    assert page.stat().st_mtime == 1000
    os.utime(chapter.source, (2000, 2000))
    site.lay_source(chapter.root)
    assert page.stat().st_mtime == 2000


def fake_build(returncode):
    """Stand in for Jupyter Book: copy sources, and write the first page if it succeeds."""

    def run(command, **_):
        source, options = command[4], dict(zip(command, command[1:]))
        html = f"{options['--path-output']}/_build/html"
        shutil.copytree(f"{source}/book", f"{html}/_sources/book", dirs_exist_ok=True)
        os.makedirs(f"{html}/book")
        if not returncode:
            with open(f"{html}/book/index.html", "w") as page:
                page.write("built")
        return SimpleNamespace(returncode=returncode)

    return run


def test_the_download_is_the_plain_notebook(chapter, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(site.subprocess, "run", fake_build(0))
    target = tmp_path / "elsewhere"
    page = site.build(chapter.root, target)
    assert page == target / "_build" / "html" / "book" / "index.html"
    download = target / "_build" / "html" / "_sources" / "book" / "demo" / "01_first.ipynb"
    assert download.read_text() == chapter.notebook.read_text()
    assert capsys.readouterr().out == ""  # the command line says where the site is, once


def test_a_warning_leaves_no_page_to_open(chapter, monkeypatch, tmp_path):
    monkeypatch.setattr(site.subprocess, "run", fake_build(1))
    assert site.build(chapter.root, tmp_path / "elsewhere") is None
