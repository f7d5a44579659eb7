"""Fixtures: a tiny book of one chapter, and a folder that nothing else writes to."""

import logging
import os
import shutil
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SET_BY_IMPORTS = (
    "CUBLAS_WORKSPACE_CONFIG",
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "LD_LIBRARY_PATH",
    "PYDEVD_USE_FRAME_EVAL",
    "TORCHINDUCTOR_CACHE_DIR",
    "_RJEM_MALLOC_CONF",
)
"""Variables that libraries set for themselves while they are imported."""


@pytest.fixture(autouse=True)
def same_luck():
    """Begin each test at the same random numbers, whichever tests ran before."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def process_globals() -> dict[str, object]:
    """Collect what no function may leave changed; of libraries only those that are imported."""
    found = {f"environment {k}": v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    found |= {
        "working folder": os.getcwd(),
        "logging.disable": logging.root.manager.disable,
        "warnings silenced": _silenced(),
    }
    if torch := sys.modules.get("torch"):
        found["torch threads"] = torch.get_num_threads()
        found["torch dtype"] = torch.get_default_dtype()
        found["torch determinism"] = torch.are_deterministic_algorithms_enabled()
        found["torch seed"] = torch.initial_seed()  # drawing leaves it, setting another does not
    if cv2 := sys.modules.get("cv2"):
        found["OpenCV threads"] = cv2.getNumThreads()
    if numpy := sys.modules.get("numpy"):
        found["NumPy printing"] = numpy.get_printoptions()
    if matplotlib := sys.modules.get("matplotlib"):
        items = dict.items(matplotlib.rcParams)  # looked up the usual way, a backend is loaded
        found |= {f"rcParams {k}": v for k, v in items if not k.startswith("backend")}
    return found


def _silenced() -> list[tuple]:
    """Filters of whole kinds of warnings; libraries filter single ones while they are imported."""
    kinds = Warning, UserWarning, DeprecationWarning, FutureWarning, RuntimeWarning
    return [f[:3] for f in warnings.filters if f[1] is None and f[2] in kinds and f[3] is None]


def left_changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """Name what differs; not what a library brought along that was imported in between."""
    single = {k for k in before.keys() ^ after.keys() if k.startswith("environment ")}
    single -= {f"environment {k}" for k in SET_BY_IMPORTS}
    names = {k for k in before.keys() & after.keys() if before[k] != after[k]} | single
    return [f"{k}: {before.get(k)!r} -> {after.get(k)!r}" for k in sorted(names)]


@pytest.fixture(autouse=True)
def nothing_left_changed(same_luck):
    """Fail a test after which a global of the process is not what it was before."""
    before = process_globals()
    yield
    changed = left_changed(before, process_globals())
    assert not changed, f"left changed: {'; '.join(changed)}"


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip a test where a package is missing, which is looked for and not imported."""
    missing = [p for p in packages if find_spec(p) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def has_real_data(name: str) -> bool:
    """Tell whether the whole data set lies on this machine (nothing is downloaded)."""
    from mchelpers import data

    folder = data.data_folder()
    return all((folder / p).exists() for p in data.registry() if p.startswith(f"{name}/"))


CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
    jupytext_version: 1.19.6
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# First

```{code-cell} ipython3
import mchelpers
run = mchelpers.start("demo/01_first")
```

## A number

```{code-cell} ipython3
run.log("demo.score", [0.5, 0.7], data="real");
```

```{code-cell} ipython3
run.stamp()
```
"""

CLAIMS = """\
- id: table1-score
  where: Table 1
  metric: score
  paper: "0.60"
  result: 01_first:demo.score
  better: higher
  tolerance: {from: digit}
  comparable: same-data
"""


def make_book(root: Path) -> Path:
    """Write a book with one chapter that was never executed; return its root."""
    (root / "book" / "demo").mkdir(parents=True)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (root / "README.md").write_text("# D\n<!-- verdicts:begin -->\n<!-- verdicts:end -->\nend\n")
    (root / "book" / "demo" / "index.md").write_text("# The demo study\n")
    (root / "book" / "demo" / "01_first.md").write_text(CHAPTER)
    (root / "book" / "demo" / "claims.yml").write_text(CLAIMS)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "mchelpers", root / "mchelpers", ignore=ignored)
    return root


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """Return the root of a tiny book that was really executed once."""
    from mchelpers.book.execute import execute
    from mchelpers.pages.generate import write_pages
    from mchelpers.record.chapter import Chapter

    root = make_book(tmp_path_factory.mktemp("book"))
    execute(Chapter("demo/01_first", root), "laptop")
    write_pages(root)
    return root


@pytest.fixture
def done(executed, tmp_path):
    """Return the chapter of a fresh copy of the executed book."""
    from mchelpers.record.chapter import Chapter

    shutil.copytree(executed, tmp_path / "copy")
    return Chapter("demo/01_first", tmp_path / "copy")


@pytest.fixture
def book(tmp_path):
    """Return the root of a tiny book that was never executed."""
    return make_book(tmp_path)


@pytest.fixture(autouse=True)
def own_folders(nothing_left_changed, tmp_path, monkeypatch):
    """Keep trainings and data of the user out of every test, and of tests out of the user's."""
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MCHELPERS_TIER", raising=False)
    monkeypatch.delenv("MCHELPERS_RESULTS", raising=False)
