"""Objects found in images, and every score of them: precision, confusion, area.

Average precision (AP) asks how much of what is there was found, and how much
of what was found is there, at every confidence at once; the mean over classes
is mAP. An object counts as found if it overlaps by at least some intersection
over union (IoU) with an object of its class, and each may be found once.
What remains to be defined is 'accuracy': see :func:`confusion` and :func:`accuracy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .objects import LabelledImage

__all__ = [
    "IOUS",
    "Detections",
    "Matches",
    "accuracy",
    "area_shares",
    "average_precision",
    "box_iou",
    "confusion",
    "mask_iou",
    "match",
    "named_right",
    "summary",
    "truth",
    "without_overlap",
]

IOUS = np.round(np.arange(0.50, 0.96, 0.05), 2)
"""(10,) float: overlaps from which an object counts as found, 0.50, 0.55 ... 0.95."""


@dataclass(frozen=True)
class Detections:
    """Objects in one image, best first.

    Attributes
    ----------
    masks
        (n, H, W) bool, in pixels of the image.
    classes
        (n,) int64, numbers of the classes.
    scores
        (n,) float32, confidence.
    boxes
        (n, 4) float32: left, top, right, bottom in px; the first pixel spans 0 to 1.

    Notes
    -----
    300 masks of 640 x 640 px take 120 MB: match image by image what need not be kept.
    """

    masks: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray

    def __post_init__(self):
        n = len(self.masks)
        shapes = [np.shape(a) for a in (self.classes, self.scores, self.boxes)]
        if np.ndim(self.masks) != 3 or shapes != [(n,), (n,), (n, 4)]:
            raise ValueError(
                f"need masks (n, H, W), classes and scores (n,), boxes (n, 4); got "
                f"{np.shape(self.masks)}, {shapes}"
            )

    @classmethod
    def of(
        cls,
        masks: np.ndarray,
        classes: Sequence[int],
        scores: Sequence[float] | None = None,
        boxes: np.ndarray | None = None,
    ) -> Detections:
        """Bring objects into order: highest score first, boxes from the masks, scores 1.

        ``masks`` is (n, H, W) bool, also for n = 0, for an image has a size.
        """
        masks = np.asarray(masks, bool)
        scores = np.ones(len(masks)) if scores is None else np.asarray(scores)
        if masks.ndim != 3 or len(scores) != len(masks) or not np.isfinite(scores).all():
            raise ValueError(
                f"need masks (n, H, W) and a finite score for each; got {masks.shape} "
                f"and {len(scores)} scores"
            )
        boxes = _boxes(masks) if boxes is None else np.asarray(boxes, np.float32).reshape(-1, 4)
        order = np.argsort(-scores, kind="stable")
        if (order != np.arange(len(order))).any():
            masks, scores, boxes = masks[order], scores[order], boxes[order]
        classes = np.asarray(classes, np.int64).reshape(-1)[order]
        return cls(masks, classes, scores.astype(np.float32), boxes)

    def above(self, score: float) -> Detections:
        """Keep what is at least this sure."""
        keep = self.scores >= score
        return Detections(self.masks[keep], self.classes[keep], self.scores[keep], self.boxes[keep])

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.masks.shape[1:]


def _boxes(masks: np.ndarray) -> np.ndarray:
    """Bound masks (n, H, W): (n, 4) float32; zeros where a mask is empty."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _numbers(image: LabelledImage, classes: Sequence[str]) -> list[int]:
    known = list(classes)
    if unknown := set(image.categories) - set(known):
        raise ValueError(f"{image.name} holds {sorted(unknown)}; the classes are {known}")
    return [known.index(c) for c in image.categories]


def truth(image: LabelledImage, classes: Sequence[str]) -> Detections:
    """Read the labelled objects of an image as detections of score 1.

    Raises
    ------
    ValueError
        If the image holds a class that is not listed.
    """
    return Detections.of(image.masks, _numbers(image, classes))


def mask_iou(found: Detections, true: Detections) -> np.ndarray:
    """Overlap of each found mask with each true one, intersection over union: (n, m) float."""
    if len(found) and len(true) and found.shape != true.shape:
        raise ValueError(f"masks of {found.shape} px do not lie on an image of {true.shape} px")
    both = np.zeros((len(found), len(true)))
    for m, (mask, box) in enumerate(zip(true.masks, _boxes(true.masks).astype(int))):
        left, top, right, bottom = box  # not the boxes of a network, which cut masks
        inside = mask[top:bottom, left:right]
        both[:, m] = np.count_nonzero(found.masks[:, top:bottom, left:right] & inside, (1, 2))
    areas = [np.count_nonzero(d.masks, axis=(1, 2)) for d in (found, true)]
    return _over_union(both, *areas)


