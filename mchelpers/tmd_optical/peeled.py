"""Peeled flakes of graphene and WSe2 on oxidised silicon, few of them thin.

A rough likeness of the real micrographs of :mod:`mchelpers.tmd_optical.flakes`: tape leaves
many thick pieces, debris and glue, and here and there a flake of a few layers,
which alone is labelled. Colours come from thin-film interference, sizes are in
pixels, for the real ones' pixel size was not published. Used in the chapter
*Transfer*.
"""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np

from ..inputs.objects import Instance, LabelledImage
from ..simulate import fields
from ..simulate.cache import finished_files, save_arrays
from . import crystals, optics, runs
from .images import OpticalSet

__all__ = ["THIN", "flake_reflectance", "simulated_flakes"]

THIN = {"graphene": 6, "WSe2": 3}
"""Material -> most layers that are labelled."""

_FINE = 2  # fine pixels along the edge of a pixel


def flake_reflectance(material: str, layers, oxide_nm: float, na: float = 0.0) -> np.ndarray:
    """Reflectance of flakes of so many layers, 0 is the bare wafer: (N, 61) float."""
    return optics.wafer_table([((material, int(n)),) if n else () for n in layers], oxide_nm, na)


def _ring(rng: np.random.Generator, side: float) -> np.ndarray:
    """Draw a flake's outline about its centre, px."""
    ring = crystals.flake(rng, side) * [1, np.exp(-abs(rng.normal(0, 0.4)))]
    if rng.random() < 0.4:
        ring = crystals.break_off(rng, ring, rng.uniform(0.1, 0.5))
    return crystals.turn(crystals.roughen(rng, ring, 0.012), rng.uniform(0, 2 * np.pi))


