"""Flat field and normalisation of micrographs.

Source: Sadre et al., Microsc. Microanal. 27, 804 (2021), Eqs. 1-3. Taken
apart in the chapter *What the microscope saw*.
"""

from __future__ import annotations

from math import comb

import numpy as np

__all__ = ["bezier_background", "bernstein", "zscore"]


def bernstein(count: int, degree: int) -> np.ndarray:
    """Evaluate the Bernstein polynomials of one degree on a line of pixels.

    Parameters
    ----------
    count
        Pixels, spread evenly over 0..1.
    degree
        Degree of the polynomials.

    Returns
    -------
    (count, degree + 1) float64
        Each row sums to 1.
    """
    u = np.linspace(0, 1, count)[:, None]
    i = np.arange(degree + 1)
    return np.array([comb(degree, k) for k in i]) * u**i * (1 - u) ** (degree - i)


def bezier_background(
    image: np.ndarray, degree: int = 2, mask: np.ndarray | None = None
) -> np.ndarray:
    """Fit a Bezier surface to an image by least squares.

    Parameters
    ----------
    image
        (H, W) float.
    degree
        Degree along each axis: 2 has 3 x 3 coefficients, 1 has 2 x 2.
    mask
        (H, W) bool, True where pixels count; None counts all.

    Returns
    -------
    (H, W) float64
        The surface, in the units of the image.

    Raises
    ------
    ValueError
        If fewer pixels count than there are coefficients.
    """
    rows, columns = (bernstein(size, degree) for size in image.shape)
    if mask is None:
        # The basis is separable: solve along each axis in turn.
        return rows @ (np.linalg.pinv(rows) @ image @ np.linalg.pinv(columns).T) @ columns.T
    basis = np.einsum("ri,cj->rcij", rows, columns).reshape(image.size, -1)
    counted = mask.ravel()
    if counted.sum() < basis.shape[1]:
        raise ValueError(
            f"{counted.sum()} pixels cannot fix {basis.shape[1]} coefficients; widen the mask"
        )
    coefficients, *_ = np.linalg.lstsq(basis[counted], image.ravel()[counted], rcond=None)
    return (basis @ coefficients).reshape(image.shape)


def zscore(images: np.ndarray) -> np.ndarray:
    """Give each image mean 0 and standard deviation 1 (Eq. 3).

    Parameters
    ----------
    images
        (..., H, W), any number type.

    Returns
    -------
    (..., H, W) float32

    Raises
    ------
    ValueError
        If an image is constant or not finite.
    """
    images = np.asarray(images, np.float64)
    spread = images.std((-2, -1), keepdims=True)
    if not np.isfinite(spread).all():
        raise ValueError("an image holds NaN or infinity; fill or crop those pixels first")
    if (spread == 0).any():
        raise ValueError("an image is constant (all black?); it cannot be normalised")
    return ((images - images.mean((-2, -1), keepdims=True)) / spread).astype(np.float32)
