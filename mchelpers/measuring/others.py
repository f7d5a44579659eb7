"""Studies without a shipped network: their classical answers alone."""

from __future__ import annotations

import math

import numpy as np

from .answer import Answer, answer_of, as_grey
from .physics import with_oxide, with_step
from .ruler import Ruler, need_pixel_size

__all__ = ["measure_film", "measure_flakes"]

NONE_SHIPS = "no network ships for this study: this is the classical answer alone"
FAINTEST = 2.0  # distance in CIE Lab: the least that an eye can tell


def measure_film(pixels: np.ndarray, ruler: Ruler, z_unit: str | None = None) -> Answer:
    """Measure which share of an AFM image a film covers, and how high it stands.

    Parameters
    ----------
    pixels
        (H, W) heights; RGB whose colours are equal, for a picture of them.
    ruler
        As for the others; areas in nm2 are NaN without one.
    z_unit
        ``"nm"`` where the values are heights: then steps are checked.
    """
    from scipy.ndimage import label
    from skimage.filters import threshold_otsu

    from ..afm_coverage.images import flatten

    raw = as_grey(pixels)
    level, mask = raw, np.zeros(raw.shape, bool)
    for _ in range(10 if z_unit == "nm" else 0):  # the film's step is no slope of the scanner
        above = mask * (np.median(level[mask]) - np.median(level[~mask])) if mask.any() else 0.0
        level = flatten(raw - above, 1) + above
        mask = level > threshold_otsu(level)
    mask = level > threshold_otsu(level)
    warnings, step = [], math.nan
    if z_unit == "nm":
        step = float(np.median(level[mask]) - np.median(level[~mask]))
        ruler = with_step(ruler, step)
    else:
        warnings.append("the values are no heights in nm, so no step was checked")
    method, columns = "Otsu's threshold of levelled heights", {"step_nm": step}
    found, settings = label(mask)[0], {"z_unit": z_unit}
    return _answer("afm_coverage", ruler, pixels, found, method, settings, columns, warnings)


def measure_flakes(pixels: np.ndarray, ruler: Ruler) -> Answer:
    """Outline flakes in a light micrograph by how their colour differs from the wafer's.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8 or uint16.
    ruler
        As for the others.
    """
    from skimage.filters import threshold_otsu

    from ..inputs.rgb import as_rgb8
    from ..tmd_optical.contrast import colour_distance, fit_background, segment

    need_pixel_size(ruler, "sizes of flakes")
    frame = as_rgb8(pixels)
    as_grey(frame.max(-1))  # refuses what is too small, or black
    background = fit_background(frame)
    distance = colour_distance(frame, background)
    threshold = max(float(threshold_otsu(distance)), FAINTEST)
    labels = segment(distance, threshold)
    ruler = with_oxide(ruler, np.median(background, (0, 1)))
    settings = {"threshold_lab": threshold}
    return _answer("tmd_optical", ruler, frame, labels, "colour contrast", settings)


def _answer(study, ruler, pixels, labels, method, settings, columns=None, warnings=()) -> Answer:
    warnings = [*warnings, NONE_SHIPS]
    return answer_of(study, ruler, pixels, labels, method, columns, None, warnings, settings)
