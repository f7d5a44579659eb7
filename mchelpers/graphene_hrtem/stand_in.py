"""A stand-in for HRTEM images of graphene, drawn with NumPy in milliseconds.

It knows no electron optics: chapters and tests run on it where there is no
time for more, and no result on it says anything about a microscope.
"""

from __future__ import annotations

import hashlib

import numpy as np

from ..data import Micrographs
from ..simulate.fields import illumination
from .samples import PLANE_SPACING_NM
from .scenes import blobs, contaminant_share, labels, series_of, smooth_noise, stretch

__all__ = ["lattice_micrographs"]

_DRIFT = 8  # px, the farthest that a sample drifts within a series


def _lattice(size: int, g: float, angle: float, phases: np.ndarray, amplitudes: np.ndarray):
    """Sum six plane waves and their second order: white atoms in a honeycomb."""
    image = np.zeros((size, size), np.float32)
    axis = np.arange(size)
    for k in range(3):
        for order, turn, weight in ((1.0, 0.0, -1.0), (np.sqrt(3), np.pi / 6, 0.35)):
            if g * order > 0.5:  # beyond what the pixels can hold
                continue
            theta = angle + turn + k * np.pi / 3
            q = 2 * np.pi * g * order * np.array([np.sin(theta), np.cos(theta)])
            shift = q @ phases  # one origin for all waves keeps the honeycomb
            rows = np.stack([np.cos(q[0] * axis), -np.sin(q[0] * axis)]).astype(np.float32)
            columns = np.stack([np.cos(q[1] * axis + shift), np.sin(q[1] * axis + shift)])
            image += rows.T @ (weight * amplitudes[k] * columns).astype(np.float32)
    return image


def _lattice_micrograph(
    series_rng: np.random.Generator, rng: np.random.Generator, size: int, layer: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Make one image (0..255), its mask and its plane spacing in px."""
    from scipy.ndimage import gaussian_filter

    # What the images of a series share: sample, magnification, drifting apart slowly.
    g = float(np.clip(np.exp(series_rng.normal(np.log(54 / 256), 0.22)), 0.137, 0.44))
    angles = series_rng.uniform(0, np.pi / 3, 2)
    fraction = contaminant_share(series_rng)
    scene = size + 2 * _DRIFT  # the frame sees a part of it
    mask = blobs(series_rng, scene, fraction, series_rng.integers(1, 4))
    hole_share = series_rng.uniform(0.01, 0.08) if series_rng.random() < 0.2 else 0.0
    vacuum = blobs(series_rng, scene, hole_share, 1)
    line = series_rng.uniform(0, np.pi), series_rng.uniform(-0.3, 0.3)
    wiggle = 0.02 * smooth_noise(series_rng, size, 5 / size)
    single = series_rng.random() < 0.3
    row, column = rng.integers(0, 2 * _DRIFT + 1, 2) if layer else (_DRIFT, _DRIFT)
    mask, vacuum = (m[row : row + size, column : column + size] for m in (mask, vacuum & ~mask))

    # What each image has of its own: defocus (contrast), aberrations, noise.
    contrast = rng.choice([-1, 1]) * rng.uniform(0.035, 0.07)
    aberrations = rng.uniform(0.75, 1.25, 3)
    grains = [_lattice(size, g, a, rng.uniform(0, 8, 2), aberrations) for a in angles]
    u = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    side = np.cos(line[0]) * u[:, None] + np.sin(line[0]) * u[None] + line[1] + wiggle
    first = np.ones_like(side) if single else 1 / (1 + np.exp(-side * size * g * 4))
    lattice = contrast * (first * grains[0] + (1 - first) * grains[1])

    texture = contrast * rng.uniform(1.6, 3.2) * smooth_noise(rng, size, 0.25 * g, 0.9 * g)
    soft = gaussian_filter(mask.astype(np.float32), 1.5)
    hole = gaussian_filter(vacuum.astype(np.float32), 1.0)
    fringe = 4 * contrast * (soft * (1 - soft) - hole * (1 - hole))
    light = illumination(rng, size, 0.02)
    intensity = light * (1 + (1 - hole) * (lattice * (1 - 0.6 * soft) + soft * texture) + fringe)

    dose = np.exp(rng.uniform(np.log(250), np.log(2000)))  # electrons a pixel
    counts = rng.poisson(dose * np.clip(intensity, 0.05, None))
    return stretch(counts), mask, 1 / g


def lattice_micrographs(count: int, size: int = 256, seed: int = 0) -> Micrographs:
    """Draw a stand-in for graphene HRTEM images with NumPy alone.

    Two grains of a honeycomb of plane waves, with white or black atoms,
    sometimes a vacuum hole, blobs of band-limited noise for the contaminant,
    uneven light and shot noise; stretched to 0..255 image by image, as the
    study's files are. Chapters run on it at the smoke tier; for results use
    real images, or the
    physical simulation, :func:`mchelpers.graphene_hrtem.images.graphene_micrographs`.

    Parameters
    ----------
    count
        Number of images.
    size
        Pixels along each side.
    seed
        Image ``i`` depends on ``(seed, i)`` and the size only, not on the count.

    Returns
    -------
    Micrographs
        Images (count, size, size) float32 in 0..255, exact masks, groups
        ``series`` (some hold two or three images of one drifting sample) and
        ``date``, pixel size in nm, kind ``"simulated"``.

    Raises
    ------
    ValueError
        If the count or the size is too small.
    """
    if count < 1 or size < 32:
        raise ValueError(f"need count >= 1 and size >= 32, got {count} and {size}")
    images = np.empty((count, size, size), np.float32)
    masks = np.empty((count, size, size), bool)
    spacing = np.empty(count)
    places = [series_of(i) for i in range(count)]
    for i, (series, layer) in enumerate(places):
        images[i], masks[i], spacing[i] = _lattice_micrograph(
            np.random.default_rng([seed, series, 0]),
            np.random.default_rng([seed, i, 1]),
            size,
            layer,
        )
    return Micrographs(
        images=images,
        masks=masks,
        kind="simulated",
        sha256=hashlib.sha256(images.tobytes() + masks.tobytes()).hexdigest(),
        pixel_size_nm=PLANE_SPACING_NM / spacing,
        **labels("lattice", places),
    )
