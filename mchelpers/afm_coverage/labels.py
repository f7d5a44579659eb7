"""From an exported picture to a coverage label: crop, lightness, threshold, and its doubt.

Moses et al., Mater. Today Adv. 22, 100483 (2024) label each micrograph by one
lightness threshold, chosen by hand. Taken apart in the chapter *From export to
label*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checks import check_image, check_mask

__all__ = [
    "Doubt",
    "TwoGaussians",
    "best_threshold",
    "coverage_curve",
    "coverage_uncertainty",
    "crop_export",
    "hand_threshold",
    "li",
    "luminance",
    "otsu",
    "outline_contrast",
    "overlap_curve",
    "two_gaussians",
]

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in lightness (ITU-R BT.601)."""


def luminance(image: np.ndarray) -> np.ndarray:
    """Turn colours into lightness.

    Parameters
    ----------
    image
        (H, W), (H, W, 3) or opaque (H, W, 4), of uint8, uint16 or bool.

    Returns
    -------
    (H, W) float32
        0 is black, 255 is white, whatever the bit depth.

    Raises
    ------
    ValueError
        If the shape or the type is another, or a pixel is transparent.
    """
    image = check_image(image, ndim=None)
    if image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] not in (3, 4):
        raise ValueError(f"a (height, width) or RGB(A) image is needed, got shape {image.shape}")
    if image.dtype not in (np.uint8, np.uint16, bool):
        raise ValueError(
            f"lightness is defined for uint8, uint16 and bool, got {image.dtype}; scale it to "
            "0..255 and convert it to uint8 first"
        )
    top = 1 if image.dtype == bool else np.iinfo(image.dtype).max
    if image.shape[2:] == (4,) and image[..., 3].min() < top:
        raise ValueError("the image is partly transparent; lay it on a white page first")
    if image.ndim == 3:
        image = image[..., :3] @ np.array(LUMINANCE, np.float32)
    return image.astype(np.float32) * np.float32(255 / top)


def crop_export(page: np.ndarray, rule: str = "robust", tolerance: int = 10) -> tuple[slice, slice]:
    """Find the micrograph on an exported page with bars and text.

    Parameters
    ----------
    page
        (h, w, 3) or (h, w, 4), uint8 or uint16; or (h, w).
    rule
        ``"study"``: along each axis, the first run of lines whose darkest and
        whose median pixel are darker than the lightest of the page. ``"robust"``:
        the box of the largest connected region that is not of the page's colour.
    tolerance
        How far from the page's colour, out of 255, is still page (robust rule).

    Returns
    -------
    (rows, columns)
        Slices of the page. A page without a light margin is returned whole by
        the robust rule: it was cropped before.

    Raises
    ------
    ValueError
        If the rule is unknown or finds no micrograph.
    """
    page = check_image(page, "the page", None)
    if rule == "study":
        light = luminance(page)
        return _first_run(light, 1), _first_run(light, 0)
    if rule == "robust":
        return _largest_region(page, tolerance)
    raise ValueError(f"rule is 'study' or 'robust', got {rule!r}")


def _first_run(light: np.ndarray, axis: int) -> slice:
    white = light.max()
    inside = np.flatnonzero((light.min(axis) < white) & (np.median(light, axis) < white))
    if not len(inside):
        raise ValueError(
            "no line of the page is mostly darker than white: the micrograph is too small a part "
            "of it; try rule='robust'"
        )
    gaps = np.flatnonzero(np.diff(inside) > 1)
    last = inside[gaps[0]] if len(gaps) else inside[-1]
    return slice(int(inside[0]), int(last) + 1)


def _largest_region(page: np.ndarray, tolerance: int) -> tuple[slice, slice]:
    from scipy.ndimage import find_objects, label

    light = luminance(page)
    rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    paper = np.median(rim)
    # A margin is light and of one colour; without one there is nothing to crop.
    if paper < 200 or np.mean(np.abs(rim - paper) <= tolerance) < 0.9:
        return slice(0, light.shape[0]), slice(0, light.shape[1])
    top = 1 if page.dtype == bool else np.iinfo(page.dtype).max
    channels = page[..., None] if page.ndim == 2 else page[..., :3]
    border = np.concatenate([channels[0], channels[-1], channels[:, 0], channels[:, -1]])
    colour = np.median(border, axis=0)
    away = np.abs(channels.astype(np.float32) - colour).max(-1) * (255 / top)
    regions, count = label(away > tolerance)
    if not count:
        raise ValueError("the page is empty: all of it has one colour")
    areas = np.bincount(regions.ravel())[1:]  # not of the box: a line may run round the page
    rows, columns = find_objects(regions)[int(np.argmax(areas))]
    # Compression smears the edges: keep lines that are mostly not paper.
    solid = away[rows, columns] > tolerance
    tall, wide = (np.flatnonzero(solid.mean(axis) > 0.5) for axis in (1, 0))
    if len(tall) and len(wide):
        rows, columns = (
            slice(s.start + int(k[0]), s.start + int(k[-1]) + 1)
            for s, k in ((rows, tall), (columns, wide))
        )
    return rows, columns


