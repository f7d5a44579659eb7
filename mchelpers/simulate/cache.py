"""Simulated images are kept: an interrupted run goes on, and a repeated one reads."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

__all__ = ["finished_files", "save_arrays"]


def save_arrays(file: Path, **arrays: np.ndarray | str) -> None:
    """Write arrays to an ``.npz`` file in one step, so that no half of one is ever read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    part.replace(file)


def finished_files(
    name: str,
    make: Callable,
    jobs: Sequence[tuple],
    stems: Sequence[str],
    settings: dict,
    sources: Sequence[Path | str],
    workers: int = 1,
    folder: Path | None = None,
) -> list[Path]:
    """Simulate what is not there yet, and tell where all of it is.

    Parameters
    ----------
    name
        Of the kind of images; begins the folder's name.
    make
        ``make(*job, file)`` simulates one image and writes it to the file, in
        one step; see :func:`save_arrays`.
    jobs
        Arguments of each image.
    stems
        Name of each image's file, without its ending.
    settings
        All that the images depend on besides their jobs; goes into the folder's name.
    sources
        Files of the code that makes the images; likewise, so that no image of
        older code is ever read.
    workers
        Processes that simulate at a time.
    folder
        Where to keep the images. By default ``simulated`` in the run folder.

    Returns
    -------
    list of Path
        One ``.npz`` file for each job, in their order.

    Raises
    ------
    ValueError
        If jobs and stems are not as many, or two stems are equal.
    """
    import joblib
    from tqdm.auto import tqdm

    if len(jobs) != len(stems) or len(set(stems)) != len(stems):
        raise ValueError(f"need a name of its own for each of {len(jobs)} images")
    if folder is None:
        from ..train import run_folder

        folder = run_folder() / "simulated"
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for source in sources:
        digest.update(Path(source).read_bytes())
    folder = Path(folder) / f"{name}-{digest.hexdigest()[:16]}"
    files = [folder / f"{stem}.npz" for stem in stems]
    missing = [(job, file) for job, file in zip(jobs, files) if not file.exists()]
    calls = (joblib.delayed(make)(*job, file) for job, file in missing)
    done = joblib.Parallel(workers, return_as="generator_unordered")(calls)
    for _ in tqdm(done, total=len(missing), desc=f"simulate {name}", disable=not missing):
        pass
    return files
