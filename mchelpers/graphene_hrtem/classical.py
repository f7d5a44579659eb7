"""Segmentation without a network: local deviation, thresholds, a quadratic pixel classifier.

Rungs below a network, each fitted on training images only; compared in the
chapter *What the Bragg filter sees*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image, check_mask
from ..data import bezier_background, zscore
from .bragg import bragg_filter, low_pass
from .postprocess import tidy

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline
from torch import Tensor

__all__ = [
    "MAPS",
    "BraggFit",
    "best_masks",
    "bragg_masks",
    "bragg_maps",
    "f1_by_threshold",
    "feature_maps",
    "feature_stack",
    "fit_pixels",
    "flat_field",
    "local_deviation",
    "otsu_masks",
    "pixel_probability",
    "probability_masks",
    "threshold_masks",
    "lattice_free_channels",
]

MAPS = (
    "residual / calm",
    "residual, calm to rough",
    "residual, wide / calm",
    "deviation / median",
    "deviation, calm to rough",
    "slower than the lattice",
    "just below the lattice",
)
"""The seven maps of :func:`feature_maps`, in order."""

SIGMAS = (0.001, 0.002, 0.003, 0.0045, 0.006, 0.008, 0.011, 0.0156, 0.022)
PEAK_THRESHOLDS = (12.5, 50.0, 75.0, 100.0, 125.0, 150.0, 200.0, 300.0)
THRESHOLDS = np.arange(0.2, 2.0, 0.005)
_TYPICAL = 0.21  # px^-1, the median Bragg radius of the graphene images, where no spot is found


def flat_field(image: np.ndarray) -> np.ndarray:
    """Divide a micrograph by its Bezier background and standardise it (Eqs. 1-3).

    Parameters
    ----------
    image
        (H, W), any number type, positive background.

    Returns
    -------
    (H, W) float32
        Mean 0, standard deviation 1.

    Raises
    ------
    ValueError
        If the fitted background is not positive everywhere, or as :func:`zscore`.
    """
    background = bezier_background(image)
    if background.min() <= 0:
        raise ValueError(
            f"the background falls to {background.min():.3g}, but is divided by: flat-field the "
            "counts before anything is subtracted from them"
        )
    return zscore(image / background)


def local_deviation(image: np.ndarray, detail: float = 8.0, window: float = 5.0) -> np.ndarray:
    """Measure the local standard deviation of an image's detail.

    Parameters
    ----------
    image
        (H, W) float32.
    detail
        What is wider than this Gaussian (px) is taken away first.
    window
        Gaussian window of the deviation, px.

    Returns
    -------
    (H, W) float32
        Root mean square, in the units of the image.
    """
    return _local_rms(image - low_pass(image, detail), window)


def _local_rms(image: np.ndarray, window: float) -> np.ndarray:
    return np.sqrt(low_pass(image * image, window))


def _calm_level(values: np.ndarray, bins: int = 60) -> float:
    """Return the most frequent value of a map: that of clean lattice, if most of it is clean."""
    low, high = values.min(), np.quantile(values, 0.9)
    if high <= low:
        return float(low)
    counts, edges = np.histogram(values, bins, (low, high))
    top = np.convolve(counts, np.ones(5), "same").argmax()
    return (edges[top] + edges[top + 1]) / 2


def _ratio(values: np.ndarray, level: float | None = None) -> np.ndarray:
    """Return log(values / level), the level being the calm one unless given."""
    logs = np.log(values + 1e-6)
    return logs - (_calm_level(logs) if level is None else np.log(level + 1e-6))


def _between(values: np.ndarray) -> np.ndarray:
    """Scale a map so that 0 is its calm level and 1 its roughest half percent."""
    calm, rough = _calm_level(values), float(np.quantile(values, 0.995))
    return (values - calm) / max(rough - calm, 1e-6)


def feature_maps(image: np.ndarray, sigma: float = 0.0125) -> np.ndarray:
    """Compute the seven maps from which :func:`fit_pixels` judges a pixel.

    Every map is relative to levels of its own image (calm lattice, median,
    roughest part), so that one rule can serve images of unlike contrast, dose
    and magnification. "Slower than the lattice" is measured in units of the
    image's own Bragg radius.

    Parameters
    ----------
    image
        (H, W) micrograph, any number type, positive background.
    sigma
        Aperture of the Bragg filter, px^-1.

    Returns
    -------
    (7, H, W) float32
        In the order of :data:`MAPS`.

    Raises
    ------
    ValueError
        As :func:`mchelpers.graphene_hrtem.bragg.bragg_filter`.
    """
    found = bragg_filter(flat_field(image), sigma, steps=True)
    radius = np.median(np.hypot(*found.spots[:6].T)) if len(found.spots) else _TYPICAL
    # Gaussians of these widths halve a wave of 0.85, 0.5 and 0.1 Bragg radii.
    fine, middle, coarse = (low_pass(found.difference, w / radius) for w in (0.22, 0.375, 1.87))
    deviation = local_deviation(found.image)
    return np.stack(
        [
            _ratio(found.residual),
            _between(found.residual),
            _ratio(_local_rms(found.difference, 10.0)),
            _ratio(deviation, float(np.median(deviation))),
            _between(deviation),
            _ratio(_local_rms(middle - coarse, 5.0)),
            _ratio(_local_rms(fine - middle, 5.0)),
        ]
    ).astype(np.float32)


def feature_stack(images: np.ndarray) -> np.ndarray:
    """Compute :func:`feature_maps` of (N, H, W) images: (N, 7, H, W) float32."""
    return np.stack([feature_maps(image) for image in images])


def bragg_maps(
    images: np.ndarray, sigma: float = 0.0156, peak_threshold: float = 12.5
) -> np.ndarray:
    """Flatten and Bragg-filter micrographs (N, H, W): residuals (N, H, W) float32."""
    return _filtered([flat_field(image) for image in images], sigma, peak_threshold)


def _filtered(flat: Sequence[np.ndarray], sigma: float, peak_threshold: float) -> np.ndarray:
    return np.stack([bragg_filter(image, sigma, peak_threshold) for image in flat])


def _pair(
    maps: np.ndarray, truth: np.ndarray, name: str, ndim: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Check maps (N, H, W), or (N, C, H, W) with ``ndim`` 4, and their labels (N, H, W) bool."""
    maps = check_image(maps, name, (ndim,))
    return maps, check_mask(truth, "truth", (len(maps), *maps.shape[-2:]), (3,))


