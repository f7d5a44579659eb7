"""Frames of cameras and files as 8-bit RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..downloads import DataError
from .pictures import read_picture

__all__ = ["as_rgb8", "native_rgb8", "read_image"]


def as_rgb8(frame: np.ndarray) -> np.ndarray:
    """Turn a frame of a camera or a file into (H, W, 3) uint8.

    Grey frames get three equal channels; 16-bit frames, of either byte order, lose their lower
    eight bits (one of 12 bits must be scaled by whoever knows); an opaque fourth channel is
    dropped.

    Raises
    ------
    ValueError
        If the frame is empty, has another shape or type, is partly transparent, or has masked
        pixels.
    """
    if np.ma.is_masked(frame):
        raise ValueError("the frame has masked pixels; fill them first")
    frame = np.asarray(frame)
    return native_rgb8(frame.astype(frame.dtype.newbyteorder("="), copy=False))


def native_rgb8(frame: np.ndarray) -> np.ndarray:
    """Turn a frame of the machine's byte order into RGB, as :func:`as_rgb8` does.

    Trainings reach this one, and are kept by its code.
    """
    frame = np.asarray(frame)
    if not frame.size or frame.ndim not in (2, 3):
        raise ValueError(f"not an image: shape {frame.shape}")
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    if frame.dtype != np.uint8:
        raise ValueError(f"need a frame of 8 or 16 bits, got {frame.dtype}")
    if frame.ndim == 2 or frame.shape[2] == 1:
        return np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    if frame.shape[2] == 4 and (frame[..., 3] < 255).any():
        raise ValueError("the frame is partly transparent; lay it on a background first")
    if frame.shape[2] not in (3, 4):
        raise ValueError(f"need 1, 3 or 4 channels, got {frame.shape[2]}")
    return np.ascontiguousarray(frame[..., :3])


def read_image(path: Path) -> np.ndarray:
    """Read an image file with :func:`as_rgb8`; :class:`DataError` if it is not one.

    Files are read by :func:`mchelpers.inputs.pictures.read_picture`.
    """
    pixels = read_picture(path).pixels
    try:
        return as_rgb8(pixels)
    except ValueError as error:
        raise DataError(f"{path} cannot be read as a colour image: {error}") from error
