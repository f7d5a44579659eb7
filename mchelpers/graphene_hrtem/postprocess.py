"""From logits to the final mask: smooth, cut, fill holes, drop specks.

A hand-painted label has no pinholes and no lone pixels, a network's mask may
have both. The few numbers that this takes are fitted where the answer may be
looked at: on the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ..checks import check_image, check_mask

__all__ = ["GRID", "tidy", "tidy_cross_fitted"]

GRID = {
    "threshold": (-0.5, 0.0, 0.5),
    "blur_px": (0.0, 1.0, 2.0),
    "hole_px": (0, 300, 1000),
    "speck_px": (0, 120, 300),
}


def tidy(
    logits: np.ndarray,
    threshold: float = 0.0,
    blur_px: float = 1.0,
    hole_px: int = 1000,
    speck_px: int = 120,
) -> np.ndarray:
    """Turn logits into masks without ragged outlines, small holes and specks.

    Parameters
    ----------
    logits
        (N, H, W) float, positive inside.
    threshold
        Logit above which a pixel is inside.
    blur_px
        Standard deviation of a Gaussian over the logits, in pixels; 0 is none.
    hole_px, speck_px
        Background areas and regions of fewer pixels are turned over; 0 keeps
        all. Areas cut by the image border count like any other.

    Returns
    -------
    (N, H, W) bool

    Raises
    ------
    ValueError
        If logits are not (N, H, W), or not finite.
    """
    from scipy.ndimage import gaussian_filter

    logits = check_image(logits, "logits", (3,)).astype(np.float32)
    if blur_px:
        logits = gaussian_filter(logits, (0, blur_px, blur_px), mode="nearest")
    masks = logits > threshold
    for mask in masks:
        mask |= _small(~mask, hole_px)
        mask &= ~_small(mask, speck_px)
    return masks


def _small(mask: np.ndarray, size: int) -> np.ndarray:
    """Mark the connected regions (four neighbours) of fewer than ``size`` pixels."""
    from scipy.ndimage import label

    regions, _ = label(mask)
    few = np.bincount(regions.ravel()) < size
    few[0] = False  # number 0 is what lies outside every region
    return few[regions]


def tidy_cross_fitted(
    logits: np.ndarray,
    truth: np.ndarray,
    folds: Sequence[np.ndarray],
    grid: dict[str, Sequence[float]] = GRID,
    score: str = "f1",
) -> tuple[np.ndarray, list[dict[str, float]]]:
    """Tidy each fold with the numbers that are best on all the other folds.

    Parameters
    ----------
    logits
        (N, H, W) float, each image's by a network that never saw it.
    truth
        (N, H, W) bool.
    folds
        Test indices of each fold, together 0..N-1.
    grid
        Values to try, by parameter of :func:`tidy`.
    score
        Which of :data:`mchelpers.metrics.SCORES` to average over images.

    Returns
    -------
    masks : (N, H, W) bool
    chosen : list of dict
        The parameters of each fold.
    """
    from ..metrics import per_image

    logits = check_image(logits, "logits", (3,))
    truth = check_mask(truth, "truth", logits.shape, (3,))
    tried = [dict(zip(grid, values)) for values in product(*grid.values())]
    scores = np.empty((len(tried), len(truth)), np.float32)
    for row, setting in zip(scores, tried):
        row[:] = per_image(tidy(logits, **setting), truth)[score]
    masks, chosen = np.zeros(truth.shape, bool), []
    for test in folds:
        others = np.setdiff1d(np.arange(len(truth)), test)
        if not len(others):
            raise ValueError(f"a fold holds all {len(truth)} images; none is left to fit on")
        chosen.append(tried[int(scores[:, others].mean(1).argmax())])
        masks[test] = tidy(logits[test], **chosen[-1])
    return masks, chosen
