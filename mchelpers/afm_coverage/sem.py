"""Graphene growing on copper in the scanning electron microscope, simulated for pretraining.

Copper grains of different grey, with steps, scratches and dust; graphene on
top, darker than the copper below it, as separate domains, as a sheet with
holes, or as islands along a line; everything between an empty and a closed
film. The scenes are invented after the looks of real micrographs, not after
the physics of the detector: they teach a network what to look for, and no
score is ever reported on them as if they were measured.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

__all__ = ["sem_micrographs"]


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    return (field - field.mean()) / (field.std() + 1e-9)


def _bent(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Return (H * W, 2) coordinates of all pixels, shaken so that straight edges become ragged."""
    rows, columns = np.indices(shape).astype(float)
    sigma = rng.uniform(2, 8)
    rows += strength * _noise(rng, shape, sigma)
    columns += strength * _noise(rng, shape, sigma)
    return np.stack([rows.ravel(), columns.ravel()], 1)


def _striations(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Make parallel steps in one direction, mean 0 and standard deviation 1."""
    height, width = shape
    side = height + width
    angle = rng.uniform(0, np.pi)
    rows, columns = np.indices(shape)
    across = (rows - height / 2) * np.cos(angle) + (columns - width / 2) * np.sin(angle)
    along = -(rows - height / 2) * np.sin(angle) + (columns - width / 2) * np.cos(angle)
    base = gaussian_filter(
        rng.standard_normal((side, 64)), (rng.uniform(0.6, 3), rng.uniform(2, 12)), mode="wrap"
    )
    base /= base.std() + 1e-9
    return map_coordinates(base, [across + side / 2, along * 64 / side + 32], order=1, mode="wrap")


def _copper(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw the substrate: grains of their own grey and texture, uneven light."""
    grains = int(rng.choice([1, 1, 2, 4, 8, 16, 40]))
    seeds = rng.uniform(0, 1, (grains, 2)) * shape
    distance, grain = cKDTree(seeds).query(_bent(rng, shape, rng.uniform(0, 2)), k=min(2, grains))
    grain = grain.reshape(*shape, -1)[..., 0]
    grey = rng.normal(0, rng.uniform(0.1, 1.2), grains)[grain]
    if grains > 1 and rng.random() < 0.5:
        edge = np.exp(-np.diff(distance.reshape(*shape, 2))[..., 0] / rng.uniform(1, 3))
        grey += rng.uniform(-0.8, 2.0) * edge
    if rng.random() < 0.7:
        lines = _striations(rng, shape)
        grey += rng.uniform(0, 0.8) * lines * rng.uniform(0, 1, grains)[grain]
    grey += rng.uniform(0, 0.6) * _noise(rng, shape, rng.uniform(20, 90))
    grey += rng.uniform(0, 0.3) * _noise(rng, shape, rng.uniform(1, 6))
    if rng.random() < 0.2:  # where the beam has been before, the surface is darker
        (top, bottom), (left, right) = (np.sort(rng.uniform(0, s, 2)).astype(int) for s in shape)
        grey[top:bottom, left:right] -= rng.uniform(0.1, 0.8)
    return grey


def _domains(
    rng: np.random.Generator,
    shape: tuple[int, int],
    radii: tuple[float, float] = (1.0, 50.0),
    extended: tuple[float, float] = (0.003, 2.5),
) -> np.ndarray:
    """Draw separate or merging domains, round, six-sided or ragged; (H, W) bool.

    Mean radius (px) and extended coverage (areas added up as if no domain met
    another) are drawn evenly on a log scale between the bounds.
    """
    area = shape[0] * shape[1]
    radius, total = np.exp([rng.uniform(*np.log(bounds)) for bounds in (radii, extended)])
    count = int(np.clip(total * area / (np.pi * radius**2), 1, 9000))
    where = rng.uniform(0, 1, (4 * count, 2)) * shape
    if rng.random() < 0.6:  # nuclei like some regions, and lines, more than others
        like = _noise(rng, shape, rng.uniform(10, 70))
        if rng.random() < 0.4:
            like = like + rng.uniform(1, 3) * _striations(rng, shape)
        like = np.exp(rng.uniform(0.5, 2) * like)
        inside = tuple(np.minimum(where.astype(int), np.array(shape) - 1).T)
        where = where[rng.choice(len(where), count, False, like[inside] / like[inside].sum())]
    where = where[:count]
    sizes = radius * np.exp(rng.normal(0, rng.uniform(0.05, 0.5), len(where)))
    corners, turn = rng.choice([0, 0, 6, 4]), rng.uniform(0, 2 * np.pi)
    points = _bent(rng, shape, rng.uniform(0, 0.25) * radius)
    if radius < 4:  # too small to have corners
        distance, nearest = cKDTree(where).query(points)
        return (distance <= sizes[nearest]).reshape(shape)
    mask = np.zeros(area, bool)
    tree = cKDTree(points)
    for centre, size in zip(where, sizes):
        near = np.array(tree.query_ball_point(centre, 1.2 * size), int)
        if not len(near):
            continue
        offset = points[near] - centre
        distance = np.hypot(*offset.T)
        if corners:
            angle = np.arctan2(*offset.T) + turn
            step = np.pi / corners
            distance = distance * np.cos((angle % (2 * step)) - step) / np.cos(step / 2)
        mask[near[distance <= size]] = True
    return mask.reshape(shape)


def _sheet(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a film that is nearly closed: cracks between domains, or holes; (H, W) bool."""
    kind = rng.random()
    if kind < 0.4:
        seeds = rng.uniform(0, 1, (int(rng.integers(4, 150)), 2)) * shape
        distance, _ = cKDTree(seeds).query(_bent(rng, shape, rng.uniform(0, 4)), k=2)
        gap = np.diff(distance)[:, 0].reshape(shape) + 3 * _noise(rng, shape, rng.uniform(4, 25))
        return gap > np.quantile(gap, rng.uniform(0.005, 0.4))
    if kind < 0.7:
        field = _noise(rng, shape, rng.uniform(2, 40)) + 0.2 * _noise(rng, shape, 2)
        return field > np.quantile(field, rng.uniform(0.005, 0.7))
    return ~_domains(rng, shape, (5.0, 50.0), (0.03, 1.0))  # smaller holes would pass for dust


def _scene(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Simulate one micrograph (H, W) uint8 and its mask (H, W) bool."""
    kind = rng.random()
    if kind < 0.15:  # hardly anything has grown yet
        mask = _domains(rng, shape, (1.0, 4.0), (0.0003, 0.01))
    elif kind < 0.7:
        mask = _domains(rng, shape)
    else:
        mask = _sheet(rng, shape)
    grey = _copper(rng, shape)
    spread = grey.std() + 0.3
    darker = rng.uniform(0.8, 4.5) * spread
    film = grey * rng.uniform(0.3, 1) - darker
    film += rng.uniform(0, 0.2) * darker * _noise(rng, shape, rng.uniform(1, 20))
    if rng.random() < 0.4:
        film += rng.uniform(0, 0.2) * darker * _striations(rng, shape)
    if rng.random() < 0.3:  # a second layer is darker still
        film[_domains(rng, shape)] -= rng.uniform(0, 0.4) * darker
    picture = np.where(mask, film, grey)
    dust = rng.uniform(0, 1, (int(np.exp(rng.uniform(0, 6.5))), 2)) * shape
    spots = np.zeros(shape)
    np.maximum.at(spots, tuple(dust.astype(int).T), rng.uniform(0.3, 1, len(dust)))
    size = rng.uniform(0.4, 1.8)
    picture += rng.uniform(0, 8) * spread * 2 * np.pi * size**2 * gaussian_filter(spots, size)
    picture = gaussian_filter(picture, rng.uniform(0, 0.8))
    picture += rng.uniform(0.02, 0.5) * spread * rng.standard_normal(shape)
    # Microscopes set brightness and contrast for a middle grey.
    picture = (picture - picture.mean()) / picture.std()
    picture = rng.uniform(115, 133) + rng.uniform(13, 40) * picture
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask


def sem_micrographs(
    count: int, shape: tuple[int, int] = (256, 320), seed: int = 0, workers: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate micrographs of graphene on copper, and masks of the graphene.

    Parameters
    ----------
    count
        Micrographs.
    shape
        Height and width, px.
    seed
        Micrograph ``i`` depends on ``(seed, i)`` and the shape only.
    workers
        Processes that simulate at a time.

    Returns
    -------
    images
        (count, H, W) uint8.
    masks
        (count, H, W) bool, True where graphene (the darker phase) covers the copper.

    Raises
    ------
    ValueError
        If there is nothing to simulate, or a side is below 32 px.
    """
    import joblib

    if count < 1 or min(shape) < 32:
        raise ValueError(f"need count >= 1 and sides of 32 px or more, got {count} and {shape}")
    jobs = (joblib.delayed(_scene)(np.random.default_rng((seed, i)), shape) for i in range(count))
    scenes = joblib.Parallel(workers)(jobs)
    return np.stack([s[0] for s in scenes]), np.stack([s[1] for s in scenes])
