"""Scores that the graphene study compares its methods by, image by image.

Boundary tolerance after Nikolov et al., J. Med. Internet Res. 23, e26151 (2021).
"""

from __future__ import annotations

import numpy as np

from ..metrics import check_masks

__all__ = ["auc_per_image", "surface_dice"]


def auc_per_image(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Area under each image's ROC curve; NaN where a label has one class only.

    Parameters
    ----------
    scores, truth
        (N, H, W) float and bool.
    """
    from sklearn.metrics import roc_auc_score

    both = [m.any() and not m.all() for m in truth]
    return np.array(
        [
            roc_auc_score(m.ravel(), s.ravel()) if ok else np.nan
            for s, m, ok in zip(scores, truth, both)
        ]
    )


def surface_dice(masks: np.ndarray, truth: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Share of both outlines that lies within a tolerance of the other one.

    Parameters
    ----------
    masks, truth
        (N, H, W) bool.
    tolerance_px
        Distance in pixels that still counts as agreement.

    Returns
    -------
    (N,) float
        Where a mask has no outline, because it is empty or fills the frame: 1 if both
        masks are the same, else 0.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    masks, truth = check_masks(masks, truth)

    def outline(mask):
        # The image border is no outline: the region goes on outside the frame.
        return mask & ~binary_erosion(mask, border_value=1)

    scores = np.empty(len(masks))
    for n, (mask, true) in enumerate(zip(masks, truth)):
        a, b = outline(mask), outline(true)
        if not a.any() or not b.any():
            scores[n] = float((mask == true).all())
            continue
        close_a = distance_transform_edt(~b)[a] <= tolerance_px
        close_b = distance_transform_edt(~a)[b] <= tolerance_px
        scores[n] = (close_a.sum() + close_b.sum()) / (a.sum() + b.sum())
    return scores
