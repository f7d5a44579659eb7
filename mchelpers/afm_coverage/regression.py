"""Coverage of a patch as one number from a small network, and four ways to augment for it.

A coverage is a property of what a patch shows: mirror it and the number stays;
cut a piece out of it and the number is another. The four augmentations here
differ in how they treat that, and are compared in the chapter *From scratch*.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..augment import symmetry
from ..checks import check_image
from .patches import Patches

__all__ = [
    "ARMS",
    "CNNsc",
    "as_seen",
    "black_share",
    "inscribed",
    "mse",
    "predict_coverage",
    "symmetric",
    "tensors",
    "zero_fill",
]

SIDE = 224  # px, what the study's regression networks see


class CNNsc(nn.Module):
    """The study's network from scratch: four convolutions, three dense layers, 118,061 weights.

    Notes
    -----
    Input (B, C, 224, 224), of which only channel 0 is read: float 0..1, or uint8,
    which is divided by 255. Of larger patches the network sees the middle 224 px.
    Output (B, 1): a coverage, with no sigmoid, so that it may leave 0..1.

    Moses et al., Mater. Today Adv. 22, 100483 (2024), Fig. 3 and released weights.
    """

    def __init__(self) -> None:
        super().__init__()
        features = (1, 32, 16, 8, 4)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=5) for before, after in zip(features, features[1:])
        )
        self.dense = nn.Sequential(
            nn.Linear(4 * 10 * 10, 200),
            nn.ReLU(),
            nn.Linear(200, 100),
            nn.ReLU(),
            nn.Linear(100, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map patches (B, C, H, H) to coverages (B, 1)."""
        x = _middle(x[:, :1])
        if x.dtype == torch.uint8:
            x = x.to(self.dense[0].weight.dtype) / 255
        for convolution in self.convolutions:  # 224 -> 110 -> 53 -> 24 -> 10 px
            # The ReLU after the pooling: the same numbers from a quarter of the pixels.
            x = functional.relu(functional.max_pool2d(convolution(x), 2))
        return self.dense(x.flatten(1))  # (B, 4 x 10 x 10) -> (B, 1)


def _middle(x: Tensor, side: int = SIDE) -> Tensor:
    """Cut the middle square out of (..., H, W)."""
    height, width = x.shape[-2:]
    if min(height, width) < side:
        raise ValueError(
            f"patches of {height} x {width} px are smaller than the {side} px that are looked at"
        )
    row, column = (height - side) // 2, (width - side) // 2
    return x[..., row : row + side, column : column + side]


def tensors(patches: Patches) -> tuple[Tensor, Tensor]:
    """Turn patches into what a training takes.

    Returns
    -------
    images
        (N, 1, side, side) uint8.
    masks
        (N, side, side) uint8, 1 is film: the target of the augmentations,
        which make a coverage of it.
    """
    return torch.from_numpy(patches.images)[:, None], torch.from_numpy(patches.masks.view(np.uint8))


def mse(predicted: Tensor, coverage: Tensor) -> Tensor:
    """Mean squared error of coverages.

    Parameters
    ----------
    predicted
        (B, 1) or (B,) float.
    coverage
        (B,) float.

    Raises
    ------
    ValueError
        If there are not as many of both; torch would pair each with each.
    """
    if predicted.shape not in ((*coverage.shape, 1), coverage.shape) or coverage.ndim != 1:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and coverage {tuple(coverage.shape)} must be "
            "(B, 1) or (B,), and (B,)"
        )
    return functional.mse_loss(predicted.reshape(-1), coverage)


