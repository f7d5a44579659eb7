"""Sphinx extension: say at the top of each chapter which execution made it."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes

from ..record.chapter import Chapter, find_root
from .runs import banner

__all__ = ["setup"]


def add_banner(app, doctree: nodes.document) -> None:
    """Insert a note below the title of an executed chapter."""
    name = app.env.docname
    if not name.startswith("book/"):
        return
    chapter = Chapter(name.removeprefix("book/"), find_root(Path(app.srcdir)))
    said = banner(chapter)
    title = next(iter(doctree.findall(nodes.title)), None)
    if said is None or title is None:
        return
    note = nodes.admonition(classes=["run-banner"])
    note += nodes.title("", "Recorded execution")
    note.extend(nodes.paragraph("", sentence) for sentence in said)
    title.parent.insert(title.parent.index(title) + 1, note)


def setup(app) -> dict:
    """Register the extension."""
    app.connect("doctree-read", add_banner)
    return {"version": "1", "parallel_read_safe": True}
