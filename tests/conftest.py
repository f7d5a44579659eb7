"""Fixtures: a tiny book of one chapter, and a folder that nothing else writes to."""

import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def same_luck():
    """Begin each test at the same random numbers, whichever tests ran before."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


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
  paper: 0.6
  result: 01_first:demo.score
  better: higher
  tolerance: 0.02
  comparable: same-data
  why: ""
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


@pytest.fixture
def book(tmp_path):
    """Return the root of a tiny book that was never executed."""
    return make_book(tmp_path)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Keep trainings and data of the user out of every test, and of tests out of the user's."""
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MCHELPERS_TIER", raising=False)
    monkeypatch.delenv("MCHELPERS_RESULTS", raising=False)
