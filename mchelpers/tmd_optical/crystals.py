"""Outlines of crystals as chemical vapour deposition and exfoliation leave them.

An outline is a closed ring of points about the origin, in um. Islands of
hexagonal dichalcogenides are triangles, truncated triangles and hexagons,
after which edge grows faster, and stars where six domains share a nucleus;
WTe2 grows as laths; flakes peeled from a crystal are polygons of any kind.
"""

from __future__ import annotations

import numpy as np

__all__ = ["break_off", "flake", "fill", "lath", "outline", "ring_area", "roughen", "star", "turn"]


def _resample(ring: np.ndarray, points: int) -> np.ndarray:
    """Lay points along a ring at equal distances, its corners nearly kept: (points, 2)."""
    closed = np.vstack([ring, ring[:1]])
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T))]
    at = np.linspace(0, along[-1], points, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], axis=1)


def ring_area(ring: np.ndarray) -> float:
    """Area inside a ring (N, 2), in the square of its unit (shoelace formula)."""
    x, y = np.asarray(ring, float).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def turn(ring: np.ndarray, angle: float) -> np.ndarray:
    """Turn a ring (N, 2) about the origin by an angle in rad."""
    c, s = np.cos(angle), np.sin(angle)
    return ring @ np.array([[c, s], [-s, c]])


def outline(
    side_um: float, truncation: float = 0.0, bend: float = 0.0, points: int = 240
) -> np.ndarray:
    """Draw an island between a triangle and a hexagon.

    Parameters
    ----------
    side_um
        Side of the triangle of the same area, um.
    truncation
        0 is a triangle; 1 a hexagon, whose three further edges are as long as
        the first three.
    bend
        How far edges bow outwards (inwards below 0), in units of their length.
    points
        Of the ring.

    Returns
    -------
    (points, 2) float
        um, about the centre.

    Raises
    ------
    ValueError
        If the side is not positive or the truncation not in 0..1.
    """
    if side_um <= 0 or not 0 <= truncation <= 1:
        raise ValueError(f"need side > 0 and truncation in 0..1, got {side_um} and {truncation}")
    cut = truncation / 3  # of each side, at both ends
    corners = np.exp(2j * np.pi * (np.arange(3) / 3 + 0.25)) / np.sqrt(3)
    ends = []
    for n in range(3):
        here, there = corners[n], corners[(n + 1) % 3]
        ends += [here + cut * (there - here), there + cut * (here - there)]
    ends = np.array(ends)
    ring = []
    for n in range(6):
        first, last = ends[n], ends[(n + 1) % 6]
        if abs(last - first) < 1e-9:
            continue
        t = np.linspace(0, 1, 40, endpoint=False)
        bow = -1j * (last - first) * bend * 4 * t * (1 - t)
        ring.append(first + (last - first) * t + bow)
    ring = np.concatenate(ring)
    ring = _resample(np.stack([ring.real, ring.imag], axis=1), points)
    return ring * (side_um * np.sqrt(np.sqrt(3) / 4 / ring_area(ring)))


def star(side_um: float, arms: int = 6, depth: float = 0.5, points: int = 240) -> np.ndarray:
    """Draw a star of several domains about one nucleus.

    Parameters
    ----------
    side_um
        Side of the triangle of the same area, um.
    arms
        3, 4, 5 or 6 in nature.
    depth
        How far the notches between arms reach in, in units of the arms' length.
    points
        Of the ring.

    Returns
    -------
    (points, 2) float

    Raises
    ------
    ValueError
        If there are fewer than 3 arms or the depth is not in 0..1.
    """
    if arms < 3 or not 0 < depth < 1 or side_um <= 0:
        raise ValueError(
            f"need side > 0, arms >= 3 and 0 < depth < 1, got {side_um}, {arms} and {depth}"
        )
    radius = np.where(np.arange(2 * arms) % 2, 1 - depth, 1.0)
    spokes = radius * np.exp(1j * np.pi * np.arange(2 * arms) / arms)
    ring = _resample(np.stack([spokes.real, spokes.imag], axis=1), points)
    return ring * (side_um * np.sqrt(np.sqrt(3) / 4 / ring_area(ring)))


def lath(length_um: float, width_um: float, points: int = 240) -> np.ndarray:
    """Draw a lath with bevelled ends, (points, 2) um, as WTe2 grows along its chains of W."""
    if min(length_um, width_um) <= 0:
        raise ValueError(f"need a positive length and width, got {length_um} and {width_um}")
    half, wide, bevel = length_um / 2, width_um / 2, min(width_um, length_um) / 4
    ring = [
        [half, -wide + bevel],
        [half, wide - bevel],
        [half - bevel, wide],
        [-half + bevel, wide],
    ]
    ring += [[-half, wide - bevel], [-half, -wide + bevel]]
    ring += [[-half + bevel, -wide], [half - bevel, -wide]]
    return _resample(np.array(ring), points)