def _lightness(image: np.ndarray) -> np.ndarray:
    """Check a (H, W) lightness in 0..255 that has more than one level."""
    image = check_image(image)
    if image.dtype != np.uint8:
        if image.min() < 0 or not (1 < image.max() <= 255 or image.max() == 0):
            raise ValueError(
                f"lightness runs from 0 to 255, this image from {image.min():g} to "
                f"{image.max():g}; see mchelpers.afm_coverage.labels.luminance"
            )
        image = np.rint(image).astype(np.uint8)
    return image


def _bimodal(image: np.ndarray) -> np.ndarray:
    image = _lightness(image)
    if image.min() == image.max():
        raise ValueError(f"the image is constant ({image.min()}); no threshold divides it")
    return image


def otsu(image: np.ndarray) -> float:
    """Threshold that leaves the least variance within the two classes (Otsu, 1979).

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.

    Returns
    -------
    float
        Crystal is what is lighter.

    Raises
    ------
    ValueError
        If the image is constant, has NaN, or is not lightness.
    """
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(_bimodal(image)))


def li(image: np.ndarray) -> float:
    """Threshold of least cross entropy (Li and Tam, 1998); as :func:`otsu`."""
    from skimage.filters import threshold_li

    return float(threshold_li(_bimodal(image)))


@dataclass(frozen=True)
class TwoGaussians:
    """A histogram as the sum of two bells, the darker first.

    Attributes
    ----------
    weights, means, sds
        (2,) float each; lightness.
    threshold
        Lightness between the means at which both classes are equally likely.
    """

    weights: np.ndarray
    means: np.ndarray
    sds: np.ndarray
    threshold: float

    def density(self, level: np.ndarray) -> np.ndarray:
        """Return the density of each bell at (N,) lightness levels, as (2, N)."""
        z = (np.asarray(level, float) - self.means[:, None]) / self.sds[:, None]
        bells = np.exp(-0.5 * z**2) / (self.sds[:, None] * np.sqrt(2 * np.pi))
        return self.weights[:, None] * bells


def two_gaussians(image: np.ndarray) -> TwoGaussians:
    """Fit two Gaussians to the lightness, as the study assumes it is made of.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.

    Returns
    -------
    TwoGaussians

    Raises
    ------
    ValueError
        As for :func:`otsu`.
    """
    from sklearn.mixture import GaussianMixture

    image = _bimodal(image)
    # Quantiles hold the whole histogram in a few numbers, with nothing drawn at random.
    sample = np.quantile(image, (np.arange(2048) + 0.5) / 2048)
    split = otsu(image)
    halves = [sample[sample <= split], sample[sample > split]]
    start = [h.mean() if len(h) else split for h in halves]
    mixture = GaussianMixture(
        2, means_init=np.array(start)[:, None], reg_covar=0.25, max_iter=200, random_state=0
    ).fit(sample[:, None])
    order = np.argsort(mixture.means_[:, 0])
    bells = TwoGaussians(
        mixture.weights_[order],
        mixture.means_[order, 0],
        np.sqrt(mixture.covariances_[order, 0, 0]),
        float("nan"),
    )
    between = np.linspace(*bells.means, 512)
    dark, light = bells.density(between)
    return TwoGaussians(
        bells.weights, bells.means, bells.sds, float(between[np.argmin(np.abs(dark - light))])
    )


def coverage_curve(image: np.ndarray, dark: bool = False) -> np.ndarray:
    """Compute the coverage that each threshold would give.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.
    dark
        The film is darker than the substrate.

    Returns
    -------
    (256,) float
        At ``t``, the share of pixels above ``t`` (with ``dark``: at or below).
    """
    levels = np.bincount(_lightness(image).ravel(), minlength=256)
    below = np.cumsum(levels) / levels.sum()
    return below if dark else 1 - below


