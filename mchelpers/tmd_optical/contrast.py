"""Crystals by colour contrast, watershed and contour: the baseline without learning.

Contrast to the bare wafer cancels exposure and uneven light, not oxide, lamp
or camera. What stands out is cut apart at its necks, and named by a random forest over a few
numbers: colours of the inside, or shape of the contour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import check_image, check_mask
from ..inputs.objects import LabelledImage
from .detections import Detections, mask_iou, truth

__all__ = [
    "SHAPE_FEATURES",
    "Baseline",
    "check_frame",
    "colour_contrast",
    "colour_distance",
    "colour_features",
    "describe",
    "fit_background",
    "fit_baseline",
    "gather_examples",
    "outline_crystals",
    "segment",
    "shape_features",
]

SHAPE_FEATURES = (
    "solidity",
    "triangle fill",
    "circularity",
    "elongation",
    "corners",
    "concave corners",
)
"""What :func:`shape_features` returns."""

_MONOLAYER = ((0.04, -0.1, -0.15), (0.36, 0.35, 0.25))  # least and most contrast of R, G and B
_LEAST_WAFER = 0.03  # share of the frame that a bare wafer has where a film fills the rest

_WIDTH = {"colour": 9, "shape": len(SHAPE_FEATURES)}  # numbers that describe an object


def check_frame(image: np.ndarray, background: np.ndarray | None = None) -> np.ndarray:
    """Return a frame (H, W, 3) uint8; refuse others, and a background of another shape or of 0."""
    image = check_image(image, ndim=None)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"need (H, W, 3) uint8, got {image.shape} {image.dtype}; see as_rgb8")
    if background is not None:
        background = check_image(background, "the background", None)
        if background.shape != image.shape or background.min() <= 0:
            raise ValueError(f"the background must be above 0 and of shape {image.shape}")
    return image


def fit_background(image: np.ndarray, rounds: int = 8) -> np.ndarray:
    """Fit the colour that the bare wafer has, or would have, in every pixel.

    The most frequent colour is taken for the wafer, and a surface of second order is fitted to
    what is near it, again and again, ever nearer. Where then an even part of the frame is lighter
    by what a monolayer takes away, the first colour was that of a film which fills the frame, and
    the wafer is lighter by so much.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    rounds
        Of fitting.

    Returns
    -------
    (H, W, 3) float32
        In grey levels.

    Raises
    ------
    ValueError
        If the image is not (H, W, 3) uint8.
    """
    from scipy.ndimage import gaussian_filter

    image = check_frame(image)
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2])
    every = max(1, min(image.shape[:2]) // 128)
    blur = max(every / 2, 1.0)  # px, against noise: two colours may be as near as it
    smooth = gaussian_filter(image.astype(np.float32), (blur, blur, 0))
    pixels = smooth[::every, ::every].reshape(-1, 3).astype(float)  # (N, 3)
    surface = _second_order(rows[::every], columns[::every]).reshape(-1, 6).astype(float)
    counts, edges = np.histogramdd(pixels, bins=[np.arange(0, 257, 8)] * 3)
    fullest = np.unravel_index(np.argmax(gaussian_filter(counts, 1.0)), counts.shape)
    first = np.array([e[n] + 4 for e, n in zip(edges, fullest)])
    weights = _fit_surface(pixels, surface, first, np.maximum(0.05 * first, 4), rounds)
    ground = _lighter_ground(pixels / np.maximum(surface @ weights, 1))  # under the same light
    return np.maximum(_second_order(rows, columns) @ (weights * ground).astype(np.float32), 1)


def _second_order(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Lay out 1, x, y, x^2, xy and y^2: (H, W, 6)."""
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)


def _fit_surface(pixels, surface, fitted, reach, rounds) -> np.ndarray | None:
    """Fit a surface to the pixels near a colour, ever nearer: (6, 3); flat where it cannot be."""
    flat = np.concatenate([fitted[None], np.zeros((5, 3))])
    for _ in range(rounds):
        near = (np.abs(pixels - fitted) <= reach).all(1)
        some = surface[near]
        if len(some) < 50 or np.linalg.matrix_rank(some.T @ some) < 6:  # such as one row of pixels
            return flat
        weights = np.linalg.solve(some.T @ some, some.T @ pixels[near])  # (6, 3)
        fitted = surface @ weights
        spread = 1.4826 * np.median(np.abs(pixels - fitted)[near], axis=0)
        reach = np.maximum(np.minimum(reach, 4 * spread), 2.0)
    return weights


