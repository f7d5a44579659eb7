"""Executing: what fails ends in a sentence, and leaves notebook and record as they were."""

import base64
import errno
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CHAPTER, make_book
from PIL import Image

from mchelpers.book import execute
from mchelpers.book.lock import check_chapter
from mchelpers.record import chapter as record
from mchelpers.record.checkout import commit


def files(chapter):
    return chapter.notebook.read_bytes(), chapter.record.read_bytes()


def unfinished(root):
    return [p for p in root.rglob("*") if p.name.endswith(".partial")]


@pytest.fixture
def quick(done, monkeypatch):
    """Return what a run recorded; the kernel is left out, and gives the recorded notebook."""
    ran = {**record.load_record(done), "started": 0}

    def run_cells(chapter, tier, results, *_):
        results.write_text(json.dumps(ran))
        return record.read_page(done.notebook)

    monkeypatch.setattr(execute, "_run_cells", run_cells)
    return ran


def test_a_failing_cell_leaves_everything_as_it_was(done):
    before = done.notebook.read_bytes(), done.record.read_bytes()
    done.source.write_text(done.source.read_text().replace("[0.5, 0.7]", "1 / 0"))
    with pytest.raises(execute.ChapterError, match="ZeroDivisionError"):
        execute.execute(done, "laptop")
    assert (done.notebook.read_bytes(), done.record.read_bytes()) == before
    assert (done.root / ".runs" / "failed" / "demo-01_first.ipynb").exists()


def test_drift_is_refused_unless_accepted(done, quick):
    quick["results"]["demo.score"] |= {"mean": 0.8, "values": [0.7, 0.9]}
    before = files(done)
    with pytest.raises(execute.ChapterError, match=r"moved from 0\.6 to 0\.8"):
        execute.execute(done, "laptop")
    assert files(done) == before
    assert (done.root / ".runs" / "drifted" / "demo-01_first.ipynb").exists()
    execute.execute(done, "laptop", accept_drift=True)
    assert record.load_record(done)["results"]["demo.score"]["mean"] == 0.8


def test_a_chapter_of_another_name_is_refused(done, quick):
    quick["chapter"] = "demo/02_second"
    before = files(done)
    with pytest.raises(execute.ChapterError, match="calls itself 'demo/02_second'"):
        execute.execute(done, "laptop")
    assert files(done) == before


def test_an_execution_writes_notebook_and_record(done, quick, monkeypatch):
    """The notebook on the disk is that of the execution, and no older one."""
    new = record.read_page(done.notebook)
    printed = next(c for c in new.cells if c.cell_type == "code").outputs
    printed[0].text = "printed by the new execution\n"
    run_cells = execute._run_cells
    monkeypatch.setattr(execute, "_run_cells", lambda *rest: [run_cells(*rest), new][1])
    execute.execute(done, "laptop")
    assert "printed by the new execution" in done.notebook.read_text()
    assert check_chapter(done) == []


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


def test_a_dead_kernel_fails_its_chapter_and_the_next_is_executed(book, capsys):
    text = CHAPTER.replace("run.log(", "__import__('os')._exit(1)\nrun.log(")
    (book / "book" / "demo" / "00_dies.md").write_text(text.replace("01_first", "00_dies"))
    failures = execute.execute_all(record.chapters(book), "laptop")
    (failure,) = failures
    assert failure.startswith("demo/00_dies lost its kernel")
    assert (book / ".runs" / "failed" / "demo-00_dies.ipynb").exists()
    chapter = record.Chapter("demo/01_first", book)
    assert check_chapter(chapter) == []
    assert str(chapter.notebook) in capsys.readouterr().out


def test_whatever_the_client_raises_fails_the_chapter_with_a_sentence(done, monkeypatch):
    def refuse(self, **options):
        raise RuntimeError("no kernel today")

    monkeypatch.setattr("nbclient.NotebookClient.execute", refuse)
    before = files(done)
    (failure,) = execute.execute_all([done], "laptop")
    assert failure.startswith("demo/01_first could not be executed")
    assert "no kernel today" in failure
    assert files(done) == before


def test_a_full_disk_leaves_notebook_and_record_as_they_were(done, quick, monkeypatch):
    quick["seed"] = 1  # the record would change
    done.notebook.write_text(done.notebook.read_text() + "\n")  # and so would the notebook
    before, write_bytes, written = files(done), Path.write_bytes, []

    def write_once(path, *rest, **options):
        if path.name.endswith(".partial"):
            written.append(path)
            if len(written) == 2:
                write_bytes(path, b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, *rest, **options)

    monkeypatch.setattr(Path, "write_bytes", write_once)
    (failure,) = execute.execute_all([done], "laptop")
    assert "No space left" in failure and failure.startswith("demo/01_first")
    assert len(written) == 2
    assert files(done) == before
    assert unfinished(done.root) == []


