"""Scores that the graphene study compares its methods by, image by image.

Boundary tolerance after Nikolov et al., J. Med. Internet Res. 23, e26151 (2021).
"""

from __future__ import annotations

import numpy as np

from ..checks import check_image, check_mask
from ..metrics import check_masks, per_image

__all__ = ["auc_per_image", "contaminant_f1", "macro", "oracle_threshold", "surface_dice"]


def macro(
    masks: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None, empty: float = 0.0
) -> dict[str, float]:
    """Average the scores over images: every micrograph counts the same."""
    return {k: float(v.mean()) for k, v in per_image(masks, truth, ignore, empty).items()}


def contaminant_f1(logits, targets) -> float:
    """Average the F1 of the contaminant over images, for learning curves.

    Parameters
    ----------
    logits
        (N, 2, H, W) float tensor; the second channel is the contaminant.
    targets
        (N, H, W) int tensor, 1 is contaminant.
    """
    masks = (logits[:, 1] > logits[:, 0]).numpy()
    return macro(masks, targets.numpy() == 1)["f1"]


def oracle_threshold(scores: np.ndarray, truth: np.ndarray, steps: int = 64) -> np.ndarray:
    """Find, for each image, the threshold that its own label likes best.

    Not a method, for it looks at the answer: it is the ceiling that any
    choice of threshold could reach with these scores.

    Parameters
    ----------
    scores
        (N, H, W) float, larger means more likely labelled.
    truth
        (N, H, W) bool.
    steps
        Thresholds tried per image, at quantiles of its scores.

    Returns
    -------
    (N,) float
        ``scores > threshold`` has the best F1; the image's maximum where the
        label is empty (so that the prediction is empty too).
    """
    scores = check_image(scores, "scores", (3,), floating=True)
    truth = check_mask(truth, "truth", scores.shape, (3,))
    best = np.empty(len(scores))
    for n, (score, mask) in enumerate(zip(scores, truth)):
        if not mask.any():
            best[n] = score.max()
            continue
        levels = np.quantile(score, np.linspace(0, 1, steps + 1)[:-1])
        f1 = [macro((score > t)[None], mask[None])["f1"] for t in levels]
        best[n] = levels[int(np.argmax(f1))]
    return best


def auc_per_image(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Area under each image's ROC curve; NaN where a label has one class only.

    Parameters
    ----------
    scores, truth
        (N, H, W) float and bool.
    """
    from sklearn.metrics import roc_auc_score

    scores = check_image(scores, "scores", (3,), floating=True)
    truth = check_mask(truth, "truth", scores.shape, (3,))
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
