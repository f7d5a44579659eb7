"""The house keeps its shape: a thin core, one room a study, chapters that are easy to read.

Targets stand here. Where something is above its target, ``ceilings.json`` holds what it was
when it was last lowered. **Ceilings only go down**: ``python tests/test_house.py`` lowers those
that are met with room to spare. A new module, room or chapter has no ceiling but the target.
"""

import ast
import io
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from functools import cache
from pathlib import Path

import jupytext
import pytest
from conftest import REPOSITORY

from mchelpers.record.chapter import chapters
from mchelpers.source import Package

PACKAGE = REPOSITORY / "mchelpers"
OWN = ("book", "browser", "claims", "measuring", "pages", "record")  # beside the studies
SHARED = (*OWN, "inputs", "show", "simulate")  # folders that are no study's
STUDIES = tuple(f.parent.name for f in PACKAGE.glob("*/__init__.py") if f.parent.name not in SHARED)
CEILINGS = Path(__file__).with_name("ceilings.json")
TARGETS = {  # what -> most of it
    "code lines of a module": 250,
    "code lines of core": 2200,
    "code lines of book": 1000,
    "code lines of browser": 250,
    "code lines of claims": 300,
    "code lines of record": 300,
    "code lines of inputs": 1700,
    "code lines of pages": 1000,
    "code lines of measuring": 1760,  # 1400 before networks of two studies, and finetune
    "code lines of a study": 1800,
    "percent docstrings": 33,
    "public functions that one chapter uses": 0,
    "public names that a room has twice": 0,
    "cells above 25 lines": 0,
    "lines above 100 columns": 0,
    "median cell length": 10,
    "ruff findings": 0,
}
BELOW = {  # room -> other rooms that it may import from; every room may use core, inputs and record
    "book": ("claims", "measuring", "pages"),
    "pages": ("claims",),
    "browser": ("graphene_hrtem", "measuring"),
    "measuring": STUDIES,
    "__main__": ("book",),
}

UNUSED = {  # public, and no chapter reaches it: why it stays
    ".need": "set-up cells call it; it makes no result, so that it is not counted",
    "afm_coverage.release.FilmImage": "data on Zenodo, out of reach where chapters are executed",
    "afm_coverage.release.fetch_wse2": "data on Zenodo, out of reach where chapters are executed",
    "afm_coverage.release.load_wse2_zenodo": "data on Zenodo, likewise",
    "nanoparticles.release.fetch_nanoparticles": "data on Zenodo, likewise",
    "nanoparticles.release.load_nanoparticle_stack": "data on Zenodo, likewise",
    "tmd_optical.screens.Window": "needs a display, which the machine that executes lacks",
    "tmd_optical.screens.open_view": "needs a display; named in a cell that is not executed",
}
BOOKKEEPING = ("run", "downloads", "install", "key", "simulate.cache", "source")
"""Makes no result, so that no chapter reaches it; see ``mchelpers.source``."""
# A notebook imports late and in blocks, repeats names, ends a cell with a bare value or semicolon.
NOTEBOOK_HABITS = "E402,E501,E703,F811,B018,I001"


