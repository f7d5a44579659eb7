"""Nanoparticles: the shipped network, and a map of local lattices beside it."""

from __future__ import annotations

import math

import numpy as np

from .answer import Answer, answer_of, as_grey
from .physics import fringe_radius, with_fringes
from .ranges import properties
from .ruler import Ruler, need_pixel_size
from .shipped import NO_NETWORK, Method, Network, compared

__all__ = ["PARTICLES", "measure_particles"]

STUDY = "nanoparticles"
PIXEL_NM = 0.02  # of the images that both were made with; half as much again is one scale
LATTICE = 10.1  # times the usual power: fitted on simulated gold and CdSe together
TILE, HALO = 1024, 192  # px; the halo is half of what the network sees, to its next multiple
SMALLEST_NM = 1.0  # across


def measure_particles(pixels: np.ndarray, ruler: Ruler, network: Network | None) -> Answer:
    """Outline crystalline nanoparticles of an HRTEM image, and size them.

    Parameters
    ----------
    pixels, ruler, network
        As for :func:`mchelpers.measuring.graphene.measure_graphene`.
    """
    from ..afm_coverage.whole import rescale
    from ..nanoparticles.populations import separate
    from ..nanoparticles.tiles import remove_xrays
    from ..whole import predict_whole

    raw = as_grey(pixels)
    image, ruler, settings = _prepare(raw, ruler)
    settings["lattice"] = LATTICE
    mask = rescale(_classical_mask(image).astype(np.float32), raw.shape) > 0.5
    smallest_px = math.ceil(math.pi / 4 * (SMALLEST_NM / ruler.nm) ** 2)
    if network is None:
        labels, method = separate(mask, smallest_px), "local lattice map"
        classical, columns, warnings = None, {}, [NO_NETWORK]
    else:
        probability = predict_whole(network.module, _ready(image), TILE, HALO)
        probability = rescale(probability, raw.shape)
        labels, method, classical = separate(probability > 0.5, smallest_px), network.words, mask
        masks = (labels > 0, probability > 0.75, probability > 0.25)
        found = _describe(image, raw, ruler)
        columns, warnings = compared(network, masks, classical, found)
        settings |= network.facts
    clean = image if settings["scale"] == 1 else remove_xrays(raw)
    ruler = with_fringes(ruler, fringe_radius(clean, labels))
    return answer_of(STUDY, ruler, pixels, labels, method, columns, classical, warnings, settings)


def _prepare(raw: np.ndarray, ruler: Ruler) -> tuple[np.ndarray, Ruler, dict]:
    """Take X-rays out and bring an image to the scale that the network knows."""
    from ..afm_coverage.whole import rescale
    from ..nanoparticles.tiles import remove_xrays

    need_pixel_size(ruler, "diameters")
    scale = ruler.nm / PIXEL_NM
    scale = 1.0 if 1 / 1.5 <= scale <= 1.5 else scale
    if min(raw.shape) * scale < 64:
        raise ValueError(f"the image is {min(raw.shape) * ruler.nm:.3g} nm wide; take a larger one")
    return rescale(remove_xrays(raw), scale=scale), ruler, {"scale": scale}


def _describe(image: np.ndarray, raw: np.ndarray, ruler: Ruler) -> dict[str, float]:
    """Compute what can be out of the network's range."""
    return properties(image, raw) | {"pixel_nm": ruler.nm}


def _classical_mask(image: np.ndarray) -> np.ndarray:
    """Call particle where one set of lattice planes outshines the film."""
    from ..nanoparticles.crystallinity import lattice_mask

    return lattice_mask(image, LATTICE)


def _ready(image: np.ndarray) -> np.ndarray:
    """Flatten a prepared image, scale it, and put its lattice map beside: (2, H, W)."""
    from ..nanoparticles.network import prepare_whole
    from ..nanoparticles.tiles import normalise

    return prepare_whole(normalise(image)[None])[0].numpy()


PARTICLES = Method(_prepare, _ready, _describe, _classical_mask)
