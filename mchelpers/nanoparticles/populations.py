"""From masks to a population: particles told apart, matched with the truth, and measured.

What Groschner et al., Microsc. Microanal. 27, 549 (2021), propose as the use of
their pipeline. Taken apart in the chapter *From micrograph to population*;
shares of classes are in :mod:`mchelpers.nanoparticles.prevalence`.

Label images are (H, W) int: 0 is background, every other number one particle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image, check_mask, check_pixel_size_nm
from ..whole import predict_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "COLUMNS",
    "Matches",
    "match",
    "measure",
    "particle_f1",
    "segment",
    "separate",
]

COLUMNS = np.dtype(
    [
        ("label", np.int64),
        ("row", float),
        ("column", float),
        ("diameter_nm", float),
        ("aspect", float),
        ("circularity", float),
        ("solidity", float),
        ("touches_border", bool),
        ("alone", bool),
        ("box", np.int64, 4),
    ]
)
"""Columns of the table that :func:`measure` returns."""


@dataclass(frozen=True)
class Matches:
    """Predicted and true particles that are the same ones.

    Attributes
    ----------
    pairs
        (K, 2) int labels, predicted and true; no label stands in two pairs.
    iou
        (K,) float, area of overlap over area of union.
    missed
        (M,) int labels of true particles without a partner.
    invented
        (F,) int labels of predicted particles without a partner.
    """

    pairs: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    invented: np.ndarray


def _labels(image: np.ndarray, name: str) -> np.ndarray:
    image = check_image(image, name)
    if image.dtype == bool:
        raise ValueError(f"{name} is a mask, not labels; tell its particles apart with separate()")
    if not np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"{name} must hold whole numbers, got {image.dtype}")
    if image.size and image.min() < 0:
        raise ValueError(f"{name} holds negative labels; 0 is background, particles count from 1")
    return image


def match(
    predicted: np.ndarray, true: np.ndarray, iou: float = 0.5, minimum_px: int = 0
) -> Matches:
    """Pair predicted with true particles, one to one, by the overlap of their areas.

    Of all one-to-one pairings in which each pair reaches the threshold, the one
    with the greatest sum of overlaps is taken. Above an IoU of one half there is
    only one.

    Parameters
    ----------
    predicted, true
        (H, W) int labels of one image.
    iou
        Smallest intersection over union of a pair, above 0.
    minimum_px
        Particles smaller than this are not counted: neither a small true one
        (a corner that reaches into the frame) as missed or found, nor a small
        predicted one as invented.

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        If the arrays are not label images of one size, or ``iou`` is not in
        0..1.
    """
    from scipy.optimize import linear_sum_assignment

    predicted, true = _labels(predicted, "predicted"), _labels(true, "true")
    if predicted.shape != true.shape:
        raise ValueError(f"predicted is {predicted.shape}, true {true.shape}: not one image")
    if not 0 < iou <= 1:
        raise ValueError(f"iou must lie above 0 and not above 1, got {iou}")
    some = (predicted > 0) | (true > 0)  # the rest, most of a micrograph, need not be sorted
    names_p, p = np.unique(predicted[some], return_inverse=True)
    names_t, t = np.unique(true[some], return_inverse=True)
    both = np.bincount(p * len(names_t) + t, minlength=len(names_p) * len(names_t))
    both = both.reshape(len(names_p), len(names_t)).astype(float)
    size_p, size_t = both.sum(1), both.sum(0)
    union = size_p[:, None] + size_t - both
    particles = np.ix_(names_p > 0, names_t > 0)
    overlap = both[particles] / union[particles]
    size_p, size_t = size_p[names_p > 0], size_t[names_t > 0]
    names_p, names_t = names_p[names_p > 0].astype(int), names_t[names_t > 0].astype(int)
    worth = np.where(overlap >= iou, overlap, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    good = worth[rows, columns] > 0
    rows, columns = rows[good], columns[good]
    large_p, large_t = size_p >= minimum_px, size_t >= minimum_px
    counted = large_t[columns]
    missed, invented = large_t.copy(), large_p.copy()
    missed[columns], invented[rows] = False, False
    return Matches(
        pairs=np.stack([names_p[rows], names_t[columns]], axis=1)[counted],
        iou=overlap[rows, columns][counted],
        missed=names_t[missed],
        invented=names_p[invented],
    )


def _images(labels: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """One image, a stack or a list of images of any sizes: a list of images."""
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        return [labels]
    return list(labels)


def particle_f1(
    predicted: np.ndarray | Sequence[np.ndarray],
    true: np.ndarray | Sequence[np.ndarray],
    iou: float = 0.5,
    minimum_px: int = 0,
) -> dict[str, float]:
    """Score found particles: every particle counts the same, however large.

    Parameters
    ----------
    predicted, true
        (H, W) int labels, or a stack (N, H, W), or a list of label images;
        counts are pooled over images.
    iou, minimum_px
        As for :func:`match`.

    Returns
    -------
    dict
        ``f1``, ``precision``, ``recall``, and the counts ``tp``, ``fp``,
        ``fn``. Where there is nothing and nothing was found, the scores are 1;
        0/0 otherwise is 0.

    Raises
    ------
    ValueError
        As :func:`match`, or if there are not as many images on both sides.
    """
    predicted, true = _images(predicted), _images(true)
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted and {len(true)} true label images")
    matches = [match(p, t, iou, minimum_px) for p, t in zip(predicted, true)]
    tp = sum(len(m.pairs) for m in matches)
    fp = sum(len(m.invented) for m in matches)
    fn = sum(len(m.missed) for m in matches)
    nothing = float(tp + fp + fn == 0)
    return {
        "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else nothing,
        "precision": tp / (tp + fp) if tp + fp else nothing,
        "recall": tp / (tp + fn) if tp + fn else nothing,
        "tp": tp,
        "fp": fp,
        "fn": fn,
    }


def separate(
    mask: np.ndarray, minimum_px: int = 200, neck: float = 0.12, smooth: float = 0.05
) -> np.ndarray:
    """Tell touching particles of a mask apart by where it narrows.

    The distance to the background rises to a summit in the middle of every
    particle; between two that touch lies a pass. Where the pass is clearly
    lower than both summits, a watershed cuts along it.

    Parameters
    ----------
    mask
        (H, W) bool.
    minimum_px
        Smaller pieces are dropped, smaller holes are filled.
    neck
        By which share of a summit's height its pass must be lower. A convex
        outline has one summit, however long; 0.12 cuts circles that overlap by
        a third of the smaller diameter, and forgives dents.
    smooth
        Standard deviation of a smoothing of the distance, as a share of the
        greatest distance: a ragged outline has many little summits.

    Returns
    -------
    (H, W) int32
        Labels from 1 without gaps.

    Raises
    ------
    ValueError
        If the mask is not (H, W) bool.
    """
    from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, label
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    mask = check_mask(mask)
    pieces, _ = label(mask)
    labels, count = np.zeros(mask.shape, np.int32), 0
    for number, window in enumerate(find_objects(pieces), start=1):
        piece = np.pad(pieces[window] == number, 1)
        piece |= _small_holes(piece, minimum_px)
        if piece.sum() < minimum_px:
            continue
        distance = distance_transform_edt(piece)
        scale = distance.max()
        distance = np.where(piece, gaussian_filter(distance, smooth * scale), 0)
        # In logarithms a ratio is a height: a small particle is judged by its own size.
        heights = np.log(np.maximum(distance, 1))
        summits, found = label(h_maxima(heights, -np.log(1 - neck)), np.ones((3, 3)))
        parts = watershed(-distance, summits, mask=piece) if found > 1 else piece.astype(np.int32)
        sizes = np.bincount(parts.ravel())
        kept = np.flatnonzero(sizes >= minimum_px)
        rename = np.zeros(len(sizes), np.int32)
        rename[kept[kept > 0]] = count + 1 + np.arange((kept > 0).sum())
        count = max(count, int(rename.max()))
        inner = rename[parts][1:-1, 1:-1]
        labels[window][inner > 0] = inner[inner > 0]
    return labels


def _small_holes(piece: np.ndarray, maximum_px: int) -> np.ndarray:
    """Background that a piece encloses, where it is smaller than a particle could be."""
    from scipy.ndimage import label

    holes, _ = label(~piece)
    sizes = np.bincount(holes.ravel())
    small = sizes < maximum_px
    small[[0, holes[0, 0]]] = False  # the piece itself, and the outside (the rim is padded)
    return small[holes]


def measure(labels: np.ndarray, pixel_size_nm: float) -> np.ndarray:
    """Measure every particle of a label image.

    A particle that reaches the border of the image goes on outside: its
    diameter is too small by an unknown amount. Such particles are marked; a
    mean over the others slightly favours small ones, which fit into the frame
    more easily, and must be compared with a truth that leaves out the same.

    Parameters
    ----------
    labels
        (H, W) int.
    pixel_size_nm
        Edge of a pixel in nm.

    Returns
    -------
    (N,) structured array
        One row per particle in order of labels, with the columns of
        :data:`COLUMNS`: centre in px; diameter of the circle of equal area in
        nm; long over short axis (1 or more); circularity (4 pi area /
        perimeter^2, 1 for a circle); solidity (share of the convex hull);
        whether it touches the border; whether it touches no other particle;
        and its box as in :class:`mchelpers.nanoparticles.regions.Region`.

    Raises
    ------
    ValueError
        If labels are not whole numbers, or the pixel size is not positive.
    """
    from skimage.measure import regionprops

    check_pixel_size_nm(pixel_size_nm)
    labels = _labels(labels, "labels")
    if labels.max() > labels.size:  # regionprops keeps a place for each number up to the last
        raise ValueError(f"labels go up to {labels.max()}; number the particles 1, 2, 3, ...")
    height, width = labels.shape
    crowded = _crowded(labels)
    rows = []
    for region in regionprops(labels):
        top, left, bottom, right = region.bbox
        perimeter = max(region.perimeter_crofton, 1e-9)
        rows.append(
            (
                region.label,
                *region.centroid,
                region.equivalent_diameter_area * pixel_size_nm,
                max(region.axis_major_length, 1.0) / max(region.axis_minor_length, 1.0),
                min(1.0, 4 * np.pi * region.area / perimeter**2),
                region.solidity,
                top == 0 or left == 0 or bottom == height or right == width,
                region.label not in crowded,
                region.bbox,
            )
        )
    return np.array(rows, COLUMNS)


def _crowded(labels: np.ndarray) -> set[int]:
    """Labels of particles that touch another one, along an edge or at a corner."""
    height, width = labels.shape
    found: set[int] = set()
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = labels[: height - down, max(0, -right) : width - max(0, right)]
        other = labels[down:, max(0, right) : width - max(0, -right)]
        met = (one != other) & (one > 0) & (other > 0)
        found.update(one[met].tolist(), other[met].tolist())
    return found


def segment(
    network: nn.Module,
    image: np.ndarray,
    pixel_size_nm: float,
    *,
    prepare: Callable[[np.ndarray], Tensor] | None = None,
    threshold: float = 0.5,
    smallest_nm: float = 1.0,
    tile: int = 512,
    halo: int = 128,
    device: str = "cpu",
    progress: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a raw micrograph into particles and their measures.

    X-rays out, normalised, predicted, thresholded, touching particles
    separated, measured.

    Parameters
    ----------
    network
        Trained on tiles of :func:`mchelpers.nanoparticles.tiles.cut`.
    image
        (H, W) detector counts.
    pixel_size_nm
        Edge of a pixel in nm.
    prepare
        What the network wants done to (1, H, W) normalised micrographs, e.g.
        :func:`mchelpers.nanoparticles.network.prepare`; it gets the whole one, so
        that tiles agree. None hands it over as it is.
    threshold
        Probability above which a pixel belongs to a particle.
    smallest_nm
        Diameter of the circle whose area a piece must have to be a particle.
    tile, halo, device, progress
        As for :func:`predict_whole`.

    Returns
    -------
    labels : (H, W) int32
    table : (N,) structured array
        As from :func:`measure`.
    """
    from .tiles import normalise, remove_xrays

    check_pixel_size_nm(pixel_size_nm)
    clean = normalise(remove_xrays(image))
    if prepare is not None:
        clean = prepare(clean[None])[0]
    probability = predict_whole(network, clean, tile, halo, device=device, progress=progress)
    minimum_px = int(np.ceil(np.pi / 4 * (smallest_nm / pixel_size_nm) ** 2))
    labels = separate(probability > threshold, minimum_px)
    return labels, measure(labels, pixel_size_nm)
