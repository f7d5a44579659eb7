"""How finely an image samples its lattice: Bragg radius and rings of spots.

The pixel size of the graphene images was never published, but the lattice is a
ruler of its own: {100} planes of graphene are 0.213 nm apart. Taken apart in
the chapter *What the microscope saw*.
"""

from __future__ import annotations

import numpy as np

from ..checks import check_image
from ..metrics import windowed_amplitude

__all__ = [
    "bragg_radius",
    "ring_prominence",
]

_INNER = 0.09  # px^-1: below, the contaminant's own structure outshines any lattice
_CORNERS = 0.68  # px^-1: the spectrum's corners still show spots out to here
_SPOTS = 6
_LEAST_PROMINENCE = 3.0  # white noise stays below 2.6 on every ring
_LEAST_INNER = 2.5


def ring_prominence(image: np.ndarray, highest: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Compare the brightest points of each ring of the spectrum with its median.

    Amorphous matter fills a ring evenly, a lattice puts spots on it: the six
    brightest points over the median stay near 2 in noise and rise where the
    spots of a lattice are.

    Parameters
    ----------
    image
        (H, W) float.
    highest
        Where to stop, px^-1; beyond 0.5 only the corners of the spectrum are left.

    Returns
    -------
    frequency, prominence
        (n,) float each: px^-1 from 0.09 on, and a ratio, 0 in a constant image.

    Raises
    ------
    ValueError
        If the image is smaller than 32 px or not finite.
    """
    from scipy.ndimage import gaussian_filter

    amplitude, q = windowed_amplitude(image)
    amplitude = gaussian_filter(amplitude, 1, mode="wrap")
    bins = min(image.shape)
    ring = np.rint(q * bins).astype(int)
    radii = np.arange(int(np.ceil(_INNER * bins)), int(highest * bins))
    rings = [amplitude[ring == radius] for radius in radii]
    brightest = [np.partition(values, -_SPOTS)[-_SPOTS:].mean() for values in rings]
    usual = np.array([np.median(values) for values in rings])
    nothing = np.zeros(len(rings))  # in a constant image
    return radii / bins, np.divide(brightest, usual, out=nothing, where=usual > 0)


def bragg_radius(image: np.ndarray) -> float:
    """Measure the radius of the innermost Bragg spots of graphene.

    The second ring of spots, wider by the square root of 3, can outshine the
    first; where spots stand inside it at the right radius, those count.

    Parameters
    ----------
    image
        (H, W) float, one or several grains.

    Returns
    -------
    float
        px^-1, to about a fifth of a bin; times the image's edge it is the
        radius in bins. NaN if the image shows no lattice, or is constant.

    Raises
    ------
    ValueError
        If the image is smaller than 32 px or not finite.
    """
    if np.ptp(check_image(image, least=32).astype(float)) == 0:  # black: nothing to measure
        return float("nan")
    frequency, prominence = ring_prominence(image, highest=_CORNERS)
    best = int(np.argmax(np.where(frequency < 0.5, prominence, 0)))
    if prominence[best] < _LEAST_PROMINENCE:
        return float("nan")
    strongest = frequency[best]

    def near(radius: float) -> float:
        """Prominence at a radius, give or take a bin; 0 where it cannot be seen."""
        return prominence[np.abs(frequency - radius) < 1.5 / min(image.shape)].max(initial=0)

    # Two rings are in sight: is the fainter one inside or outside the strongest?
    inner, outer = near(strongest / np.sqrt(3)), near(strongest * np.sqrt(3))
    second = inner > max(outer, _LEAST_INNER)
    return _refine(image, strongest) / (np.sqrt(3) if second else 1.0)


def _refine(image: np.ndarray, radius: float) -> float:
    """Take the centre of mass of the spots on a ring instead of the ring's number."""
    amplitude, q = windowed_amplitude(image)
    ring = np.abs(q - radius) < 2.5 / min(image.shape)
    bright = ring & (amplitude > 0.5 * amplitude[ring].max())
    return float(np.average(q[bright], weights=amplitude[bright] ** 2))
