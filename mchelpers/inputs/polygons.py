"""Masks as polygons and back: what survives, what is lost, and how much.

Two rules tell which pixels a polygon covers; the first pixel's corner is (0, 0), its centre
(0.5, 0.5). OpenCV and Ultralytics draw the line too: their *ring* runs through the centres of the
outermost pixels. pycocotools, and with it COCO, counts the pixels whose centres lie inside: its
*outline* runs along the edges of pixels and holds the mask's very area. Each gives back every
pixel by its own rule; by the other's, small objects shrink or grow. Tracing and drawing rings needs
OpenCV, which comes with Ultralytics (the extra ``yolo``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..install import install_line

__all__ = ["bridge", "mask_to_outlines", "mask_to_rings", "outlines_to_mask", "polygon_box"]
__all__ += ["rings_to_mask"]

_STEPS = 5  # of pycocotools, to a pixel


def _cv2():
    try:
        import cv2
    except ImportError as error:
        raise ImportError(f"polygons need OpenCV: {install_line('yolo')}") from error
    return cv2


def _without_straight_points(ring: np.ndarray) -> np.ndarray:
    """Drop points that lie on the way from their neighbour before to the one behind."""
    before, behind = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * behind[:, 1] != before[:, 1] * behind[:, 0]
    turns |= (before * behind).sum(1) <= 0  # straight back is a turn too
    return ring[turns] if turns.sum() >= 3 else ring


def mask_to_rings(mask: np.ndarray) -> list[list[np.ndarray]]:
    """Trace a mask: its pieces, and the holes of each.

    Parameters
    ----------
    mask
        (H, W) bool.

    Returns
    -------
    list of lists of (N, 2) float
        One list for each piece, the largest first: its outer ring, then its
        holes; x and y in pixels. An empty mask has no piece.

    Raises
    ------
    ValueError
        If the mask is not two-dimensional or has no pixels.
    """
    cv2 = _cv2()
    mask = np.asarray(mask)
    if mask.ndim != 2 or not mask.size:
        raise ValueError(f"need a (height, width) mask, got shape {mask.shape}")
    found, tree = cv2.findContours(
        np.ascontiguousarray(mask, np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    pieces: dict[int, list[np.ndarray]] = {}
    for n, ring in enumerate(found):
        parent = tree[0, n, 3]
        pieces.setdefault(n if parent < 0 else parent, []).append((parent >= 0, ring[:, 0]))
    rings = []
    for members in pieces.values():
        members.sort(key=lambda m: m[0])  # the outer ring before its holes
        rings.append([ring.astype(float) + 0.5 for _, ring in members])
    return sorted(rings, key=lambda piece: -np.ptp(piece[0], axis=0).prod())


def rings_to_mask(pieces: list[list[np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Draw pieces with their holes, lines included: the inverse of :func:`mask_to_rings`.

    Parameters
    ----------
    pieces
        As :func:`mask_to_rings` returns them; a single ring is ``[[ring]]``.
    shape
        Rows and columns.

    Returns
    -------
    (H, W) bool
    """
    cv2 = _cv2()
    canvas = np.zeros(shape, np.uint8)
    for piece in pieces:
        # Truncation, as in Ultralytics; 1e-4 px makes good what six decimals rounded down.
        points = [np.floor(np.asarray(r, float) + 1e-4).astype(np.int32)[:, None] for r in piece]
        drawn = np.zeros(shape, np.uint8)
        cv2.fillPoly(drawn, points, 1)
        canvas |= drawn
    return canvas.astype(bool)


