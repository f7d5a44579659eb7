"""Whole micrographs through a network: overlapping tiles, no seams, little memory.

A micrograph of 4096 x 4096 px does not pass through a network at once: each
feature map of the first level alone would take 67 MB. Taken apart in the chapter
*From micrograph to population*.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ._moved import find_object
from .checks import check_image

if TYPE_CHECKING:
    from torch import nn

__all__ = ["predict_whole"]


def predict_whole(
    network: nn.Module,
    image: np.ndarray,
    tile: int = 512,
    halo: int = 128,
    *,
    device: str = "cpu",
    progress: str | None = None,
) -> np.ndarray:
    """Predict every pixel of a micrograph as if it had passed the network at once.

    Each tile is predicted together with a halo of its surroundings, of which
    the answers are thrown away. If the halo is as wide as half the network's
    receptive field, no kept pixel can tell that the image was cut. Tiles begin
    where pooling falls on the same pixels as in the uncut image.

    Parameters
    ----------
    network
        From (B, C, H, W) to logits (B, 2, H, W), or (B, 1, H, W) that are
        positive on particles; put into evaluation mode.
    image
        (H, W) or (C, H, W) float32, scaled as in training.
    tile, halo
        Width of what is kept, and of what is seen on each side of it, in px;
        multiples of the network's ``multiple`` (32 if it has none).
    device
        Where to compute.
    progress
        Caption of a progress bar; None shows none.

    Returns
    -------
    (H, W) float32
        Probability of being particle.

    Raises
    ------
    ValueError
        If the image has another shape or is not finite, or the widths are no
        such multiples.
    """
    import torch
    from tqdm.auto import tqdm

    from .train import predict

    image = check_image(image, ndim=(2, 3)).astype(np.float32)
    step = getattr(network, "multiple", 32)
    if tile < step or halo < 0 or tile % step or halo % step:
        raise ValueError(f"tile and halo must be multiples of {step} px, got {tile} and {halo}")
    image = image.reshape(-1, *image.shape[-2:])  # (C, H, W)
    height, width = image.shape[-2:]
    rest = [(0, -side % step) for side in (height, width)]
    if any(after for _, after in rest):
        mode = "reflect" if min(height, width) > step else "edge"
        image = np.pad(image, [(0, 0), *rest], mode)
    probability = np.empty(image.shape[-2:], np.float32)
    corners = [(r, c) for r in range(0, height, tile) for c in range(0, width, tile)]
    for row, column in tqdm(corners, desc=progress, unit="tile", disable=progress is None):
        # At the border of the image the window ends with it: the network pads as it always does.
        top, left = max(0, row - halo), max(0, column - halo)
        seen = np.s_[:, top : row + tile + halo, left : column + tile + halo]
        window = torch.from_numpy(np.ascontiguousarray(image[seen]))[None]
        logits = predict(network, window, device=device)[0]  # (2 or 1, h, w)
        answer = (torch.softmax(logits, 0)[1] if len(logits) == 2 else logits[0].sigmoid()).numpy()
        kept = np.s_[row : row + tile, column : column + tile]
        size = probability[kept].shape
        probability[kept] = answer[row - top :, column - left :][: size[0], : size[1]]
    return probability[:height, :width]


__getattr__ = partial(find_object, "whole")  # old names of recorded chapters
