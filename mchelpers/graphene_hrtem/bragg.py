"""Bragg filter: what is left of a lattice image when its periodic part is taken away.

Source: Sadre et al., Microsc. Microanal. 27, 804 (2021), section *Segmentation
by Fourier Filtering*, Eqs. 4-6 and Fig. 2. Taken apart in the chapter *What
the Bragg filter sees*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..checks import check_image
from ..data import zscore

__all__ = [
    "BraggSteps",
    "bragg_filter",
    "bragg_image",
    "bragg_spots",
    "full_plane",
    "low_pass",
    "weighted_spectrum",
]

BAND = (0.08, 0.48)  # px^-1: inside, the illumination; outside, the corners of the square
REFERENCE = 256 * 256  # px: the paper's images, for which its peak threshold holds
SMALLEST = 32  # px: below, a window and a blur leave nothing to find


@dataclass(frozen=True)
class BraggSteps:
    """The images that the Bragg filter passes through, as in Fig. 2 of the paper.

    Attributes
    ----------
    image
        (H, W) float32, the micrograph with mean 0 and standard deviation 1.
    spectrum
        (H, W // 2 + 1) float32, weighted Fourier amplitude; half plane.
    spots
        (n, 2) float32, Bragg spots (row, column) in px^-1, strongest first;
        one of each pair of opposite spots.
    lattice
        (H, W) float32, the periodic part of the image.
    difference
        (H, W) float32, image minus lattice.
    residual
        (H, W) float32, smoothed magnitude of the difference.
    """

    image: np.ndarray
    spectrum: np.ndarray
    spots: np.ndarray
    lattice: np.ndarray
    difference: np.ndarray
    residual: np.ndarray


def _frozen(array: np.ndarray) -> np.ndarray:
    """Make a cached array read-only, for its users share it."""
    array = array.astype(np.float32)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=32)
def _frequencies(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column frequencies and |q| of a half plane, in px^-1."""
    rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    return _frozen(rows), _frozen(columns), _frozen(np.hypot(rows[:, None], columns))


@lru_cache(maxsize=8)
def _window(height: int, width: int) -> np.ndarray:
    """Return a Hann window, which keeps the frame's edge from drawing streaks."""
    return _frozen(np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]))


@lru_cache(maxsize=32)
def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Return the (size, size) matrix that blurs a line of pixels.

    Its rows sum to 1: near the frame's edge the average is taken over the
    pixels that are there, which is the normalisation of the borders.
    """
    position = np.arange(size)
    weights = np.exp(-((position[:, None] - position) ** 2) / (2 * sigma**2))
    return _frozen(weights / weights.sum(1, keepdims=True))


@lru_cache(maxsize=32)
def _inside(size: int, sigma: float) -> np.ndarray:
    """Return which share of a Gaussian around each pixel of a line lies on the line."""
    from scipy.special import ndtr

    position = np.arange(size)
    return _frozen(ndtr((size - 0.5 - position) / sigma) - ndtr((-0.5 - position) / sigma))


def low_pass(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth an image by a Gaussian, over the pixels inside the frame only.

    Parameters
    ----------
    image
        (H, W) float32.
    sigma
        Standard deviation in pixels.

    Returns
    -------
    (H, W) float32
    """
    image = check_image(image)
    height, width = image.shape
    # Two small matrix products are faster than a convolution of this width.
    return _gaussian(height, sigma) @ image @ _gaussian(width, sigma).T


def weighted_spectrum(image: np.ndarray, blur: float = 2.0) -> np.ndarray:
    """Compute the Fourier amplitude times the frequency (Eq. 4), smoothed.

    Parameters
    ----------
    image
        (H, W) float32 with mean 0.
    blur
        Standard deviation of the smoothing, in bins.

    Returns
    -------
    (H, W // 2 + 1) float32
        The half plane of non-negative column frequencies, scaled to 256 x 256
        pixels: a Bragg spot grows with the number of pixels.
    """
    from scipy.fft import rfft2
    from scipy.ndimage import gaussian_filter

    image = check_image(image)
    height, width = image.shape
    *_, q = _frequencies(height, width)
    transform = rfft2(image * _window(height, width), workers=1)
    amplitude = q * np.abs(transform) * np.float32(REFERENCE / image.size)
    margin = int(4 * blur + 1)
    return gaussian_filter(_mirrored(amplitude, margin), blur, mode=("wrap", "nearest"))[:, margin:]


def _half_plane(half: np.ndarray, width: int) -> np.ndarray:
    """Check a half plane of Fourier amplitudes of an image so wide."""
    half = check_image(half, "the half plane", floating=True)
    if half.shape[1] != width // 2 + 1:
        raise ValueError(f"an image {width} px wide has no half plane of shape {half.shape}")
    return half


def _mirrored(half: np.ndarray, columns: int) -> np.ndarray:
    """Put columns left of zero frequency: an amplitude is the same at q and -q."""
    left = np.roll(half[::-1, columns:0:-1], 1, axis=0)
    return np.concatenate([left, half], axis=1)


def _highest_nearby(values: np.ndarray) -> np.ndarray:
    """Return the maximum over a square of 7 x 7 bins around each; both axes wrap around."""
    for axis in (0, 1):
        for shift in (1, 2, 3):  # the maximum of 2, then of 4, then of 7 bins in a row
            values = np.maximum(values, np.roll(values, shift, axis))
        values = np.roll(values, -3, axis)
    return values


