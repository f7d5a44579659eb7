"""A simulated microscope stage: a window that pans over a simulated piece of wafer."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from ..inputs.rgb import as_rgb8
from ..simulate.cache import finished_files
from . import images as optical
from . import runs

__all__ = ["Stage", "simulated_wafer"]


class Stage:
    """Pan a camera's window over a picture of a wafer, as a motor stage would.

    Parameters
    ----------
    picture
        (H, W, 3) uint8, RGB; or what :func:`mchelpers.inputs.rgb.as_rgb8` turns into it.
    window
        Rows and columns that the camera sees.
    frames
        Until the stage is back where it began; on its way, an eight lying on
        its side, it reaches all four edges.

    Attributes
    ----------
    corner
        (top, left) of the latest frame, px of the picture; None before the first.

    Raises
    ------
    ValueError
        If the window is empty or larger than the picture, or there is no frame.
    """

    def __init__(self, picture: np.ndarray, window: tuple[int, int] = (1280, 1280), frames=240):
        self.picture = as_rgb8(picture)
        if min(window) < 1 or any(w > s for w, s in zip(window, self.picture.shape)):
            raise ValueError(
                f"a window of {tuple(window)} px does not fit the picture of "
                f"{self.picture.shape[:2]} px"
            )
        if frames < 1:
            raise ValueError(f"a round needs a frame at least, got {frames}")
        self.window, self.frames, self.corner = tuple(window), frames, None
        self._number = 0

    def __call__(self) -> np.ndarray:
        """Move on, and take the next frame: (h, w, 3) uint8, RGB."""
        phase = 2 * np.pi * (self._number % self.frames) / self.frames
        self._number += 1
        high, wide = (s - w for s, w in zip(self.picture.shape, self.window))
        top = round(high * (1 + np.sin(2 * phase)) / 2)  # up and down twice
        left = round(wide * (1 - np.cos(phase)) / 2)  # while once to the right and back
        self.corner = (top, left)
        height, width = self.window
        return self.picture[top : top + height, left : left + width].copy()


def _make_wafer(kind: str, seed: int, side: float, size: tuple[int, int], file: Path) -> None:
    """Simulate one large picture and save it in one step."""
    objective = runs.OBJECTIVES[100]
    run = dataclasses.replace(
        runs.draw_run(kind, seed, 0), side_um=side * objective.pixel_um, coverage=0.25
    )
    optical.save_view(file, np.random.default_rng([seed, 2]), run, objective, size, "wafer")


def simulated_wafer(
    kind: str = "heterostructure",
    size: tuple[int, int] = (1920, 2560),
    side: float = 140.0,
    seed: int = 2,
    folder: Path | None = None,
) -> optical.OpticalMicrograph:
    """Simulate a piece of wafer that is larger than a camera's frame, or read it if it is there.

    Parameters
    ----------
    kind
        As for :func:`mchelpers.tmd_optical.images.optical_micrographs`.
    size
        Rows and columns. There are 60 crystals at most.
    side
        Of a typical crystal, px.
    seed
        Of the growth run and all else; take one that no training images have.
    folder
        Where to keep it. By default ``simulated`` in the run folder.

    Returns
    -------
    OpticalMicrograph
        With exact truth, through an objective of 100x. Its noise and its uneven
        light move with the wafer, where a camera would keep them in place.
    """
    stem = f"{kind.replace(' ', '-')}-{seed}-{side:g}-{size[0]}x{size[1]}"
    make = partial(_make_wafer, kind, seed, side, tuple(size))
    [file] = finished_files("wafer", make, [()], [stem], folder=folder)
    return optical.read_file(file)
