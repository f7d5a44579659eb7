"""Changes of a micrograph that leave its label true, in training and at prediction.

An HRTEM image has no preferred direction, its atoms may be black or white (the
defocus decides), and its magnification varies from session to session: flips
and turns, inversion of the contrast and zooms make new micrographs of old ones.
Plain torch on whole batches; the generator passed in makes every draw
repeatable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "affine",
    "crop",
    "invert",
    "micrograph",
    "predict_symmetric",
    "rotate_fill",
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
    from .train import predict

    total = 0
    for number in range(views):
        turned = turn(images, number).contiguous()
        logits = predict(model, turned, batch_size=batch_size, device=device)
        total = total + turn(logits, number, back=True)
    return total / views
