"""Contaminants on graphene: the shipped network, and a threshold beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

from .answer import Answer, answer_of, as_grey
from .ranges import lattice_properties, properties, trained_ranges
from .ruler import PLANES_NM, Ruler, graphene_radius, with_lattice
from .shipped import NO_NETWORK, Method, Network, compared

__all__ = ["GRAPHENE", "measure_graphene"]

STUDY = "graphene_hrtem"
RADII = (0.141, 0.349)  # px^-1, of the innermost ring in the training images
TILE, HALO = 2048, 192  # px; the halo is half of what the network sees, to its next multiple
WINDOW, RIM = 512, 72  # px, of the local deviation
DEVIATION = 1.18  # times the median: best mean F1 (0.83) on the study's labelled images


def measure_graphene(pixels: np.ndarray, ruler: Ruler, network: Network | None) -> Answer:
    """Outline the contaminants of an HRTEM image of graphene, and measure them.

    Parameters
    ----------
    pixels
        (H, W), any number type; RGB whose colours are equal.
    ruler
        From :func:`mchelpers.measuring.ruler.read_ruler`.
    network
        None takes the classical answer alone.

    Raises
    ------
    ValueError
        If it is no such image, or its pixel size cannot be known.
    """
    from scipy.ndimage import gaussian_filter, label

    raw = as_grey(pixels)
    image, ruler, settings = _prepare(raw, ruler)
    settings["deviation"] = DEVIATION
    if network is None:
        mask, method = _back(_classical_mask(image), raw.shape), "local deviation"
        classical, columns, warnings = None, {}, [NO_NETWORK]
    else:
        with ThreadPoolExecutor(2) as beside:  # filters run on one core, and leave others idle
            second = beside.submit(lambda: _back(_classical_mask(image), raw.shape))
            about = beside.submit(_describe, image, raw, ruler)
            probability = gaussian_filter(_probability(network.module, image), 1.0, mode="nearest")
            cut = lambda p: _back(_tidy(probability - p, blur_px=0), raw.shape)  # noqa: E731
            masks = tuple(beside.map(cut, (0.5, 0.75, 0.25)))
        mask, method, classical = masks[0], network.words, second.result()
        columns, warnings = compared(network, masks, classical, about.result())
        settings |= network.facts
    labels = label(mask)[0]
    return answer_of(STUDY, ruler, pixels, labels, method, columns, classical, warnings, settings)


def _prepare(raw: np.ndarray, ruler: Ruler) -> tuple[np.ndarray, Ruler, dict]:
    """Bring an image to the light and the scale that the network knows."""
    from ..afm_coverage.whole import rescale

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
    return image, ruler, {"scale": scale, "flattened": flattened}


def _describe(image: np.ndarray, raw: np.ndarray, ruler: Ruler) -> dict[str, float]:
    """Compute what can be out of the network's range."""
    lattice = lattice_properties(image, ruler.lattice_nm / PLANES_NM)
    return properties(image, raw) | lattice


def _evenly_lit(raw: np.ndarray) -> tuple[np.ndarray, bool]:
    """Standardise an image; where the light is less even than in training, flatten it first."""
    from ..data import bezier_background, zscore

    background = bezier_background(raw)
    if background.std() <= trained_ranges(STUDY)["unevenness"][1] * raw.std():
        return zscore(raw), False
    if background.min() > 0:
        return zscore(raw / background), True
    return zscore(raw - background), True


def _ready(image: np.ndarray) -> np.ndarray:
    """Scale the grey values of a prepared image as the network wants them."""
    from ..data import zscore

    return zscore(image)


def _probability(network, image: np.ndarray) -> np.ndarray:
    from ..whole import predict_whole

    return predict_whole(network, _ready(image), TILE, HALO)


def _tidy(logits: np.ndarray, **how) -> np.ndarray:
    from ..graphene_hrtem.postprocess import tidy

    return tidy(logits[None], **how)[0]


def _classical_mask(image: np.ndarray) -> np.ndarray:
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


GRAPHENE = Method(_prepare, _ready, _describe, _classical_mask)
