"""Labelme's files: a JSON file beside each picture, or with the picture inside."""

from __future__ import annotations

import base64
import io
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import numpy as np

from ..downloads import DataError
from . import marks
from .objects import LabelledImage

__all__ = ["read_labelme"]

_NO_AREA = ("line", "linestrip", "point", "points")


def _unpack(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} holds a picture that is not base64 text") from error


def _read_image(content: dict, folder: Path | None, file: Path) -> np.ndarray:
    """Read the picture: the one inside where there is one, as Labelme does, else the one named."""
    name = content.get("imagePath")
    size = content.get("imageHeight"), content.get("imageWidth")
    if not content.get("imageData"):
        if not isinstance(name, str) or not name:
            raise DataError(f"{file} names no picture (imagePath)")
        name = name if folder is None else PureWindowsPath(name).name
        return marks.named_picture(folder or file.parent, name, size, str(file))
    with tempfile.TemporaryDirectory() as place:
        Path(place, "imageData.png").write_bytes(_unpack(content["imageData"], str(file)))
        return marks.named_picture(Path(place), "imageData.png", size, str(file))


def _read_mask(shape: dict, size: tuple[int, int], where: str) -> np.ndarray | None:
    """Draw one shape; None for a kind that has no area."""
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind in _NO_AREA:
        return None
    if kind == "polygon" or (kind == "rectangle" and isinstance(points, list) and len(points) == 4):
        return marks.polygons_to_mask([points], size, where)
    if kind not in ("rectangle", "circle", "mask"):
        raise DataError(f"{where} is a {kind!r}; draw it as a polygon")
    try:
        (x, y), (right, bottom) = np.array(points, float)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} is a {kind} that needs two points") from error
    if not np.isfinite([x, y, right, bottom]).all():
        raise DataError(f"{where} has a corner that is no finite number")
    if kind == "circle":
        radius = float(np.hypot(right - x, bottom - y))
        return marks.ellipse_to_mask(x, y, radius, radius, 0.0, size)
    if kind == "rectangle":
        return marks.polygons_to_mask([marks.box_corners(x, y, right, bottom)], size, where)
    from PIL import Image

    try:
        crop = np.asarray(Image.open(io.BytesIO(_unpack(shape.get("mask"), where)))) > 0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{where} holds a mask that cannot be read ({error})") from error
    if np.abs(np.subtract(crop.shape[:2], (bottom - y + 1, right - x + 1))).max() > 1:
        raise DataError(f"{where} holds a mask of another size than its two points say")
    return marks.paste(crop, round(x), round(y), size, where)


def _read_file(file: Path, folder: Path | None, classes: Sequence[str] | None) -> LabelledImage:
    content = marks.read_json(file)
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise DataError(f"{file} has no list of shapes; Labelme's files have")
    image = LabelledImage(file.stem, _read_image(content, folder, file))
    merged: dict = {}
    for number, shape in enumerate(shapes, 1):
        where, label = f"{file}, shape {number}", shape.get("label")
        if not isinstance(label, str) or not label or label not in (classes or [label]):
            raise DataError(f"{where} has the label {label!r}; expected is {classes or 'a name'}")
        mask = _read_mask(shape, image.shape, where)
        if mask is None:
            warnings.warn(
                f"{where} has no area ({shape['shape_type']}) and is left out", stacklevel=3
            )
            continue
        group = shape.get("group_id")
        key = (label, number, None) if group is None else (label, None, str(group))
        before = merged.setdefault(key, (where, np.zeros(image.shape, bool)))[1]
        before |= mask
    for (label, *_), (where, mask) in merged.items():
        marks.add_object(image, label, mask, where)
    return image


def read_labelme(
    path: Path, folder: Path | None = None, classes: Sequence[str] | None = None
) -> list[LabelledImage]:
    """Read what Labelme saves.

    Parameters
    ----------
    path
        A JSON file, or a folder of them.
    folder
        Of the pictures; by default their paths are those in the files.
    classes
        Class names that may occur; by default any.

    Returns
    -------
    list of LabelledImage
        Sorted by name. A pixel counts whose centre is inside, as COCO counts; Labelme's own
        drawing adds the line. Shapes of one label and one ``group_id`` are one object. Lines and
        points have no area: they are left out with a warning, as is what covers no pixel.

    Raises
    ------
    DataError
        If a file is broken, its picture leads out of the folder, is missing or of another size, a
        label is missing or not expected, or a shape is broken or leaves the frame by more than
        1 px (a circle is cut off).
    """
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no JSON file of Labelme")
    return [_read_file(file, folder, classes) for file in files]
