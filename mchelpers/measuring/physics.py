"""Rulers that nature keeps: fringes of gold, layers of WSe2, the colour of an oxide.

Each is measured on the image and held against what its file, or its user, says. That of graphene
is in :mod:`mchelpers.measuring.ruler`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .ruler import TOLERATED, Ruler

__all__ = ["fringe_radius", "with_fringes", "with_oxide", "with_step"]

PLANES_NM = {  # of what the study's particles are made of, the usual one first
    "gold's {111} planes": 0.2355,
    "gold's {200} planes": 0.2039,
    "cadmium selenide's {002} planes": 0.3505,
    "cadmium selenide's {100} planes": 0.3723,
}
LAYER_NM = 0.7  # of WSe2 on its substrate, by AFM
SCATTER = 0.35  # of a layer, by which steps of AFM miss a whole number
THICKEST = 10  # layers
FAR = 12.0  # of chroma in CIE Lab: more than lamps and cameras differ by
_OBJECTS = 8  # the largest ones; of more, fringes say nothing new
_CLEAR = 4.5  # times the median of its ring; the brightest of 10,000 points of noise stays below 4


def fringe_radius(image: np.ndarray, labels: np.ndarray) -> float:
    """Measure how fine the fringes of particles are.

    Parameters
    ----------
    image
        (H, W) float.
    labels
        (H, W) int, 0 is background.

    Returns
    -------
    float
        px^-1, the median of the largest objects that show any; NaN if none does.
    """
    from scipy.fft import fft2, fftfreq, next_fast_len
    from scipy.ndimage import find_objects, gaussian_filter

    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    boxes, found = find_objects(labels), []
    for number in np.argsort(-sizes)[:_OBJECTS]:
        least = 4 / math.sqrt(max(sizes[number], 1))  # px^-1: four fringes across
        if least > 0.3:
            break
        inside = labels[boxes[number - 1]] == number
        crop = image[boxes[number - 1]]
        part = (crop - crop[inside].mean()) * gaussian_filter(inside.astype(float), 3) * inside
        side = next_fast_len(4 * max(part.shape))  # between the points of its own spectrum, too
        amplitude = np.abs(fft2(part, (side, side)))[:, : side // 2]
        q = np.hypot(fftfreq(side)[:, None], fftfreq(side)[: side // 2])
        weighted = q * amplitude * ((q > least) & (q < 0.45))
        row, column = np.unravel_index(weighted.argmax(), q.shape)
        ring = np.abs(q - q[row, column]) < 2 / side
        if amplitude[row, column] > _CLEAR * np.median(amplitude[ring]):
            near = np.s_[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
            found.append(np.average(q[near], weights=amplitude[near] ** 4))
    return float(np.median(found)) if found else math.nan


def with_fringes(ruler: Ruler, radius: float) -> Ruler:
    """Hold a ruler against the fringes: which planes are so far apart, if a pixel is so long?

    Parameters
    ----------
    radius
        From :func:`fringe_radius`.
    """
    if math.isnan(radius):
        return replace(ruler, source=f"{ruler.source}, which no fringes in the image confirm")
    spacing = ruler.nm / radius
    usual, usual_nm = next(iter(PLANES_NM.items()))
    for planes, nm in PLANES_NM.items():
        if abs(spacing / nm - 1) <= TOLERATED:
            source = f"{ruler.source}; the fringes agree with {planes} ({nm:.3f} nm)"
            return replace(ruler, source=source, lattice_nm=nm * radius)
    warning = (
        f"the fringes are {spacing:.3g} nm apart, which no planes of gold or cadmium selenide "
        f"are: if they are {usual}, a pixel is {usual_nm * radius:.4g} nm, not {ruler.nm:.4g} nm"
    )
    return replace(ruler, lattice_nm=usual_nm * radius, warnings=(*ruler.warnings, warning))


def with_step(ruler: Ruler, step_nm: float) -> Ruler:
    """Hold the heights of a film against layers of WSe2."""
    layers = max(1, round(step_nm / LAYER_NM))
    if abs(step_nm / LAYER_NM - layers) < SCATTER and layers <= THICKEST:
        number = "one layer" if layers == 1 else f"{layers} layers"
        source = f"{ruler.source}; the step of {step_nm:.2g} nm is {number} of WSe2"
        return replace(ruler, source=source)
    warning = (
        f"the step is {step_nm:.2g} nm, no whole number of layers of {LAYER_NM} nm up to "
        f"{THICKEST}: what was cut may be no film, or the heights are not calibrated"
    )
    return replace(ruler, warnings=(*ruler.warnings, warning))


def with_oxide(ruler: Ruler, colour: np.ndarray) -> Ruler:
    """Hold a camera's colours against the one thing in sight whose colour is known: the wafer.

    Parameters
    ----------
    colour
        (3,) of the bare wafer, 0 to 255. No file says how thick its oxide is; the colour of what
        no oxide has tells that lamp or white balance are unlike the ones that contrasts are
        computed for.
    """
    from skimage.color import rgb2lab

    from ..tmd_optical.optics import Camera, develop, illuminant, wafer_reflectance

    thickness = np.arange(0, 401, 5)
    seen = Camera().raw(wafer_reflectance((), thickness), illuminant())
    chroma = rgb2lab(develop(seen, Camera()) / 255.0)[:, 1:]  # exposure is anybody's choice
    far = np.hypot(*(chroma - rgb2lab(np.asarray(colour) / 255.0)[1:]).T)
    best = thickness[far.argmin()]
    if far.min() <= FAR:
        source = f"{ruler.source}; the wafer has the colour of {best} nm of oxide"
        return replace(ruler, source=source)
    warning = (
        f"the wafer has the colour of no oxide up to {thickness[-1]} nm ({best} nm is nearest): "
        "it is no oxidised silicon, or lamp and white balance change its colours"
    )
    return replace(ruler, warnings=(*ruler.warnings, warning))
