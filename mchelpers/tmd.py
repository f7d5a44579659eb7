"""The data sets of the optical study: its numbers of images, and test images of further runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .simulate.optical import OpticalMicrograph, optical_micrographs, split_runs

__all__ = ["Task", "load_task"]


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
) -> Task:
    """Simulate a data set and split it, or read what is there.

    Parameters
    ----------
    kind, images, size, workers, seed
        As for :func:`mchelpers.simulate.optical.optical_micrographs`.
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
    ours = optical_micrographs(kind, images, seed, size, workers)
    further = optical_micrographs(kind, tests, seed + 1, size, workers)
    for micrograph in further:  # runs and images are numbered alike in every seed
        micrograph.group = f"{micrograph.group}_further"
        micrograph.name = f"{micrograph.name}_further"
    split = split_runs(ours, validation=validation, test=0, seed=seed)
    digest = hashlib.sha256((ours.sha256 + further.sha256).encode()).hexdigest()
    train = [ours[n] for n in split.train]
    return Task(ours.classes, train, [ours[n] for n in split.validation], list(further), digest)
