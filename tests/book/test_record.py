"""The record, the lock, the claims and the pages, on a tiny book that is really executed."""

import json
import platform

import nbformat
import pytest

from mchelpers.book import execute, lock
from mchelpers.book.lock import check_chapter
from mchelpers.claims import results
from mchelpers.pages import generate, runs
from mchelpers.record import chapter as record
from mchelpers.record.schema import first_fault


def test_an_executed_chapter_passes_the_lock(done):
    assert check_chapter(done) == []
    assert results.check_claims(done.root) == []
    assert generate.check_pages(done.root) == []


def test_the_record_says_what_ran(done):
    ran = record.load_record(done)
    assert ran["tier"] == "laptop"
    assert ran["results"]["demo.score"]["mean"] == pytest.approx(0.6)
    assert ran["results"]["demo.score"]["n"] == 2
    assert ran["results"]["demo.score"]["heading"] == "A number"
    assert ran["peak_memory_mb"] > 10
    assert ran["machine"]["cores"] >= 1
    assert "start" in ran["code"]
    assert ran["packages"]["python"] == platform.python_version()
    assert ran["trained_on"] == []
    assert first_fault("record", ran) == {}


LAST_CELL_OF_A_SECTION = """\
## A number

```
# no heading, but code that is shown
```

```{code-cell} ipython3
run.glue("shown", 1)
```

```{code-cell} ipython3
run.log("demo.score", [0.5, 0.7], data="real");
```

## The end
"""


def test_a_result_leads_to_the_cell_that_made_it(book):
    """Also in the last cell of a section: not to the cell or the heading after it."""
    chapter = record.Chapter("demo/01_first", book)
    before, _, rest = chapter.source.read_text().partition("## A number")
    end = rest.partition("```{code-cell} ipython3\nrun.stamp()")
    chapter.source.write_text(before + LAST_CELL_OF_A_SECTION + "\n" + end[1] + end[2])
    result = execute.execute(chapter, "laptop")["results"]["demo.score"]
    assert (result["cell"], result["heading"]) == (3, "A number")


def test_a_never_executed_chapter_is_refused(book):
    (fault,) = check_chapter(record.Chapter("demo/01_first", book))
    assert "no notebook" in fault


def test_an_edited_cell_is_refused(done):
    text = done.source.read_text().replace("[0.5, 0.7]", "[0.9, 0.9]")
    done.source.write_text(text)
    assert any("differ" in f for f in check_chapter(done))


def test_the_sync_hole_is_closed(done):
    """Text and notebook edited alike, outputs kept: the cell is not the executed one."""
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "[0.9, 0.9]"))
    notebook = nbformat.read(done.notebook, 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("[0.5, 0.7]", "[0.9, 0.9]")
    nbformat.write(notebook, done.notebook)
    faults = check_chapter(done)
    assert any("not the executed one" in f for f in faults)
    assert not any("differ" in f for f in faults)


def test_an_edited_output_is_refused(done):
    text = done.notebook.read_text()
    assert "0.6" in text
    done.notebook.write_text(text.replace("0.6", "0.9"))
    assert any("not the one the execution made" in f for f in check_chapter(done))


def test_an_edited_slider_is_refused(done):
    """A slider's numbers lie beside the cells, in the notebook's metadata."""
    notebook = nbformat.read(done.notebook, 4)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(notebook, done.notebook)
    assert any("not the one the execution made" in f for f in check_chapter(done))


def test_cells_in_another_order_are_refused(book):
    """Text and notebook exchanged alike: it is not what was executed."""
    chapter = record.Chapter("demo/01_first", book)
    first, second = (f"```{{code-cell}} ipython3\nx = {n}\n```\n\n" for n in (1, 2))
    text = chapter.source.read_text().partition("## A number")
    chapter.source.write_text("".join([text[0], first, second, *text[1:]]))
    execute.execute(chapter, "laptop")
    assert not any("not the executed one" in f for f in check_chapter(chapter))
    chapter.source.write_text("".join([text[0], second, first, *text[1:]]))
    notebook = nbformat.read(chapter.notebook, 4)
    one, other = (c for c in notebook.cells if c.source.startswith("x = "))
    one.source, other.source = other.source, one.source
    nbformat.write(notebook, chapter.notebook)
    assert any("not the executed one" in f for f in check_chapter(chapter))


def test_a_notebook_without_a_record_is_refused(done):
    done.record.unlink()
    assert any("never executed" in f for f in check_chapter(done))


def test_prose_can_not_change_without_the_notebook(done):
    done.source.write_text(done.source.read_text().replace("## A number", "## A better number"))
    assert any("differ" in f for f in check_chapter(done))


def test_changed_words_are_taken_over_and_changed_code_is_not(done):
    before = record.load_record(done)
    done.source.write_text(done.source.read_text().replace("## A number", "## A better number"))
    execute.update_text(done)
    assert check_chapter(done) == []
    assert record.load_record(done) == before
    assert "A better number" in done.notebook.read_text()
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "[0.9, 0.9]"))
    with pytest.raises(execute.ChapterError, match="execute it"):
        execute.update_text(done)


