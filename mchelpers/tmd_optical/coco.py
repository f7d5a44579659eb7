"""Labelled images as COCO JSON and back: every pixel of every object survives.

Objects without holes are written as polygons, one for each piece, in the
convention of :mod:`mchelpers.tmd_optical.polygons`; objects with holes as run lengths, which
the format allows for any object. Area and box are those of the pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data import DataError
from ..inputs.rgb import as_rgb8, read_image
from .objects import Instance, LabelledImage, check_images
from .polygons import rings_to_mask

__all__ = ["read_coco", "write_coco"]


def _run_lengths(mask: np.ndarray) -> list[int]:
    """Count pixels, column by column, of background and object in turn."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0))  # begins with background, maybe none
    return np.diff(np.r_[0, edges, flat.size]).tolist()


def _segmentation(instance: Instance, shape: tuple[int, int]) -> list | dict:
    pieces = instance.rings()
    if any(len(piece) > 1 for piece in pieces):
        return {"size": list(shape), "counts": _run_lengths(instance.mask(shape))}
    padded = [np.vstack([r, np.repeat(r[-1:], max(0, 3 - len(r)), axis=0)]) for [r] in pieces]
    return [ring.ravel().tolist() for ring in padded]


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
        As :func:`mchelpers.tmd_optical.objects.write_yolo`, splits aside.
    """
    from PIL import Image

    check_images(images, classes)
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    about, objects = [], []
    for number, image in enumerate(images, 1):
        height, width = image.shape
        file = f"{image.name}.png"
        Image.fromarray(as_rgb8(image.image)).save(folder / "images" / file, compress_level=1)
        pixel_um = None if np.isnan(image.pixel_um) else image.pixel_um
        entry = {"id": number, "file_name": file, "width": width, "height": height}
        about.append(entry | {"group": image.group, "pixel_um": pixel_um, "parent": image.parent})
        for i in image.instances:
            if not i.crop.any():
                continue
            rows, columns = i.crop.shape
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": number,
                    "category_id": classes.index(i.category) + 1,
                    "segmentation": _segmentation(i, image.shape),
                    "area": int(i.crop.sum()),
                    "bbox": [i.left, i.top, columns, rows],
                    "iscrowd": 0,
                    "layers": i.layers,
                }
            )
    categories = [{"id": n, "name": name} for n, name in enumerate(classes, 1)]
    target = folder / "annotations.json"
    content = {"images": about, "annotations": objects, "categories": categories}
    target.write_text(json.dumps(content))
    return target


def _read_mask(segmentation: list | dict, shape: tuple[int, int], where: str) -> np.ndarray:
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if not isinstance(counts, list):
            raise DataError(f"{where} has compressed run lengths; decode them with pycocotools")
        if tuple(segmentation["size"]) != shape or sum(counts) != shape[0] * shape[1]:
            raise DataError(f"{where} has run lengths that do not fill its image of {shape} px")
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(shape, order="F")
    rings = [np.array(ring, float).reshape(-1, 2) for ring in segmentation]
    if any(len(r) < 3 or r.min() < 0 or (r > np.array(shape[::-1])).any() for r in rings):
        raise DataError(f"{where} has a polygon that leaves the frame or has below 3 points")
    last = np.array(shape[::-1]) - 0.5  # a point on the frame's far edge is in its last pixel
    return rings_to_mask([[np.minimum(ring, last)] for ring in rings], shape)


def read_coco(
    annotations: Path, folder: Path | None = None, classes: Sequence[str] | None = None
) -> list[LabelledImage]:
    """Read what :func:`write_coco` or another tool wrote.

    Parameters
    ----------
    annotations
        The JSON file.
    folder
        Of the images; by default ``images`` beside the file.
    classes
        Class names that the file must have, in the order of their ids; by default any.

    Returns
    -------
    list of LabelledImage
        In the order of the file.

    Raises
    ------
    DataError
        If the class lists differ, an image is missing or has another size than
        the file says, a polygon leaves the frame, or run lengths do not fit.
    """
    annotations = Path(annotations)
    folder = annotations.parent / "images" if folder is None else Path(folder)
    content = json.loads(annotations.read_text())
    names = {c["id"]: c["name"] for c in sorted(content["categories"], key=lambda c: c["id"])}
    if classes is not None and list(names.values()) != list(classes):
        raise DataError(
            f"{annotations} has the classes {[*names.values()]}, expected {list(classes)}"
        )
    images = {}
    for entry in content["images"]:
        image = read_image(folder / entry["file_name"])
        if image.shape[:2] != (entry["height"], entry["width"]):
            raise DataError(f"{entry['file_name']} is not of the size that {annotations} says")
        pixel_um = entry.get("pixel_um")
        images[entry["id"]] = LabelledImage(
            Path(entry["file_name"]).stem,
            image,
            group=entry.get("group", ""),
            pixel_um=float("nan") if pixel_um is None else pixel_um,
            parent=entry.get("parent", ""),
        )
    for thing in content["annotations"]:
        where = f"{annotations}, annotation {thing['id']}"
        if thing["category_id"] not in names or thing["image_id"] not in images:
            raise DataError(f"{where} is of a category or an image that the file does not list")
        image = images[thing["image_id"]]
        mask = _read_mask(thing["segmentation"], image.shape, where)
        instance = Instance.of(names[thing["category_id"]], mask, image.pixel_um)
        image.instances.append(replace(instance, layers=thing.get("layers")))
    return list(images.values())
