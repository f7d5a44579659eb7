"""Losses that speak the language of the score.

Libraries pool the Dice loss over a batch; the score of the graphene study is a
mean over images, in which a small speck counts as much as a large patch. So
the Dice loss here is taken image by image.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["bce_dice", "soft_dice"]


def soft_dice(logits: Tensor, target: Tensor, smooth: float = 64.0) -> Tensor:
    """Soft Dice loss of each image.

    Parameters
    ----------
    logits
        (B, C, H, W) float, one sigmoid per class.
    target
        (B, C, H, W) float in 0..1.
    smooth
        Pixels added to both sides of the ratio: it keeps the loss of an empty
        label finite, and a region far smaller than this from dominating.

    Returns
    -------
    (B,) float
        0 for a perfect mask, towards 1 for no overlap.

    Notes
    -----
    Milletari, Navab, Ahmadi, 3DV 2016, Eq. 1, with a linear denominator.
    """
    if logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} differ")
    chance = logits.sigmoid()
    overlap = (chance * target).sum((1, 2, 3))
    total = (chance + target).sum((1, 2, 3))
    return 1 - (2 * overlap + smooth) / (total + smooth)


def bce_dice(
    logits: Tensor, target: Tensor, dice_weight: float = 1.0, smooth: float = 64.0
) -> Tensor:
    """Binary cross-entropy over pixels plus soft Dice over images.

    Cross-entropy gives every pixel a gradient from the first step on; Dice
    pulls towards the score that counts.

    Parameters
    ----------
    logits, target
        (B, C, H, W) float; the target in 0..1.
    dice_weight
        Weight of the Dice term; 0 is plain cross-entropy.
    smooth
        As for :func:`soft_dice`.

    Returns
    -------
    () float
    """
    pixels = binary_cross_entropy_with_logits(logits, target)
    return pixels + dice_weight * soft_dice(logits, target, smooth).mean()