def predict_coverage(
    network: nn.Module, images: np.ndarray, batch_size: int = 16, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Predict the coverage of patches.

    Parameters
    ----------
    network
        :class:`CNNsc`, or any network of its input and output.
    images
        (N, H, H) uint8, at least 224 px; of larger ones the middle is seen.
    batch_size, device
        As for :func:`mchelpers.train.predict`.

    Returns
    -------
    (N,) float, not clipped to 0..1
    """
    from ..train import predict

    images = np.require(check_image(images, "images", None), requirements=["C", "W"])
    if images.ndim != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be (N, H, H) uint8, got {images.dtype} {images.shape}")
    with torch.inference_mode():
        out = predict(
            network, torch.from_numpy(images)[:, None], batch_size=batch_size, device=device
        )
    return out[:, 0].double().numpy()


def _share(masks: Tensor) -> Tensor:
    return masks.float().mean((1, 2))  # (B, h, w) -> (B,)


def as_seen(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Change nothing: the middle 224 px of each patch, and their coverage.

    Parameters
    ----------
    images
        (B, 1, H, H) uint8, or float 0..1.
    targets
        (B, H, H) masks of 0 and 1, from which the coverage of what is seen is
        counted; or (B,) float coverages, which stay as they are.
    generator
        Source of the draws; none here.

    Returns
    -------
    images, coverage
        (B, 1, 224, 224) float 0..1, (B,) float.
    """
    images = _middle(images)
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return images, targets if targets.ndim == 1 else _share(_middle(targets))


def symmetric(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn and mirror by the eight symmetries of the square: pixels only move.

    Parameters and returns as for :func:`as_seen`.
    """
    images, coverage = as_seen(images, targets, generator)
    return symmetry(images, coverage[:, None, None], generator)[0], coverage


def inscribed(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn by any angle inside a larger patch, mirror, and count what is then seen.

    No corner comes in from outside, so that nothing is black; other pixels
    come into view, so that the coverage is another.

    Parameters
    ----------
    images
        (B, 1, H, H) uint8, or float 0..1; H at least 317 = 224 times the root of 2.
    targets
        (B, H, H) masks of 0 and 1.
    generator
        Source of the draws.

    Returns
    -------
    images, coverage
        (B, 1, 224, 224) float 0..1, (B,) float.

    Raises
    ------
    ValueError
        If the patches are too small to turn in, or the targets are no masks.
    """
    side = images.shape[-1]
    if side < SIDE * math.sqrt(2):
        raise ValueError(f"a square of {SIDE} px turns inside 317 px or more, not inside {side} px")
    if targets.ndim != 3:
        raise ValueError("the coverage changes with what is seen: pass masks (B, H, H) as targets")
    both = torch.stack([images[:, 0].float(), targets.float()], 1)  # (B, 2, H, H)
    grid = _turned(len(images), side, math.pi * 2, generator).to(images.device)
    both = functional.grid_sample(both, grid, mode="bilinear", align_corners=False)
    scale = 255 if images.dtype == torch.uint8 else 1
    return both[:, :1] / scale, _share(both[:, 1])


def zero_fill(images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn by up to half a turn, fill the corners black, mirror, keep the coverage: the study's.

    Parameters and returns as for :func:`as_seen`; the coverage is that of the
    patch before it was turned, corners and all.

    Notes
    -----
    Moses et al. (2024), released code: ``RandomRotation((0, 180))`` without
    expansion, then both flips by a half each.
    """
    images, coverage = as_seen(images, targets, generator)
    grid = _turned(len(images), SIDE, math.pi, generator).to(images.device)
    return functional.grid_sample(images, grid, mode="nearest", align_corners=False), coverage


def _turned(count: int, side: int, most: float, generator: torch.Generator) -> Tensor:
    """Places (count, 224, 224, 2) in patches of a side, turned by 0 to ``most`` and mirrored."""
    angle = most * torch.rand(count, generator=generator)[:, None, None]
    mirror = 1 - 2 * torch.randint(2, (count, 2), generator=generator)[:, :, None, None]
    steps = (torch.arange(SIDE) - (SIDE - 1) / 2) * 2 / side  # from edge to edge it is -1 to 1
    x, y = steps[None, None, :] * mirror[:, 0], steps[None, :, None] * mirror[:, 1]
    return torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)


def black_share(views: int = 1000, seed: int = 0) -> Tensor:
    """Share of each patch that :func:`zero_fill` leaves black, on wholly white patches.

    Returns
    -------
    (views,) float
    """
    generator = torch.Generator().manual_seed(seed)
    white = torch.ones(1, 1, SIDE, SIDE)
    shares = [
        (zero_fill(white, torch.zeros(1), generator)[0] == 0).float().mean() for _ in range(views)
    ]
    return torch.stack(shares)


ARMS: dict[str, Callable] = {
    "none": as_seen,
    "flips": symmetric,
    "inscribed": inscribed,
    "zero_fill": zero_fill,
}
