"""Shares of classes in a population, from a classifier that errs in a known way.

Groschner et al., Microsc. Microanal. 27, 549 (2021), quote the share of faulty
particles as the forest counts them. Here the count is corrected for the
forest's errors and given an interval. Taken apart in the chapter *From
micrograph to population*.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["correct_prevalence", "prevalence_interval"]


def correct_prevalence(
    confusion: np.ndarray, counts: np.ndarray, smooth: float = 0.5
) -> np.ndarray:
    """Estimate the true shares of classes from predicted counts and known errors.

    A classifier that takes a tenth of the perfect for faulty finds faults where
    there are none. If its confusion matrix is known from elsewhere, and the
    same errors are made here, the true shares solve a linear system. For two
    classes this is the estimator of Rogan and Gladen, Am. J. Epidemiol. 107,
    71 (1978); shares are kept between 0 and 1 and add up to 1.

    Parameters
    ----------
    confusion
        (K, K) counts: row the true class, column the predicted one, of
        examples that the classifier was not trained on.
    counts
        (K,) how often each class was predicted here.
    smooth
        Added to every cell of the confusion matrix, so that a class with few
        examples is not taken for one without errors.

    Returns
    -------
    (K,) float
        Estimated true shares.

    Raises
    ------
    ValueError
        If shapes do not fit, a count is negative or not finite, nothing was
        counted, or a class has no example (and ``smooth`` is 0).

    Notes
    -----
    The correction does not make knowledge out of nothing: the nearer the
    classifier is to guessing, the wider :func:`prevalence_interval`.
    """
    from scipy.optimize import nnls

    confusion, counts = np.asarray(confusion, float), np.asarray(counts, float)
    k = len(counts)
    if counts.ndim != 1 or confusion.shape != (k, k):
        raise ValueError(f"confusion {confusion.shape} and counts {counts.shape} do not fit")
    if not (np.isfinite(confusion).all() and np.isfinite(counts).all()):
        raise ValueError("confusion or counts hold NaN or infinity")
    if (confusion < 0).any() or (counts < 0).any() or counts.sum() == 0:
        raise ValueError("counts must not be negative, and something must have been counted")
    confusion = confusion + smooth
    if (confusion.sum(1) == 0).any():
        raise ValueError("a class has no example in the confusion matrix: its errors are unknown")
    rates = confusion / confusion.sum(1, keepdims=True)  # row: chance of each answer
    heavy = 1e4  # the shares add up to 1 whatever the fit
    system = np.vstack([rates.T, np.full(k, heavy)])
    shares, _ = nnls(system, np.append(counts / counts.sum(), heavy))
    return shares / shares.sum()


def prevalence_interval(
    confusions: np.ndarray,
    counts: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    level: float = 0.9,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a number made from corrected shares, by resampling micrographs.

    Particles of one micrograph share focus, dose and neighbours, so whole
    micrographs are drawn: those that the confusion matrix comes from, and those
    that are counted. Both uncertainties are in the interval.

    Parameters
    ----------
    confusions
        (M, K, K) counts, one matrix per micrograph with known classes.
    counts
        (N, K) predicted classes, one row per micrograph to be counted.
    statistic
        Function of the (K,) corrected shares, e.g. the share of faults among
        viewable particles. Draws for which it is not finite are left out.
    level, draws, seed
        Coverage, resamplings, random seed.

    Returns
    -------
    (low, high)
        Percentile interval.

    Raises
    ------
    ValueError
        If a side has fewer than two micrographs, or no draw gives a number.
    """
    confusions, counts = np.asarray(confusions, float), np.asarray(counts, float)
    if len(confusions) < 2 or len(counts) < 2:
        raise ValueError(
            f"an interval needs two micrographs on each side, got {len(confusions)} and "
            f"{len(counts)}"
        )
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        known = confusions[rng.integers(0, len(confusions), len(confusions))].sum(0)
        seen = counts[rng.integers(0, len(counts), len(counts))].sum(0)
        if seen.sum() > 0:
            values.append(statistic(correct_prevalence(known, seen)))
    values = np.array(values)[np.isfinite(values)]
    if not len(values):
        raise ValueError("no resampling gives a number; are there any particles of these classes?")
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
