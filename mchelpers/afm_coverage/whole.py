"""Whole micrographs of films through networks that were trained on patches.

The tiling of the coverage study as its code has it, with a count of how much of
what the network sees is padding; and what may stand in its place: the whole
image at once, tiles blended into each other, means weighted by area. Taken
apart in the chapter *Whole micrographs*. After a description of the code of
Moses et al., Mater. Today Adv. 22, 100483 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = [
    "ORIGINS",
    "Layout",
    "area_coverage",
    "area_tiles",
    "cut_tiles",
    "pad",
    "rescale",
    "shares",
    "sliding",
    "study_coverage",
    "study_layout",
    "study_mask",
    "whole",
]

ORIGINS = ("real", "reflection", "zero")
"""What :attr:`Layout.origin` says of a pixel: 0 is real, 1 mirrored, 2 filled."""


@dataclass(frozen=True)
class Layout:
    """Where the study's tiles lie on one padded micrograph.

    Attributes
    ----------
    shape
        (H, W) of the micrograph.
    side
        Of a tile, px.
    padded
        (H', W') after both paddings; the micrograph begins at row and column
        ``margin``.
    """

    shape: tuple[int, int]
    side: int
    padded: tuple[int, int]

    @property
    def margin(self) -> int:
        """Mirrored pixels on each side: half a step."""
        return self.side // 4

    @property
    def step(self) -> int:
        """Pixels from one tile to the next: half a tile."""
        return self.side // 2

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = ((length - self.side) // self.step + 1 for length in self.padded)
        return rows, columns

    @property
    def origin(self) -> np.ndarray:
        """(H', W') uint8: which of :data:`ORIGINS` each pixel has."""
        known = np.zeros(self.shape, np.uint8)
        mirrored = np.pad(known, self.margin, constant_values=1)
        rest = [(0, whole - part) for whole, part in zip(self.padded, mirrored.shape)]
        return np.pad(mirrored, rest, constant_values=2)


def study_layout(shape: tuple[int, int], side: int) -> Layout:
    """Lay the study's tiles: mirror a quarter tile on all sides, then fill up to whole tiles.

    Parameters
    ----------
    shape
        (H, W) of the micrograph.
    side
        Of a tile, px; a multiple of 4 (the study: 224 for coverage, 512 for masks).

    """
    if side < 4 or side % 4:
        raise ValueError(f"side must be a multiple of 4 px, got {side}")
    if len(shape) != 2 or min(shape) <= side // 4:
        raise ValueError(
            f"a micrograph of {shape} px cannot be mirrored by {side // 4} px: enlarge it, or take "
            "smaller tiles"
        )
    mirrored = (length + side // 2 for length in shape)
    height, width = (length + -length % side for length in mirrored)
    return Layout((int(shape[0]), int(shape[1])), side, (height, width))


def pad(image: np.ndarray, layout: Layout, fill: float = 0.0) -> np.ndarray:
    """Pad a micrograph as the layout says.

    Parameters
    ----------
    image
        (H, W) float32.
    layout
        From :func:`study_layout`.
    fill
        What is put below and to the right of the mirrored image. The study
        fills after normalisation, with zeros: in 0..1, that is the mean which
        the normalisation subtracts, or 0 where there is none.

    Returns
    -------
    (H', W') float32
    """
    image = check_image(image)
    if image.shape != layout.shape:
        raise ValueError(f"the layout is for {layout.shape} px, the image has {image.shape}")
    padded = np.full(layout.padded, fill, np.float32)
    mirrored = np.pad(image, layout.margin, mode="reflect")
    padded[: mirrored.shape[0], : mirrored.shape[1]] = mirrored
    return padded


def cut_tiles(padded: np.ndarray, layout: Layout) -> np.ndarray:
    """Cut a padded array into its overlapping tiles, row by row: (rows * columns, side, side)."""
    padded = check_image(padded, "the padded array")
    if padded.shape != layout.padded:
        raise ValueError(f"the layout pads to {layout.padded} px, the array has {padded.shape}")
    view = np.lib.stride_tricks.sliding_window_view(padded, (layout.side, layout.side))
    return np.array(view[:: layout.step, :: layout.step]).reshape(-1, layout.side, layout.side)


def shares(layout: Layout) -> dict[str, float]:
    """Share of real, mirrored and filled pixels among all that the network sees.

    A pixel counts as often as it is seen; the three add up to 1.
    """
    seen = np.bincount(cut_tiles(layout.origin, layout).ravel(), minlength=3)
    return dict(zip(ORIGINS, (seen / seen.sum()).tolist()))


def study_coverage(
    network: nn.Module,
    image: np.ndarray,
    side: int = 224,
    *,
    fill: float = 0.0,
    scale: float = 1.0,
    device: str = "cpu",
) -> float:
    """Coverage as the study's code has it: the plain mean of the answers to all tiles.

    Mirrored and filled areas count like film, and the middle of the image,
    which lies in four tiles, four times as much as its corners.

    Parameters
    ----------
    network
        From (B, 1, side, side) to the coverage, (B, 1) or (B,).
    image
        (H, W) float32, scaled as in training.
    side
        Of a tile, px.
    fill
        As for :func:`pad`.
    scale
        Magnify the image so much first (:func:`rescale`).
    device
        Where to compute.
    """
    image = rescale(image, scale=scale)
    layout = study_layout(image.shape, side)
    return float(_answers(network, cut_tiles(pad(image, layout, fill), layout), (), device).mean())


def study_mask(
    network: nn.Module,
    image: np.ndarray,
    side: int = 512,
    *,
    fill: float = 0.0,
    scale: float = 1.0,
    device: str = "cpu",
) -> np.ndarray:
    """Segment as the study's code does: keep the middle half of each tile, stitch, crop.

    Parameters
    ----------
    network
        From (B, 1, side, side) to logits (B, 1, side, side).
    image, side, fill, scale, device
        As for :func:`study_coverage`.

    Returns
    -------
    (H, W) float32
        Probability of being film.
    """

    def stitched(image):
        layout = study_layout(image.shape, side)
        tiles = cut_tiles(pad(image, layout, fill), layout)
        answers = _answers(network, tiles, (side, side), device).sigmoid().numpy()
        kept = slice(layout.margin, layout.margin + layout.step)
        middles = answers[:, kept, kept].reshape(*layout.grid, layout.step, layout.step)
        # (rows, columns, step, step) -> (rows * step, columns * step)
        joined = middles.transpose(0, 2, 1, 3).reshape(layout.grid[0] * layout.step, -1)
        return joined[: image.shape[0], : image.shape[1]]

    return _at_scale(stitched, image, scale)


def area_tiles(shape: tuple[int, int], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Spread as few tiles as cover an image evenly over it, and weigh them by area.

    All tiles lie wholly inside. Where tiles overlap, each pixel is shared out
    between those that see it, so that every pixel weighs the same.

    Parameters
    ----------
    shape
        (H, W), each at least ``side``.
    side
        Of a tile, px.

    Returns
    -------
    corners : (T, 2) int
        First row and column of each tile.
    weights : (T,) float
        Share of the image that each tile answers for; they add up to 1.

    """
    if min(shape) < side:
        raise ValueError(
            f"no tile of {side} px lies inside {shape[0]} x {shape[1]} px: enlarge the image, or "
            "take smaller tiles"
        )
    starts, parts = [], []
    for length in shape:
        first = np.rint(np.linspace(0, length - side, -(-length // side))).astype(int)
        inside = np.arange(length) - first[:, None]  # (tiles, length)
        seen = (inside >= 0) & (inside < side)
        starts.append(first)
        parts.append((seen / seen.sum(0)).mean(1))
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2)
    return corners, np.outer(*parts).ravel()


def area_coverage(
    network: nn.Module,
    image: np.ndarray,
    side: int = 224,
    *,
    scale: float = 1.0,
    device: str = "cpu",
) -> float:
    """Coverage as the mean over tiles without padding, weighted by area.

    The parameters are those of :func:`study_coverage`; the image has to hold a tile.
    """
    image = rescale(image, scale=scale)
    corners, weights = area_tiles(image.shape, side)
    tiles = np.stack([image[r : r + side, c : c + side] for r, c in corners])
    return float(weights @ _answers(network, tiles, (), device).numpy())


def whole(
    network: nn.Module, image: np.ndarray, *, scale: float = 1.0, device: str = "cpu"
) -> np.ndarray:
    """Segment the whole image at once, mirrored at its end to what the network can halve.

    Parameters
    ----------
    network
        From (B, 1, H, W) to logits of that size, for any sides that are
        multiples of its ``multiple`` (32 if it has none).
    image, scale, device
        As for :func:`study_coverage`.

    Returns
    -------
    (H, W) float32
        Probability of being film.
    """
    from ..whole import predict_whole

    def at_once(image):
        step = getattr(network, "multiple", 32)
        one = -(-max(image.shape) // step) * step  # a tile as large as the image
        return predict_whole(network, image, one, halo=0, device=device)

    return _at_scale(at_once, image, scale)


def sliding(
    network: nn.Module,
    image: np.ndarray,
    side: int = 512,
    *,
    overlap: float = 0.5,
    scale: float = 1.0,
    device: str = "cpu",
) -> np.ndarray:
    """Segment tile by tile, blending tiles under a Gaussian weight (MONAI).

    Every tile lies inside the image, unless the image is smaller than a tile;
    then it is mirrored.

    ``overlap`` is the share of a tile that the next one sees again, from 0 to less
    than 1; all else is as for :func:`study_mask`.
    """
    import torch
    from monai.inferers import sliding_window_inference

    from ..train import predict

    def blended(image):
        if -(-(side - min(image.shape)) // 2) >= min(image.shape):
            raise ValueError(f"{image.shape} px cannot be mirrored up to {side} px: enlarge it")
        return sliding_window_inference(
            torch.from_numpy(image)[None, None],
            roi_size=(side, side),
            sw_batch_size=8,
            predictor=lambda tiles: predict(network, tiles, device=device).sigmoid(),
            overlap=overlap,
            mode="gaussian",
            padding_mode="reflect",
        )[0, 0].numpy()

    return _at_scale(blended, image, scale)


def rescale(
    image: np.ndarray, shape: tuple[int, int] | None = None, scale: float = 1.0
) -> np.ndarray:
    """Bring an image to another size; linear, smoothed first if it becomes smaller.

    As :func:`mchelpers.afm_coverage.patches.cut_patches` does.

    Parameters
    ----------
    image
        (H, W), any real type.
    shape
        (H', W') of the result; None multiplies both sides by ``scale``.
    scale
        Magnification, used without a shape.

    Returns
    -------
    (H', W') float32

    Raises
    ------
    ValueError
        If the image is no image or not finite, or no pixel would be left.
    """
    import torch
    from scipy.ndimage import gaussian_filter

    # One pixel of NaN would spoil every tile that sees it.
    image = np.require(check_image(image), np.float32, ["C", "W"])
    if shape is None:
        shape = (round(image.shape[0] * scale), round(image.shape[1] * scale))
    if min(shape) < 1:
        raise ValueError(f"{image.shape} px at scale {scale:g} leaves no pixel")
    if tuple(shape) == image.shape:
        return image
    shrink = [max(0.0, 0.5 * (old / new - 1)) for old, new in zip(image.shape, shape)]
    if any(shrink):
        image = gaussian_filter(image, shrink, mode="nearest")
    return torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], tuple(shape), mode="bilinear", align_corners=False
    )[0, 0].numpy()


def _at_scale(
    segment: Callable[[np.ndarray], np.ndarray], image: np.ndarray, scale: float
) -> np.ndarray:
    """Segment a magnified image, and bring the probabilities back to its own size."""
    return rescale(segment(rescale(image, scale=scale)), np.shape(image))


def _answers(network: nn.Module, tiles: np.ndarray, shape: tuple[int, ...], device: str):
    """Show tiles (T, side, side) to a network that should answer each in this shape: (T, ...)."""
    import torch

    from ..train import predict

    answers = predict(network, torch.from_numpy(tiles)[:, None], device=device)
    if answers[0].numel() != np.prod(shape):
        raise ValueError(
            f"a tile of {tiles.shape[1:]} px got an answer of shape {tuple(answers.shape[1:])}; "
            "coverage needs one number, a mask one channel of the tile's size"
        )
    return answers.reshape(len(tiles), *shape)
