"""Networks that ship with the book, and what their answers are held against."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from .answer import overlap
from .ranges import outside, trained_ranges

__all__ = ["NO_NETWORK", "compared", "shipped_network", "shipped_weights"]

NO_NETWORK = "no network is at hand here: this is the classical answer alone"
AGREED = 0.6  # intersection over union: below, network and classical method disagree

SHIPPED = {  # study -> file of the weights, blocks of its U-Net
    "graphene_hrtem": ("graphene-contaminants-8475a56564a0fd42.safetensors", 7),
}


@cache
def shipped_weights(study: str) -> tuple[Path, str] | None:
    """Find the file of a study's network, and its sha256; None where it is not to be had."""
    from ..kept import find_file

    if study not in SHIPPED:
        return None
    path = find_file(SHIPPED[study][0])
    return (path, hashlib.sha256(path.read_bytes()).hexdigest()) if path.exists() else None


@cache
def shipped_network(study: str):
    """Load a study's network, and say which it is; None where it is not to be had."""
    from ..kept import load_network
    from ..models import UNet

    if (weights := shipped_weights(study)) is None:
        return None
    path, sha256 = weights
    network = UNet(features=32, blocks=SHIPPED[study][1], classes=1, norm=True, stem=4)
    return _quick(load_network(network, path)), {"weights": path.name, "weights_sha256": sha256}


def compared(
    study: str,
    masks: tuple[np.ndarray, np.ndarray, np.ndarray],
    classical: np.ndarray,
    found: dict[str, float],
) -> tuple[dict[str, float], list[str]]:
    """Hold a network's answer against a classical one, and against what the network knows.

    Parameters
    ----------
    masks
        (H, W) bool, at probabilities of 0.5, 0.75 and 0.25.
    classical
        (H, W) bool.
    found
        From :func:`mchelpers.measuring.ranges.properties`.

    Returns
    -------
    columns : dict
        For the row of the image.
    warnings : list of str
    """
    mask, less, more = masks
    columns = {
        "covered_share_low": float(less.mean()),
        "covered_share_high": float(more.mean()),
        "classical_covered_share": float(classical.mean()),
        "agreement_iou": (iou := overlap(mask, classical)),
    }
    warnings = outside(found | {"covered_share": float(mask.mean())}, trained_ranges(study))
    if iou < AGREED:
        warnings.append(
            f"network and classical method disagree (overlap {iou:.2f}): look at both outlines "
            "before you use either"
        )
    return columns, warnings


def _quick(network):
    """Fold each batch norm into its convolution, and put channels last: the same, 1.3 x faster."""
    import torch
    from torch import nn

    network.eval()
    for blocks in (network.down, network.up):
        for block in blocks:
            for number, layer in enumerate(block):
                if isinstance(layer, nn.BatchNorm2d):
                    fused = torch.nn.utils.fuse_conv_bn_eval(block[number - 1], layer)
                    block[number - 1], block[number] = fused, nn.Identity()
    network.fold.register_forward_hook(
        lambda layer, seen, given: given.contiguous(memory_format=torch.channels_last)
    )
    return network
