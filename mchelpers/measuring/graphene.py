"""Contaminants on graphene: the shipped network, and a threshold beside it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from .answer import AGREED, Answer, answer_of, as_grey, overlap
from .ranges import outside, properties, trained_ranges
from .ruler import PLANES_NM, Ruler, graphene_radius, with_lattice

__all__ = ["measure_graphene", "shipped_network", "shipped_weights"]

WEIGHTS = "graphene-contaminants-8475a56564a0fd42.safetensors"
RADII = (0.141, 0.349)  # px^-1, of the innermost ring in the training images
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
    found = properties(image, raw, ruler.lattice_nm / PLANES_NM)
    classical = _back(_deviation_mask(image), raw.shape)
    network = shipped_network()
    settings = {"scale": scale, "flattened": flattened, "deviation": DEVIATION}
    if network is None:
        note = "no network is at hand here: this is the classical answer alone"
        return _answer(
            pixels, ruler, classical, "local deviation", warnings=[note], settings=settings
        )
    probability = _probability(network[0], image)
    mask, less, more = (_back(_tidy(probability - p), raw.shape) for p in (0.5, 0.75, 0.25))
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
    return load_network(network, weights[0]), weights[1]


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

    return predict_whole(network, zscore(image), tile=1024)  # a third less of halo than by 512


def _tidy(logits: np.ndarray) -> np.ndarray:
    from ..graphene_hrtem.postprocess import tidy

    return tidy(logits[None])[0]


def _deviation_mask(image: np.ndarray) -> np.ndarray:
    """Call contaminant what deviates more than the clean lattice, most of the image, does."""
    from ..graphene_hrtem.classical import local_deviation

    deviation = local_deviation(image)
    return _tidy(deviation / np.median(deviation) - DEVIATION)


def _back(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a mask to the pixels of the user's image."""
    from ..afm_coverage.whole import rescale

    return mask if mask.shape == shape else rescale(mask.astype(np.float32), shape) > 0.5
