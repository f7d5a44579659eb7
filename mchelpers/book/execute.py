"""Execute chapters: notebook and record are written together, whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from ..run import write_atomically
from .claims import drift, load_claims, studies
from .record import (
    Chapter,
    cell_hashes,
    helper_hash,
    load_record,
    outputs_hash,
    reached_code,
)

__all__ = ["ChapterError", "execute", "execute_all", "machine", "update_text"]

PACKAGES = (
    "abtem",
    "jupyter-book",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "openvino",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "segmentation_models_pytorch",
    "torch",
    "ultralytics-opencv-headless",
)


class ChapterError(RuntimeError):
    """A chapter did not run to its end, or its numbers drifted."""


def machine() -> dict:
    """Describe this machine: processor, cores, memory, GPU."""
    import psutil

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if "model name" in x
        ]
        cpu = names[0] if names else cpu
    gpu = None
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip() or None
    memory = round(psutil.virtual_memory().total / 1024**3)
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gb": memory, "gpu": gpu}


def _commit(root: Path) -> str | None:
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    except FileNotFoundError:
        return None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _run_cells(chapter: Chapter, tier: str, results: Path, folder: Path):
    """Run the text's cells in a fresh kernel, in an empty folder."""
    import jupytext
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = jupytext.read(chapter.source)
    environment = {
        **os.environ,
        "MCHELPERS_TIER": tier,
        "MCHELPERS_RESULTS": str(results),
        "PYTHONPATH": str(chapter.root),  # the helper whose hash is recorded is the one that runs
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
    except CellExecutionError as error:
        kept = chapter.root / ".runs" / "failed" / f"{chapter.name.replace('/', '-')}.ipynb"
        write_atomically(kept, _dump(notebook))
        raise ChapterError(
            f"{chapter.name} stopped in a cell; the record is as it was, the failed notebook is "
            f"{kept}\n{error}"
        ) from error
    return notebook


def _dump(notebook) -> str:
    import nbformat

    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # random ids would change the file at every execution
    # The kernel reports its own exact version there, which says nothing about the chapter.
    notebook.metadata.pop("language_info", None)
    return nbformat.writes(notebook) + "\n"


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
        If a cell fails, no run was started, or a claimed result drifted. The
        notebook and the record then stay as they were.
    """
    study, _, name = chapter.name.partition("/")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        empty = Path(folder) / "work"
        empty.mkdir()
        notebook = _run_cells(chapter, tier, results, empty)
        if not results.exists():
            raise ChapterError(f"{chapter.name} recorded nothing; does it call mchelpers.start()?")
        ran = json.loads(results.read_text(encoding="utf-8"))
    if ran["chapter"] != chapter.name:
        raise ChapterError(f"{chapter.name} calls itself {ran['chapter']!r} in mchelpers.start()")
    if "peak_memory_mb" not in ran:
        raise ChapterError(f"{chapter.name} does not end with run.stamp()")
    for result in ran["results"].values():
        result["heading"] = _heading(notebook, result["cell"])
    record = {
        "chapter": chapter.name,
        "tier": ran["tier"],
        "executed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cells": cell_hashes(notebook),
        "outputs": outputs_hash(notebook),
        "helper": helper_hash(chapter.root),
        "code": reached_code(chapter.root, notebook),
        "commit": _commit(chapter.root),
        "data": ran["data"],
        "weights": ran["weights"],
        "seed": ran["seed"],
        "machine": machine(),
        "packages": _versions(),
        "wall_s": round(time.perf_counter() - started, 1),
        "training_s": ran["training_s"],
        "peak_memory_mb": ran["peak_memory_mb"],
        "peak_gpu_memory_mb": ran["peak_gpu_memory_mb"],
        "results": ran["results"],
    }
    old = load_record(chapter)
    if old and old["tier"] == record["tier"] and study in studies(chapter.root):
        moved = drift(load_claims(chapter.root, study), name, old, record)
        if moved and not accept_drift:
            raise ChapterError(
                f"{chapter.name}: claimed results drifted, the record is as it was. Find out why, "
                "or execute with --accept-drift.\n" + "\n".join(moved)
            )
    write_atomically(chapter.notebook, _dump(notebook))
    write_atomically(chapter.record, json.dumps(record, indent=1) + "\n")
    return record


def update_text(chapter: Chapter) -> None:
    """Bring the words of a notebook up to date with its text; outputs and record stay.

    Raises
    ------
    ChapterError
        If the code changed too: then only an execution can make the outputs.
    """
    import jupytext
    import nbformat

    source = jupytext.read(chapter.source)
    notebook = nbformat.read(chapter.notebook, as_version=4)
    if cell_hashes(source) != cell_hashes(notebook):
        raise ChapterError(f"{chapter.name}: its code changed, execute it")
    old = iter(c for c in notebook.cells if c.cell_type == "code")
    for cell in source.cells:
        if cell.cell_type == "code":
            executed = next(old)
            cell.outputs, cell.execution_count = executed.outputs, executed.execution_count
    source.metadata = notebook.metadata
    write_atomically(chapter.notebook, _dump(source))


def _heading(notebook, execution_count: int | None) -> str | None:
    """Find the last heading above the cell that logged a result."""
    heading = None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = [x for x in cell.source.splitlines() if x.startswith("#")]
            heading = lines[-1].lstrip("#").strip() if lines else heading
        elif cell.get("execution_count") == execution_count:
            return heading
    return heading


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
    return failures