def flake(rng: np.random.Generator, side_um: float, points: int = 240) -> np.ndarray:
    """Draw a peeled flake: a polygon of four to seven straight edges, (points, 2) um."""
    corners = int(rng.integers(4, 8))
    angle = np.sort((np.arange(corners) + rng.uniform(-0.45, 0.45, corners)) / corners) * 2 * np.pi
    ring = np.stack([np.cos(angle), rng.uniform(0.35, 1.0) * np.sin(angle)], axis=1)
    ring = _resample(ring * rng.uniform(0.75, 1.25, corners)[:, None], points)
    return ring * (side_um * np.sqrt(np.sqrt(3) / 4 / ring_area(ring)))


def roughen(rng: np.random.Generator, ring: np.ndarray, amount: float) -> np.ndarray:
    """Make edges rough: points move by noise that is correlated along the ring.

    Parameters
    ----------
    rng
        Source of randomness.
    ring
        (N, 2) float, um.
    amount
        Standard deviation of the displacement, in units of the root of the area.

    Returns
    -------
    (N, 2) float
    """
    count = len(ring)
    wave = np.fft.rfftfreq(count, 1 / count)
    spectrum = np.zeros((2, len(wave)), complex)
    spectrum[:, 3:] = (rng.normal(size=(2, len(wave) - 3, 2)) @ [1, 1j]) / wave[3:] ** 1.1
    noise = np.fft.irfft(spectrum, count, axis=1).T
    return ring + noise * (amount * np.sqrt(ring_area(ring)) / noise.std())


def break_off(rng: np.random.Generator, ring: np.ndarray, share: float) -> np.ndarray:
    """Break a crystal along a jagged crack and keep the larger part.

    Parameters
    ----------
    rng
        Source of randomness.
    ring
        (N, 2) float, um; about the origin.
    share
        Of the crystal's width that is lost, 0..0.6.

    Returns
    -------
    (M, 2) float
        The part that is left.
    """
    direction = rng.uniform(0, 2 * np.pi)
    turned = turn(ring, -direction)
    low, high = turned[:, 0].min(), turned[:, 0].max()
    cut = high - share * (high - low)
    beyond = np.flatnonzero(turned[:, 0] > cut)
    if not len(beyond):
        return ring
    # Points are cyclic: begin behind the part that goes, so that it is the ring's end.
    gap = np.flatnonzero(turned[:, 0] <= cut)
    start = gap[np.flatnonzero(np.diff(np.r_[gap[-1] - len(ring), gap]) > 1)[:1]]
    kept = np.roll(turned, -int(start[0]) if len(start) else 0, axis=0)
    kept = kept[kept[:, 0] <= cut]
    first, last = kept[-1], kept[0]
    t = np.linspace(0, 1, 14)[1:-1, None]
    jagged = first + (last - first) * t
    walk = np.cumsum(rng.normal(0, 0.02 * (high - low), len(t) + 1))
    jagged[:, 0] += (walk - np.linspace(0, walk[-1], len(walk)))[1:]  # ends where it began
    return turn(np.vstack([kept, jagged]), direction)


def fill(
    ring: np.ndarray, shape: tuple[int, int], scale: float = 1.0
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Find the pixels whose centre lies inside a ring.

    Parameters
    ----------
    ring
        (N, 2) float: x and y of its points; the first pixel spans 0 to ``1 / scale``.
    shape
        Rows and columns of the frame.
    scale
        Pixels per unit of the ring.

    Returns
    -------
    box : two slices
        Rows and columns of the ring's bounding box inside the frame; may be empty.
    inside : (h, w) bool
        Of the box.
    """
    points = np.asarray(ring, float) * scale
    low = np.clip(np.floor(points.min(0)).astype(int), 0, shape[::-1])
    high = np.clip(np.ceil(points.max(0)).astype(int), 0, shape[::-1])
    (width, height), box = high - low, np.s_[low[1] : high[1], low[0] : high[0]]
    if min(width, height) <= 0:
        return np.s_[0:0, 0:0], np.zeros((0, 0), bool)
    points = points - low - 0.5  # now the first pixel's centre is the origin
    ends = np.roll(points, -1, axis=0)
    first = np.clip(np.ceil(np.minimum(points, ends)[:, 1]), 0, height).astype(int)
    behind = np.clip(np.ceil(np.maximum(points, ends)[:, 1]), 0, height).astype(int)
    crossed = behind - first  # lines of pixels that each edge crosses
    edge = np.repeat(np.arange(len(points)), crossed)
    row = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    slope = (ends - points)[edge]
    x = points[edge, 0] + (row - points[edge, 1]) * slope[:, 0] / slope[:, 1]
    column = np.clip(np.ceil(x), 0, width).astype(int)
    crossings = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    crossings = crossings.reshape(height, width + 1)[:, :width]
    return box, np.cumsum(crossings, axis=1) % 2 == 1  # inside after an odd number of edges
