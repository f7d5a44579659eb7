"""The site: chapters as they are written, with the outputs that were recorded.

Jupyter Book builds a copy of the book below ``_build/source``. There each
chapter is its text joined with its outputs; the plain notebook beside the text
is what the site hands out for download.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

from ..pages.plain import dump, merged
from ..record.chapter import chapters
from ..record.files import write_atomically

__all__ = ["build", "lay_source"]


def lay_source(root: Path) -> Path:
    """Lay out what the site is built from; return its folder.

    It has no ``_toc.yml`` of its own, so that `find_root` finds the repository above it.
    """
    source = root / "_build" / "source"
    shutil.rmtree(source, ignore_errors=True)
    others = shutil.ignore_patterns("[0-9][0-9]_*.md", "*.ipynb", ".*")
    shutil.copytree(root / "book", source / "book", ignore=others)
    for chapter in chapters(root):
        page = source / "book" / f"{chapter.name}.ipynb"
        notebook = merged(chapter)
        _lay_figures(notebook, source / "book" / "_figures")
        write_atomically(page, dump(notebook))
        # An unchanged page is not built again.
        newest = max((chapter.source, chapter.notebook), key=lambda f: f.stat().st_mtime)
        shutil.copystat(newest, page)
    return source


def _lay_figures(notebook, folder: Path) -> None:
    """Write each labelled figure as ``<label>.png``, so that other pages can show it too."""
    for cell in notebook.cells:
        label = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []) if label else ():
            if "image/png" in output.get("data", {}):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{label}.png").write_bytes(b64decode(output.data["image/png"]))


def build(root: Path, target: Path) -> Path | None:
    """Build the site strictly below ``target/_build/html``.

    Returns
    -------
    Path or None
        The page to open; None if a warning or an error stopped the build.
    """
    # It has no `python -m` of its own, and PYTHONPATH would be cut at a colon.
    start = f"import sys; sys.path.insert(0, {str(root)!r}); "
    start += "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", str(lay_source(root)), "-W", "-n"]
    command += ["--keep-going", "--path-output", str(target)]
    command += ["--config", str(root / "_config.yml"), "--toc", str(root / "_toc.yml")]
    site = target / "_build" / "html"
    page = site / "book" / "index.html"
    page.unlink(missing_ok=True)
    print("Building the site takes a minute or two.", file=sys.stderr)
    # Warnings go to stderr; its farewell on stdout names another page than ours.
    failed = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if failed or not page.exists():
        return None
    for chapter in chapters(root):
        shutil.copy2(chapter.notebook, site / "_sources" / "book" / f"{chapter.name}.ipynb")
    return page