def bridge(pieces: list[list[np.ndarray]]) -> tuple[np.ndarray, float]:
    """Join pieces and holes into the one ring that a YOLO label can hold.

    From the ring so far to the nearest ring that is left runs a bridge, there
    and back. What is lost: drawn again, each bridge is a line one pixel wide
    that was not in the mask, across the gap or the hole. Nothing else changes.

    Parameters
    ----------
    pieces
        As :func:`mask_to_rings` returns them.

    Returns
    -------
    ring : (N, 2) float
        Three points at least, straight lines thinned without loss; (0, 2) if
        there are no pieces.
    pixels : int
        Upper bound on the pixels that bridges add, so that the intersection
        over union with a mask of area A is at least ``A / (A + pixels)``.
    """
    from scipy.spatial import cKDTree

    left = [np.asarray(ring, float) for piece in pieces for ring in piece]
    if not left:
        return np.zeros((0, 2)), 0
    ring, pixels = left.pop(0), 0
    while left:
        tree = cKDTree(ring)
        nearest = [tree.query(other) for other in left]
        n = int(np.argmin([distance.min() for distance, _ in nearest]))
        j = int(np.argmin(nearest[n][0]))
        i, other = int(nearest[n][1][j]), left.pop(n)
        pixels += max(0, int(np.abs(ring[i] - other[j]).max()) - 1)
        ring = np.vstack([ring[: i + 1], other[j:], other[: j + 1], ring[i:]])
    ring = _without_straight_points(ring)
    if len(ring) < 3:
        ring = np.vstack([ring, np.repeat(ring[-1:], 3 - len(ring), axis=0)])
    return ring, pixels


def mask_to_outlines(mask: np.ndarray) -> list[list[np.ndarray]]:
    """Trace the edges of a mask's pixels: its pieces, and the holes of each.

    As :func:`mask_to_rings`, but for COCO: corners are whole numbers, a polygon without holes has
    the area of its pixels, and :func:`outlines_to_mask` gives back every pixel.
    """
    doubled = np.kron(mask, np.ones((2, 2), bool))  # two pixels to a pixel: its two edges
    pieces = [[np.ceil(ring / 2 - 0.5) for ring in piece] for piece in mask_to_rings(doubled)]
    return [[_without_straight_points(ring) for ring in piece] for piece in pieces]


def outlines_to_mask(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill polygons as pycocotools does, to the pixel; what leaves the frame is cut off.

    Parameters
    ----------
    outlines
        (N, 2) x and y in pixels, each; a pixel counts that is in one of them or more.
    shape
        Rows and columns.

    Returns
    -------
    (H, W) bool
    """
    masks = [_fill(np.asarray(outline, float), shape) for outline in outlines]
    return np.logical_or.reduce([np.zeros(shape, bool), *masks])


def _fill(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Walk round a polygon in fifths of a pixel, as pycocotools' ``rleFrPoly``."""
    height, width = shape
    start = np.trunc(_STEPS * outline + 0.5)
    way = np.roll(start, -1, axis=0) - start
    length = np.abs(way).max(1).astype(int)
    # Each line is walked with rising x, or y where it is steep, for that decides the rounding.
    steep = np.abs(way[:, 1]) > np.abs(way[:, 0])
    back = np.where(steep, way[:, 1], way[:, 0]) < 0
    line = np.repeat(np.arange(len(start)), length + 1)
    step = np.arange(len(line)) - np.repeat(np.cumsum(length + 1) - length - 1, length + 1)
    step = np.where(back[line], length[line] - step, step)
    origin = np.where(back[:, None], start + way, start)
    slope = np.where(back[:, None], -way, way) / np.maximum(length, 1)[:, None]
    x, y = np.floor(origin[line] + slope[line] * step[:, None] + 0.5).astype(int).T
    # Where the walk crosses the middle of a column, all pixels below change sides.
    column, rest = np.divmod(np.minimum(x[1:], x[:-1]), _STEPS)
    crosses = (x[1:] != x[:-1]) & (rest == _STEPS // 2) & (column >= 0) & (column < width)
    row = np.ceil((np.minimum(y[1:], y[:-1])[crosses] + 0.5) / _STEPS - 0.5).clip(0, height)
    changes = np.bincount(column[crosses] * height + row.astype(int), minlength=height * width + 1)
    inside = np.cumsum(changes[:-1]) % 2 == 1
    return inside.reshape(shape, order="F")


def polygon_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a mask in px, all 0 if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
