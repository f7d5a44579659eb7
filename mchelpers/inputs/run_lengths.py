"""Masks as run lengths and back: exact, for objects of any shape.

COCO counts pixels column by column, of background and object in turn, beginning with background;
pycocotools packs the counts into a string.
"""

from __future__ import annotations

import numpy as np

__all__ = ["mask_to_runs", "runs_to_mask", "unpack_runs"]


def mask_to_runs(mask: np.ndarray) -> list[int]:
    """Count the pixels of an (H, W) bool mask, column by column."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0))  # begins with background, maybe none
    return np.diff(np.r_[0, edges, flat.size]).tolist()


def runs_to_mask(counts: list[int], shape: tuple[int, int], order: str = "F") -> np.ndarray:
    """Lay counts out as a mask.

    Parameters
    ----------
    counts
        Whole numbers, of background and object in turn.
    shape
        Rows and columns.
    order
        ``"F"`` counts column by column, as COCO; ``"C"`` row by row, as CVAT.

    Returns
    -------
    (H, W) bool

    Raises
    ------
    ValueError
        If they are no list, one is no whole number or below 0, or they do not fill the shape.
    """
    if not isinstance(counts, list):
        raise ValueError("run lengths that are no list of counts")
    if any(type(n) is not int or n < 0 for n in counts):
        raise ValueError("run lengths that are no whole numbers of 0 and more")
    if sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"run lengths that do not fill {shape[0]} x {shape[1]} px")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape, order=order)


def unpack_runs(packed: str) -> list[int]:
    """Read the string that pycocotools makes of counts.

    Each number is cut into fives of bits, the lowest first, one to a character; the sixth bit
    says that more follow. From the fourth number on, each is the difference to the one two before.

    Raises
    ------
    ValueError
        If the string holds another character or breaks off.
    """
    counts, number, shift = [], 0, 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("packed run lengths that are damaged")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (bits & 16) << (shift - 4)  # the highest of the bits is a sign
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number, shift = 0, 0
    if shift:
        raise ValueError("packed run lengths that break off")
    return counts
