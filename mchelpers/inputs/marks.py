"""What readers of labels share: text, pictures by name, corners, objects without pixels."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..downloads import DataError, stays_inside
from .objects import Instance, LabelledImage
from .polygons import outlines_to_mask
from .rgb import read_image

__all__ = [
    "add_object",
    "box_corners",
    "check_classes",
    "ellipse_to_mask",
    "named_picture",
    "paste",
]
__all__ += ["picture_folder", "polygons_to_mask", "read_corners", "read_json", "read_text"]


def read_text(path: Path) -> str:
    """Read UTF-8 text with or without a byte-order mark, or say why not (DataError)."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8; save it as such") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_json(path: Path) -> dict:
    """Read a JSON file that holds one object, or say why not (DataError)."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); is it cut short?") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(
            f"{path} holds a {kind}; a file of labels begins with {{ and names its parts"
        )
    return content


def check_classes(names: Sequence[str], classes: Sequence[str] | None, where: str) -> None:
    """Refuse class names (DataError) that are not those expected, in this order."""
    if classes is not None and list(classes) != list(names):
        raise DataError(f"{where} has the classes {list(names)}, expected {list(classes)}")
    if len(set(names)) != len(names):
        raise DataError(f"{where} has two classes of one name: {list(names)}")


def picture_folder(labels: Path, folder: Path | None) -> Path:
    """Return the folder named, else ``images`` beside the labels, else that of the labels."""
    beside = Path(labels).parent / "images"
    return Path(folder) if folder is not None else beside if beside.is_dir() else beside.parent


def named_picture(folder: Path, name: str, size: tuple, where: str) -> np.ndarray:
    """Read the picture that labels name.

    Parameters
    ----------
    folder
        That it lies in or below.
    name
        As the labels have it, with slashes of either kind.
    size
        Rows and columns that the labels state; None where they do not.
    where
        What the error begins with.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    DataError
        If the name leads out of the folder, or the picture is missing, unreadable or of another
        size.
    """
    if not isinstance(name, str) or not stays_inside(name):
        raise DataError(
            f"{where} names the picture {name!r}, which leads out of {folder}; name a file in it"
        )
    path = Path(folder, name.replace("\\", "/"))
    if not os.path.isfile(path):  # no error for names that cannot be
        raise DataError(f"{where} names {name!r}, which is not in {folder}; name the right folder")
    image = read_image(path)
    if any(s not in (None, real, str(real)) for s, real in zip(size, image.shape)):
        rows, columns = image.shape[:2]
        raise DataError(
            f"{where} says that {name} has {size[1]} x {size[0]} px, it has {columns} x {rows}"
        )
    return image


def read_corners(
    values: Sequence, shape: tuple[int, int], where: str, slack: float | np.ndarray = 1.0
) -> np.ndarray:
    """Check the corners of a polygon.

    Parameters
    ----------
    values
        x and y in turn, or pairs of them, in pixels.
    shape
        Rows and columns of the frame.
    where
        What the error begins with.
    slack
        How far a corner may leave the frame, in pixels.

    Returns
    -------
    (N, 2) float64

    Raises
    ------
    DataError
        If it is not a list of pairs of numbers, has fewer than three corners, one that is not
        finite or one that leaves the frame.
    """
    try:
        ring = np.array(values, float)
        ring = ring.reshape(-1, 2) if ring.ndim == 1 else ring
        if ring.shape != (len(ring), 2):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} has an outline that is not a list of x y pairs") from error
    if not np.isfinite(ring).all():
        raise DataError(f"{where} has a corner that is no finite number")
    if len(ring) < 3:
        raise DataError(f"{where} has a polygon of {len(ring)} points; 3 or more are needed")
    size = np.array(shape[::-1])
    if (ring < -slack).any() or (ring > size + slack).any():
        raise DataError(f"{where} has a polygon that leaves the frame of {size[0]} x {size[1]} px")
    return ring


def polygons_to_mask(
    polygons: Sequence[Sequence], shape: tuple[int, int], where: str, slack=1.0
) -> np.ndarray:
    """Check polygons with :func:`read_corners` and fill them as pycocotools does: (H, W) bool."""
    return outlines_to_mask([read_corners(p, shape, where, slack) for p in polygons], shape)


def box_corners(left, top, right, bottom, degrees: float = 0.0) -> np.ndarray:
    """Return the corners of a box, turned clockwise round its centre: (4, 2) float."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (corners - corners.mean(0)) @ [[cos, sin], [-sin, cos]] + corners.mean(0)


def ellipse_to_mask(
    x: float, y: float, across: float, down: float, degrees: float, shape: tuple[int, int]
) -> np.ndarray:
    """Mark the pixels whose centres an ellipse covers, given its centre and half its axes in px.

    It is turned clockwise; what leaves the frame is cut off.
    """
    if min(across, down) <= 0:
        return np.zeros(shape, bool)
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    along = (columns - x) * cos + (rows - y) * sin
    aside = (rows - y) * cos - (columns - x) * sin
    with np.errstate(over="ignore", invalid="ignore"):  # far outside is outside
        return (along / across) ** 2 + (aside / down) ** 2 <= 1


def paste(crop: np.ndarray, left: int, top: int, shape: tuple[int, int], where: str) -> np.ndarray:
    """Lay a (h, w) bool mask into a frame, (H, W) bool; DataError if it leaves the frame."""
    fits = crop.ndim == 2 and min(left, top) >= 0
    if not fits or top + crop.shape[0] > shape[0] or left + crop.shape[1] > shape[1]:
        raise DataError(f"{where} has a mask that leaves its frame of {shape[1]} x {shape[0]} px")
    mask = np.zeros(shape, bool)
    mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return mask


def add_object(image: LabelledImage, category: str, mask: np.ndarray, where: str, **about) -> None:
    """Add an object to an image; one without pixels is left out with a warning."""
    if mask.any():
        image.instances.append(Instance.of(category, mask, image.pixel_um, **about))
    else:
        warnings.warn(f"{where} covers no pixel and is left out", stacklevel=2)
