"""Execute chapters: notebook and record are written together, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from ..claims.entries import load_claims
from ..claims.results import load_results
from ..pages.plain import dump, render
from ..record.chapter import (
    Chapter,
    cell_hashes,
    helper_hash,
    load_record,
    outputs_hash,
    reached_code,
    read_page,
)
from ..record.checkout import commit, python_path
from ..record.files import write_atomically, write_together
from .bars import bars_to_text
from .repeat import drift

__all__ = ["ChapterError", "execute", "execute_all", "run_chapter", "update_text"]


class ChapterError(RuntimeError):
    """A chapter did not run to its end, or its numbers drifted."""


def _run_cells(chapter: Chapter, tier: str, results: Path, folder: Path, more: dict[str, str]):
    """Run the text's cells in a fresh kernel, in an empty folder."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = read_page(chapter.source)
    environment = {
        **os.environ,
        "MCHELPERS_TIER": tier,
        "MCHELPERS_RESULTS": str(results),
        # the helper whose hash is recorded is the one that runs
        "PYTHONPATH": python_path(chapter.root, results.parent),
        "PYTHONHASHSEED": "0",  # sets of words come in one order
        **more,
    }
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(env=environment)
    except Exception as error:  # the client raises what its kernel's connection raises
        if isinstance(error, CellExecutionError):
            how = "stopped in a cell"
        elif isinstance(error, DeadKernelError):
            how = "lost its kernel, which ends so when memory runs out"
        else:
            how = "could not be executed"
        kept = _keep(chapter, notebook, "failed")
        raise ChapterError(
            f"{chapter.name} {how}; the record is as it was, the failed notebook is {kept}\n{error}"
        ) from error
    bars_to_text(notebook)
    return notebook


def _keep(chapter: Chapter, notebook, folder: str) -> Path:
    """Keep a notebook that does not enter the book, to look at it."""
    kept = chapter.root / ".runs" / folder / f"{chapter.name.replace('/', '-')}.ipynb"
    write_atomically(kept, dump(notebook))
    return kept


def _old_results(chapter: Chapter, tier: str) -> dict[str, dict]:
    """Collect the study's results, if the chapter was recorded at this tier before."""
    try:
        old = load_record(chapter)
        if old is None or old["tier"] != tier:
            return {}
        return load_results(chapter.root, chapter.name.partition("/")[0])
    except ValueError:
        return {}  # a record is damaged: this execution mends it, or `check` names it


def _history(chapter: Chapter, record: dict, claimed: set[str]) -> list[dict]:
    """List a chapter's executions, this one last, each with what moved since the one before."""
    try:
        old = load_record(chapter) or {}
    except ValueError:
        old = {}  # damaged: this execution mends it
    before, now = (
        {key: result["mean"] for key, result in made.get("results", {}).items()}
        for made in (old, record)
    )
    name = chapter.name.partition("/")[2]
    moved = {
        key: [before[key], now[key]]
        for key in sorted(before.keys() & now.keys())
        if before[key] != now[key] and f"{name}:{key}" in claimed
    }
    made = {k: record[k] for k in ("executed_at", "tier", "commit")}
    made |= {"new": len(now.keys() - before), "gone": len(before.keys() - now), "moved": moved}
    return [*old.get("history", []), made]