def f1_by_threshold(
    scores: np.ndarray, truth: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> np.ndarray:
    """Score every threshold on every image at once.

    Parameters
    ----------
    scores
        (N, H, W) float; a pixel is labelled where ``score > threshold``.
    truth
        (N, H, W) bool.
    thresholds
        (T,) float, ascending.

    Returns
    -------
    (N, T) float
        F1 of each image at each threshold, 0 where it is 0/0.
    """
    scores, truth = _pair(scores, truth, "scores")
    curves = np.empty((len(scores), len(thresholds)))
    for curve, score, mask in zip(curves, scores, truth):
        passed = np.searchsorted(thresholds, score.ravel())  # thresholds below the score
        # (2, T): pixels of each class above each threshold
        above = np.stack(
            [np.bincount(passed[m], minlength=len(thresholds) + 1) for m in (mask.ravel(), ...)]
        )[:, :0:-1].cumsum(1)[:, ::-1]
        total = above[1] + mask.sum()
        curve[:] = np.divide(2 * above[0], total, out=np.zeros(total.shape), where=total > 0)
    return curves


def _rest(fold: np.ndarray, count: int) -> np.ndarray:
    rest = np.setdiff1d(np.arange(count), fold)
    if not len(rest):
        raise ValueError(f"a fold holds all {count} images; none is left to fit on")
    return rest


def threshold_masks(
    scores: np.ndarray,
    truth: np.ndarray,
    folds: Sequence[np.ndarray],
    thresholds: np.ndarray = THRESHOLDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one threshold per fold: the one with the best mean F1 on the other folds.

    Parameters
    ----------
    scores, truth
        (N, H, W) float and bool.
    folds
        Test indices of each fold, as from :func:`mchelpers.train.kfold`.
    thresholds
        (T,) candidates, ascending.

    Returns
    -------
    masks, chosen
        (N, H, W) bool, each image by a threshold it had no part in; (folds,) float.
    """
    scores, truth = _pair(scores, truth, "scores")
    curves = f1_by_threshold(scores, truth, thresholds)
    chosen = np.array([thresholds[curves[_rest(f, len(truth))].mean(0).argmax()] for f in folds])
    masks = np.zeros(truth.shape, bool)
    for fold, threshold in zip(folds, chosen):
        masks[fold] = scores[fold] > threshold
    return masks, chosen


def otsu_masks(scores: np.ndarray) -> np.ndarray:
    """Split each map (N, H, W) where Otsu's method parts its two populations."""
    from skimage.filters import threshold_otsu

    scores = check_image(scores, "scores", (3,), floating=True)
    return np.stack([score > threshold_otsu(score) for score in scores])


@dataclass(frozen=True)
class BraggFit:
    """The Bragg filter under cross-validation.

    Attributes
    ----------
    masks
        (N, H, W) bool; each image by parameters it had no part in.
    sigma, peak_threshold, mask_threshold
        (folds,) float: aperture (px^-1), G_thresh and M_thresh of each fold.
    f1
        (N, sigmas, peak thresholds, mask thresholds) float: F1 of each image at each setting.
    """

    masks: np.ndarray
    sigma: np.ndarray
    peak_threshold: np.ndarray
    mask_threshold: np.ndarray
    f1: np.ndarray


def bragg_masks(
    images: np.ndarray,
    truth: np.ndarray,
    folds: Sequence[np.ndarray],
    sigmas: Sequence[float] = SIGMAS,
    peak_thresholds: Sequence[float] = PEAK_THRESHOLDS,
    thresholds: np.ndarray = THRESHOLDS,
    f1: np.ndarray | None = None,
) -> BraggFit:
    """Fit the Bragg filter's three parameters per fold, by exhaustive search.

    A mask made by a hard threshold does not change under an infinitesimal
    change of a parameter, so there is no gradient to descend. The search is
    exact instead: every aperture and peak threshold is filtered once, and all
    mask thresholds are scored together.

    Parameters
    ----------
    images, truth
        (N, H, W) micrographs and bool.
    folds
        Test indices of each fold; parameters come from the other folds.
    sigmas, peak_thresholds, thresholds
        Candidates for the aperture (px^-1), G_thresh and M_thresh.
    f1
        ``BraggFit.f1`` of the same images and candidates, fitted on other folds: the search is
        not made again.
    """
    images, truth = _pair(images, truth, "images")
    flat = np.stack([flat_field(image) for image in images])
    pairs = [(s, g) for s in sigmas for g in peak_thresholds]
    if f1 is None:
        f1 = np.stack([f1_by_threshold(_filtered(flat, *p), truth, thresholds) for p in pairs], 1)
    curves = f1.reshape(len(images), len(pairs), len(thresholds))
    masks = np.zeros(truth.shape, bool)
    chosen = []
    for fold in folds:
        mean = curves[_rest(fold, len(truth))].mean(0)  # (pairs, T)
        pair, level = np.unravel_index(mean.argmax(), mean.shape)
        masks[fold] = _filtered(flat[fold], *pairs[pair]) > thresholds[level]
        chosen.append((*pairs[pair], thresholds[level]))
    shape = (len(images), len(sigmas), len(peak_thresholds), len(thresholds))
    return BraggFit(masks, *np.array(chosen).T, f1.reshape(shape))


def fit_pixels(
    features: np.ndarray, truth: np.ndarray, pixels: int = 600, seed: int = 0
) -> Pipeline:
    """Fit a quadratic logistic regression on a few pixels of each image.

    Parameters
    ----------
    features
        (N, C, H, W) float32 from :func:`feature_stack`.
    truth
        (N, H, W) bool.
    pixels
        Pixels drawn from each image: neighbours tell the same story twice.
    seed
        Of the draw.

    Returns
    -------
    Pipeline
        scikit-learn classifier of (n, C) rows; the C maps, their squares and
        products have one weight each.

    Raises
    ------
    ValueError
        If the labels hold one class only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    features, truth = _pair(features, truth, "features", 4)
    rng = np.random.default_rng(seed)
    size = truth[0].size
    rows, labels = [], []
    for maps, mask in zip(features, truth):
        drawn = rng.choice(size, min(pixels, size), replace=False)
        rows.append(maps.reshape(len(maps), -1)[:, drawn].T)
        labels.append(mask.ravel()[drawn])
    labels = np.concatenate(labels)
    if labels.all() or not labels.any():
        raise ValueError("the labels hold one class only; nothing can be told apart")
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=0.1, max_iter=500),
    )
    return model.fit(np.concatenate(rows), labels)


def pixel_probability(model: Pipeline, features: np.ndarray) -> np.ndarray:
    """Apply a classifier to the maps (C, H, W) of one image: (H, W) float32 in 0..1."""
    features = check_image(features, "features", (3,))
    shape = features.shape[1:]
    rows = features.reshape(len(features), -1).T  # (H * W, C)
    return model.predict_proba(rows)[:, 1].astype(np.float32).reshape(shape)


def probability_masks(probabilities: np.ndarray) -> np.ndarray:
    """Turn maps of probabilities (N, H, W) into masks: smoothed, one half, holes filled."""
    probabilities = check_image(probabilities, "probabilities", (3,))
    return tidy(probabilities - 0.5, blur_px=4.0, hole_px=1000, speck_px=0)


def best_masks(
    features: np.ndarray, truth: np.ndarray, folds: Sequence[np.ndarray], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit :func:`fit_pixels` on the other folds and apply it to each fold.

    Parameters
    ----------
    features
        (N, C, H, W) float32 from :func:`feature_stack`.
    truth
        (N, H, W) bool.
    folds
        Test indices of each fold.
    seed
        Of the pixels drawn.

    Returns
    -------
    masks, probabilities
        (N, H, W) bool and float32, each image by a classifier that never saw it.
    """
    features, truth = _pair(features, truth, "features", 4)
    probabilities = np.zeros(truth.shape, np.float32)
    for fold in folds:
        rest = _rest(fold, len(truth))
        model = fit_pixels(features[rest], truth[rest], seed=seed)
        for i in fold:
            probabilities[i] = pixel_probability(model, features[i])
    return probability_masks(probabilities), probabilities


def lattice_free_channels(images: np.ndarray) -> Tensor:
    """Put the Bragg difference beside each z-scored micrograph.

    Parameters
    ----------
    images
        (N, H, W), any number type and unit; illumination even.

    Returns
    -------
    (N, 2, H, W) float32 tensor
        The z-scored image; and the image less its lattice, divided by twice
        its robust standard deviation (median of the magnitude times 1.4826), so
        that clean lattice has the same noise level in every image.
    """
    import torch

    from ..data import zscore
    from .bragg import bragg_filter

    images = zscore(images)
    rest = np.stack([bragg_filter(image, steps=True).difference for image in images])
    spread = 1.4826 * np.median(np.abs(rest), axis=(1, 2), keepdims=True)
    return torch.from_numpy(np.stack([images, rest / (2 * spread)], axis=1).astype(np.float32))
