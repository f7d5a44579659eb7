"""Simulated images are kept: an interrupted run goes on, and a repeated one reads."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from ..key import fingerprint
from ..record.files import write_atomically

__all__ = ["finished_files", "save_arrays"]


def save_arrays(file: Path, **arrays: np.ndarray | str) -> None:
    """Write arrays to an ``.npz`` file in one step, so that no half of one is ever read."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomically(file, stream.getvalue())


def finished_files(
    name: str,
    make: Callable,
    jobs: Sequence[tuple],
    stems: Sequence[str],
    workers: int = 1,
    folder: Path | None = None,
    libraries: Sequence[str] = (),
) -> list[Path]:
    """Simulate what is not there yet, and tell where all of it is.

    Parameters
    ----------
    name
        Of the kind of images; begins the folder's name.
    make
        ``make(*job, file)`` simulates one image and writes it with :func:`save_arrays`; best a
        ``functools.partial`` that holds what all images share, for its arguments and its code
        go into the folder's name.
    jobs
        Arguments of each image.
    stems
        Name of each image's file, without its ending.
    workers
        Processes that simulate at a time.
    folder
        Where to keep the images. By default ``simulated`` in the run folder.
    libraries
        Distributions whose version goes into the folder's name too.

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
    key = fingerprint(make, [(library, metadata.version(library)) for library in libraries])
    files = [Path(folder) / f"{name}-{key}" / f"{stem}.npz" for stem in stems]
    missing = [(job, file) for job, file in zip(jobs, files) if not file.exists()]
    calls = (joblib.delayed(make)(*job, file) for job, file in missing)
    done = joblib.Parallel(workers, return_as="generator_unordered")(calls)
    for _ in tqdm(done, total=len(missing), desc=f"simulate {name}", disable=not missing):
        pass
    return files
