"""Execute again, and say beside the first execution what came out otherwise."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ..claims.entries import load_claims
from ..claims.results import load_results
from ..record.chapter import Chapter, load_record, read_page
from ..record.checkout import commit
from ..record.files import write_atomically
from .execute import ChapterError, run_chapter
from .repeat import is_within, moved, other_cells

__all__ = ["faults", "run_twice", "verify"]


def run_twice(chapter: Chapter, tier: str) -> dict:
    """Execute a chapter two times, each from an empty run folder; nothing of the book is written.

    Returns
    -------
    dict
        As of :func:`verify`; but what no clock explains is beyond any tolerance.
    """
    (one, first), (two, second) = (_run_afresh(chapter, tier) for _ in range(2))
    name = chapter.name.partition("/")[2]
    results = {f"{name}:{key}": result for key, result in first["results"].items()}
    found = moved([], name, results, second["results"])
    return {
        "same": len(results) - len(found),
        "moved": [{**change, "within": change["measures"] == "machine"} for change in found],
        "cells": other_cells(one, two),
    }


def _run_afresh(chapter: Chapter, tier: str):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return run_chapter(chapter, tier, Path(folder))


def verify(chapter: Chapter, tier: str, kept: bool = False) -> dict:
    """Execute a recorded chapter again; its record keeps what moved.

    Parameters
    ----------
    chapter
        The chapter.
    tier
        Must be that of the record.
    kept
        Take trainings that are kept in the run folder; else every training is made again.

    Returns
    -------
    dict
        What the record says under ``again``: when, at which commit, on which machine, how many
        results were the same to the last digit, which moved, which cells show something else.

    Raises
    ------
    ChapterError
        If the chapter was not recorded at that tier, or cannot be executed.
    """
    record = load_record(chapter)
    if record is None or record["tier"] != tier:
        raise ChapterError(
            f"{chapter.name} has no record at the {tier} tier to verify; first: "
            f"make chapter NAME={chapter.name} TIER={tier}"
        )
    study, _, name = chapter.name.partition("/")
    claims = load_claims(chapter.root, study)
    ran_commit = commit(chapter)
    notebook, ran = run_chapter(chapter, tier) if kept else _run_afresh(chapter, tier)
    found = moved(claims, name, load_results(chapter.root, study), ran["results"])
    elsewhere = any(ran[k] != record[k] for k in ("machine", "packages"))
    record["again"] = {
        "executed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": ran_commit,
        "machine": ran["machine"],
        "trainings": "kept" if kept else "made again",
        "same": len(record["results"]) - len(found),
        "moved": [{**change, "within": is_within(change)} for change in found],
        "cells": other_cells(read_page(chapter.notebook), notebook, elsewhere),
    }
    write_atomically(chapter.record, json.dumps(record, indent=1) + "\n")
    return record["again"]


def faults(chapter: Chapter, again: dict) -> list[str]:
    """List what a second execution made otherwise without a reason, or beyond a tolerance."""
    moves = (m for m in again["moved"] if not m["within"])
    cells = (c["cell"] for c in again["cells"] if not c["reason"])
    return [f"{chapter.name}: {m['key']} moved: {m['before']} to {m['after']}" for m in moves] + [
        f"{chapter.name}: code cell {number} shows something else, and reads no clock"
        for number in cells
    ]
