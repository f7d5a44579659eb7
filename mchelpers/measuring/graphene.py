"""Contaminants on graphene: the shipped network, and a threshold beside it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from .answer import AGREED, Answer, answer_of, as_grey, overlap
from .ranges import outside, properties, trained_ranges
from .ruler import PLANES_NM, Ruler, graphene_radius, with_lattice

__all__ = ["measure_graphene", "shipped_network", "shipped_weights"]

WEIGHTS = "graphene-contaminants-8475a56564a0fd42.safetensors"
RADII = (0.141, 0.349)  # px^-1, of the innermost ring in the training images
TILE, HALO = 2048, 192  # px; the halo is half of what the network sees, to its next multiple
WINDOW, RIM = 512, 72  # px, of the local deviation
DEVIATION = 1.18  # times the median: best mean F1 (0.83) on the study's labelled images


def measure_graphene(pixels: np.ndarray, ruler: Ruler) -> Answer:
    """Outline the contaminants of an HRTEM image of graphene, and measure them.

    The image is brought to a scale that the network was trained on, and the mask back.

    Parameters
    ----------
    pixels
        (H, W), any number type; RGB whose colours are equal.
    ruler
        From :func:`mchelpers.measuring.ruler.read_ruler`.

    Raises
    ------
    ValueError
        If it is no such image, or its pixel size cannot be known.
    """
    from scipy.ndimage import gaussian_filter

    from ..afm_coverage.whole import rescale

    raw = as_grey(pixels)
    even, flattened = _evenly_lit(raw)
    seen = graphene_radius(even)
    ruler = with_lattice(ruler, seen)
    radius = (ruler.lattice_nm if seen > 0 else ruler.nm) / PLANES_NM
    scale = radius / np.clip(radius, *RADII)
    if min(raw.shape) * scale < 32:
        raise ValueError(
            f"the image is {min(raw.shape) * ruler.nm:.3g} nm wide, too little to see a lattice "
            "in; take a larger one"
        )
    image = even if scale == 1 else rescale(even, scale=scale)
    network = shipped_network()
    settings = {"scale": scale, "flattened": flattened, "deviation": DEVIATION}
    if network is None:
        note = "no network is at hand here: this is the classical answer alone"
        classical = _back(_deviation_mask(image), raw.shape)
        return _answer(
            pixels, ruler, classical, "local deviation", warnings=[note], settings=settings
        )
    with ThreadPoolExecutor(2) as beside:  # filters run on one core, and leave others idle
        second = beside.submit(lambda: _back(_deviation_mask(image), raw.shape))
        about = beside.submit(properties, image, raw, ruler.lattice_nm / PLANES_NM)
        probability = gaussian_filter(_probability(network[0], image), 1.0, mode="nearest")
        cut = lambda p: _back(_tidy(probability - p, blur_px=0), raw.shape)  # noqa: E731
        mask, less, more = beside.map(cut, (0.5, 0.75, 0.25))
        classical, found = second.result(), about.result()
    iou = overlap(mask, classical)
    columns = {
        "covered_share_low": float(less.mean()),
        "covered_share_high": float(more.mean()),
        "classical_covered_share": float(classical.mean()),
        "agreement_iou": iou,
    }
    found["covered_share"] = float(mask.mean())
    warnings = outside(found, trained_ranges())
    if iou < AGREED:
        warnings.append(
            f"network and threshold disagree (overlap {iou:.2f}): look at both outlines before "
            "you use either"
        )
    settings |= {"weights": WEIGHTS, "weights_sha256": network[1]}
    return _answer(
        pixels, ruler, mask, "the shipped network", columns, classical, warnings, settings
    )


def _answer(pixels, ruler, mask, *rest, **others) -> Answer:
    from scipy.ndimage import label

    return answer_of("graphene_hrtem", ruler, pixels, label(mask)[0], *rest, **others)


@cache
def shipped_weights() -> tuple[Path, str] | None:
    """Find the file of the shipped network, and its sha256; None where it is not to be had."""
    from ..kept import find_file

    path = find_file(WEIGHTS)
    return (path, hashlib.sha256(path.read_bytes()).hexdigest()) if path.exists() else None


@cache
def shipped_network():
    """Load the shipped network and its sha256; None where it is not to be had."""
    from ..kept import load_network
    from ..models import UNet

    if (weights := shipped_weights()) is None:
        return None
    network = UNet(features=32, blocks=7, classes=1, norm=True, stem=4)
    return _quick(load_network(network, weights[0])), weights[1]


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


def _evenly_lit(raw: np.ndarray) -> tuple[np.ndarray, bool]:
    """Standardise an image; where the light is less even than in training, flatten it first."""
    from ..data import bezier_background, zscore

    background = bezier_background(raw)
    if background.std() <= trained_ranges()["unevenness"][1] * raw.std():
        return zscore(raw), False
    if background.min() > 0:
        return zscore(raw / background), True
    return zscore(raw - background), True


def _probability(network, image: np.ndarray) -> np.ndarray:
    from ..data import zscore
    from ..whole import predict_whole

    return predict_whole(network, zscore(image), TILE, HALO)


def _tidy(logits: np.ndarray, **how) -> np.ndarray:
    from ..graphene_hrtem.postprocess import tidy

    return tidy(logits[None], **how)[0]


def _deviation_mask(image: np.ndarray) -> np.ndarray:
    """Call contaminant what deviates more than the clean lattice, most of the image, does."""
    from ..graphene_hrtem.classical import local_deviation

    deviation = np.empty_like(image)
    # Its cost grows with the cube of a side: in windows, whose rim of 5 sigmas is thrown away.
    for top, left in product(*(range(0, side, WINDOW) for side in image.shape)):
        above, before = max(0, top - RIM), max(0, left - RIM)
        seen = np.s_[above : top + WINDOW + RIM, before : left + WINDOW + RIM]
        kept = deviation[top : top + WINDOW, left : left + WINDOW]
        part = local_deviation(image[seen])[top - above :, left - before :]
        kept[:] = part[: kept.shape[0], : kept.shape[1]]
    return _tidy(deviation / np.median(deviation) - DEVIATION)


def _back(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a mask to the pixels of the user's image."""
    from ..afm_coverage.whole import rescale

    return mask if mask.shape == shape else rescale(mask.astype(np.float32), shape) > 0.5
