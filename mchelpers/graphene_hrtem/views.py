"""Views of a micrograph of graphene: new ones to learn from, turned ones to average over.

The atoms may be black or white (the defocus decides), so that inversion of the contrast
makes a new micrograph of an old one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..augment import affine, symmetry, turn
from ..train import predict

__all__ = ["invert", "micrograph", "predict_symmetric"]


def invert(images: Tensor, generator: torch.Generator, channels: tuple[int, ...] = (0,)) -> Tensor:
    """Invert the contrast of half of the images (black atoms become white).

    Parameters
    ----------
    images
        (B, C, H, W) float of mean 0, as z-scored images are.
    generator
        Source of the draws.
    channels
        Channels that have a sign; a map of local energy, say, has none.
    """
    sign = 1 - 2 * torch.randint(2, (len(images), 1, 1, 1), generator=generator).to(images)
    images = images.clone()
    images[:, list(channels)] *= sign
    return images


def micrograph(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    signed: tuple[int, ...] = (0,),
    share: float = 0.5,
    zoom: tuple[float, float] = (0.7, 1.4),
) -> tuple[Tensor, Tensor]:
    """Draw a new micrograph from an old one: :func:`affine`, then symmetry and inversion.

    Parameters
    ----------
    images
        (B, C, H, H) float, z-scored.
    targets
        (B, K, H, H) float of 0 and 1.
    generator
        Source of the draws.
    signed
        Channels that inversion turns over.
    share, zoom
        As for :func:`affine`.
    """
    images, targets = affine(images, targets, generator, share, zoom)
    images, targets = symmetry(images, targets, generator)
    return invert(images, generator, signed), targets


def predict_symmetric(
    model: nn.Module,
    images: Tensor,
    views: int = 8,
    batch_size: int = 4,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Average a network's logits over views of the same image (test-time augmentation).

    Parameters
    ----------
    model
        Network from (B, C, H, W) to (B, K, H, W).
    images
        (N, C, H, H) float32.
    views
        How many of the eight symmetries; the cost grows with it.
    batch_size, device
        As for :func:`mchelpers.train.predict`.

    Returns
    -------
    (N, K, H, H) float32
    """
    total = 0
    for number in range(views):
        turned = turn(images, number).contiguous()
        logits = predict(model, turned, batch_size=batch_size, device=device)
        total = total + turn(logits, number, back=True)
    return total / views
