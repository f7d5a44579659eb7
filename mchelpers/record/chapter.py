"""The record of what was executed, and the lock that compares it with what is shown.

A chapter is a pair: ``chapter.md`` is the source, ``chapter.ipynb`` beside it
holds the outputs, and the same words in plain Markdown.
``book/record/<study>/<chapter>.json`` says which cells made those outputs, when,
where and with what. The lock refuses a page whose cells, outputs or text are
not the recorded ones.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from ..source import Package
from .schema import first_fault

__all__ = [
    "Chapter",
    "changed_helpers",
    "chapters",
    "find_root",
    "helper_hash",
    "load_record",
    "outputs_hash",
    "reached_code",
    "read_page",
]


@dataclass(frozen=True)
class Chapter:
    """The files of one chapter.

    Attributes
    ----------
    name
        ``study/chapter``, e.g. ``graphene_hrtem/03_unet``.
    root
        Folder of the book's repository.
    """

    name: str
    root: Path

    @property
    def source(self) -> Path:
        """The MyST text."""
        return self.root / "book" / f"{self.name}.md"

    @property
    def notebook(self) -> Path:
        """The notebook with the recorded outputs."""
        return self.root / "book" / f"{self.name}.ipynb"

    @property
    def record(self) -> Path:
        """The record of the execution that made the outputs."""
        return self.root / "book" / "record" / f"{self.name}.json"


def find_root(start: Path | None = None) -> Path:
    """Find the repository: the nearest folder above that holds ``_toc.yml``."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").exists():
            return folder
    raise FileNotFoundError(f"no _toc.yml in {start} or above; run this inside the book's checkout")


def chapters(root: Path, pattern: str = "") -> list[Chapter]:
    """List the executable chapters whose name begins with ``pattern``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    sources = sorted((root / "book").glob("*/[0-9][0-9]_*.md"))
    names = [f"{s.parent.name}/{s.stem}" for s in sources]
    chosen = [Chapter(n, root) for n in names if n == pattern or n.startswith(pattern)]
    if not chosen:
        raise FileNotFoundError(f"no chapter {pattern!r}; there are: {', '.join(names) or 'none'}")
    return chosen


def _helper_files(root: Path) -> list[Path]:
    return sorted((root / "mchelpers").rglob("*.py"))


def helper_hash(root: Path) -> str:
    """Hash the whole helper package."""
    digest = hashlib.sha256()
    for file in _helper_files(root):
        digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()


def reached_code(root: Path, notebook) -> dict[str, str]:
    """Digest what a chapter's code cells reach in the helper package: name -> digest."""
    cells = [c.source for c in notebook.cells if c.cell_type == "code"]
    files = _helper_files(root)
    return _package(root, tuple(f.stat().st_mtime_ns for f in files)).reach_of_cells(cells)


@cache
def _package(root: Path, stamps: tuple[int, ...]) -> Package:
    """Read the helper package once for all chapters, and again when a file of it changed."""
    return Package(root / "mchelpers")


def cell_hashes(notebook) -> list[str]:
    """Hash the source of each code cell, in order."""
    code = (c for c in notebook.cells if c.cell_type == "code")
    return [hashlib.sha256(c.source.encode()).hexdigest() for c in code]


def outputs_hash(notebook) -> str:
    """Hash what the code cells put out, widgets included; the words between them do not count."""
    outputs = [c.outputs for c in notebook.cells if c.cell_type == "code"]
    shown = [outputs, notebook.metadata.get("widgets", {})]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=256)
def _record_fault(text: bytes) -> str | None:
    try:
        faults = first_fault("record", json.loads(text))
    except ValueError as error:
        return str(error)
    return next((f"{k}: {v}" if k else v for k, v in faults.items()), None)


def load_record(chapter: Chapter) -> dict | None:
    """Read a chapter's record; None if it was never executed.

    Raises
    ------
    ValueError
        If the file is cut short, or not what ``schemas/record.json`` says.
    """
    if not chapter.record.exists():
        return None
    text = chapter.record.read_bytes()
    fault = _record_fault(text)
    if fault:
        name = chapter.record.relative_to(chapter.root)
        raise ValueError(f"{name} is damaged ({fault}); execute {chapter.name} again")
    return json.loads(text)


def read_page(path: Path):
    """Read a chapter's text or its notebook.

    Returns
    -------
    nbformat.NotebookNode
        The cells, and the outputs if it is a notebook.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    import jupytext
    import nbformat

    try:
        if path.suffix == ".md":
            return jupytext.read(path)
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # the readers raise whatever they stumble over
        reason = str(error).strip().partition("\n")[0][:160]
        raise ValueError(f"{path.name} of {path.parent.name} is damaged ({reason})") from error
    return notebook


def changed_helpers(chapter: Chapter, record: dict) -> list[str]:
    """Name the helpers whose code changed since a chapter that reaches them was executed.

    A helper is known by its digest, so one that only moved or got another name did not change.
    Those that a chapter can call come first.
    """
    now = reached_code(chapter.root, read_page(chapter.notebook))
    then = record["code"]
    older, newer = set(then.values()), set(now.values())
    gone = {n for n, digest in then.items() if digest not in newer}
    new = {n for n, digest in now.items() if digest not in older}
    names = {n.rpartition(".")[2] for n in gone | new}
    return sorted(names, key=lambda name: (name.startswith("_"), name))
