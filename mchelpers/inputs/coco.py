"""Labelled images as COCO JSON and back: every pixel of every object survives.

Objects without holes are written as polygons along the edges of their pixels, one for each piece;
objects with holes as run lengths, which the format allows for any object. Both are filled as
pycocotools fills them: what is written here, read here or there, differs by 0 pixels.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..downloads import DataError
from . import marks
from .objects import Instance, LabelledImage, check_images
from .polygons import mask_to_outlines
from .rgb import native_rgb8
from .run_lengths import mask_to_runs, runs_to_mask, unpack_runs

__all__ = ["read_coco", "write_coco"]


def _segmentation(instance: Instance, shape: tuple[int, int]) -> list | dict:
    pieces = mask_to_outlines(instance.crop)
    if any(len(piece) > 1 for piece in pieces):
        return {"size": list(shape), "counts": mask_to_runs(instance.mask(shape))}
    corner = (instance.left, instance.top)
    return [(outline + corner).ravel().tolist() for [outline] in pieces]


def write_coco(folder: Path, images: Sequence[LabelledImage], classes: Sequence[str]) -> Path:
    """Write images (PNG) and their objects as COCO does.

    Parameters
    ----------
    folder
        Gets ``images`` and ``annotations.json``.
    images
        What to write.
    classes
        Names; category ids count from 1, in this order.

    Returns
    -------
    Path
        ``annotations.json``. Groups, pixel sizes, layers and areas in um2 are
        kept in further keys, which other readers ignore.

    Raises
    ------
    ValueError
        As :func:`mchelpers.inputs.yolo.write_yolo`, splits aside.
    """
    from PIL import Image

    check_images(images, classes)
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    about, objects = [], []
    for number, image in enumerate(images, 1):
        height, width = image.shape
        file = f"{image.name}.png"
        Image.fromarray(native_rgb8(image.image)).save(folder / "images" / file, compress_level=1)
        pixel_um = None if np.isnan(image.pixel_um) else image.pixel_um
        entry = {"id": number, "file_name": file, "width": width, "height": height}
        about.append(entry | {"group": image.group, "pixel_um": pixel_um, "parent": image.parent})
        for i in image.instances:
            if not i.crop.any():
                continue
            rows, columns = i.crop.shape
            kind = classes.index(i.category) + 1
            ids = {"id": len(objects) + 1, "image_id": number, "category_id": kind}
            outline = {"segmentation": _segmentation(i, image.shape), "area": int(i.crop.sum())}
            box = {"bbox": [i.left, i.top, columns, rows], "iscrowd": 0}
            objects.append(ids | outline | box | {"layers": i.layers})
    categories = [{"id": n, "name": name} for n, name in enumerate(classes, 1)]
    target = folder / "annotations.json"
    content = {"images": about, "annotations": objects, "categories": categories}
    target.write_text(json.dumps(content))
    return target


def _read_mask(thing: dict, shape: tuple[int, int], where: str, boxes: bool) -> np.ndarray:
    """Read the outline of an annotation: polygons, run lengths, or its box where that will do."""
    outline = thing.get("segmentation")
    if isinstance(outline, dict):
        counts = outline.get("counts")
        try:
            if outline.get("size") != list(shape):
                raise ValueError(f"run lengths that do not fill its image of {shape} px")
            counts = unpack_runs(counts) if isinstance(counts, str) else counts
            return runs_to_mask(counts, shape)
        except ValueError as error:
            raise DataError(f"{where} has {error}") from error
    if outline:
        if not isinstance(outline, list) or not all(isinstance(p, list) for p in outline):
            raise DataError(f"{where} has an outline that is not a list of polygons")
        return marks.polygons_to_mask(outline, shape, where)
    if not boxes:
        raise DataError(f"{where} has no outline; draw one, or pass boxes=True to fill its box")
    try:
        left, top, width, height = (float(v) for v in thing["bbox"])
        if min(width, height) < 0:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} has neither an outline nor a box of four numbers") from error
    box = marks.box_corners(left, top, left + width, top + height)
    return marks.polygons_to_mask([box], shape, where)


def _by_id(content: dict, part: str, needed: Sequence[str], file: Path) -> dict:
    """Map the ids of one part of the file to its entries; each has what is ``needed``."""
    entries, found = content.get(part), {}
    if not isinstance(entries, list):
        raise DataError(f"{file} has no list of {part}; COCO's file of labels has")
    for number, entry in enumerate(entries, 1):
        where = f"{file}, number {number} of the {part},"
        if not isinstance(entry, dict) or not {"id", *needed} <= entry.keys():
            raise DataError(f"{where} lacks one of {['id', *needed]}")
        if not all(isinstance(v, int | str) for k, v in entry.items() if k in ("id", *needed)):
            raise DataError(f"{where} has one of {['id', *needed]} that is no number or text")
        if entry["id"] in found:
            raise DataError(f"{where} has the id {entry['id']!r}, which another has too")
        found[entry["id"]] = entry
    return found


def _read_entry(entry: dict, folder: Path, file: Path) -> LabelledImage:
    """Read an image and what :func:`write_coco` adds about it."""
    name, pixel_um = entry["file_name"], entry.get("pixel_um")
    where = f"{file}, image {entry['id']},"
    image = marks.named_picture(folder, name, (entry.get("height"), entry.get("width")), where)
    if pixel_um is not None and not (isinstance(pixel_um, int | float) and 0 < pixel_um < 1e6):
        raise DataError(
            f"{where} has the pixel size {pixel_um!r} um; give a number above 0 or null"
        )
    return LabelledImage(
        Path(name.replace("\\", "/")).stem,
        image,
        group=str(entry.get("group", "")),
        pixel_um=float("nan") if pixel_um is None else float(pixel_um),
        parent=str(entry.get("parent", "")),
    )


def read_coco(
    annotations: Path,
    folder: Path | None = None,
    classes: Sequence[str] | None = None,
    boxes: bool = False,
) -> list[LabelledImage]:
    """Read what :func:`write_coco` or another tool wrote, filled as pycocotools does.

    Parameters
    ----------
    annotations
        The JSON file.
    folder
        Of the images; by default ``images`` beside the file, else the file's own.
    classes
        Class names that the file must have, in the order of their ids; by default any.
    boxes
        Fill the box of an object that has no outline; by default such an object is refused.

    Returns
    -------
    list of LabelledImage
        In the order of the file. A crowd (``iscrowd``) is read as one object, with a warning; an
        object that covers no pixel is left out, with a warning.

    Raises
    ------
    DataError
        If the class lists differ, the file is broken or lacks a part, two entries have one id, an
        image leads out of the folder, is missing or has another size than the file says, or an
        object has no outline, a broken one, or one that leaves the frame by more than 1 px.
    """
    annotations, content = Path(annotations), marks.read_json(annotations)
    categories = _by_id(content, "categories", ["name"], annotations)
    names = {
        n: str(categories[n]["name"]) for n in sorted(categories, key=lambda n: (str(type(n)), n))
    }
    marks.check_classes(list(names.values()), classes, str(annotations))
    entries = _by_id(content, "images", ["file_name"], annotations)
    objects = _by_id(content, "annotations", ["image_id", "category_id"], annotations)
    files = [entry["file_name"] for entry in entries.values()]
    if twice := [file for file, count in Counter(files).items() if count > 1]:
        raise DataError(f"{annotations} lists the image {twice[0]!r} twice; join its annotations")
    folder = marks.picture_folder(annotations, folder)
    images = {n: _read_entry(entry, folder, annotations) for n, entry in entries.items()}
    for thing in objects.values():
        where = f"{annotations}, annotation {thing['id']}"
        if thing["category_id"] not in names or thing["image_id"] not in images:
            raise DataError(f"{where} is of a category or an image that the file does not list")
        image, layers = images[thing["image_id"]], thing.get("layers")
        layers = layers if isinstance(layers, int) else None
        mask = _read_mask(thing, image.shape, where, boxes)
        marks.add_object(image, names[thing["category_id"]], mask, where, layers=layers)
    if crowds := [n for n, thing in objects.items() if thing.get("iscrowd")]:
        warnings.warn(
            f"{annotations}: each crowd is read as one object: {crowds[:5]}", stacklevel=2
        )
    return list(images.values())