def overlap_curve(image: np.ndarray, truth: np.ndarray, dark: bool = False) -> np.ndarray:
    """Compute the overlap (IoU) with a mask that each threshold would give.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.
    truth
        (H, W) bool.
    dark
        The film is darker than the substrate.

    Returns
    -------
    (256,) float
        IoU at each threshold; 1 where both masks are empty.

    Raises
    ------
    ValueError
        If the mask is not boolean or of another shape.
    """
    image = _lightness(image)
    truth = check_mask(truth, shape=image.shape)
    film, rest = (np.cumsum(np.bincount(image[m], minlength=256)) for m in (truth, ~truth))
    if not dark:
        film, rest = film[-1] - film, rest[-1] - rest
    union = truth.sum() + rest
    return np.where(union > 0, film / np.maximum(union, 1), 1.0)


def best_threshold(image: np.ndarray, truth: np.ndarray, dark: bool = False) -> int:
    """Find the threshold whose mask overlaps most with the truth.

    Not a method, for it looks at the answer: it stands for the most careful
    hand, and is the ceiling of everything that chooses a threshold.

    Parameters
    ----------
    image, truth, dark
        As for :func:`overlap_curve`.

    Returns
    -------
    int
        0..255; the middle one of several that are equally good.
    """
    overlap = overlap_curve(image, truth, dark)
    best = np.flatnonzero(overlap == overlap.max())
    return int(best[len(best) // 2])


def outline_contrast(image: np.ndarray) -> np.ndarray:
    """Compute how sharp the outline is that each threshold would draw.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.

    Returns
    -------
    (256,) float
        Mean step of lightness between neighbours that the threshold parts, in an image
        that is smoothed by one pixel; 0 where the outline is shorter than an eighth of
        the short side.
    """
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(_lightness(image).astype(np.float32), 1)
    level = np.rint(image).astype(int)
    steps, pairs = np.zeros(256), np.zeros(256)
    for one, other in ((level[1:], level[:-1]), (level[:, 1:], level[:, :-1])):
        low, high = np.minimum(one, other).ravel(), np.maximum(one, other).ravel()
        for total, weight in ((steps, high - low), (pairs, np.ones(low.size))):
            # A threshold t parts the pair if low <= t < high.
            change = np.bincount(low, weight, 256) - np.bincount(high, weight, 256)
            total += np.cumsum(change)
    return np.where(pairs >= min(image.shape) / 8, steps / np.maximum(pairs, 1), 0.0)


def hand_threshold(image: np.ndarray, truth: np.ndarray) -> int:
    """Choose a threshold as a careful hand does: it follows outlines, and knows which are film.

    Of the thresholds whose outline is at least half as sharp as the sharpest, it takes
    the one that overlaps most with the film. Where no edge of the film is in view, as in a
    closed film, the outlines of something else are all that it can follow.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255; the film is lighter.
    truth
        (H, W) bool, the film.

    Returns
    -------
    int
        0..255.
    """
    overlap, contrast = overlap_curve(image, truth), outline_contrast(image)
    return int(np.argmax(np.where(2 * contrast >= contrast.max(), overlap, -1)))


@dataclass(frozen=True)
class Doubt:
    """What a hand-chosen threshold says about coverage.

    Attributes
    ----------
    coverage
        At the threshold itself.
    sd
        Standard deviation of coverage over thresholds that might as well have
        been chosen.
    low, high
        Coverages between which 95 % of them lie.
    slope
        Change of coverage per grey level at the threshold.
    """

    coverage: float
    sd: float
    low: float
    high: float
    slope: float


def coverage_uncertainty(
    image: np.ndarray, threshold: float, delta: float, dark: bool = False
) -> Doubt:
    """Carry the uncertainty of a threshold over to the coverage.

    Parameters
    ----------
    image
        (H, W) lightness, 0..255.
    threshold
        The chosen one, 0..255.
    delta
        Standard deviation, in grey levels, with which it would be chosen again.
    dark
        The film is darker than the substrate.

    Returns
    -------
    Doubt

    Raises
    ------
    ValueError
        If the threshold is outside 0..255 or ``delta`` is not positive.
    """
    if not 0 <= threshold <= 255 or not delta > 0:
        raise ValueError(f"need a threshold in 0..255 and delta > 0, got {threshold} and {delta}")
    curve = coverage_curve(image, dark)
    levels, level = np.arange(256), np.floor(threshold)  # it divides as its whole part does
    weight = np.exp(-0.5 * ((levels - level) / delta) ** 2)
    weight /= weight.sum()
    mean = weight @ curve
    order = np.argsort(curve, kind="stable")
    reached = np.cumsum(weight[order])
    low, high = (curve[order][min(np.searchsorted(reached, q), 255)] for q in (0.025, 0.975))
    at = int(np.clip(level, 1, 254))
    return Doubt(
        coverage=float(curve[int(level)]),
        sd=float(np.sqrt(weight @ (curve - mean) ** 2)),
        low=float(low),
        high=float(high),
        slope=float((curve[at + 1] - curve[at - 1]) / 2),
    )