def box_iou(found: Detections, true: Detections) -> np.ndarray:
    """Overlap of each found box with each true one: (n, m) float."""
    a, b = found.boxes[:, None].astype(float), true.boxes[None].astype(float)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (n, m, 2)
    areas = [np.prod(np.maximum(d[..., 2:] - d[..., :2], 0), -1).ravel() for d in (a, b)]
    return _over_union(np.prod(np.maximum(sides, 0), -1), *areas)


def _over_union(both: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    union = a[:, None] + b[None] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def _iou(found: Detections, true: Detections, on: str) -> np.ndarray:
    if on not in ("mask", "box"):
        raise ValueError(f"objects are compared on 'mask' or 'box', got {on!r}")
    return (mask_iou if on == "mask" else box_iou)(found, true)


@dataclass(frozen=True)
class Matches:
    """What of an image's detections is right: all that average precision needs.

    Attributes
    ----------
    tp
        (n, 10) bool: right at each of :data:`IOUS`.
    scores, classes
        (n,) of the detections, best first.
    truth
        (m,) int64, classes of the labelled objects.
    """

    tp: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    truth: np.ndarray


def match(
    found: Detections, image: LabelledImage, classes: Sequence[str], on: str = "mask"
) -> Matches:
    """Give each detection, the surest first, the free true object that it overlaps most.

    As COCO does: only objects of its class, only at the asked overlap or more,
    and each once, so that a second detection of an object is wrong.

    Parameters
    ----------
    found
        Detections in the image.
    image
        With its labelled objects.
    classes
        Names, in the order of their numbers.
    on
        ``"mask"`` or ``"box"``: whose overlap counts.

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        If the masks are not of the image's size, the image holds an unlisted
        class, or ``on`` is neither word.
    """
    true = truth(image, classes)
    overlap = _iou(found, true, on)  # (n, m)
    overlap = np.where(found.classes[:, None] == true.classes, overlap, 0)
    tp = np.zeros((len(found), len(IOUS)), bool)
    for k, least in enumerate(IOUS):
        free = overlap.copy()
        for n in np.flatnonzero((overlap >= least).any(1)):
            m = int(np.argmax(free[n]))
            if free[n, m] >= least:
                tp[n, k] = True
                free[:, m] = 0
    return Matches(tp, found.scores, found.classes, true.classes)


def _area_under(recall: np.ndarray, precision: np.ndarray) -> float:
    """Integrate the best precision at each recall or beyond over 101 recalls, as COCO does."""
    recall = np.concatenate([[0.0], recall, [recall[-1], 1.0]])
    precision = np.concatenate([[1.0], precision, [0.0, 0.0]])
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.linspace(0, 1, 101)
    heights = np.interp(at, recall, best)
    return float((np.diff(at) * (heights[1:] + heights[:-1]) / 2).sum())


def average_precision(matches: Sequence[Matches], classes: Sequence[str]) -> np.ndarray:
    """Average precision of each class at each overlap, all images together.

    Parameters
    ----------
    matches
        Of every image, from :func:`match`.
    classes
        Names, in the order of their numbers.

    Returns
    -------
    (C, 10) float
        NaN for a class that no image holds; 0 for one that is never found.

    Notes
    -----
    The rule is that of COCO, precision at 101 values of recall, in the version
    of Ultralytics (``ultralytics.utils.metrics.compute_ap``): it closes the curve
    with a zero at full recall, so that a detector without error scores 0.995.
    """
    ap = np.full((len(classes), len(IOUS)), np.nan)
    if not matches:
        return ap
    parts = ("tp", "scores", "classes", "truth")
    tp, scores, found, true = (np.concatenate([getattr(m, p) for m in matches]) for p in parts)
    order = np.argsort(-scores, kind="stable")
    tp, found = tp[order], found[order]
    for c in range(len(classes)):
        there = np.count_nonzero(true == c)
        if not there:
            continue
        right = tp[found == c].cumsum(0)  # (n, 10)
        ap[c] = 0
        for k in np.flatnonzero(right[-1:].any(0)):
            recall, precision = right[:, k] / there, right[:, k] / np.arange(1, len(right) + 1)
            ap[c, k] = _area_under(recall, precision)
    return ap


def summary(matches: Sequence[Matches], classes: Sequence[str]) -> dict[str, float]:
    """Average over the classes that are there: ``map50``, ``map50_90`` and ``map50_95``.

    The second is the mean over the first nine of :data:`IOUS`, as the study
    names it; the third over all ten, as COCO and Ultralytics do. NaN if no
    image holds any object.
    """
    ap = average_precision(matches, classes)
    ap = ap[~np.isnan(ap).all(1)]
    if not len(ap):
        return dict.fromkeys(("map50", "map50_90", "map50_95"), float("nan"))
    parts = {"map50": ap[:, 0], "map50_90": ap[:, :9], "map50_95": ap}
    return {key: float(values.mean()) for key, values in parts.items()}


def confusion(
    found: Iterable[Detections],
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    score: float = 0.25,
    iou: float = 0.45,
    on: str = "mask",
) -> np.ndarray:
    """Count what each labelled object was taken for.

    Detections and objects are paired whatever their classes, the pair of the
    largest overlap first; the two thresholds are those at which Ultralytics
    draws its confusion matrix.

    Parameters
    ----------
    found
        Detections of each image.
    images
        With their labelled objects.
    classes
        Names, in the order of their numbers.
    score, iou
        Least confidence, and overlap that a pair must exceed.
    on
        ``"mask"`` or ``"box"``.

    Returns
    -------
    (C + 1, C + 1) int64
        Row: found as (last: missed). Column: is (last: background).
    """
    count = len(classes)
    matrix = np.zeros((count + 1, count + 1), np.int64)
    for detections, image in zip(found, images, strict=True):
        sure, true = detections.above(score), truth(image, classes)
        overlap = _iou(sure, true, on)
        row, column = np.full(len(true), count), np.full(len(sure), count)
        while overlap.size and overlap.max() > iou:
            n, m = np.unravel_index(np.argmax(overlap), overlap.shape)
            row[m], column[n] = sure.classes[n], true.classes[m]
            overlap[n], overlap[:, m] = 0, 0
        np.add.at(matrix, (row, true.classes), 1)
        invented = sure.classes[column == count]
        np.add.at(matrix, (invented, np.full(len(invented), count)), 1)
    return matrix


def accuracy(matrix: np.ndarray) -> float:
    """Share of crystals that are found and rightly named, mean over the true classes.

    A missed crystal counts as wrong; invented ones do not count. ``matrix`` is
    (C + 1, C + 1) from :func:`confusion`; NaN if it holds no crystal.
    """
    return _diagonal(np.asarray(matrix)[:, :-1])


def named_right(matrix: np.ndarray) -> float:
    """Share that is rightly named among the crystals that were found, mean over the classes."""
    return _diagonal(np.asarray(matrix)[:-1, :-1])


def _diagonal(columns: np.ndarray) -> float:
    there = columns.sum(0) > 0
    right = np.diagonal(columns)[there] / columns.sum(0)[there]
    return float(right.mean()) if there.any() else float("nan")


def area_shares(found: Detections, count: int, boxes: bool = False) -> np.ndarray:
    """Share of the frame that the objects of each class cover together.

    Parameters
    ----------
    found
        Detections, or :func:`truth`; choose the sure ones first.
    count
        Of classes, C.
    boxes
        Take the boxes in place of the masks, to see by how much they overstate.

    Returns
    -------
    (C,) float
        Pixels on which two objects of a class overlap count once.
    """
    cover = np.zeros((count, *found.shape), bool)
    for c, mask, box in zip(found.classes, found.masks, found.boxes):
        if boxes:
            left, top, right, bottom = np.maximum(np.round(box), 0).astype(int)
            cover[c, top:bottom, left:right] = True
        else:
            cover[c] |= mask
    return cover.mean((1, 2))


def without_overlap(found: Detections) -> Detections:
    """Give each pixel to the surest object that claims it.

    What is left is what one sees from above: areas add up to what is covered.
    Boxes stay as they are.
    """
    taken = np.zeros(found.shape, bool)
    masks = found.masks.copy()
    for mask in masks:  # the surest first
        mask &= ~taken
        taken |= mask
    return Detections(masks, found.classes, found.scores, found.boxes)