def bragg_spots(
    spectrum: np.ndarray, width: int, threshold: float = 12.5, peaks: int = 24
) -> np.ndarray:
    """Find the Bragg spots: the highest local maxima of the weighted spectrum.

    Parameters
    ----------
    spectrum
        (H, width // 2 + 1) float32 from :func:`weighted_spectrum`.
    width
        Width of the image in pixels.
    threshold
        Height that a maximum must exceed (the paper's G_thresh).
    peaks
        Most spots in the whole plane; half as many pairs are returned.

    Returns
    -------
    (n, 2) float32
        Frequency of rows and columns in px^-1, strongest first, one of each
        pair. n is 0 where nothing exceeds the threshold.
    """
    spectrum = _half_plane(spectrum, width)
    rows, columns, q = _frequencies(spectrum.shape[0], width)
    highest = _highest_nearby(_mirrored(spectrum, 3))[:, 3:]
    found = (spectrum == highest) & (spectrum > threshold) & (q > BAND[0]) & (q < BAND[1])
    found[rows < 0, 0] = False  # on this column both spots of a pair are in the half plane
    i, j = np.nonzero(found)
    strongest = np.argsort(-spectrum[i, j], kind="stable")[: peaks // 2]
    return np.stack([rows[i], columns[j]], axis=1)[strongest]


def bragg_image(image: np.ndarray, spots: np.ndarray, sigma: float = 0.0156) -> np.ndarray:
    """Keep only the part of an image that is periodic (Eq. 5).

    Parameters
    ----------
    image
        (H, W) float32 with mean 0.
    spots
        (n, 2) float32 from :func:`bragg_spots`, px^-1.
    sigma
        Standard deviation of the Gaussian aperture around each spot, px^-1.

    Returns
    -------
    (H, W) float32

    Notes
    -----
    In the image the aperture is a Gaussian average over 1 / (2 pi sigma)
    pixels, 10.2 for the paper's aperture. The image is padded by zeros; near
    the frame, where part of the average falls on them, the result is divided
    by the share that does not.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    image = check_image(image)
    height, width = image.shape
    reach = 1 / (2 * np.pi * sigma)
    shape = [next_fast_len(n + int(np.ceil(3 * reach)), real=True) for n in (height, width)]
    rows, columns, _ = _frequencies(*shape)
    centres = np.concatenate([spots, -spots])  # both of each pair, so that the result is real

    def gaussian(offset):  # (2n, bins); a frequency is the same one px^-1 further
        return np.exp(-((offset - np.round(offset)) ** 2) / (2 * sigma**2))

    # A round Gaussian is a product of two: the sum over spots is one matrix product.
    aperture = gaussian(rows - centres[:, :1]).T @ gaussian(columns - centres[:, 1:])
    spectrum = rfft2(image, shape, workers=1) * np.minimum(aperture, 1)
    lattice = irfft2(spectrum, shape, workers=1)[:height, :width]
    return lattice / np.outer(_inside(height, reach), _inside(width, reach))


def bragg_filter(
    image: np.ndarray,
    sigma: float = 0.0156,
    peak_threshold: float = 12.5,
    peaks: int = 24,
    blur: float = 2.0,
    smooth: float = 5.0,
    steps: bool = False,
) -> np.ndarray | BraggSteps:
    """Measure, pixel by pixel, how much of a micrograph is not its lattice (Eqs. 4-6).

    Parameters
    ----------
    image
        (H, W), any number type and unit; its illumination should be even.
    sigma
        Radius (standard deviation) of the aperture around a spot, px^-1.
    peak_threshold
        Least height of a spot in the weighted spectrum (the paper's G_thresh),
        for an image of standard deviation 1 and the unnormalised transform of
        256 x 256 pixels.
    peaks
        Most spots, counting both of each pair.
    blur
        Smoothing of the spectrum before the search for spots, bins.
    smooth
        Smoothing of the magnitude of the difference, px.
    steps
        Return all stages.

    Returns
    -------
    (H, W) float32 or BraggSteps
        The residual, in standard deviations of the image: large on contaminant.
        A mask is ``residual > threshold``. Without any spot the lattice is
        zero and the residual is the smoothed magnitude of the image itself.

    Raises
    ------
    ValueError
        If the image is not 2-D, smaller than 32 px, constant, complex, or holds NaN; if
        ``sigma`` is not positive or fewer than two peaks are allowed.

    Notes
    -----
    Sadre et al. (2021), *Segmentation by Fourier Filtering*. Taken apart in
    the chapter *What the Bragg filter sees*.
    """
    image = check_image(image, "the image (a stack is filtered image by image)", least=SMALLEST)
    if sigma <= 0 or peaks < 2:
        raise ValueError(f"need sigma > 0 and at least 2 peaks, got {sigma} and {peaks}")
    image = zscore(image)
    spectrum = weighted_spectrum(image, blur)
    spots = bragg_spots(spectrum, image.shape[1], peak_threshold, peaks)
    lattice = bragg_image(image, spots, sigma)
    difference = image - lattice
    residual = low_pass(np.abs(difference), smooth)
    if steps:
        return BraggSteps(image, spectrum, spots, lattice, difference, residual)
    return residual


def full_plane(half: np.ndarray, width: int) -> np.ndarray:
    """Complete a half plane of Fourier amplitudes for a picture.

    Parameters
    ----------
    half
        (H, width // 2 + 1) float.
    width
        Width of the image in pixels.

    Returns
    -------
    (H, width) float
        Zero frequency in the middle.
    """
    half = _half_plane(half, width)
    missing = half[:, 1 : (width + 1) // 2][:, ::-1]
    mirrored = np.roll(missing[::-1], 1, axis=0)  # the amplitude at -q is that at q
    return np.fft.fftshift(np.concatenate([half, mirrored], axis=1))
