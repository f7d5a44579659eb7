"""What an image, a mask and a pixel size must be before anything is computed from them."""

from __future__ import annotations

import numpy as np

__all__ = ["check_image", "check_mask", "check_pixel_size_nm"]

_LARGEST = 1e15  # squares and sums of more than that leave float32


def check_image(
    image: np.ndarray, name: str = "the image", ndim=(2,), least=1, finite=True, floating=False
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
        Numbers of dimensions that it may have; None for any, as of colours, that its user checks.
    least
        Pixels that its last two sides must have.
    finite
        Refuse NaN, infinity and magnitudes above 1e15.
    floating
        Turn integers and booleans into float64.

    Raises
    ------
    ValueError
        If it is complex or no numbers, has masked pixels, another shape or no pixel, or is not
        finite.
    """
    if np.ma.is_masked(image):
        raise ValueError(f"{name} has masked pixels; fill or crop them first")
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        advice = "; take np.abs() or np.angle() of it" if image.dtype.kind == "c" else ""
        raise ValueError(f"{name} is {image.dtype}, but must hold real numbers{advice}")
    shaped = ndim is None or (image.ndim in ndim and min(image.shape[-2:], default=0) >= least)
    if not image.size or not shaped:
        before = {3: "images, ", 4: "images, maps, "}.get(min(ndim or (2,)), "")
        needed = f"({before}height, width) of at least {least} x {least} px is needed"
        raise ValueError(f"{name} has shape {image.shape}; {needed}")
    finite &= image.dtype.itemsize > 2 or image.dtype.kind == "f"  # others cannot be too large
    largest = max(-float(image.min()), float(image.max())) if finite else 0.0
    if not np.isfinite(largest):  # one NaN makes the least and the largest value NaN
        raise ValueError(f"{name} holds NaN or infinity; fill or crop those pixels first")
    if largest > _LARGEST:
        raise ValueError(f"{name} holds values beyond {_LARGEST:g}; bring it to smaller units")
    if floating and image.dtype.kind != "f":
        return image.astype(np.float64)
    wider = {"e": np.float32, "g": np.float64}
    return image.astype(wider.get(image.dtype.char, image.dtype.newbyteorder("=")), copy=False)


def check_mask(
    mask: np.ndarray, name: str = "the mask", shape: tuple | None = None, ndim=(2,)
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
        raise ValueError(f"{name} has shape {mask.shape}, the image has {tuple(shape)}")
    return mask


def check_pixel_size_nm(size: float, least: float = 1e-4, most: float = 1e5) -> float:
    """Return the edge of a pixel, or refuse what no micrograph's can be, in nm (ValueError)."""
    try:
        nm = float(size)
    except (TypeError, ValueError):
        nm = np.nan
    if not least <= nm <= most:
        raise ValueError(
            f"pixel_size_nm must be {least:g} to {most:g} nm, got {size}; is it in another unit?"
        )
    return nm
