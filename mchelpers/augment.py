"""Changes of a micrograph that leave its label true.

A micrograph has no preferred direction, and its magnification varies from session to
session: flips, turns and zooms make new micrographs of old ones. Plain torch
on whole batches; the generator passed in makes every draw repeatable.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from ._moved import find_object

__all__ = [
    "affine",
    "crop",
    "symmetry",
    "turn",
]

# (transpose, flip rows, flip columns): the first four are enough to average out
# a preferred direction; all eight are the symmetries of the square.
SYMMETRIES = (
    (False, False, False),
    (False, True, True),
    (True, False, True),
    (True, True, False),
    (False, True, False),
    (False, False, True),
    (True, False, False),
    (True, True, True),
)


def turn(images: Tensor, number: int, back: bool = False) -> Tensor:
    """Apply one of the eight symmetries of the square, or undo it.

    Parameters
    ----------
    images
        (..., H, W); H = W for the symmetries that transpose.
    number
        0..7, 0 changes nothing.
    back
        Undo instead.
    """
    transpose, rows, columns = SYMMETRIES[number]
    axes = [axis for axis, wanted in ((-2, rows), (-1, columns)) if wanted]
    if back:
        images = images.flip(axes)
        return images.transpose(-1, -2) if transpose else images
    images = images.transpose(-1, -2) if transpose else images
    return images.flip(axes)


def symmetry(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn or mirror each image and its target by one of the eight symmetries.

    Parameters
    ----------
    images
        (B, C, H, H) float.
    targets
        (B, ..., H, H), any type.
    generator
        Source of the draws.
    """
    numbers = torch.randint(8, (len(images),), generator=generator).tolist()
    return (
        torch.stack([turn(image, n) for image, n in zip(images, numbers)]),
        torch.stack([turn(target, n) for target, n in zip(targets, numbers)]),
    )


def affine(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    share: float = 0.5,
    zoom: tuple[float, float] = (0.7, 1.4),
    shift: float = 0.25,
) -> tuple[Tensor, Tensor]:
    """Turn by any angle, zoom and shift a share of the images; mirror what comes in.

    Parameters
    ----------
    images
        (B, C, H, W) float.
    targets
        (B, K, H, W) float of 0 and 1; stays so.
    generator
        Source of the draws.
    share
        Share of images to change. Interpolation blurs a fine lattice a
        little, so that some images are better left as they are.
    zoom
        Smallest and largest magnification, drawn evenly on a log scale.
    shift
        Largest shift, as a share of the side.
    """
    draws = torch.rand(len(images), 5, generator=generator)
    picked = torch.nonzero(draws[:, 0] < share).flatten()
    if len(picked) == 0:
        return images, targets
    _, angle, size, right, down = draws[picked].unbind(1)
    angle = 2 * math.pi * angle
    size = zoom[0] * (zoom[1] / zoom[0]) ** size
    cos, sin = angle.cos() / size, angle.sin() / size
    # affine_grid measures in half sides, so a shift counts twice.
    rows = [cos, -sin, 2 * shift * (2 * right - 1), sin, cos, 2 * shift * (2 * down - 1)]
    matrix = torch.stack(rows, 1).reshape(-1, 2, 3).to(images)
    both = torch.cat([images[picked], targets[picked]], 1)  # (b, C + K, H, W)
    grid = functional.affine_grid(matrix, list(both.shape), align_corners=False)
    both = functional.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    images, targets = images.clone(), targets.clone()
    images[picked] = both[:, : images.shape[1]]
    targets[picked] = (both[:, images.shape[1] :] > 0.5).to(targets)
    return images, targets


def crop(
    images: Tensor, targets: Tensor, generator: torch.Generator, side: int
) -> tuple[Tensor, Tensor]:
    """Cut a random square out of each image and its target.

    Parameters
    ----------
    images
        (B, C, H, W).
    targets
        (B, ..., H, W), any type.
    generator
        Source of the draws.
    side
        Of the square, px.

    Returns
    -------
    images, targets
        (B, C, side, side) and (B, ..., side, side).

    Raises
    ------
    ValueError
        If the images are smaller than the square.
    """
    height, width = images.shape[-2:]
    if side > min(height, width):
        raise ValueError(f"cannot cut {side} px out of images of {height} x {width} px")
    rows = torch.randint(height - side + 1, (len(images),), generator=generator).tolist()
    columns = torch.randint(width - side + 1, (len(images),), generator=generator).tolist()

    def cut(batch: Tensor) -> Tensor:
        parts = [x[..., r : r + side, c : c + side] for x, r, c in zip(batch, rows, columns)]
        return torch.stack(parts)

    return cut(images), cut(targets)


__getattr__ = partial(find_object, "augment")  # old names of recorded chapters