@cache
def texts() -> dict[str, str]:
    """Map each module, as ``nanoparticles.tiles`` or ``show``, to its source; "" is the package."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = file.read_text(encoding="utf-8")
    return found


def room(module: str) -> str:
    """Name the room of a module; ``_moved`` is none: it goes with the last old name."""
    first = module.partition(".")[0]
    return first if first in (*STUDIES, *OWN, "inputs", "_moved", "__main__") else "core"


def docstring_lines(tree: ast.AST) -> set[int]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            found |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return found


def code_lines(text: str) -> int:
    """Count lines that are neither docstring nor comment nor blank."""
    words = set(range(1, 100)) - {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE}
    words -= {tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {n for t in tokens if t.type in words for n in range(t.start[0], t.end[0] + 1)}
    return len(lines - docstring_lines(ast.parse(text)))


def public_names() -> list[tuple[str, str]]:
    """List public functions and classes: (module, name)."""
    return [
        (module, node.name)
        for module, text in texts().items()
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if room(module) != "_moved"
    ]


@cache
def cells() -> dict[str, list[str]]:
    """Map each chapter to the source of its code cells."""
    read = {c.name: jupytext.read(c.source).cells for c in chapters(REPOSITORY)}
    return {name: [c.source for c in all_ if c.cell_type == "code"] for name, all_ in read.items()}


@cache
def users() -> dict[str, set[str]]:
    """Map ``module.name`` to the chapters that reach it, and to ``book`` if what records does."""
    found: dict[str, set[str]] = {}
    package = Package(PACKAGE)
    recorders = [t for m, t in texts().items() if room(m) in (*OWN, "__main__") or m in ("", "run")]
    for chapter, code in {**cells(), "book": recorders}.items():
        for name in package.reach_of_cells(code):
            found.setdefault(name, set()).add(chapter)
    return found


def users_of(module: str, name: str) -> set[str]:
    if room(module) in (*OWN, "inputs") or module in BOOKKEEPING:
        named = sum(len(re.findall(rf"\b{name}\b(?!\")", text)) for text in texts().values())
        return {"book"} if named > 1 or name == "setup" else set()  # Sphinx calls that one
    return users().get(".".join(filter(None, (module, name))), set())


def imports(module: str) -> set[str]:
    """Name the modules of the package that one imports, inside its functions too."""
    is_package = module == "" or any(m.startswith(f"{module}.") for m in texts())
    found = set()
    for node in ast.walk(ast.parse(texts()[module])):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".") if module else []
            base = base[: len(base) - node.level + is_package]
            where = ".".join([*base, *filter(None, [node.module])])
            below = (".".join(filter(None, (where, a.name))) for a in node.names)
            found |= {b if b in texts() else where for b in below}
    return found - {module}


def ruff_findings() -> dict[str, int]:
    """Count what ruff finds in each chapter's cells, joined."""
    with tempfile.TemporaryDirectory() as folder:
        files = {Path(folder).resolve() / f"{c.replace('/', '.')}.py": c for c in cells()}
        for file, chapter in files.items():
            lines = "\n\n\n".join(cells()[chapter]).splitlines()
            code = (re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in lines)
            file.write_text("\n".join(code) + "\n")
        command = ["check", folder, "--config", "pyproject.toml", "--output-format", "json"]
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--extend-ignore", NOTEBOOK_HABITS],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )
    found = [files[Path(finding["filename"])] for finding in json.loads(result.stdout)]
    return {chapter: found.count(chapter) for chapter in cells()}


def measures() -> dict[str, dict[str, int]]:
    """Measure all that has a ceiling: what -> where -> how much."""
    code = {module: code_lines(text) for module, text in texts().items()}
    lines = {module: len(text.splitlines()) for module, text in texts().items()}
    words = {module: len(docstring_lines(ast.parse(text))) for module, text in texts().items()}
    rooms = ("core", "inputs", *OWN, *STUDIES)

    def total(counts, wanted):
        return sum(n for module, n in counts.items() if room(module) == wanted)

    alone = {s: [p for p in public_names() if room(p[0]) == s] for s in STUDIES}
    names = {r: [n for m, n in public_names() if room(m) == r] for r in rooms}
    sizes = {chapter: [len(c.splitlines()) for c in all_] for chapter, all_ in cells().items()}
    return {
        "code lines of a module": code,
        "code lines of core": {"core": total(code, "core")},
        "code lines of book": {"book": total(code, "book")},
        "code lines of browser": {"browser": total(code, "browser")},
        "code lines of claims": {"claims": total(code, "claims")},
        "code lines of pages": {"pages": total(code, "pages")},
        "code lines of record": {"record": total(code, "record")},
        "code lines of inputs": {"inputs": total(code, "inputs")},
        "code lines of measuring": {"measuring": total(code, "measuring")},
        "code lines of a study": {s: total(code, s) for s in STUDIES},
        "percent docstrings": {
            r: math.ceil(100 * total(words, r) / total(lines, r)) for r in rooms
        },
        "public functions that one chapter uses": {
            s: sum(len(users_of(*p)) == 1 for p in places) for s, places in alone.items()
        },
        "public names that a room has twice": {
            r: len(found) - len(set(found)) for r, found in names.items()
        },
        "cells above 25 lines": {c: sum(n > 25 for n in s) for c, s in sizes.items()},
        "lines above 100 columns": {
            # An address does not break into two lines.
            chapter: sum(
                len(line) > 100 and "%pip" not in line for c in code for line in c.splitlines()
            )
            for chapter, code in cells().items()
        },
        "median cell length": {c: math.ceil(statistics.median(s)) for c, s in sizes.items()},
        "ruff findings": ruff_findings(),
    }