def _line(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a wrinkle of glue across the frame: a closed ring one or two pixels wide."""
    walk = np.cumsum(rng.normal(0, 0.25, 24)) + rng.uniform(0, 2 * np.pi)
    path = np.cumsum(np.stack([np.cos(walk), np.sin(walk)], 1) * rng.uniform(3, 14), axis=0)
    path += rng.uniform(0, size[::-1])
    return np.vstack([path, (path + rng.uniform(0.6, 2.0))[::-1]])


class _Sheet:
    """A wafer on the fine grid: what film and label each fine pixel has."""

    def __init__(self, size: tuple[int, int]):
        self.shape = (size[0] * _FINE, size[1] * _FINE)
        self.film = np.zeros(self.shape, np.int16)
        self.label = np.zeros(self.shape, np.int16)
        self.films: list[tuple[int, float]] = [(0, 1.0)]  # layers, signal

    def lay(self, ring: np.ndarray, layers: int, signal: float = 1.0, label: int = 0) -> None:
        """Put a film inside a ring, in place of what was there."""
        box, inside = crystals.fill(ring, self.shape, _FINE)
        if inside.any():
            self.films.append((layers, signal))
            self.film[box][inside] = len(self.films) - 1
            self.label[box][inside] = label

    def peel(self, rng: np.random.Generator, size: tuple[int, int], thin: int) -> list[int]:
        """Lay all flakes; return the layers of the labelled ones, number 1 first."""
        found: list[int] = []
        extent = np.array(size[::-1])
        for _ in range(rng.poisson(min(np.exp(rng.normal(1.0, 0.8)), 12))):  # thin
            side = np.clip(np.exp(rng.normal(np.log(48), 0.5)), 18, 200)
            centre, ring = rng.uniform(0, extent), _ring(rng, side)
            found.append(int(rng.integers(1, thin + 1)))
            self.lay(ring + centre, found[-1], label=len(found))
            if rng.random() < 0.35:  # a part of another thickness
                part = crystals.break_off(rng, ring, rng.uniform(0.3, 0.6)) + centre
                found.append(int(rng.integers(1, thin + 1)))
                self.lay(part, found[-1], label=len(found))
            if rng.random() < 0.5:  # a thick piece at its side
                layers = round(np.exp(rng.uniform(np.log(8), np.log(300))))
                away = crystals.turn(np.array([[0.55 * side, 0]]), rng.uniform(0, 2 * np.pi))
                beside = _ring(rng, side * np.exp(rng.normal(0.2, 0.5))) + centre + away
                self.lay(beside, layers, rng.uniform(0.7, 1.0))
        pieces = rng.poisson(np.exp(rng.normal(2.5, 1.0)))
        field, spread = rng.uniform(0, extent), rng.uniform(0.1, 0.7) * extent
        for _ in range(min(pieces, 150)):
            side = np.clip(np.exp(rng.normal(np.log(22), 0.75)), 4, 230)
            layers = round(np.exp(rng.uniform(np.log(thin + 3), np.log(400))))
            centre = rng.normal(field, spread) if rng.random() < 0.6 else rng.uniform(0, extent)
            ring = _ring(rng, side)
            rim = float(rng.uniform(0.35, 0.9)) if layers > 25 else 1.0
            self.lay(ring + centre, layers, rim)
            self.lay(ring * max(0.2, 1 - 4 / side) + centre, layers)
            if rng.random() < 0.4:
                step = crystals.break_off(rng, ring, rng.uniform(0.2, 0.6)) * 0.85
                self.lay(step + centre, max(thin + 2, round(layers * rng.uniform(0.4, 2.5))))
        for _ in range(rng.poisson(np.exp(rng.normal(2.5, 1.2)))):  # specks
            spot = crystals.outline(rng.uniform(1.5, 7), 1.0, points=24) + rng.uniform(0, extent)
            self.lay(spot, 0, float(rng.choice([0.4, 0.75, 1.3, 2.0])))
        if rng.random() < 0.5:
            signal = float(rng.choice([0.93, 1.07, 1.15]))
            for _ in range(rng.poisson(6)):
                self.lay(_line(rng, size), 0, signal)
        return found


def _make(seed: int, size: tuple[int, int], number: int, file: Path) -> None:
    """Simulate one micrograph and save it in one step."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([seed, number, 41])
    wafer = runs.draw_run("thickness MoS2", seed + 500, number)  # oxide, lamp and camera
    material = str(rng.choice(list(THIN)))
    sheet = _Sheet(size)
    layers = sheet.peel(rng, size, THIN[material])
    counts, signals = np.array(sheet.films).T
    oxide = wafer.oxide_nm if rng.random() < 0.15 else rng.uniform(65, 125)
    lamp = optics.illuminant(wafer.lamp, wafer.temperature_k)
    reflectance = flake_reflectance(material, counts, oxide, 0.8 * wafer.filling)
    table = wafer.camera.raw(reflectance, lamp) * signals[:, None]
    camera = dataclasses.replace(
        wafer.camera,
        exposure=np.exp(rng.uniform(np.log(0.18), np.log(0.85))) / table[0].mean(),
        saturation=rng.uniform(0.4, 1.2),
        gamma=rng.uniform(0.9, 1.7),
    )
    fine = table.astype(np.float32)[sheet.film]  # (2 H, 2 W, 3)
    raw = fine.reshape(size[0], _FINE, size[1], _FINE, 3).mean((1, 3))
    raw = gaussian_filter(raw, (*[rng.uniform(0.6, 1.3)] * 2, 0))
    light = 1 + 0.02 * fields.rough_surface(rng, size, min(size) / 2)
    image = optics.develop(raw * light[..., None], camera, rng)
    labels = sheet.label[::_FINE, ::_FINE]
    about = {"layers": layers, "name": f"peeled_{material}_{number:03d}", "group": f"w{number}"}
    save_arrays(file, image=image, labels=labels, text=json.dumps(about))


def _read(file: Path, least_px: int = 150) -> LabelledImage:
    with np.load(file) as arrays:
        image, labels, about = arrays["image"], arrays["labels"], json.loads(str(arrays["text"]))
    parts = [(labels == n + 1, layers) for n, layers in enumerate(about.pop("layers"))]
    instances = [Instance.of("flake", m, layers=k) for m, k in parts if m.sum() >= least_px]
    return LabelledImage(image=image, instances=instances, kind="simulated", **about)


def simulated_flakes(
    count: int = 60,
    seed: int = 0,
    size: tuple[int, int] = (512, 512),
    workers: int = 1,
    folder: Path | None = None,
) -> OpticalSet:
    """Simulate micrographs of peeled flakes, or read those that are there.

    Parameters
    ----------
    count
        Images, each of a wafer of its own, of graphene or WSe2.
    seed
        Image ``i`` depends on ``(seed, i)`` and the size only.
    size
        Rows and columns.
    workers
        Processes that simulate at a time.
    folder
        Where finished micrographs are kept; by default ``simulated`` in the run folder.

    Returns
    -------
    OpticalSet
        A list of :class:`~mchelpers.inputs.objects.LabelledImage` of one class,
        ``"flake"``: what has at most :data:`THIN` layers and shows 150 px.

    Raises
    ------
    ValueError
        If there is no image, or the size is below 64.
    """
    if count < 1 or min(size) < 64:
        raise ValueError(f"need count >= 1 and a size of 64 or more, got {count} and {size}")
    files = finished_files(
        "flakes",
        partial(_make, seed, tuple(size)),
        [(n,) for n in range(count)],
        [f"image{n:03d}" for n in range(count)],
        workers,
        folder,
    )
    return OpticalSet([_read(file) for file in files], ("flake",))
