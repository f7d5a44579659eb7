"""From what a file holds to one image: its page, its turn, its alpha, its numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .units import length_unit, pixel_size_in_nm

__all__ = ["Found", "Refused", "check_size", "chosen", "distinct", "numbers", "one_plane", "opaque"]
__all__ += ["pick", "turned"]

LARGEST = 2**32  # bytes of one image; a header that asks for more is taken for a lie


class Refused(ValueError):
    """Why a file is refused; the words go on after its name."""


@dataclass
class Found:
    """What a reader found in a file.

    Attributes
    ----------
    pixels
        (..., H, W) or (..., H, W, C); anything that has a shape and can be indexed.
    colour
        Whether the last axis holds colours.
    sizes
        Height and width of a pixel, as the file spells them.
    unit, z_unit
        Of the sizes and of the values, likewise.
    channels
        Names of the channels.
    notes
        What was converted.
    """

    pixels: Any
    colour: bool = False
    sizes: Sequence[float] | None = None
    unit: object = ""
    z_unit: str | None = None
    channels: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def pixel_size(self) -> tuple[float, str] | tuple[None, None]:
        """Return the edge of a square pixel and its unit, or None for both and a note."""
        if self.sizes is None or not str(self.unit or "").strip():
            return None, None
        height, width = (float(size) for size in self.sizes)
        unit = length_unit(self.unit)
        try:
            pixel_size_in_nm(width, str(self.unit))
            if not math.isclose(height, width, rel_tol=0.01):
                raise ValueError(f"pixels of {height:g} x {width:g} {unit} are not square")
        except ValueError as error:
            self.notes.append(f"the pixel size is left unknown: {error}")
            return None, None
        return width, unit


def check_size(shape: Sequence[int], dtype: np.dtype) -> None:
    """Refuse what has no pixels, is not made of numbers, or would not fit, before it is read."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        raise Refused("is complex; save its amplitude or its phase as an image of its own")
    if dtype.kind not in "biuf":
        raise Refused(f"holds {dtype} and not numbers; save one array of numbers")
    if 0 in shape:
        raise Refused(f"has shape {tuple(shape)}: there are no pixels in it")
    size = math.prod(int(n) for n in shape) * dtype.itemsize
    if size > LARGEST:
        raise Refused(f"asks for {size / 1e9:,.1f} GB; one image has at most {LARGEST / 1e9:.1f}")


def chosen(page: int | None, count: int, shape: Sequence[int]) -> int:
    """Return the number of the page to read; a stack is never an image by accident."""
    if page is None:
        if count == 1:
            return 0
        raise Refused(
            f"is a stack of {count} images (shape {tuple(shape)}); choose one, page=0 to "
            f"page={count - 1}"
        )
    try:
        number = operator.index(page)
    except TypeError:
        number = -1
    if not 0 <= number < count:
        raise Refused(f"has the pages 0 to {count - 1}, not {page!r}")
    return number


def pick(names: Sequence[str], channel: str | None) -> int:
    """Return which of a file's channels to read."""
    listed = ", ".join(dict.fromkeys(names))
    if channel is None and len(set(names)) > 1:
        raise Refused(f"holds the channels {listed}; name one, as in channel={names[0]!r}")
    if not names:
        raise Refused("holds no image")
    if channel is not None and channel not in names:
        raise Refused(f"has no channel {channel!r}; it has {listed}")
    return list(names).index(channel) if channel else 0


def distinct(names: Sequence[str]) -> list[str]:
    """Number the names that a file has more than once, so that each image can be asked for."""
    return [f"{n} ({k})" if names.count(n) > 1 else n for k, n in enumerate(names)]


def one_plane(found: Found, page: int | None) -> np.ndarray:
    """Read one image out of an array of any number of axes: (H, W) or (H, W, C)."""
    source, axes = found.pixels, 3 if found.colour else 2
    shape = tuple(int(n) for n in source.shape)
    if source.dtype.names and set(source.dtype.names) >= set("RGB"):
        source = np.stack([np.asarray(source[name]) for name in "RGB"], -1)
        shape, axes = source.shape, 3
    if len(shape) < axes:
        raise Refused(f"has shape {shape}; an image has a height and a width")
    check_size(shape[len(shape) - axes :], source.dtype)
    stack = shape[: len(shape) - axes]
    if 0 in stack:
        raise Refused(f"has shape {shape}: there are no pixels in it")
    number = chosen(page, math.prod(stack), shape)
    return np.asarray(source[tuple(int(i) for i in np.unravel_index(number, stack))])


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image as the EXIF orientation 1..8 says, so that its top is on top."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def opaque(pixels: np.ndarray, background: float | None, premultiplied: bool = False):
    """Take the last channel as alpha and lay the others on a background.

    Raises
    ------
    Refused
        If a pixel is transparent and no background is named.
    """
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    colours, alpha = pixels[..., :-1], pixels[..., -1:] / top
    colours = colours[..., 0] if colours.shape[-1] == 1 else colours
    alpha = alpha[..., 0] if colours.ndim == 2 else alpha
    if (alpha == 1).all():
        return colours
    if isinstance(background, str) or not 0 <= (background or 0) <= 1:
        raise Refused(f"is to be laid on the background {background!r}; 0 is black, 1 is white")
    if background is None:
        raise Refused(
            f"is transparent in {(alpha < 1).sum()} pixels; lay it on a background (background=0 "
            "for black, 1 for white) or save it without alpha"
        )
    laid = colours * (1 if premultiplied else alpha) + background * top * (1 - alpha)
    return (laid if pixels.dtype.kind == "f" else laid.round()).astype(pixels.dtype)


def numbers(pixels: np.ndarray) -> np.ndarray:
    """Give an image the machine's byte order; refuse what cannot be one."""
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[-1] != 3):
        raise Refused(f"has shape {pixels.shape}; grey, RGB or either with alpha is read")
    check_size(pixels.shape, pixels.dtype)
    if bad := int(pixels.size - np.isfinite(pixels).sum()):
        raise Refused(f"holds {bad} NaN or infinite pixels; fill or crop them first")
    return np.array(pixels, pixels.dtype.newbyteorder("="), order="C")  # no longer the file's