def _lighter_ground(ratio: np.ndarray) -> np.ndarray:
    """Find the colour (3,) on which the fitted one is a monolayer; pixels over it are (N, 3)."""
    from scipy.ndimage import gaussian_filter

    film = 1 - 1 / np.maximum(ratio, 1e-3)  # contrast of the fitted colour against each pixel
    like = ((film > _MONOLAYER[0]) & (film < _MONOLAYER[1])).all(1)
    counts, edges = np.histogramdd(film[like], 24, list(zip(*_MONOLAYER)))
    fullest = np.unravel_index(np.argmax(gaussian_filter(counts, 1.0)), counts.shape)
    mode = np.array([(e[n] + e[n + 1]) / 2 for e, n in zip(edges, fullest)])
    even = (np.abs(film - mode) < 0.03).all(1)
    return np.median(ratio[even], 0) if even.mean() > _LEAST_WAFER else np.ones(3)


def colour_contrast(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Contrast in red, green and blue, ``(background - image) / background``: (H, W, 3) float32.

    Of grey levels as the camera wrote them; its unknown gamma curve shrinks
    them against those of :func:`mchelpers.tmd_optical.optics.channel_contrast`.
    """
    image = check_frame(image, background)
    return 1 - image.astype(np.float32) / background


def colour_distance(image: np.ndarray, background: np.ndarray, blur_px: float = 1.0) -> np.ndarray:
    """How different a pixel looks from the wafer: distance in CIE Lab, (H, W) float32.

    The image is first put under even light, and smoothed by a Gaussian of
    ``blur_px`` against noise. About 2 is the least that an eye can tell.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.color import rgb2lab

    image = check_frame(image, background)
    middle = background.mean((0, 1))
    even = np.clip(image / background * middle / 255, 0, 1)
    even = gaussian_filter(even, (blur_px, blur_px, 0))
    away = rgb2lab(even) - rgb2lab(np.clip(middle / 255, 0, 1))
    return np.sqrt((away**2).sum(-1)).astype(np.float32)


def segment(
    distance: np.ndarray, threshold: float, least_px: int = 60, neck: float = 0.75
) -> np.ndarray:
    """Cut what stands out into objects, by a threshold and a watershed.

    Parameters
    ----------
    distance
        (H, W) float, from :func:`colour_distance`.
    threshold
        What is farther from the wafer is crystal.
    least_px
        Smaller objects are dirt.
    neck
        Two parts are two objects if the passage between them is narrower than
        this share of the smaller one's width.

    Returns
    -------
    (H, W) int32
        0 is wafer, 1.. the objects.
    """
    from scipy import ndimage
    from skimage.morphology import disk, h_maxima
    from skimage.segmentation import watershed

    mask = ndimage.binary_opening(check_image(distance) > threshold, disk(1))
    holes, count = ndimage.label(~mask)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    mask |= (sizes < 4 * least_px)[holes]  # small holes are specks, large ones gaps
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    depth = ndimage.gaussian_filter(depth.astype(np.float32), 1.0)
    # In the logarithm, a neck of a given share is a dip of a given depth.
    log = np.log(np.maximum(depth, 1.0)) * mask
    seeds, _ = ndimage.label(h_maxima(log, -np.log(neck)) * mask)
    labels = watershed(-log, seeds, mask=mask)
    sizes = np.bincount(labels.ravel())
    return np.where((sizes >= least_px)[labels], labels, 0).astype(np.int32)


def colour_features(contrast: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Describe the colours in a crystal: (9,) float.

    Parameters
    ----------
    contrast
        (h, w, 3) float, of the crystal's box.
    inside
        (h, w) bool, its pixels.

    Returns
    -------
    (9,) float
        Median contrast of red, green and blue; the same of its middle (the
        half of its pixels farthest from the edge) less that of its rim; and
        the spread of each channel, half the way from the 10th to the 90th percentile.
    """
    from scipy.ndimage import distance_transform_edt

    inside = _crystal(inside, np.shape(contrast)[:2])
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1][inside]
    values = check_image(contrast, ndim=(3,), floating=True)[inside]  # (N, 3)
    sure = depth > min(2.0, 0.5 * depth.max())  # not the blurred edge
    depth, values = depth[sure], values[sure]
    middle = depth >= np.median(depth)
    rim = values[~middle] if (~middle).any() else values
    low, median, high = np.percentile(values, (10, 50, 90), axis=0)
    inner = np.median(values[middle], 0) - np.median(rim, 0)
    return np.concatenate([median, inner, (high - low) / 2])


def _crystal(inside: np.ndarray, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Check the pixels of a crystal: there must be one."""
    inside = check_mask(inside, shape=shape)
    if not inside.any():
        raise ValueError("the crystal has no pixel")
    return inside


def shape_features(inside: np.ndarray) -> np.ndarray:
    """Describe the outline of a crystal: the numbers named in :data:`SHAPE_FEATURES`.

    Parameters
    ----------
    inside
        (h, w) bool.

    Returns
    -------
    (6,) float
        Area over that of the convex hull; area over that of the smallest
        triangle around it; 4 pi area / perimeter^2; length over width of the
        smallest rectangle around it; corners of a polygon that follows the
        outline to 4 % of the root of the area, and those of them that turn inwards.
    """
    import cv2

    inside = _crystal(inside)
    rings, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    ring = max(rings, key=len)
    area = max(cv2.contourArea(ring), 1.0)
    hull = cv2.convexHull(ring)
    triangle = cv2.minEnclosingTriangle(hull.astype(np.float32))[0] if len(hull) > 2 else area
    perimeter = max(cv2.arcLength(ring, True), 1.0)
    sides = np.sort(cv2.minAreaRect(ring)[1]) + 1
    polygon = cv2.approxPolyDP(ring, 0.04 * np.sqrt(area) * 2, True)[:, 0].astype(float)
    ahead = np.roll(polygon, -1, axis=0) - polygon
    behind = polygon - np.roll(polygon, 1, axis=0)
    turns = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
    direction = np.sign(cv2.contourArea(ring, oriented=True)) or 1.0
    concave = np.count_nonzero(turns * direction < 0)
    solid, filled = area / max(cv2.contourArea(hull), 1.0), area / max(triangle, area)
    circular = min(4 * np.pi * area / perimeter**2, 1.2)
    return np.array([solid, filled, circular, sides[1] / sides[0], len(polygon), concave])


def outline_crystals(
    frame: np.ndarray, background: np.ndarray | None = None, log: bool = False
) -> Detections:
    """Find what differs from the wafer: distance in colour, Otsu's threshold, watershed.

    Parameters
    ----------
    frame
        (H, W, 3) uint8.
    background
        (H, W, 3) float; by default :func:`fit_background`.
    log
        Take Otsu's threshold of the logarithm of the distance, in which a few
        very bright crystals do not drown faint ones.

    Returns
    -------
    Detections
        All of class 0 and score 1. A frame without any difference has none.
    """
    from skimage.filters import threshold_otsu

    background = fit_background(frame) if background is None else background
    distance = colour_distance(frame, background)
    if np.ptp(distance) < 1e-3:
        return Detections.of(np.zeros((0, *frame.shape[:2]), bool), [])
    threshold = np.expm1(threshold_otsu(np.log1p(distance))) if log else threshold_otsu(distance)
    labels = segment(distance, threshold)
    numbers = np.unique(labels[labels > 0])
    masks = np.array([labels == n for n in numbers], bool).reshape(-1, *labels.shape)
    return Detections.of(masks, np.zeros(len(numbers), int))


def describe(frame: np.ndarray, found: Detections, by: str, background=None) -> np.ndarray:
    """Describe each object of a frame, (n, F) float, by its ``"colour"`` or its ``"shape"``.

    Raises
    ------
    ValueError
        If ``by`` is neither word.
    """
    if by not in _WIDTH:
        raise ValueError(f"crystals are named by 'colour' or 'shape', not {by!r}")
    if found.shape != np.shape(frame)[:2]:
        raise ValueError(f"objects of {found.shape} px do not lie in a frame of {np.shape(frame)}")
    if by == "colour":
        background = fit_background(frame) if background is None else background
        contrast = colour_contrast(frame, background)
    rows = []
    for mask, (left, top, right, bottom) in zip(found.masks, found.boxes.astype(int)):
        inside = mask[top:bottom, left:right]
        if by == "colour":
            rows.append(colour_features(contrast[top:bottom, left:right], inside))
        else:
            rows.append(shape_features(inside))
    return np.array(rows).reshape(len(found), _WIDTH[by])


@dataclass(frozen=True)
class Baseline:
    """Finds crystals by colour, and names them by a few numbers.

    Attributes
    ----------
    classes
        Names, in the order of their numbers.
    by
        ``"colour"`` or ``"shape"``: what a name depends on.
    namer
        Classifier over :func:`describe`; a number beyond the classes is dirt.
    log
        As for :func:`outline_crystals`.
    """

    classes: tuple[str, ...]
    by: str
    namer: object
    log: bool = False

    def name(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return class and probability of each object, dirt not being a choice: (n,) each."""
        if not len(features):
            return np.zeros(0, np.int64), np.zeros(0)
        crystal = self.namer.classes_ < len(self.classes)
        share = self.namer.predict_proba(features)[:, crystal]
        best = share.argmax(1)
        return self.namer.classes_[crystal][best], share[np.arange(len(share)), best]

    def __call__(self, frame: np.ndarray) -> Detections:
        """Find and name the crystals in a frame (H, W, 3) uint8."""
        background = fit_background(frame)
        found = outline_crystals(frame, background, self.log)
        numbers, share = self.name(describe(frame, found, self.by, background))
        return Detections.of(found.masks, numbers, share, found.boxes)


def gather_examples(
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    by: str = "colour",
    log: bool = False,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Outline crystals in labelled images and look up what each is.

    Parameters
    ----------
    images
        Of the training runs.
    classes
        Names, in the order of their numbers.
    by
        ``"colour"`` or ``"shape"``: as for :func:`describe`.
    log
        As for :func:`outline_crystals`.
    progress
        Show a bar.

    Returns
    -------
    features : (n, F) float
    numbers : (n,) int64
        Class of the labelled object that overlaps most, at least by half; the
        number behind the last class, dirt, where none does.
    """
    from tqdm.auto import tqdm

    features, numbers = [np.zeros((0, _WIDTH[by]))], [np.zeros(0, np.int64)]
    for image in tqdm(images, desc="outline", disable=not progress, leave=False):
        background = fit_background(image.image)
        found, true = outline_crystals(image.image, background, log), truth(image, classes)
        overlap = np.pad(mask_iou(found, true), ((0, 0), (0, 1)))  # a column for no objects
        best = np.where(overlap.max(1) >= 0.5, overlap.argmax(1), len(true))
        features.append(describe(image.image, found, by, background))
        numbers.append(np.append(true.classes, len(classes))[best])
    return np.vstack(features), np.concatenate(numbers)


def fit_baseline(
    images: Sequence[LabelledImage],
    classes: Sequence[str],
    by: str = "colour",
    log: bool = False,
    progress: bool = True,
) -> Baseline:
    """Fit a random forest to :func:`gather_examples`; what to outline needs no fitting.

    Raises
    ------
    ValueError
        If ``by`` is neither word, or fewer than two classes are found.
    """
    from sklearn.ensemble import RandomForestClassifier

    features, numbers = gather_examples(images, classes, by, log, progress)
    if len(set(numbers) - {len(classes)}) < 2:
        raise ValueError("the images show fewer than two classes; nothing is to be told apart")
    namer = RandomForestClassifier(100, min_samples_leaf=3, class_weight="balanced", random_state=0)
    return Baseline(tuple(classes), by, namer.fit(features, numbers), log)
