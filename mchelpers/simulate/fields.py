"""Random fields that simulated micrographs share: uneven light, rough surfaces."""

from __future__ import annotations

import numpy as np

from ..data import bernstein

__all__ = [
    "illumination",
    "rough_surface",
]


def illumination(rng: np.random.Generator, size: int, spread: float) -> np.ndarray:
    """Draw uneven light: a biquadratic Bezier surface.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Pixels along each side.
    spread
        Half of the range of the 3 x 3 coefficients around 1.

    Returns
    -------
    (size, size) float64
        Mean 1.
    """
    basis = bernstein(size, 2)
    light = basis @ rng.uniform(1 - spread, 1 + spread, (3, 3)) @ basis.T
    return light / light.mean()


def rough_surface(
    rng: np.random.Generator, shape: tuple[int, int], correlation_px: float, slope: float = 3.0
) -> np.ndarray:
    """Make a random rough surface whose power falls off beyond its correlation length.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns.
    correlation_px
        Length over which heights resemble each other.
    slope
        Exponent of the fall of power with spatial frequency: 3 is rough as
        surfaces are, 8 nearly smooth.

    Returns
    -------
    shape float32
        Mean 0, standard deviation 1.
    """
    from scipy import fft

    rows, columns = (fft.next_fast_len(n + int(2 * correlation_px), real=True) for n in shape)
    q = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None]).astype(np.float32)
    envelope = (1 + (2 * np.pi * correlation_px * q) ** 2) ** (-slope / 4)
    white = fft.rfft2(rng.standard_normal((rows, columns), np.float32))
    noise = fft.irfft2(white * envelope, (rows, columns))[: shape[0], : shape[1]]
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)
