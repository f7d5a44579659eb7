"""The record, the lock, the claims and the pages, on a tiny book that is really executed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from conftest import make_book

from mchelpers.book import claims, execute, pages, record


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Execute the demo chapter once; tests copy the result."""
    root = make_book(tmp_path_factory.mktemp("book"))
    chapter = record.Chapter("demo/01_first", root)
    execute.execute(chapter, "laptop")
    pages.write_pages(root)
    return root


@pytest.fixture
def done(executed, tmp_path):
    """Return a chapter of a fresh copy of the executed book."""
    root = tmp_path / "copy"
    shutil.copytree(executed, root)
    return record.Chapter("demo/01_first", root)


def test_an_executed_chapter_passes_the_lock(done):
    assert record.check_chapter(done) == []
    assert claims.check_claims(done.root) == []
    assert pages.check_pages(done.root) == []


def test_the_record_says_what_ran(done):
    ran = record.load_record(done)
    assert ran["tier"] == "laptop"
    assert ran["results"]["demo.score"]["mean"] == pytest.approx(0.6)
    assert ran["results"]["demo.score"]["n"] == 2
    assert ran["results"]["demo.score"]["heading"] == "A number"
    assert ran["peak_memory_mb"] > 10
    assert ran["machine"]["cores"] >= 1
    assert "start" in ran["code"]


def test_a_never_executed_chapter_is_refused(book):
    (fault,) = record.check_chapter(record.Chapter("demo/01_first", book))
    assert "no notebook" in fault


def test_an_edited_cell_is_refused(done):
    text = done.source.read_text().replace("[0.5, 0.7]", "[0.9, 0.9]")
    done.source.write_text(text)
    assert any("differ" in f for f in record.check_chapter(done))


def test_the_sync_hole_is_closed(done):
    """Text and notebook edited alike, outputs kept: the cell is not the executed one."""
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "[0.9, 0.9]"))
    notebook = nbformat.read(done.notebook, 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("[0.5, 0.7]", "[0.9, 0.9]")
    nbformat.write(notebook, done.notebook)
    faults = record.check_chapter(done)
    assert any("not the executed one" in f for f in faults)
    assert not any("differ" in f for f in faults)


def test_an_edited_output_is_refused(done):
    text = done.notebook.read_text()
    assert "0.6" in text
    done.notebook.write_text(text.replace("0.6", "0.9"))
    assert any("not the one the execution made" in f for f in record.check_chapter(done))


def test_prose_can_not_change_without_the_notebook(done):
    done.source.write_text(done.source.read_text().replace("## A number", "## A better number"))
    assert any("differ" in f for f in record.check_chapter(done))


def test_changed_words_are_taken_over_and_changed_code_is_not(done):
    before = record.load_record(done)
    done.source.write_text(done.source.read_text().replace("## A number", "## A better number"))
    execute.update_text(done)
    assert record.check_chapter(done) == []
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
    monkeypatch.setattr(record, "MAX_NOTEBOOK_BYTES", 100)
    faults = " ".join(record.check_chapter(done))
    for word in ("KeyError", "a warning", "without alt text", "above 2 MB"):
        assert word in faults


def test_smoke_is_no_result(done):
    ran = record.load_record(done)
    done.record.write_text(json.dumps({**ran, "tier": "smoke"}))
    assert any("smoke" in f for f in record.check_chapter(done))
    assert record.check_chapter(done, allow_smoke=True) == []


def test_a_damaged_record_says_so(done):
    done.record.write_text(done.record.read_text()[:100])
    with pytest.raises(ValueError, match="damaged"):
        record.load_record(done)


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
    assert "start" in pages.banner(done)[1][0]


def test_a_failing_cell_leaves_everything_as_it_was(done):
    before = done.notebook.read_bytes(), done.record.read_bytes()
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "1 / 0"))
    with pytest.raises(execute.ChapterError, match="ZeroDivisionError"):
        execute.execute(done, "laptop")
    assert (done.notebook.read_bytes(), done.record.read_bytes()) == before
    assert (done.root / ".runs" / "failed" / "demo-01_first.ipynb").exists()


