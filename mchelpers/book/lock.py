"""The lock: a page shows the cells, the outputs and the words that its record and its text make."""

from __future__ import annotations

import re

from ..pages.plain import render
from ..record.chapter import Chapter, cell_hashes, load_record, outputs_hash, read_page

__all__ = ["check_chapter"]

MAX_NOTEBOOK_BYTES = 2_000_000


def check_chapter(chapter: Chapter, allow_smoke: bool = False) -> list[str]:
    """Compare what a page shows with what was executed.

    Parameters
    ----------
    chapter
        The chapter.
    allow_smoke
        Accept a smoke execution (a trial build that is not published).

    Returns
    -------
    list of str
        One sentence per fault, empty if there is none.
    """
    if not chapter.notebook.exists():
        return [f"{chapter.name}: no notebook; run: make chapter NAME={chapter.name}"]
    try:
        notebook, record = read_page(chapter.notebook), load_record(chapter)
    except ValueError as error:
        return [str(error)]
    faults = _word_faults(chapter)
    if chapter.notebook.stat().st_size > MAX_NOTEBOOK_BYTES and not allow_smoke:
        faults.append(
            f"the notebook has {chapter.notebook.stat().st_size / 1e6:.1f} MB, above 2 MB"
        )
    faults += _output_faults(notebook)
    if record is None:
        faults.append("no record: it was never executed as a whole")
    else:
        if record["cells"] != cell_hashes(notebook):
            faults.append("a shown code cell is not the executed one")
        if record["outputs"] != outputs_hash(notebook):
            faults.append("an output is not the one the execution made")
        if record["tier"] == "smoke" and not allow_smoke:
            faults.append("it was executed at the smoke tier, which makes no results")
    return [f"{chapter.name}: {fault}" for fault in faults]


def _word_faults(chapter: Chapter) -> list[str]:
    try:
        if chapter.notebook.read_text(encoding="utf-8") == render(chapter):
            return []
    except ValueError as error:
        return [str(error).removeprefix(f"{chapter.name}: ")]
    return [
        "the text and the notebook differ; after a change of words, or of another chapter's "
        f"numbers, run: python -m mchelpers text {chapter.name}, else execute it"
    ]


def _output_faults(notebook) -> list[str]:
    faults = []
    code = [c for c in notebook.cells if c.cell_type == "code"]
    if code and not any(c.outputs for c in code):
        faults.append("no cell has an output")
    for number, cell in enumerate(code, 1):
        for output in cell.outputs:
            if output.output_type == "error":
                faults.append(f"code cell {number} ended in {output.ename}")
            if output.output_type == "stream" and output.name == "stderr":
                faults.append(f"code cell {number} wrote to stderr: {output.text.strip()[:80]}")
            is_image = "image/png" in output.get("data", {})
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if is_image and not re.search(r"\w", alt):
                faults.append(f"code cell {number} shows an image without alt text")
    return faults
