"""The command line: one sentence where something is wrong, and no traceback."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

import mchelpers
from mchelpers.book import command_line
from mchelpers.record import chapter as record
from mchelpers.record.checkout import trial_copy


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line in a folder: (exit status, stdout, stderr)."""

    def run(folder, *arguments):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["mchelpers", *arguments])
        try:
            status = command_line.main()
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def sound(done, monkeypatch):
    """Return the root of a tiny book whose set-up cells are not looked at."""
    monkeypatch.setattr(command_line, "check_install_lines", lambda root: [])
    return done.root


def test_a_sound_book_passes(command, sound):
    assert command(sound, "check") == (0, "", "")


def faults(said):
    return [line for line in said.splitlines() if line.startswith("- ")]


DAMAGE = {
    "book/demo/claims.yml": "- {id: x",
    "book/record/demo/01_first.json": "<<<<<<< HEAD",
    "README.md": "# no marks",
}


@pytest.mark.parametrize("action", [["check"], ["pages"], ["book"]], ids=lambda a: a[0])
@pytest.mark.parametrize("name", DAMAGE)
def test_each_command_names_a_damaged_file_in_one_sentence(command, sound, name, action):
    (sound / name).write_text(DAMAGE[name])
    status, out, err = command(sound, *action)
    assert status == 1 and out == ""
    (fault,) = faults(err)
    assert name in fault and "Traceback" not in err


def test_the_other_files_are_still_checked(command, sound):
    for name in list(DAMAGE)[:2]:
        (sound / name).write_text(DAMAGE[name])
    (sound / "book" / "demo" / "02_more.md").write_text("# More\n")
    status, _, err = command(sound, "check")
    assert status == 1
    assert len(faults(err)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["execute", "nosuch", "--tier", "smoke"], "no chapter 'nosuch'; there are: demo/01_first"),
        (["text", "nosuch"], "no chapter 'nosuch'; there are: demo/01_first"),
    ],
)
def test_an_unknown_chapter_is_one_sentence(command, sound, arguments, words):
    status, _, err = command(sound, *arguments)
    assert status == 1 and err == f"- {words}\n"
    assert not (sound / "_build").exists()


def test_a_misspelt_tier_is_one_sentence(command, sound, monkeypatch):
    monkeypatch.setenv("MCHELPERS_TIER", "laptob")
    status, _, err = command(sound, "execute", "demo/01_first")
    assert status == 1
    (fault,) = err.splitlines()
    assert "MCHELPERS_TIER is 'laptob'" in fault


def test_outside_the_checkout_is_one_sentence(command, tmp_path):
    status, _, err = command(tmp_path, "check")
    assert status == 1
    (fault,) = err.splitlines()
    assert "run this inside the book's checkout" in fault


