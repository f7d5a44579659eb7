"""A study that ``new`` lays down passes what every study has to pass."""

import os
import shutil
import subprocess
import sys
import tomllib
from glob import glob

import pytest
from conftest import REPOSITORY

from mchelpers.book import command_line
from mchelpers.book.new import lay_down

CHAPTERS = ["01_data", "02_classical", "03_network", "04_comparison", "05_application"]
RUN_CELLS = """\
from pathlib import Path
import jupytext
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for chapter in sorted(Path("book").glob("*/[0-9][0-9]_*.md")):
    shell.reset()
    for cell in jupytext.read(chapter).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source).raise_error()
"""

HOUSE = """\
import test_house as house
house.test_a_study_s_room_is_its_own()
house.test_what_is_private_stays_private()
own = [p for p in house.public_names() if p[0].startswith("sem_grains.")]
assert own and all(len(house.users_of(*p)) > 1 for p in own)
for what, places in house.measures().items():
    found = {w: n for w, n in places.items() if w.startswith("sem_grains")}
    assert all(n <= house.TARGETS[what] for n in found.values()), (what, found)
"""


def checkout(folder):
    """Copy what a study needs of the repository, without the other studies' chapters."""
    for name in ("pyproject.toml", "_config.yml", "_toc.yml", "README.md"):
        shutil.copy(REPOSITORY / name, folder / name)
    pages = ("book/record/runs.md", "book/record/results.md")  # that chapters link to
    tests = ("conftest.py", "ceilings.json", "test_house.py", "book/test_chapters.py")
    for name in (*pages, *(f"tests/{test}" for test in tests)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "mchelpers", folder / "mchelpers", ignore=ignored)
    return folder


def texts(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a function that runs Python in a checkout in which ``new`` laid a study down."""
    root = checkout(tmp_path_factory.mktemp("new"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "MCHELPERS_RUNS": str(root / ".runs"),
        "OMP_NUM_THREADS": "1",  # small networks: two threads mostly wait for each other
    }

    def python(*arguments, **more):
        command = [sys.executable, *arguments]
        environment_now = {**environment, **more}
        done = subprocess.run(
            command, cwd=root, env=environment_now, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python.root = root
    python.said = python("-m", "mchelpers", "new", "sem_grains")
    return python


def test_it_says_what_was_written_and_what_comes_next(study):
    for chapter in CHAPTERS:
        assert f"- book/sem_grains/{chapter}.md" in study.said
    assert "make chapter NAME=sem_grains/ TIER=laptop" in study.said


def test_laid_down_twice_it_says_so_in_one_sentence(study, monkeypatch, capsys):
    before = texts(study.root)
    monkeypatch.chdir(study.root)
    monkeypatch.setattr(sys, "argv", ["mchelpers", "new", "sem_grains"])
    assert command_line.main() == 1
    assert capsys.readouterr().err.startswith("- book/sem_grains is there already")
    assert texts(study.root) == before


def test_the_contents_list_it_and_nothing_else_changed(study):
    contents = (study.root / "_toc.yml").read_text()
    listed = "".join(f"      - file: book/sem_grains/{name}\n" for name in ("index", *CHAPTERS))
    assert f"  - caption: Sem grains\n    chapters:\n{listed}  - caption: The record\n" in contents
    assert contents.replace(f"  - caption: Sem grains\n    chapters:\n{listed}", "") == (
        REPOSITORY / "_toc.yml"
    ).read_text(encoding="utf-8")


def test_its_code_is_in_the_style_of_the_package(study):
    for action in (["check"], ["format", "--check"]):
        study("-m", "ruff", *action, "mchelpers/sem_grains", "tests/sem_grains")


def test_its_unit_tests_and_the_tests_of_chapters_pass(study):
    passed = study("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sem_grains", "tests/book")
    assert "skipped" not in passed


def test_it_keeps_the_rules_of_the_house(study):
    study("-c", HOUSE, PYTHONPATH=os.pathsep.join([str(study.root), str(study.root / "tests")]))


def test_its_chapters_run_at_the_smoke_tier(study):
    study("-c", RUN_CELLS, MCHELPERS_TIER="smoke", MPLBACKEND="agg")


def test_executed_as_it_says_the_whole_book_passes_the_check(study):
    study("-m", "mchelpers", "execute", "sem_grains/", "--tier", "laptop")
    study("-m", "mchelpers", "check")
    assert "Sem grains" in (study.root / "README.md").read_text(encoding="utf-8")


def test_an_installed_package_brings_the_template():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    package = REPOSITORY / "mchelpers"
    patterns = project["tool"]["setuptools"]["package-data"]["mchelpers"]
    held = {name for p in patterns for name in glob(p, root_dir=package, recursive=True)}
    template = [p for p in (package / "book" / "template").rglob("*") if p.is_file()]
    assert len(template) > 10
    assert {str(p.relative_to(package)) for p in template} <= held


@pytest.mark.parametrize("name", ["Grains", "3d", "sem-grains", "../grains", "", "class", "größe"])
def test_a_name_that_is_no_plain_word_is_refused(tmp_path, name):
    root = checkout(tmp_path)
    before = texts(root)
    with pytest.raises(ValueError, match="cannot name a study"):
        lay_down(root, name)
    assert texts(root) == before


@pytest.mark.parametrize("name", ["metrics", "start", "lattice"])
def test_a_name_of_the_package_is_refused(tmp_path, name):
    root = checkout(tmp_path)
    before = texts(root)
    with pytest.raises(ValueError, match="name of the package"):
        lay_down(root, name)
    assert texts(root) == before


@pytest.mark.parametrize(
    "there", ["book/grains/notes.md", "mchelpers/grains/a.py", "tests/grains/t"]
)
def test_one_file_that_is_there_keeps_all_from_being_written(tmp_path, there):
    root = checkout(tmp_path)
    (root / there).parent.mkdir(parents=True)
    (root / there).write_text("mine")
    before = texts(root)
    with pytest.raises(ValueError, match="is there already"):
        lay_down(root, "grains")
    assert texts(root) == before


def test_outside_a_checkout_it_refuses(tmp_path):
    with pytest.raises(ValueError, match="no checkout"):
        lay_down(tmp_path, "grains")
    assert not list(tmp_path.iterdir())


def test_contents_in_which_it_has_no_place_are_refused(tmp_path):
    root = checkout(tmp_path)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    before = texts(root)
    with pytest.raises(ValueError, match="_toc.yml"):
        lay_down(root, "grains")
    assert texts(root) == before
