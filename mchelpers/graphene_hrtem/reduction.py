"""Data reduction: keep the lattice to the bit, write the contaminant in few bytes.

Source of the idea: Sadre et al., Microsc. Microanal. 27, 804 (2021), section
*Data Reduction and sorting*, which names run-length coding of the class that
matters less and does not carry it out. The format is ours; it is taken apart in
the chapter *Atoms, bonds and sorting*.
"""

from __future__ import annotations

import zlib

import numpy as np

from ..checks import check_image, check_mask
from ..metrics import check_masks

__all__ = [
    "compress",
    "decode_runs",
    "decompress",
    "encode_runs",
    "lattice_lost",
]

_MAGIC = b"MMR1"


def _write_numbers(numbers: np.ndarray | list[int]) -> bytes:
    """Write non-negative numbers, seven bits a byte; the top bit says that more follow."""
    out = bytearray()
    for number in map(int, numbers):
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def _read_numbers(code: bytes, count: int | None = None) -> tuple[list[int], int]:
    """Read so many numbers (all, if None); return them and the bytes they took."""
    numbers, value, shift, position = [], 0, 0, 0
    while position < len(code) and (count is None or len(numbers) < count):
        byte = code[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    if shift or (count is not None and len(numbers) < count):
        raise ValueError("the code ends in the middle of a number; was the file cut short?")
    return numbers, position


def encode_runs(mask: np.ndarray) -> bytes:
    """Write a mask as the lengths of its runs, row by row.

    Parameters
    ----------
    mask
        (H, W) bool.

    Returns
    -------
    bytes
        Lengths of False, True, False, ... in turn, the first of them possibly
        0; one byte for a run up to 127 pixels, two up to 16,383.

    Raises
    ------
    ValueError
        If the mask is not boolean.
    """
    mask = check_mask(mask)
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return _write_numbers(np.diff(changes, prepend=0, append=flat.size))


def decode_runs(code: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask from the lengths of its runs.

    Parameters
    ----------
    code
        As from :func:`encode_runs`.
    shape
        Rows and columns of the mask.

    Returns
    -------
    (H, W) bool

    Raises
    ------
    ValueError
        If the runs do not fill the shape.
    """
    runs, _ = _read_numbers(code)
    if sum(runs) != np.prod(shape):
        raise ValueError(f"the runs cover {sum(runs)} pixels, a mask of {shape} has another number")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)


def _regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    from scipy.ndimage import label

    return label(mask)


def _region_means(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import mean

    regions, count = _regions(mask)
    return np.rint(mean(image, regions, np.arange(1, count + 1))).astype(np.uint8)


def _checked(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = check_image(image)
    if image.dtype != np.uint8:
        raise ValueError(f"an 8-bit image (H, W) is needed, got {image.dtype} {image.shape}")
    return image, check_mask(mask, shape=image.shape)


def compress(image: np.ndarray, mask: np.ndarray) -> bytes:
    """Write an image exactly outside a mask, and by one grey value per region inside.

    Parameters
    ----------
    image
        (H, W) uint8.
    mask
        (H, W) bool, True where detail may be lost. An empty mask loses nothing.

    Returns
    -------
    bytes
        Size, runs of the mask, a byte per region, and the remaining pixels by
        Huffman's code (shot noise has no repetitions that more could use).

    Raises
    ------
    ValueError
        If the image is not uint8, or the mask is not boolean or of another shape.
    """
    image, mask = _checked(image, mask)
    runs = encode_runs(mask)
    coder = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    pixels = coder.compress(image[~mask].tobytes()) + coder.flush()
    head = _MAGIC + _write_numbers([*image.shape, len(runs)])
    return head + runs + _region_means(image, mask).tobytes() + pixels


def decompress(code: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask back.

    Parameters
    ----------
    code
        As from :func:`compress`.

    Returns
    -------
    (H, W) uint8, (H, W) bool
        The image, with the mean grey value in each region of the mask, and the mask.

    Raises
    ------
    ValueError
        If the code is of another kind, damaged or cut short.
    """
    if code[: len(_MAGIC)] != _MAGIC:
        raise ValueError("this is not a reduced image: its first bytes are not MMR1")
    code = code[len(_MAGIC) :]
    (height, width, length), used = _read_numbers(code, 3)
    mask = decode_runs(code[used : used + length], (height, width))
    regions, count = _regions(mask)
    start = used + length + count
    means = np.frombuffer(code[used + length : start], np.uint8)
    try:
        pixels = np.frombuffer(zlib.decompress(code[start:]), np.uint8)
    except zlib.error as error:
        raise ValueError(f"the pixels are damaged or cut short ({error})") from error
    if len(means) != count or len(pixels) != (~mask).sum():
        raise ValueError("the mask and the pixels do not fit together; the code is damaged")
    image = np.append(0, means).astype(np.uint8)[regions]
    image[~mask] = pixels
    return image, mask


def lattice_lost(masks: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the clean pixels that masks would throw away.

    Parameters
    ----------
    masks, truth
        (N, H, W) bool: what is thrown away, and what is contaminant.

    Returns
    -------
    float
        Clean pixels inside the masks over all clean pixels; NaN without any.
    """
    masks, truth = check_masks(masks, truth)
    clean = ~truth
    return float((masks & clean).sum() / clean.sum()) if clean.any() else float("nan")
