"""Coverage of a film: real micrographs to measure it on, scores, and calibration.

What the WSe2 coverage study itself released is read by :mod:`mchelpers.afm_coverage.release`;
the SEM images of graphene read here pose the same task on another film.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import numpy as np

from .. import metrics
from ..data import Micrographs, fetch_all, read_mask, read_micrograph, registry
from .release import load_wse2_results as load_wse2_results
from .release import load_wse2_zenodo as load_wse2_zenodo

__all__ = [
    "calibrator",
    "interval",
    "load_sem",
    "mae",
    "overlap_areas",
    "r2",
    "recalibrate",
    "rmse",
    "sample_mean_predictor",
    "within_sample_r2",
]


def load_sem(shrink: int = 1) -> Micrographs:
    """Load 73 SEM images of CVD graphene on copper with hand-made masks of the graphene.

    Parameters
    ----------
    shrink
        Whole number of pixels whose mean (and whose majority, for the mask)
        becomes one; 1, 2, 4, 8 ... divide the 1024 x 1280 pixels.

    Returns
    -------
    Micrographs
        Images (73, 1024 / shrink, 1280 / shrink) **uint8**, which is what the
        files hold and a quarter of the memory of float32; masks of the
        graphene, the darker phase; group ``set`` (four, of 9, 9, 13 and 42
        images); ordered by set and number.

    Raises
    ------
    DataError
        If a file is missing and cannot be downloaded, or is damaged.
    ValueError
        If ``shrink`` does not divide the sides.
    """
    found = (re.fullmatch(r".*/Set_(\d)_Good/image<(\d+)>\.tif", p) for p in registry())
    files = {(int(m[1]), int(m[2])): m[0] for m in found if m and m[0].startswith("graphene_sem/")}
    image_paths = [files[number] for number in sorted(files)]
    mask_paths = [p.replace("image<", "image_mask<").replace(".tif", ".png") for p in image_paths]
    local = fetch_all(image_paths + mask_paths)
    images, masks = [], []
    for image_file, mask_file in zip(local[: len(files)], local[len(files) :]):
        image = read_micrograph(image_file)
        masks.append(_blocks(read_mask(mask_file, image.shape), shrink) >= 0.5)
        images.append(np.rint(_blocks(image, shrink)).astype(np.uint8))
    digest = hashlib.sha256("".join(registry()[p][0] for p in image_paths + mask_paths).encode())
    return Micrographs(
        images=np.stack(images),
        masks=np.stack(masks),
        names=[f"set {s}, image {n}" for s, n in sorted(files)],
        groups={"set": np.array([f"set {s}" for s, _ in sorted(files)])},
        kind="real",
        sha256=digest.hexdigest(),
    )


def _blocks(image: np.ndarray, size: int) -> np.ndarray:
    """Average (H, W) over squares of ``size`` pixels."""
    height, width = image.shape
    if size < 1 or height % size or width % size:
        raise ValueError(f"shrink must divide {height} x {width} px, got {size}; try 2, 4 or 8")
    # (H, W) -> (H/s, s, W/s, s)
    return image.reshape(height // size, size, width // size, size).mean((1, 3), dtype=np.float32)


def _pair(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    predicted, truth = np.asarray(predicted, float), np.asarray(truth, float)
    if predicted.shape != truth.shape or truth.ndim != 1 or not truth.size:
        raise ValueError(
            f"predicted {predicted.shape} and truth {truth.shape} must both be (images,), not empty"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(truth).all()):
        raise ValueError("coverages hold NaN or infinity; a score over them would hide it")
    return predicted, truth


def _labels(groups: np.ndarray, count: int) -> np.ndarray:
    groups = np.asarray(groups)
    if groups.shape != (count,):
        raise ValueError(f"{count} images need {count} group labels, got shape {groups.shape}")
    return groups


def rmse(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error of N coverages, (N,) each."""
    predicted, truth = _pair(predicted, truth)
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def mae(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error of N coverages, (N,) each."""
    predicted, truth = _pair(predicted, truth)
    return float(np.abs(predicted - truth).mean())


def r2(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Score of N coverages against the mean of all truths: 1 is perfect, 0 is that mean.

    The order of the arguments matters: the variance in the denominator is that
    of the second.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or the truth is constant.
    """
    predicted, truth = _pair(predicted, truth)
    return _r2_against(predicted, truth, np.full_like(truth, truth.mean()))


def _r2_against(predicted: np.ndarray, truth: np.ndarray, baseline: np.ndarray) -> float:
    spread = ((truth - baseline) ** 2).sum()
    if spread < 1e-18:
        raise ValueError("the truth does not vary around its baseline; R2 has no meaning here")
    return float(1 - ((predicted - truth) ** 2).sum() / spread)


def sample_mean_predictor(
    truth: np.ndarray, samples: np.ndarray, others_only: bool = False
) -> np.ndarray:
    """Predict each image by the mean coverage of its sample: a yardstick, not a method.

    Parameters
    ----------
    truth
        (N,) coverages.
    samples
        (N,) labels.
    others_only
        Leave the image itself out of the mean, as one would have to in practice.

    Returns
    -------
    (N,) float

    Raises
    ------
    ValueError
        If ``others_only`` and a sample has one image.
    """
    truth, _ = _pair(truth, truth)
    same = _labels(samples, len(truth))[:, None] == np.asarray(samples)[None]  # (N, N)
    if others_only:
        same &= ~np.eye(len(truth), dtype=bool)
        if not same.any(1).all():
            raise ValueError("a sample with one image has no other image to take a mean of")
    return same @ truth / same.sum(1)


def within_sample_r2(predicted: np.ndarray, truth: np.ndarray, samples: np.ndarray) -> float:
    """Score against the mean of each image's own sample: 0 is as good as knowing the sample.

    Parameters
    ----------
    predicted, truth
        (N,) coverages.
    samples
        (N,) labels.

    Raises
    ------
    ValueError
        As for :func:`r2`; also if no sample varies within itself.
    """
    predicted, truth = _pair(predicted, truth)
    return _r2_against(predicted, truth, sample_mean_predictor(truth, samples))


def interval(
    score: Callable[[np.ndarray, np.ndarray], float],
    predicted: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    against: np.ndarray | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bound a score of coverages, or its difference to another model's, drawing whole groups.

    Parameters
    ----------
    score
        :func:`rmse`, :func:`mae`, :func:`r2`, or the like.
    predicted, truth
        (N,) coverages.
    groups
        (N,) labels; images of a group are drawn together.
    against
        (N,) predictions of a second model; the interval is then that of
        ``score(predicted) - score(against)`` on the same images.
    draws, seed
        Resamplings, random seed.

    Returns
    -------
    (low, high)
        95 % percentile interval. With a handful of groups it is rough.
    """
    predicted, truth = _pair(predicted, truth)
    rows = [predicted, truth] if against is None else [predicted, truth, _pair(against, truth)[0]]

    def statistic(v):
        return score(v[:, 0], v[:, 1]) - (0 if against is None else score(v[:, 2], v[:, 1]))

    return metrics.bootstrap(np.stack(rows, 1), groups, statistic, draws=draws, seed=seed)


def overlap_areas(
    predicted: np.ndarray, truth: np.ndarray, iou: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recover what a mask found, invented and missed from two coverages and their IoU.

    With the areas p and t of two masks and their intersection i, IoU is
    i / (p + t - i), so that i = IoU (p + t) / (1 + IoU).

    Parameters
    ----------
    predicted, truth, iou
        (N,) float in 0..1.

    Returns
    -------
    found, invented, missed
        (N,) float, shares of the image: true positive, false positive, false negative.

    Raises
    ------
    ValueError
        If no two masks have these numbers (by more than 1e-3).
    """
    predicted, truth = _pair(predicted, truth)
    iou, _ = _pair(iou, truth)
    both = iou * (predicted + truth) / (1 + iou)
    if ((both < 0) | (both > np.minimum(predicted, truth) + 1e-3)).any():
        raise ValueError("an IoU does not fit its two coverages; are the rows in the same order?")
    both = np.minimum(both, np.minimum(predicted, truth))  # labels are rounded
    return both, predicted - both, truth - both


def calibrator(
    predicted: np.ndarray, truth: np.ndarray, kind: str = "linear"
) -> Callable[[np.ndarray], np.ndarray]:
    """Learn a map from predicted to true coverage.

    Parameters
    ----------
    predicted, truth
        (N,) coverages of images that were not trained on.
    kind
        ``"linear"`` (least squares) or ``"isotonic"`` (rising steps).

    Returns
    -------
    Callable
        (M,) predictions -> (M,) corrected ones within 0..1.

    Raises
    ------
    ValueError
        If the kind is neither, or all predictions are equal.
    """
    predicted, truth = _pair(predicted, truth)
    if np.ptp(predicted) == 0:
        raise ValueError("all predictions are equal; nothing can be calibrated on them")
    if kind == "linear":
        line = np.polynomial.Polynomial.fit(predicted, truth, 1)
        return lambda values: np.clip(line(np.asarray(values, float)), 0, 1)
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(predicted, truth)
        return lambda values: steps.predict(np.asarray(values, float))
    raise ValueError(f"kind is 'linear' or 'isotonic', got {kind!r}")


def recalibrate(
    predicted: np.ndarray, truth: np.ndarray, groups: np.ndarray, kind: str = "linear"
) -> np.ndarray:
    """Correct each group's predictions by a :func:`calibrator` learned on all other groups.

    Parameters
    ----------
    predicted, truth
        (N,) coverages.
    groups
        (N,) labels, at least two different ones.
    kind
        As for :func:`calibrator`.

    Returns
    -------
    (N,) float
    """
    predicted, truth = _pair(predicted, truth)
    groups = _labels(groups, len(truth))
    if len(np.unique(groups)) < 2:
        raise ValueError("there must be at least two groups: one to correct, one to learn from")
    corrected = np.empty_like(predicted)
    for group in np.unique(groups):
        here = groups == group
        corrected[here] = calibrator(predicted[~here], truth[~here], kind)(predicted[here])
    return corrected
