"""Nanoparticles: the shipped network, and a map of local lattices beside it."""

from __future__ import annotations

import math

import numpy as np

from .answer import Answer, answer_of, as_grey
from .physics import fringe_radius, with_fringes
from .ranges import properties
from .ruler import Ruler, need_pixel_size
from .shipped import NO_NETWORK, compared, shipped_network

__all__ = ["measure_particles"]

STUDY = "nanoparticles"
PIXEL_NM = 0.02  # of the images that both were made with; half as much again is one scale
LATTICE = 11.7  # times the usual power: fitted on simulated gold and CdSe together
TILE, HALO = 1024, 192  # px; the halo is half of what the network sees, to its next multiple
SMALLEST_NM = 1.0  # across


def measure_particles(pixels: np.ndarray, ruler: Ruler) -> Answer:
    """Outline crystalline nanoparticles of an HRTEM image, and size them.

    The image is brought to the scale that the network was trained at, and the masks back.

    Parameters
    ----------
    pixels, ruler
        As for :func:`mchelpers.measuring.graphene.measure_graphene`.
    """
    from ..afm_coverage.whole import rescale
    from ..nanoparticles.crystallinity import lattice_mask
    from ..nanoparticles.network import prepare_whole
    from ..nanoparticles.populations import separate
    from ..nanoparticles.tiles import normalise, remove_xrays
    from ..whole import predict_whole

    need_pixel_size(ruler, "diameters")
    raw = as_grey(pixels)
    scale = ruler.nm / PIXEL_NM
    scale = 1.0 if 1 / 1.5 <= scale <= 1.5 else scale
    if min(raw.shape) * scale < 64:
        raise ValueError(f"the image is {min(raw.shape) * ruler.nm:.3g} nm wide; take a larger one")
    clean = remove_xrays(raw)
    image = rescale(clean, scale=scale)
    mask = rescale(lattice_mask(image, LATTICE).astype(np.float32), raw.shape) > 0.5
    smallest_px = math.ceil(math.pi / 4 * (SMALLEST_NM / ruler.nm) ** 2)
    settings = {"scale": scale, "lattice": LATTICE}
    if (shipped := shipped_network(STUDY)) is None:
        labels, method = separate(mask, smallest_px), "local lattice map"
        classical, columns, warnings = None, {}, [NO_NETWORK]
    else:
        network, weights = shipped
        ready = prepare_whole(normalise(image)[None])[0].numpy()
        probability = rescale(predict_whole(network, ready, TILE, HALO), raw.shape)
        labels, method, classical = (
            separate(probability > 0.5, smallest_px),
            "the shipped network",
            mask,
        )
        found = properties(image, raw) | {"pixel_nm": ruler.nm}
        masks = (labels > 0, probability > 0.75, probability > 0.25)
        columns, warnings = compared(STUDY, masks, classical, found)
        settings |= weights
    ruler = with_fringes(ruler, fringe_radius(clean, labels))
    return answer_of(STUDY, ruler, pixels, labels, method, columns, classical, warnings, settings)