def test_drift_is_refused_unless_accepted(done):
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "[0.8, 0.8]"))
    before = done.record.read_bytes()
    with pytest.raises(execute.ChapterError, match=r"moved from 0\.6 to 0\.8"):
        execute.execute(done, "laptop")
    assert done.record.read_bytes() == before
    assert (
        execute.execute(done, "laptop", accept_drift=True)["results"]["demo.score"]["mean"] == 0.8
    )


def test_a_kill_leaves_nothing_half_written(done):
    done.source.write_text(
        done.source.read_text().replace("[0.5, 0.7]", "__import__('time').sleep(60)")
    )
    before = done.notebook.read_bytes(), done.record.read_bytes()
    command = [sys.executable, "-m", "mchelpers", "execute", "demo/01_first", "--tier", "laptop"]
    process = subprocess.Popen(command, cwd=done.root, start_new_session=True)
    time.sleep(4)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (done.notebook.read_bytes(), done.record.read_bytes()) == before
    assert not list((done.root / "book").rglob("*.partial"))


def test_pages_follow_the_record(done):
    results = (done.root / "book" / "record" / "results.md").read_text()
    assert "**reproduced**" in results
    assert "/book/demo/01_first.ipynb#a-number" in results
    readme = (done.root / "README.md").read_text()
    assert readme.startswith("# D") and readme.rstrip().endswith("end")
    assert "The demo study" in readme
    (done.root / "README.md").write_text(readme.replace("| 1 |", "| 2 |"))
    assert any("README.md" in f for f in pages.check_pages(done.root))


def test_a_claim_without_a_result_is_refused(done):
    path = done.root / "book" / "demo" / "claims.yml"
    path.write_text(path.read_text().replace("demo.score", "demo.gone"))
    (fault,) = claims.check_claims(done.root)
    assert "demo.gone" in fault


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('  why: ""\n', "", "lacks why"),
        ("same-data", "other-data", "must say why"),
        ("same-data", "nearly", "comparable is one of"),
        ("higher", "bigger", "better one of"),
        ("  result: 01_first:demo.score", '  result: ""', "not-run with a reason"),
    ],
)
def test_malformed_claims_are_refused(done, old, new, message):
    path = done.root / "book" / "demo" / "claims.yml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        claims.load_claims(done.root, "demo")


def claim(**change):
    entry = {
        "study": "s",
        "id": "i",
        "where": "",
        "metric": "",
        "paper": 0.8,
        "result": "c:k",
        "better": "higher",
        "tolerance": 0.02,
        "comparable": "same-data",
        "why": "",
    }
    return claims.Claim(**{**entry, **change})


@pytest.mark.parametrize(
    ("change", "here", "verdict"),
    [
        ({}, 0.81, "reproduced"),
        ({}, 0.9, "exceeded"),
        ({}, 0.7, "short"),
        ({"better": "lower"}, 0.7, "exceeded"),
        ({"better": "lower"}, 0.9, "short"),
        ({"better": "equal"}, 0.9, "differs"),
        ({"comparable": "other-data", "why": "x"}, 0.9, "other data"),
        ({"comparable": "not-run", "why": "x", "result": ""}, None, "not run"),
    ],
)
def test_verdicts(change, here, verdict):
    assert claims.judge(claim(**change), here) == verdict


def test_a_claim_without_a_record_has_no_verdict():
    with pytest.raises(ValueError, match="no record"):
        claims.judge(claim(), None)


def test_find_root_outside_a_book(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkout"):
        record.find_root(tmp_path)


def test_an_unknown_chapter_names_the_known_ones(book):
    with pytest.raises(FileNotFoundError, match="demo/01_first"):
        record.chapters(book, "demo/09")


def test_a_smoke_execution_stays_apart_from_the_record(book):
    subprocess.run(["git", "init", "-q", str(book)], check=True)
    command = [sys.executable, "-m", "mchelpers", "execute", "demo/01_first", "--tier", "smoke"]
    subprocess.run(command, cwd=book, check=True, capture_output=True)
    trial = record.Chapter("demo/01_first", book / "_build" / "smoke-tree")
    assert record.load_record(trial)["tier"] == "smoke"
    chapter = record.Chapter("demo/01_first", book)
    assert not chapter.notebook.exists() and not chapter.record.exists()