def test_a_place_that_can_not_be_written_to_is_known_before_the_work(book, monkeypatch):
    monkeypatch.setattr(execute, "_run_cells", lambda *rest: pytest.fail("it was executed"))
    (book / "book" / "record").write_text("a file where the folder of the records belongs")
    (failure,) = execute.execute_all(record.chapters(book), "laptop")
    assert failure.startswith("demo/01_first was not executed") and "record" in failure


def test_malformed_claims_are_known_before_the_work(book, monkeypatch):
    monkeypatch.setattr(execute, "_run_cells", lambda *rest: pytest.fail("it was executed"))
    (book / "book" / "demo" / "claims.yml").write_text("")
    (failure,) = execute.execute_all(record.chapters(book), "laptop")
    assert failure.startswith("demo/01_first: book/demo/claims.yml")


def test_an_execution_mends_a_damaged_record(done, quick):
    done.record.write_text("{")
    execute.execute(done, "laptop")
    assert check_chapter(done) == []


def test_machine_and_versions_are_those_of_the_kernel(done, quick):
    quick["machine"] = {"cpu": "another", "cores": 1, "memory_gb": 1, "gpu": "G"}
    quick["packages"] = {"python": "9.9"}
    ran = execute.execute(done, "laptop")
    assert ran["machine"]["gpu"] == "G"
    assert ran["packages"] == {"python": "9.9"} != {"python": platform.python_version()}


@pytest.fixture
def tracked(book):
    """Return the chapter of a tiny book with one commit."""
    git = ["git", "-C", str(book), "-c", "user.name=n", "-c", "user.email=e@e"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run(git + command, check=True)
    return record.Chapter("demo/01_first", book)


def test_the_commit_is_one_that_holds_the_code_that_ran(tracked):
    clean = commit(tracked)
    assert clean and not clean.endswith("-dirty")
    (tracked.root / "README.md").write_text("other words")  # nothing that runs
    assert commit(tracked) == clean
    for path in (tracked.source, tracked.root / "mchelpers" / "run.py"):
        text = path.read_text()
        path.write_text(text + "\n")
        assert commit(tracked) == clean + "-dirty"
        path.write_text(text)
    (tracked.root / "mchelpers" / "fresh.py").write_text("")
    assert commit(tracked) == clean + "-dirty"


def test_without_git_there_is_no_commit(tracked, tmp_path, monkeypatch):
    """Neither without the program, nor in a download, even one that lies in another checkout."""
    inner = tracked.root / "download"
    shutil.copytree(tracked.root / "book", inner / "book")
    assert commit(record.Chapter("demo/01_first", inner)) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert commit(tracked) is None


DRAWN = """\
```{code-cell} ipython3
from types import SimpleNamespace
import matplotlib.pyplot as plt
run.use("images", SimpleNamespace(kind="real", sha256="0" * 64))
plt.plot([1, 3, 2]);
```

## A number
"""


def figures(chapter):
    outputs = [o for c in record.read_page(chapter.notebook).cells for o in c.get("outputs", [])]
    return [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]


def test_the_figures_of_a_chapter_say_where_they_come_from(tracked):
    text = tracked.source.read_text()
    tracked.source.write_text(text.replace("## A number\n", DRAWN))
    ran = execute.execute(tracked, "laptop")
    (figure,) = figures(tracked)
    label = Image.open(io.BytesIO(base64.b64decode(figure))).text
    said = json.loads(label["Description"])
    assert label["Title"] == said["chapter"] == "demo/01_first"
    assert said["commit"] == ran["commit"] and said["commit"].endswith("-dirty")
    assert said["data"] == {"images": {"kind": "real", "sha256": "0" * 12}}


def test_below_a_folder_with_a_colon_the_own_helper_runs(tmp_path):
    """``PYTHONPATH`` is cut at colons."""
    root = make_book(tmp_path / "a:b")
    with (root / "mchelpers" / "run.py").open("a") as module:
        module.write('\nOWN = "own"\n')
    chapter = record.Chapter("demo/01_first", root)
    text = chapter.source.read_text()
    chapter.source.write_text(text.replace("run.log(", "print(mchelpers.run.OWN)\nrun.log("))
    execute.execute(chapter, "laptop")
    assert "own\\n" in chapter.notebook.read_text()