def test_a_missing_package_says_how_to_get_it(command, sound, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    from mchelpers.record import schema

    schema._validator.cache_clear()
    (sound / "book" / "demo" / "claims.yml").write_text("[]")
    status, _, err = command(sound, "check")
    assert status == 1 and "[book]" in err and "pip install" in err


def test_executing_asks_for_a_name(command, sound):
    status, _, err = command(sound, "execute")
    assert status == 2
    assert "name --all is required" in err


def test_an_execution_says_beforehand_what_it_took(command, sound, monkeypatch):
    monkeypatch.setattr("mchelpers.book.execute.execute_all", lambda *rest: [])
    status, _, err = command(sound, "execute", "--all", "--tier", "laptop")
    assert status == 0 and err.startswith("Recorded at the laptop tier: 0 min.")
    status, _, err = command(sound, "execute", "demo/01_first", "--tier", "full")
    assert err == "No time is recorded at the full tier.\n"


def test_an_execution_says_which_other_pages_wait(command, sound, monkeypatch):
    monkeypatch.setattr("mchelpers.book.execute.execute_all", lambda *rest: [])
    monkeypatch.setattr(
        "mchelpers.pages.generate.write_pages", lambda root: ["demo/02: an odd word"]
    )
    arguments = ["execute", "demo/01_first", "--tier", "laptop"]
    status, out, _ = command(sound, *arguments)
    assert (status, out) == (
        0,
        "Not all pages could be brought up to date:\n- demo/02: an odd word\n",
    )
    (sound / "book" / "demo" / "claims.yml").write_text("[]")
    assert "claims.yml" in command(sound, *arguments)[1]


def test_the_time_of_several_chapters_is_the_sum_of_their_records(done):
    ran = record.load_record(done)
    done.record.write_text(json.dumps({**ran, "wall_s": 600, "training_s": 7200}))
    never = record.Chapter("demo/02_never", done.root)
    damaged = record.Chapter("demo/03_damaged", done.root)
    damaged.record.write_text("{")
    assert command_line.said_before([done, never, damaged], "laptop") == (
        "Recorded at the laptop tier: 10 min for 1 of 3 chapters, and 120 min of training, "
        "which a kept training spares."
    )


def test_version_and_help(command, tmp_path):
    assert command(tmp_path, "--version")[1] == f"micrographs-measured {mchelpers.__version__}\n"
    assert "execute graphene_hrtem/02_bragg --tier smoke" in command(tmp_path, "--help")[1]
    for name in ("execute", "book"):
        text = command(tmp_path, name, "--help")[1]
        assert text.count("default") >= 2


def test_make_alone_lists_its_targets_and_a_chapter_needs_a_name(tmp_path):
    shutil.copy(REPOSITORY / "Makefile", tmp_path)

    def make(*arguments):
        return subprocess.run(["make", *arguments], cwd=tmp_path, capture_output=True, text=True)

    listed = make()
    assert listed.returncode == 0
    for target in ("book", "chapter", "check", "test", "mutants", "bench", "clean"):
        assert re.search(rf"^  {target} +\w", listed.stdout, flags=re.M)
    unnamed = make("chapter")
    assert unnamed.returncode != 0 and "Name a chapter" in unnamed.stdout
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ('%pip install -q "micrographs-measured[yolo] @ git+https://x.y/z"', True),
        ('%pip install -q "mchelpers @ git+https://x.y/z"', False),
        ('%pip install -q "micrographs-measured @ git+https://x.y/other"', False),
        ("%pip install mchelpers", False),
    ],
)
def test_set_up_cells_install_from_the_address_of_the_configuration(book, cell, right):
    (book / "_config.yml").write_text("repository: {url: https://x.y/z}\n")
    (book / "book" / "demo" / "01_first.md").write_text(cell)
    assert (command_line.check_install_lines(book) == []) == right


@pytest.mark.parametrize("git", [True, False])
def test_a_trial_copy_holds_chapters_of_any_name(book, git):
    """With umlauts, which git quotes; and in a download, which has no git."""
    if git:
        subprocess.run(["git", "init", "-q", str(book)], check=True)
    (book / ".gitignore").write_text("ignored\n")
    (book / "ignored" if git else book / ".venv").mkdir()
    (book / ("ignored" if git else ".venv") / "big").write_text("")
    (book / "book" / "demo" / "02_größe 測定.md").write_text("# Größe\n")
    copy = trial_copy(book)
    assert [c.name for c in record.chapters(copy)] == ["demo/01_first", "demo/02_größe 測定"]
    assert (copy / "mchelpers" / "record" / "schemas" / "claims.json").exists()
    assert not list(copy.rglob("big"))
    (book / "book" / "demo" / "02_größe 測定.md").unlink()
    assert [c.name for c in record.chapters(trial_copy(book))] == ["demo/01_first"]


def test_a_smoke_execution_stays_apart_from_the_record(book):
    command = [sys.executable, "-m", "mchelpers", "execute", "demo/01_first", "--tier", "smoke"]
    env = {**os.environ, "PATH": ""}  # not even a git
    ran = subprocess.run(command, cwd=book, check=True, capture_output=True, text=True, env=env)
    assert str(book / "_build" / "smoke-tree" / "book" / "demo" / "01_first.ipynb") in ran.stdout
    trial = record.Chapter("demo/01_first", book / "_build" / "smoke-tree")
    assert record.load_record(trial)["tier"] == "smoke"
    chapter = record.Chapter("demo/01_first", book)
    assert not chapter.notebook.exists() and not chapter.record.exists()
