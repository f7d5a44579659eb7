"""Scores of binary masks: per image and pooled, with empty masks both ways.

Source of the definitions: Sadre et al., Microsc. Microanal. 27, 804 (2021),
section *Quantitative Comparison*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ._moved import find_object
from .checks import check_image

__all__ = [
    "SCORES",
    "bootstrap",
    "check_masks",
    "confusion",
    "per_image",
    "pooled",
    "radial_spectrum",
    "redraw",
    "windowed_amplitude",
]

SCORES = ("accuracy", "balanced_accuracy", "jaccard", "f1", "precision", "recall")
"""Names of what :func:`per_image` and :func:`pooled` measure."""


def check_masks(masks: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks, truth = np.asarray(masks), np.asarray(truth)
    if masks.shape != truth.shape or masks.ndim != 3:
        raise ValueError(
            f"masks {masks.shape} and truth {truth.shape} must both be (images, height, width)"
        )
    if masks.dtype != bool or truth.dtype != bool:
        raise ValueError(
            f"masks must be boolean, got {masks.dtype} and {truth.dtype}; apply a threshold first"
        )
    return masks, truth


def confusion(masks: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Count TP, FP, FN and TN of each image.

    Parameters
    ----------
    masks, truth
        (N, H, W) bool.
    ignore
        (H, W) or (N, H, W) bool; True where pixels do not count.

    Returns
    -------
    (N, 4) int64
        TP, FP, FN, TN.

    Raises
    ------
    ValueError
        If shapes differ or an array is not boolean.
    """
    masks, truth = check_masks(masks, truth)
    counted = np.ones_like(truth) if ignore is None else np.broadcast_to(~ignore, truth.shape)
    cells = (masks & truth, masks & ~truth, ~masks & truth, ~masks & ~truth)
    return np.stack([(c & counted).sum((1, 2)) for c in cells], axis=1)


def _ratios(counts: np.ndarray, empty: float) -> dict[str, np.ndarray]:
    """Turn counts (..., 4) into the six scores; 0/0 becomes ``empty``."""
    tp, fp, fn, tn = np.moveaxis(counts.astype(float), -1, 0)

    def ratio(a, b):
        return np.divide(a, b, out=np.full_like(a, empty), where=b > 0)

    recall, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    # As scikit-learn does: a class that is absent from the truth does not count.
    both = (tp + fn > 0) & (tn + fp > 0)
    one = np.where(tp + fn > 0, recall, specificity)
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "balanced_accuracy": np.where(both, (recall + specificity) / 2, one),
        "jaccard": ratio(tp, tp + fp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": recall,
    }


def per_image(
    masks: np.ndarray,
    truth: np.ndarray,
    ignore: np.ndarray | None = None,
    empty: float = 0.0,
) -> dict[str, np.ndarray]:
    """Score each image on its own.

    Parameters
    ----------
    masks, truth
        (N, H, W) bool, prediction and label.
    ignore
        (H, W) or (N, H, W) bool; True where pixels do not count.
    empty
        Value of a score that is 0/0. 0 is what the graphene study's table
        must have used (an empty label then scores 0 in Jaccard, F1 and
        recall); 1 rewards an empty prediction on an empty label.

    Returns
    -------
    dict of (N,) float
        The six :data:`SCORES`.
    """
    return _ratios(confusion(masks, truth, ignore), empty)


def pooled(
    masks: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None, empty: float = 0.0
) -> dict[str, float]:
    """Score all pixels as if they were one image: every pixel counts the same."""
    counts = confusion(masks, truth, ignore).sum(0)
    return {k: float(v) for k, v in _ratios(counts, empty).items()}


def redraw(groups: np.ndarray, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw whole groups with replacement, as many as there are, again and again.

    Yields
    ------
    (n,) int
        Numbers of the members of the groups drawn; a group drawn twice is there twice.
    """
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    for _ in range(draws):
        picked = rng.integers(0, len(members), len(members))
        yield np.concatenate([members[i] for i in picked])


def bootstrap(
    values: np.ndarray,
    groups: np.ndarray | None = None,
    statistic: Callable[[np.ndarray], float] = np.mean,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a statistic by resampling whole groups with replacement.

    Parameters
    ----------
    values
        (N,) or (N, k) float, one row per image.
    groups
        (N,) labels. Images of one group are drawn together, because they are
        not independent. None draws single images.
    statistic
        Function of the resampled rows.
    draws, level, seed
        Resamplings, coverage of the interval, random seed.

    Returns
    -------
    (low, high)
        Percentile interval.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or a value is not finite.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity; a mean over them would hide it")
    labels = np.arange(len(values)) if groups is None else np.asarray(groups)
    if len(labels) != len(values):
        raise ValueError(f"{len(values)} values but {len(labels)} group labels")
    if len(np.unique(labels)) < 2:
        raise ValueError("an interval needs at least two groups")
    rng = np.random.default_rng(seed)
    stats = [statistic(values[rows]) for rows in redraw(labels, draws, rng)]
    tail = 50 * (1 - level)
    low, high = np.percentile(stats, [tail, 100 - tail])
    return float(low), float(high)


def windowed_amplitude(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the windowed Fourier amplitude of an image and its frequencies (px^-1)."""
    image = check_image(image, least=32).astype(np.float64)
    height, width = image.shape
    window = np.outer(np.hanning(height), np.hanning(width))  # no streaks from the frame's edge
    amplitude = np.abs(np.fft.fft2((image - image.mean()) * window))
    q = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    return amplitude, q


def radial_spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average the power spectrum of an image over all directions.

    Parameters
    ----------
    image
        (H, W) float.

    Returns
    -------
    frequency, power
        (n,) float each: px^-1 from one bin to 0.5; mean squared Fourier
        amplitude of each ring of one bin.

    Raises
    ------
    ValueError
        If the image is smaller than 32 px or not finite.
    """
    amplitude, q = windowed_amplitude(image)
    bins = min(image.shape)
    ring = np.rint(q * bins).astype(int).ravel()
    power = np.bincount(ring, amplitude.ravel() ** 2) / np.bincount(ring)
    radii = np.arange(1, bins // 2 + 1)
    return radii / bins, power[radii]


__getattr__ = partial(find_object, "metrics")  # old names of recorded chapters
