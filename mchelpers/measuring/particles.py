"""Nanoparticles: a map of local lattices; no network ships for them."""

from __future__ import annotations

import math

import numpy as np

from .answer import Answer, answer_of, as_grey
from .physics import fringe_radius, with_fringes
from .ruler import Ruler, need_pixel_size
from .shipped import NO_NETWORK

__all__ = ["measure_particles"]

STUDY = "nanoparticles"
PIXEL_NM = 0.02  # of the images that it was fitted on; half as much again is one scale
LATTICE = 11.7  # times the usual power: fitted on simulated gold and CdSe together
SMALLEST_NM = 1.0  # across


def measure_particles(pixels: np.ndarray, ruler: Ruler) -> Answer:
    """Find crystalline nanoparticles of an HRTEM image by their fringes, and size them.

    Parameters
    ----------
    pixels, ruler
        As for :func:`mchelpers.measuring.graphene.measure_graphene`.
    """
    from ..afm_coverage.whole import rescale
    from ..nanoparticles.crystallinity import lattice_mask
    from ..nanoparticles.populations import separate
    from ..nanoparticles.tiles import remove_xrays

    need_pixel_size(ruler, "diameters")
    raw = as_grey(pixels)
    scale = ruler.nm / PIXEL_NM
    scale = 1.0 if 1 / 1.5 <= scale <= 1.5 else scale
    if min(raw.shape) * scale < 64:
        raise ValueError(f"the image is {min(raw.shape) * ruler.nm:.3g} nm wide; take a larger one")
    clean = remove_xrays(raw)
    mask = lattice_mask(rescale(clean, scale=scale), LATTICE).astype(np.float32)
    smallest_px = math.ceil(math.pi / 4 * (SMALLEST_NM / ruler.nm) ** 2)
    labels = separate(rescale(mask, raw.shape) > 0.5, smallest_px)
    settings, method = {"scale": scale, "lattice": LATTICE}, "local lattice map"
    ruler = with_fringes(ruler, fringe_radius(clean, labels))
    return answer_of(STUDY, ruler, pixels, labels, method, None, None, [NO_NETWORK], settings)
