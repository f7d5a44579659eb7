"""The data sets of the optical study: its numbers of images, and test images of further runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..simulate.cache import finished_files
from . import images as optical
from . import runs
from .images import OpticalMicrograph, optical_micrographs, split_runs

__all__ = ["Task", "known_wafers", "load_task"]


@dataclass(frozen=True)
class Task:
    """A data set, split by growth run.

    Attributes
    ----------
    classes
        Names, in the order of their numbers.
    train, validation
        Together as many images as the study has.
    test
        Images of further growth runs.
    sha256
        Hash of all images and masks.
    """

    classes: tuple[str, ...]
    train: list[OpticalMicrograph]
    validation: list[OpticalMicrograph]
    test: list[OpticalMicrograph]
    sha256: str
    kind: str = "simulated"


def load_task(
    kind: str,
    images: int | None = None,
    tests: int = 60,
    size: tuple[int, int] = (640, 640),
    validation: int = 4,
    workers: int = 1,
    seed: int = 0,
    lab: str = "many",
) -> Task:
    """Simulate a data set and split it, or read what is there.

    Parameters
    ----------
    kind, images, size, workers, seed, lab
        As for :func:`mchelpers.tmd_optical.images.optical_micrographs`.
    tests
        Further images to test on, of growth runs of the next seed.
    validation
        Growth runs put aside.

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        If no run is left to train on, or as for the simulator.
    """
    ours = optical_micrographs(kind, images, seed, size, workers, lab=lab)
    further = optical_micrographs(kind, tests, seed + 1, size, workers, lab=lab)
    for micrograph in further:  # runs and images are numbered alike in every seed
        micrograph.group = f"{micrograph.group}_further"
        micrograph.name = f"{micrograph.name}_further"
    split = split_runs(ours, validation=validation, test=0, seed=seed)
    digest = hashlib.sha256((ours.sha256 + further.sha256).encode()).hexdigest()
    train = [ours[n] for n in split.train]
    return Task(ours.classes, train, [ours[n] for n in split.validation], list(further), digest)


def _make_again(kind: str, seed: int, size: tuple[int, int], number: int, file: Path) -> None:
    """Simulate a micrograph of a run that exists, with crystals that do not, and save it."""
    run = runs.draw_run(kind, seed, number)
    rng = np.random.default_rng([seed, list(runs.CLASSES).index(kind), number, 2])
    optical.save_view(file, rng, run, runs.choose_objective(rng, run), size, f"{run.name}_again")


def known_wafers(
    kind: str,
    images: list[OpticalMicrograph],
    size: tuple[int, int] = (640, 640),
    workers: int = 1,
    seed: int = 0,
    folder: Path | None = None,
) -> list[OpticalMicrograph]:
    """Simulate one further micrograph of each growth run that images are of.

    What a network does on these, but not on further runs, it knows of the
    wafer, the lamp and the camera. A split that is drawn over images tests on such.

    Parameters
    ----------
    kind, size, workers, seed, folder
        As for :func:`mchelpers.tmd_optical.images.optical_micrographs`, and as
        the images were made.
    images
        For example those that a network was trained on.

    Returns
    -------
    list of OpticalMicrograph
        In focus; one for each run, in the order of their numbers.
    """
    numbers = sorted({int(m.group.rsplit("_run", 1)[1]) for m in images})
    files = finished_files(
        f"again-{kind.replace(' ', '-')}",
        partial(_make_again, kind, seed, tuple(size)),
        [(n,) for n in numbers],
        [f"run{n:03d}" for n in numbers],
        workers,
        folder,
    )
    return [optical.read_file(file) for file in files]
