"""What an image, a mask and a pixel size must be before anything is computed from them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

__all__ = ["check_image", "check_mask", "check_pixel_size_nm"]

_LARGEST = 1e15  # squares and sums of more than that leave float32


def check_image(
    image: np.ndarray,
    name: str = "the image",
    ndim: Collection[int] = (2,),
    least: int = 1,
    finite: bool = True,
) -> np.ndarray:
    """Return an image as a plain array in the byte order of this machine, or say what it is not.

    Parameters
    ----------
    image
        (H, W) or as ``ndim`` says, of any real type: float16 becomes float32, and the values of
        any other type stay as they are.
    name
        What the error calls it.
    ndim
        Numbers of dimensions that it may have.
    least
        Pixels that its last two sides must have.
    finite
        Refuse NaN, infinity and magnitudes above 1e15.

    Raises
    ------
    ValueError
        If it is complex or no numbers, has masked pixels, another shape or no pixel, or is not
        finite.
    """
    if np.ma.is_masked(image):
        raise ValueError(f"{name} has masked pixels; fill or crop them first")
    image = np.asarray(image)
    if image.dtype.kind == "c":
        raise ValueError(f"{name} is complex; take np.abs() or np.angle() of it")
    if image.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {image.dtype}")
    if image.ndim not in ndim or not image.size or min(image.shape[-2:]) < least:
        needed = " or ".join("(height, width)" if n == 2 else "(..., height, width)" for n in ndim)
        raise ValueError(
            f"{name} has shape {image.shape}; {needed} of {least} px or more is needed"
        )
    finite &= image.dtype.itemsize > 2 or image.dtype.kind == "f"  # others cannot be too large
    if finite and not np.isfinite(image).all():
        raise ValueError(f"{name} holds NaN or infinity; fill or crop those pixels first")
    if finite and max(-float(image.min()), float(image.max())) > _LARGEST:
        raise ValueError(f"{name} holds values beyond {_LARGEST:g}; bring it to smaller units")
    wider = {"e": np.float32, "g": np.float64}
    return image.astype(wider.get(image.dtype.char, image.dtype.newbyteorder("=")), copy=False)


def check_mask(
    mask: np.ndarray,
    name: str = "the mask",
    shape: tuple[int, ...] | None = None,
    ndim: Collection[int] = (2,),
) -> np.ndarray:
    """Return a boolean mask as an array, or say what it is not (ValueError).

    Parameters
    ----------
    mask
        (H, W) bool, or as ``ndim`` says.
    name
        What the error calls it.
    shape
        That it must have; None takes any.
    """
    mask = check_image(mask, name, ndim, finite=False)
    if mask.dtype != bool:
        raise ValueError(f"{name} must be boolean, got {mask.dtype}; apply a threshold first")
    if shape is not None and mask.shape != tuple(shape):
        raise ValueError(f"{name} has shape {mask.shape}, its image has {tuple(shape)}")
    return mask


def check_pixel_size_nm(size: float, least: float = 1e-4, most: float = 1e5) -> float:
    """Return the edge of a pixel, or refuse what is no length or cannot be in nm (ValueError)."""
    if not least <= size <= most:
        raise ValueError(
            f"pixel_size_nm must be {least:g} to {most:g} nm, got {size}; is it in another unit?"
        )
    return float(size)
