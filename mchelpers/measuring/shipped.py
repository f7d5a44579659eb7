"""Networks to measure with, shipped or trained on by the user, and what they are held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from .answer import overlap
from .ranges import Ranges, outside, trained_ranges

__all__ = ["NO_NETWORK", "Method", "Network", "build", "compared", "find_network"]

SHIPPED = {  # study -> file of the weights, channels of its U-Net
    "graphene_hrtem": ("graphene-contaminants-8475a56564a0fd42.safetensors", 1),
    "nanoparticles": ("particles-best-0-b0f11c72061e62bd.safetensors", 2),
}
NO_NETWORK = "no network is at hand here: this is the classical answer alone"
AGREED = 0.6  # intersection over union: below, network and classical method disagree


@dataclass(frozen=True)
class Method:
    """What a study does with an image before and beside its network.

    Attributes
    ----------
    prepare
        Function of (raw image, ruler): the image at the light and the scale that the network
        knows, the ruler held against it, and the settings.
    ready
        Function of the prepared image: what the network wants, (H, W) or (C, H, W) float32.
    describe
        Function of (prepared image, raw image, ruler): what can be out of the network's range.
    classical
        Function of the prepared image: a mask without any network.
    """

    prepare: Callable
    ready: Callable
    describe: Callable
    classical: Callable


@dataclass(frozen=True)
class Network:
    """A network to measure with.

    Attributes
    ----------
    study
        Whose images it reads.
    path, sha256
        Of its weights.
    ranges
        Of its training images.
    words
        What to call it.
    """

    study: str
    path: Path
    sha256: str
    ranges: Ranges
    words: str

    @cached_property
    def module(self):
        """The network itself, ready to predict."""
        from ..kept import load_network

        return _quick(load_network(build(self.study), self.path))

    @property
    def facts(self) -> dict[str, str]:
        """Which it is."""
        return {"weights": self.path.name, "weights_sha256": self.sha256}


def build(study: str):
    """Build the network that ships for a study, with random weights."""
    from ..models import UNet

    channels = SHIPPED[study][1]
    return UNet(features=32, blocks=7, in_channels=channels, classes=1, norm=True, stem=4)


def find_network(study: str, weights: Path | None = None) -> Network | None:
    """Find a study's network; None where it is not to be had.

    Parameters
    ----------
    weights
        File that ``finetune`` wrote; None takes the one that ships.

    Raises
    ------
    ValueError
        If the file is not such a one, or is of another study.
    """
    from ..kept import find_file

    path = weights
    if weights is None:
        path = find_file(SHIPPED[study][0]) if study in SHIPPED else None
        if path is None or not path.exists():
            return None
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _opened(study, path, changed, weights is None)


@cache
def _opened(study: str, path: Path, changed: int, ships: bool) -> Network:
    """Open a network once, and again when its file has ``changed``."""
    ranges = trained_ranges(study) if ships else _own_ranges(study, path)
    words = "the shipped network" if ships else "your network"
    return Network(study, path, hashlib.sha256(path.read_bytes()).hexdigest(), ranges, words)


def _own_ranges(study: str, weights: Path) -> Ranges:
    """Read what ``finetune`` wrote beside a file of weights."""
    about = weights.with_suffix(".json")
    try:
        content = json.loads(about.read_text(encoding="utf-8"))
        trained_for, ranges = content["study"], content["ranges"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{weights} has no {about.name} beside it; give the network.safetensors that finetune "
            "wrote"
        ) from error
    if trained_for != study:
        raise ValueError(f"{weights} is a network for {trained_for}, not for {study}")
    return ranges


def compared(
    network: Network,
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
    warnings = outside(found | {"covered_share": float(mask.mean())}, network.ranges)
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
