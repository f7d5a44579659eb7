"""Labelled micrographs: how they are held, read, made even and split.

Real data is never part of this repository; :mod:`mchelpers.downloads` finds its files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import comb
from pathlib import Path

import numpy as np

from ._moved import find_object
from .checks import check_image, check_mask
from .downloads import DataError, data_folder, fetch, fetch_all, registry  # noqa: F401
from .inputs.pictures import is_grey, read_picture

__all__ = [
    "Micrographs",
    "Split",
    "bernstein",
    "bezier_background",
    "read_mask",
    "read_micrograph",
    "split_samples",
    "zscore",
]


@dataclass
class Micrographs:
    """Images with masks, and what is needed to split them honestly.

    Attributes
    ----------
    images
        (N, H, W) float32, in the units the file had.
    masks
        (N, H, W) bool, True on the labelled class.
    names
        N names, one per image.
    groups
        Name of a grouping -> (N,) array of labels; images that share a label
        must stay on one side of a split.
    kind
        ``"real"`` or ``"simulated"``.
    sha256
        One hash over all files or arrays.
    pixel_size_nm
        (N,) float, nm per pixel; NaN where unknown.
    """

    images: np.ndarray
    masks: np.ndarray
    names: list[str]
    groups: dict[str, np.ndarray]
    kind: str
    sha256: str
    pixel_size_nm: np.ndarray = field(default=None)

    def __post_init__(self):
        if self.pixel_size_nm is None:
            self.pixel_size_nm = np.full(len(self.names), np.nan)

    def __len__(self) -> int:
        return len(self.names)


def read_micrograph(path: Path) -> np.ndarray:
    """Read a grey-scale micrograph of any format and bit depth.

    Files are read by :func:`mchelpers.inputs.pictures.read_picture`.

    Returns
    -------
    (H, W) float32
        Intensity in the file's units. Of RGB whose colours are equal, one is taken.

    Raises
    ------
    DataError
        If the file cannot be read, is not a single image, is in colour, holds
        NaN or infinity, or is constant (all black, say).
    """
    image = read_picture(path).pixels
    if image.ndim == 3:
        if not is_grey(image):
            raise DataError(f"{path} is a colour image; a grey-scale micrograph is needed")
        image = image[..., 0]
    with np.errstate(over="ignore"):
        image = image.astype(np.float32)
    if not np.isfinite(image).all():
        raise DataError(f"{path} holds values beyond the range of float32; scale it first")
    if image.min() == image.max():
        raise DataError(f"{path} is constant ({image.min():g}); there is nothing to segment")
    return image


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask: 0, or black, is background and the one other value the labelled class.

    Parameters
    ----------
    path
        Image file, (H, W) or of colours; of any bit depth. Transparent is background.
    shape
        Shape that the mask must have.

    Returns
    -------
    (H, W) bool
        May be empty: an image without the labelled class is a fact, not an error.

    Raises
    ------
    DataError
        If the file cannot be read, does not have the shape, or holds more than one value
        beside 0 and these are not the soft edge of one class.

    Notes
    -----
    Soft edges, as compression or scaling leaves them, are cut at half of the range: 0.5 of
    floats within 0..1; of integers half of 255 or, where values go beyond, of 65535 or the
    type's largest, provided that some come within a tenth of the range's end and no more lie
    between the ends. Other values are numbers of objects or classes, and refused.
    """
    mask = read_picture(path, background=0).pixels
    if shape is not None and mask.shape[:2] != tuple(shape):
        raise DataError(f"{path} has shape {mask.shape}, its image has {shape}")
    if mask.ndim == 3:
        mask = mask[..., 0] if is_grey(mask) else _coloured(mask, path)
    values = np.unique(mask)
    if values[0] >= 0 and len(values[values > 0]) <= 1:
        return mask > 0
    top = 1 if mask.dtype.kind == "f" else _range_of(mask)
    at_end, inside = (mask >= 0.9 * top).sum(), ((mask > 0.1 * top) & (mask < 0.9 * top)).sum()
    is_soft = mask.dtype.kind == "f" or (at_end > 0 and inside <= at_end)
    if not (0 <= values[0] and values[-1] <= top and is_soft):
        raise DataError(
            f"{path} holds {len(values)} values from {values[0]:g} to {values[-1]:g}, so it is no "
            "mask of one class; save the objects or classes that are meant as 1, all else as 0"
        )
    return mask > top / 2


def _range_of(mask: np.ndarray) -> int:
    """Return the largest value that a mask's values can have, by their size and their type."""
    ranges = (255, 65535, np.iinfo(mask.dtype).max)
    return next(top for top in ranges if mask.max() <= top)


def _coloured(mask: np.ndarray, path: Path) -> np.ndarray:
    """Read a mask of colours: black is background."""
    colours = np.unique(mask.reshape(-1, 3), axis=0)
    if len(colours) != 2 or colours[0].any():
        raise DataError(
            f"{path} holds {len(colours)} colours; a mask of one class is black and one other"
        )
    return mask.any(-1)


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
        If fewer pixels count than there are coefficients, or the image is none.
    """
    image = check_image(image)
    rows, columns = (bernstein(size, degree) for size in image.shape)
    if mask is None:
        # The basis is separable: solve along each axis in turn.
        return rows @ (np.linalg.pinv(rows) @ image @ np.linalg.pinv(columns).T) @ columns.T
    basis = np.einsum("ri,cj->rcij", rows, columns).reshape(image.size, -1)
    counted = check_mask(mask, shape=image.shape).ravel()
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
        If an image is constant, not finite or complex.
    """
    images = check_image(images, "an image", range(2, 9)).astype(np.float64)
    spread = images.std((-2, -1), keepdims=True)
    if (spread == 0).any():
        raise ValueError("an image is constant (all black?); it cannot be normalised")
    return ((images - images.mean((-2, -1), keepdims=True)) / spread).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Numbers of the micrographs on each side of a split; no sample is on two sides.

    Attributes
    ----------
    train, validation, test
        (n,) int, ascending.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_samples(samples: np.ndarray, validation: int = 5, test: int = 6, seed: int = 0) -> Split:
    """Split micrographs by sample, as many samples on each side as the study had.

    Parameters
    ----------
    samples
        (N,) label of each micrograph's sample.
    validation, test
        Samples put aside; the study: 5 and 6 of 52.
    seed
        Of the shuffle.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If no sample is left to train on.
    """
    samples = np.asarray(samples)
    names = np.unique(samples)
    if min(validation, test) < 0 or validation + test >= len(names):
        raise ValueError(
            f"{len(names)} samples cannot give {validation} for validation, {test} for testing "
            "and one or more for training"
        )
    order = np.random.default_rng(seed).permutation(names)
    sides = np.split(order, [test, test + validation])
    test_side, validation_side, train_side = (np.flatnonzero(np.isin(samples, s)) for s in sides)
    return Split(train_side, validation_side, test_side)


__getattr__ = partial(find_object, "data")  # old names of recorded chapters