@pytest.fixture(scope="module")
def measured():
    return measures()


@pytest.mark.parametrize("what", TARGETS)
def test_nothing_is_above_its_target_or_its_ceiling(measured, what):
    ceilings = json.loads(CEILINGS.read_text())[what]
    above = {
        where: f"{found}, at most {max(TARGETS[what], ceilings.get(where, 0))}"
        for where, found in measured[what].items()
        if found > max(TARGETS[what], ceilings.get(where, 0))
    }
    assert not above, what


def test_a_study_s_room_is_its_own():
    for module in texts():
        for other in imports(module):
            allowed = (
                "core",
                "inputs",
                "record",
                "_moved",
                room(module),
                *BELOW.get(room(module), ()),
            )
            assert room(other) in allowed, (module, other)


def test_nothing_imports_in_a_circle():
    # The package itself imports on demand, and what it re-exports is below it.
    left = {m: imports(m) - {"", m.rpartition(".")[0]} for m in texts() if m}
    while free := {m for m, needed in left.items() if not needed & left.keys()}:
        left = {m: needed for m, needed in left.items() if m not in free}
    assert not left


def test_the_core_serves_two_studies_or_the_book():
    alone = {
        f"{module}.{name}": sorted(users_of(module, name))
        for module, name in public_names()
        if room(module) == "core"
        and "book" not in users_of(module, name)
        and len({c.partition("/")[0] for c in users_of(module, name)}) < 2
        and f"{module}.{name}" not in UNUSED
    }
    assert not alone


def test_nothing_is_there_for_tests_alone():
    unused = {f"{m}.{n}" for m, n in public_names() if not users_of(m, n)}
    assert unused == set(UNUSED)


def test_what_is_private_stays_private():
    trees = {module: ast.parse(text) for module, text in texts().items()}
    nodes = [(module, node) for module, tree in trees.items() for node in ast.walk(tree)]
    defined = re.compile(r"^(?:def |class )?(_[A-Za-z]\w*)", re.M)
    private = {name for text in texts().values() for name in defined.findall(text)}
    found = []
    for module, node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            found += [(module, a.name) for a in node.names if re.match("_[^_]", a.name)]
        own = getattr(getattr(node, "value", None), "id", "") in ("self", "cls")
        if isinstance(node, ast.Attribute) and node.attr in private and not own:
            found.append((module, ast.unparse(node)))
    assert found == [("", "_moved")]


IMPORT = """
import sys, time
started = time.perf_counter()
import mchelpers
print(time.perf_counter() - started, *{m.partition(".")[0] for m in sys.modules})
"""


def test_importing_the_package_is_cheap():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    times = []
    for _ in range(3):
        result = subprocess.run(
            [sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True
        )
        seconds, *loaded = result.stdout.split()
        times.append(float(seconds))
        heavy = {"numpy", "torch", "scipy", "sklearn", "skimage", "matplotlib", "IPython", "pooch"}
        assert not heavy & set(loaded)
    assert min(times) < 0.3


def test_the_counting_of_code():
    text = '"""One\ntwo."""\n\n# no\nx = """a\nb"""  # yes\n\n\n'
    text += 'def f():\n    """No."""\n    return 1\n'
    assert code_lines(text) == 4


def lower() -> None:
    """Write today's numbers where they are above the target and below the ceiling."""
    old = json.loads(CEILINGS.read_text()) if CEILINGS.exists() else {}
    table = {
        what: {
            where: min(found, old.get(what, {}).get(where, found))
            for where, found in places.items()
            if found > TARGETS[what]
        }
        for what, places in measures().items()
    }
    CEILINGS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    lower()
