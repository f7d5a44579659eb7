"""CVAT's export *for images 1.1*: one XML file for all pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from ..downloads import DataError
from . import marks
from .objects import LabelledImage
from .run_lengths import runs_to_mask

__all__ = ["read_cvat"]

_AREAS = ("polygon", "box", "ellipse", "mask")


def _read_xml(file: Path) -> Element:
    """Parse a file; one with a document type is refused, for its entities may name other files."""

    def refuse(*_):
        raise DataError(f"{file} has a document type (<!DOCTYPE>), which CVAT does not write")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(file.read_bytes(), True)
    except (expat.ExpatError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{file} cannot be read as XML ({error}); is it cut short?") from error
    return builder.close()


def _numbers(thing: Element, names: str, where: str) -> list[float]:
    """Read attributes that must be finite numbers; a turn or depth that is not there is 0."""
    given = {"rotation": "0", "z_order": "0", **thing.attrib}
    try:
        values = [float(given.get(n, "")) for n in names.split()]
    except ValueError as error:
        raise DataError(f"{where} lacks one of the numbers {names}") from error
    if not np.isfinite(values).all():
        raise DataError(f"{where} has one of {names} that is no finite number")
    return values


def _read_mask(thing: Element, shape: tuple[int, int], where: str) -> np.ndarray:
    if thing.tag == "polygon":
        points = [pair.split(",") for pair in thing.get("points", "").split(";")]
        return marks.polygons_to_mask([points], shape, where)
    if thing.tag == "box":
        box = marks.box_corners(*_numbers(thing, "xtl ytl xbr ybr rotation", where))
        return marks.polygons_to_mask([box], shape, where)
    if thing.tag == "ellipse":
        return marks.ellipse_to_mask(*_numbers(thing, "cx cy rx ry rotation", where), shape)
    left, top, width, height = map(int, _numbers(thing, "left top width height", where))
    try:
        counts = [int(n) if n.strip().isdecimal() else -1 for n in thing.get("rle", "").split(",")]
        if not (0 < width <= shape[1] and 0 < height <= shape[0]):
            raise ValueError("run lengths that do not fit in its frame")
        crop = runs_to_mask(counts, (height, width), order="C")
    except ValueError as error:
        raise DataError(f"{where} has {error}") from error
    return marks.paste(crop, left, top, shape, where)


def _read_image(entry: Element, names: list[str], folder: Path, file: Path) -> LabelledImage:
    """Read one picture and its objects, the lowest first."""
    name = entry.get("name", "")
    size = [int(n) if (n := entry.get(s, "")).isdecimal() else None for s in ("height", "width")]
    image = marks.named_picture(folder, name, size, str(file))
    image = LabelledImage(PureWindowsPath(name).stem, image)
    drawn = []
    for number, thing in enumerate(entry, 1):
        where, label = f"{file}, {name}, {thing.tag} number {number},", thing.get("label")
        if label not in names:
            raise DataError(f"{where} has the label {label!r}; expected is one of {names}")
        if thing.tag not in _AREAS:
            warnings.warn(f"{where} has no area and is left out", stacklevel=3)
            continue
        drawn.append(
            (_numbers(thing, "z_order", where), label, _read_mask(thing, image.shape, where), where)
        )
    for _, label, mask, where in sorted(drawn, key=lambda d: d[0]):
        marks.add_object(image, label, mask, where)
    return image


def read_cvat(
    annotations: Path, folder: Path | None = None, classes: Sequence[str] | None = None
) -> list[LabelledImage]:
    """Read an export of CVAT *for images 1.1*.

    Parameters
    ----------
    annotations
        The XML file.
    folder
        Of the pictures; by default ``images`` beside the file, else the file's own.
    classes
        Class names that the file must have, in its order; by default any.

    Returns
    -------
    list of LabelledImage
        In the order of the file; the objects of each by ``z_order``, the lowest first, each with
        all its pixels, those that another covers too. A pixel counts whose centre is inside.
        ``occluded`` and attributes are not kept. What has no area (points, polylines, tags,
        skeletons, cuboids) is left out with a warning, as is what covers no pixel.

    Raises
    ------
    DataError
        If the file is broken, is another export or has a document type, the class lists differ, a
        picture leads out of the folder, is missing or of another size, or a shape is broken, of
        an unknown class or leaves the frame by more than 1 px (an ellipse is cut off).
    """
    annotations = Path(annotations)
    root = _read_xml(annotations)
    if root.tag != "annotations" or root.find("track") is not None:
        raise DataError(f"{annotations} is no export 'CVAT for images 1.1'; export it as that")
    names = list(dict.fromkeys(n.text for n in root.iterfind("meta//labels/label/name")))
    names = names or sorted({thing.get("label", "") for thing in root.iterfind("image/*")})
    marks.check_classes(names, classes, str(annotations))
    folder = marks.picture_folder(annotations, folder)
    return [_read_image(entry, names, folder, annotations) for entry in root.iterfind("image")]