def _check_writable(chapter: Chapter) -> None:
    """Try to write where the notebook and the record will be, before any work."""
    for folder in (chapter.notebook.parent, chapter.record.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ChapterError(
                f"{chapter.name} was not executed: {folder} can not be written to ({error})"
            ) from error


def run_chapter(chapter: Chapter, tier: str, runs: Path | None = None):
    """Run a chapter from its text; nothing of the book is written.

    Parameters
    ----------
    chapter, tier
        As for :func:`execute`.
    runs
        Run folder of its trainings; None takes the usual one, where finished ones are kept.

    Returns
    -------
    nbformat.NotebookNode, dict
        The executed notebook, and what the run saved of itself.

    Raises
    ------
    ChapterError
        If a cell fails, the kernel dies, or no run was started or stamped.
    """
    more = {} if runs is None else {"MCHELPERS_RUNS": str(runs)}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        results = Path(folder) / "results.json"
        empty = Path(folder) / "work"
        empty.mkdir()
        notebook = _run_cells(chapter, tier, results, empty, more)
        if not results.exists():
            raise ChapterError(f"{chapter.name} recorded nothing; does it call mchelpers.start()?")
        ran = json.loads(results.read_text(encoding="utf-8"))
    if ran["chapter"] != chapter.name:
        raise ChapterError(f"{chapter.name} calls itself {ran['chapter']!r} in mchelpers.start()")
    if "peak_memory_mb" not in ran:
        raise ChapterError(f"{chapter.name} does not end with run.stamp()")
    return notebook, ran


def execute(chapter: Chapter, tier: str, accept_drift: bool = False) -> dict:
    """Execute one chapter and write its notebook and record.

    Parameters
    ----------
    chapter
        The chapter.
    tier
        ``smoke``, ``laptop`` or ``full``.
    accept_drift
        Keep results that moved by more than a claim's tolerance since the
        last record of the same tier.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    ChapterError
        If a cell fails, the kernel dies, no run was started, or a claimed result
        drifted. The notebook and the record then stay as they were.
    ValueError
        If the chapter's text or the study's claims are damaged; nothing is executed.
    OSError
        If the disk is full; notebook and record are as they were.
    """
    study, _, name = chapter.name.partition("/")
    claims = load_claims(chapter.root, study)
    _check_writable(chapter)
    ran_commit, helper = commit(chapter), helper_hash(chapter.root)
    started = time.perf_counter()
    notebook, ran = run_chapter(chapter, tier)
    places = _places(notebook)
    for key, result in ran["results"].items():
        result.update(places.get(key, {"cell": None, "heading": None}))
    record = {
        "chapter": chapter.name,
        "tier": ran["tier"],
        "executed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cells": cell_hashes(notebook),
        "outputs": outputs_hash(notebook),
        "helper": helper,
        "code": reached_code(chapter.root, notebook),
        "commit": ran_commit,
        "data": ran["data"],
        "weights": ran["weights"],
        "seed": ran["seed"],
        "machine": ran["machine"],
        "packages": ran["packages"],
        "wall_s": round(time.perf_counter() - started, 1),
        "training_s": ran["training_s"],
        "trained_on": ran["trained_on"],
        "peak_memory_mb": ran["peak_memory_mb"],
        "peak_gpu_memory_mb": ran["peak_gpu_memory_mb"],
        "results": ran["results"],
    }
    record["history"] = _history(chapter, record, {k for c in claims for k in c.keys})
    if not accept_drift:
        moved = drift(claims, name, _old_results(chapter, ran["tier"]), ran["results"])
        if moved:
            kept = _keep(chapter, notebook, "drifted")
            raise ChapterError(
                f"{chapter.name}: claimed results drifted, the record is as it was, the executed "
                f"notebook is {kept}. Find out why, or execute with --accept-drift.\n"
                + "\n".join(moved)
            )
    write_together(
        {
            chapter.notebook: dump(notebook),
            chapter.record: json.dumps(record, indent=1) + "\n",
        }
    )
    update_text(chapter)  # last, so that a word it refuses costs no execution
    return record


def update_text(chapter: Chapter) -> None:
    """Bring a notebook's words up to date with text and numbers; outputs and record stay.

    Raises
    ------
    ChapterError
        If the code changed too: then only an execution can make the outputs. If
        the text holds what a plain notebook cannot show, or a file is damaged.
    """
    try:
        text = render(chapter)
    except ValueError as error:
        raise ChapterError(str(error)) from error
    write_atomically(chapter.notebook, text)


def _places(notebook) -> dict[str, dict]:
    """Find the cell that glued each name, and the last heading above it.

    The outputs know best: what a kernel calls its execution count differs between versions.
    """
    heading, found = None, {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", cell.source, flags=re.M | re.S)
            heading = (re.findall(r"^#+ +(.+?) *$", words, flags=re.M) or [heading])[-1]
            continue
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            found[name] = {"cell": cell.execution_count, "heading": heading}
    return found


def execute_all(chosen: list[Chapter], tier: str, accept_drift: bool = False) -> list[str]:
    """Execute chapters one after the other; return a sentence for each that failed."""
    from tqdm import tqdm

    failures = []
    bar = tqdm(chosen, unit="chapter", file=sys.stderr)
    for chapter in bar:
        bar.set_description(chapter.name)
        try:
            execute(chapter, tier, accept_drift)
        except ChapterError as error:
            failures.append(str(error))
        except (OSError, ValueError) as error:
            failures.append(f"{chapter.name}: {error}")
        else:
            bar.write(f"{chapter.notebook}\n{chapter.record}", file=sys.stdout)
    return failures
