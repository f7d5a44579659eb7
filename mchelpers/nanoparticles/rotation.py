"""Turns by any angle, with the corners that turn in from outside filled."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["rotate_fill"]


def rotate_fill(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    fill: str = "wrap",
    side: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Turn each image and its target by any angle and mirror them at random.

    The corners that turn in from outside are filled with the image itself:
    continued on the other side (``"wrap"``, which tears particles apart) or
    mirrored at the edge (``"reflect"``, which does not).

    Parameters
    ----------
    images
        (B, C, H, H) float; interpolated between four pixels.
    targets
        (B, H, H) or (B, K, H, H) of any number type; the nearest pixel is taken, so
        that class numbers stay class numbers.
    generator
        Source of the draws.
    fill
        ``"wrap"`` or ``"reflect"``.
    side
        Return a random square of this side out of the turned image. The
        pixels outside it are never computed. None returns it whole.

    Returns
    -------
    images, targets
        Same types, H or ``side`` px wide.

    Raises
    ------
    ValueError
        If the fill is another word, images are not square, or smaller than ``side``.

    Notes
    -----
    Groschner et al., Microsc. Microanal. 27, 549 (2021) turn and mirror by a
    Keras generator, with ``"wrap"`` in their code.
    """
    count, _, height, width = images.shape
    side = height if side is None else side
    if fill not in ("wrap", "reflect"):
        raise ValueError(f"fill must be 'wrap' or 'reflect', got {fill!r}")
    if height != width or side > height:
        raise ValueError(f"cannot turn a square of {side} px out of {height} x {width} px")
    draws = torch.rand(count, 3, generator=generator)
    mirror = 1 - 2 * torch.randint(2, (count, 2), generator=generator)  # the other two by turning
    corner = torch.floor(draws[:, 1:] * (height - side + 1))  # (count, 2): column, row
    middle = (height - 1) / 2
    steps = torch.arange(side) - middle
    x = (corner[:, :1] + steps)[:, None, :] * mirror[:, 0, None, None]  # (count, 1, side)
    y = (corner[:, 1:] + steps)[:, :, None] * mirror[:, 1, None, None]  # (count, side, 1)
    angle = (2 * math.pi * draws[:, 0])[:, None, None]
    grid = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)
    grid = grid.to(images) + middle  # (count, side, side, 2), in px: column, row
    rest = targets if targets.ndim == 4 else targets[:, None]
    if fill == "wrap":
        # One pixel of the other side around the image, and every place folded into it.
        grid = torch.remainder(grid + 0.5, height) + 0.5
        images = functional.pad(images, (1, 1, 1, 1), mode="circular")
        rest = functional.pad(rest.to(images), (1, 1, 1, 1), mode="circular")
    grid = (2 * grid + 1) / images.shape[-1] - 1  # grid_sample counts from edge to edge, -1 to 1
    options = dict(padding_mode="reflection", align_corners=False)
    images = functional.grid_sample(images, grid, mode="bilinear", **options)
    rest = functional.grid_sample(rest.to(images), grid, mode="nearest", **options)
    return images, (rest if targets.ndim == 4 else rest[:, 0]).to(targets.dtype)