def test_errors_stderr_size_and_alt_text_are_refused(done, monkeypatch):
    notebook = nbformat.read(done.notebook, 4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    code[0].outputs.append(
        nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[])
    )
    code[1].outputs.append(nbformat.v4.new_output("stream", name="stderr", text="a warning"))
    code[2].outputs.append(nbformat.v4.new_output("display_data", {"image/png": "AAAA"}))
    nbformat.write(notebook, done.notebook)
    monkeypatch.setattr(lock, "MAX_NOTEBOOK_BYTES", 100)
    faults = " ".join(check_chapter(done))
    for word in ("KeyError", "a warning", "without alt text", "above 2 MB"):
        assert word in faults


def test_smoke_is_no_result(done):
    ran = record.load_record(done)
    done.record.write_text(json.dumps({**ran, "tier": "smoke"}))
    assert any("smoke" in f for f in check_chapter(done))
    assert check_chapter(done, allow_smoke=True) == []


def conflict(text):
    return "<<<<<<< HEAD\n" + text


def without_mean(text):
    content = json.loads(text)
    del content["results"]["demo.score"]["mean"]
    return json.dumps(content)


def with_nan(text):
    content = json.loads(text)
    content["results"]["demo.score"]["mean"] = float("nan")
    return json.dumps(content)


@pytest.mark.parametrize(
    "damage",
    [
        conflict,
        lambda text: text[:100],
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "",
        without_mean,
        with_nan,
    ],
    ids=["conflict", "cut", "object", "list", "null", "empty", "no mean", "NaN"],
)
def test_a_damaged_record_is_one_fault(done, damage):
    done.record.write_text(damage(done.record.read_text()))
    with pytest.raises(ValueError, match="01_first.json is damaged"):
        record.load_record(done)
    (fault,) = check_chapter(done)
    assert fault.startswith("book/record/demo/01_first.json is damaged")
    assert results.check_claims(done.root) == [fault]


def test_bytes_that_are_no_text_are_a_damaged_record(done):
    done.record.write_bytes(b"\xff" + done.record.read_bytes())
    assert "is damaged" in check_chapter(done)[0]


@pytest.mark.parametrize(
    "damage",
    [conflict, lambda text: text[:100], lambda text: "{}", lambda text: "[]", lambda text: ""],
    ids=["conflict", "cut", "object", "list", "empty"],
)
def test_a_damaged_notebook_is_one_fault(done, damage):
    done.notebook.write_text(damage(done.notebook.read_text()))
    (fault,) = check_chapter(done)
    assert fault.startswith("01_first.ipynb of demo is damaged") and "\n" not in fault


def test_a_damaged_text_is_one_fault(done):
    done.source.write_text("---\njupytext: [\n---\n")
    (fault,) = check_chapter(done)
    assert "01_first.md of demo is damaged" in fault and "\n" not in fault


def test_a_changed_helper_is_named_and_what_no_cell_reaches_does_not_count(done):
    ran = record.load_record(done)
    assert record.changed_helpers(done, ran) == []
    package = done.root / "mchelpers"
    for file, old, new in (
        ("__init__.py", '"""Begin a chapter', '"""Start a chapter'),  # words
        ("run.py", "draws=1000", "draws=999"),  # what writes results down makes none
        ("metrics.py", "def ", "def changed_"),  # no cell uses it
    ):
        text = (package / file).read_text()
        assert old in text
        (package / file).write_text(text.replace(old, new))
        assert record.changed_helpers(done, ran) == []
    text = (package / "__init__.py").read_text()
    (package / "__init__.py").write_text(text.replace("seed: int = 0", "seed: int = 1"))
    assert record.changed_helpers(done, ran) == ["start"]
    assert "the code of start changed" in runs.banner(done)[1]


def test_find_root_outside_a_book(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkout"):
        record.find_root(tmp_path)


def test_an_unknown_chapter_names_the_known_ones(book):
    with pytest.raises(FileNotFoundError, match="demo/01_first"):
        record.chapters(book, "demo/09")
