"""Labelled images as a set for YOLO and back, by the rules of Ultralytics.

A label holds one polygon for each object, its line included. An object of one piece without holes
is read back with 0 pixels changed; pieces and holes are joined by bridges, and
:func:`mchelpers.inputs.polygons.bridge` says how many pixels they add.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..data import Split
from ..downloads import DataError
from . import marks
from .objects import LabelledImage, check_images
from .polygons import bridge, outlines_to_mask, rings_to_mask
from .rgb import native_rgb8, read_image

__all__ = ["find_leaks", "read_yolo", "write_yolo"]

PICTURES = "avif bmp dng heic heif jp2 jpeg jpg mpo png tif tiff webp".split()
"""Endings of the picture files that Ultralytics takes."""

_SLACK = 0.01  # of the frame, that a label may leave it by, as in Ultralytics


def _sides(split: Split | Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[int]]:
    if isinstance(split, Split):
        return {"train": split.train, "val": split.validation, "test": split.test}
    return split


def find_leaks(
    images: Sequence[LabelledImage], split: Split | Mapping[str, Sequence[int]]
) -> list[str]:
    """List what stands on two sides of a split: growth runs, and parents with their copies.

    Arguments as for :func:`write_yolo`.

    Returns
    -------
    list of str
        Empty if the split is honest.
    """
    sides: dict[tuple[str, str], set[str]] = {}
    for side, numbers in _sides(split).items():
        for n in numbers:
            image = images[n]
            sides.setdefault(("image", image.parent or image.name), set()).add(side)
            if image.group:
                sides.setdefault(("group", image.group), set()).add(side)
    return [f"{kind} {name}" for (kind, name), where in sides.items() if len(where) > 1]


def write_yolo(
    folder: Path,
    images: Sequence[LabelledImage],
    split: Split | Mapping[str, Sequence[int]],
    classes: Sequence[str],
    allow_leaks: bool = False,
) -> Path:
    """Write images and labels for Ultralytics: PNG, one text file each, ``data.yaml``.

    Parameters
    ----------
    folder
        Gets ``images/<side>``, ``labels/<side>`` and ``data.yaml``, which holds
        its absolute path.
    images
        What to write.
    split
        Side (``"train"``, ``"val"``, ``"test"``) -> numbers of its images; or a
        :class:`~mchelpers.data.Split`.
    classes
        Names, in the order of their numbers.
    allow_leaks
        Write even what :func:`find_leaks` finds, to measure what it does.

    Returns
    -------
    Path
        ``data.yaml``.

    Raises
    ------
    ValueError
        If a class is not listed, two images share a name, an object leaves its
        frame, an image is not 8-bit RGB or the like, or a group or an image and
        its copies are on two sides.

    Notes
    -----
    An object of several pieces or with holes becomes one ring: see
    :func:`mchelpers.inputs.polygons.bridge`. An object without pixels is left out.
    """
    import yaml
    from PIL import Image

    check_images(images, classes)
    if not allow_leaks and (leaks := find_leaks(images, split)):
        raise ValueError(f"on two sides of the split: {', '.join(leaks[:5])}")
    folder, split = Path(folder).resolve(), _sides(split)
    for side, numbers in split.items():
        for part in ("images", "labels"):
            (folder / part / side).mkdir(parents=True, exist_ok=True)
        for n in numbers:
            image = images[n]
            height, width = image.shape
            lines = []
            for i in image.instances:
                ring = bridge(i.rings())[0] / (width, height)
                if len(ring):
                    numbers_text = " ".join(f"{v:.6f}" for v in ring.ravel())
                    lines.append(f"{classes.index(i.category)} {numbers_text}\n")
            (folder / "labels" / side / f"{image.name}.txt").write_text("".join(lines))
            picture = Image.fromarray(native_rgb8(image.image))
            picture.save(folder / "images" / side / f"{image.name}.png", compress_level=1)
    sides = {side: f"images/{side}" for side in split}
    about = {"path": str(folder), **sides, "names": dict(enumerate(classes))}
    target = folder / "data.yaml"
    target.write_text(yaml.safe_dump(about, sort_keys=False))
    return target


def _read_description(file: Path) -> dict:
    """Read ``data.yaml``."""
    import yaml

    try:
        about = yaml.safe_load(marks.read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(about, dict):
        raise DataError(f"{file} describes no set; it needs at least names and one of train, val")
    return about


def _read_names(about: dict, file: Path) -> list[str]:
    """Read the class names, in the order of their numbers."""
    names, count = about.get("names"), about.get("nc")
    if names is None and isinstance(count, int):
        names = [f"class_{n}" for n in range(count)]
    if isinstance(names, dict):
        numbered = {int(k) if str(k).isdecimal() else k: name for k, name in names.items()}
        names = [numbered.get(n) for n in range(len(numbered))]
    if not isinstance(names, list) or not names or count not in (None, len(names)):
        raise DataError(f"{file} needs names: a list, or numbers from 0 on, as many as nc says")
    if any(isinstance(n, bool) or not isinstance(n, str | int | float) for n in names):
        raise DataError(f"{file} has class names {names}; number them from 0, put each in quotes")
    return [str(n) for n in names]


def _places(about: dict, side: str, file: Path) -> tuple[list[Path], list[Path]]:
    """Find the folders and lists of a side, and the folders that paths may begin at."""
    side = "validation" if side == "val" and not about.get("val") else side
    entries, home, top = about.get(side), about.get("path") or ".", file.absolute().parent
    entries = entries if isinstance(entries, list) else [entries] if entries else []
    if not entries:
        raise DataError(f"{file} has no {side!r} part; it has {sorted(map(str, about))}")
    if not all(isinstance(e, str) for e in [*entries, home]):
        raise DataError(f"{file}: {side} and path are a path or a list of paths")
    homes = [top / home, Path(home).absolute()] if "path" in about else [top]
    places = []
    for entry in (e.replace("\\", "/") for e in entries):
        # Roboflow's ../train/images lies beside data.yaml.
        names = (entry.removeprefix("../"), entry)
        found = [h / n for n in names for h in homes if os.path.exists(h / n)]
        if not found:
            raise DataError(
                f"{file}: {entry!r} of {side} is not in {homes[0]}; mend path or {side}"
            )
        places.append(found[0])
    return places, homes


def _listed(file: Path, homes: Sequence[Path]) -> list[Path]:
    """Read a list of pictures: paths from its folder, the set's or the working folder."""
    tops, pictures = [file.parent, *homes], []
    allowed = [os.path.normpath(top) for top in tops]
    for number, line in enumerate(marks.read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        name = line.strip().replace("\\", "/")
        paths = [Path(os.path.normpath(top / name)) for top in (*tops, Path.cwd())]
        paths = [p for p in paths if any(p.is_relative_to(a) for a in allowed)]
        paths = [p for p in paths if os.path.isfile(p)]
        if not paths:
            raise DataError(f"{file}, line {number}: {name!r} is no file of the set in {homes[0]}")
        pictures.append(paths[0])
    return pictures


def _pictures(places: Sequence[Path], homes: Sequence[Path]) -> list[Path]:
    """List the pictures of a side; files that may be pictures of other kinds are warned of."""
    files = []
    for place in places:
        if place.is_dir():
            files += [p for p in place.rglob("*") if p.is_file() and not p.name.startswith(".")]
        else:
            files += [place] if _is_picture(place) else _listed(place, homes)
    pictures = sorted({p for p in files if _is_picture(p)})
    stems = {p.with_suffix("") for p in pictures}  # files beside a picture are of its making
    others = [p.name for p in files if not _is_picture(p) and p.with_suffix("") not in stems]
    others = sorted(n for n in others if not n.endswith((".txt", ".cache")))
    if others:
        kinds = ", ".join(PICTURES)
        warnings.warn(f"not read, for YOLO takes {kinds}: {', '.join(others[:9])}", stacklevel=3)
    if not pictures:
        raise DataError(f"{', '.join(map(str, places))} holds no images that YOLO takes")
    return pictures


def _is_picture(path: Path) -> bool:
    return path.suffix[1:].lower() in PICTURES


def _label_of(picture: Path) -> Path:
    """Return where the label is: the last ``images`` of the path becomes ``labels``."""
    # A link to a folder of pictures may have its labels here or there.
    options = []
    for path in (picture.absolute(), picture.resolve()):
        top, found, below = str(path.with_suffix(".txt")).rpartition(f"{os.sep}images{os.sep}")
        options.append(Path(top, "labels", below) if found else path.with_suffix(".txt"))
    return next((o for o in options if o.exists()), options[0])


def _read_mask(values: np.ndarray, shape: tuple[int, int], where: str, boxes: bool) -> np.ndarray:
    """Draw what the numbers of a line say."""
    size = np.array(shape[::-1])
    if len(values) == 4:
        if not boxes:
            raise DataError(
                f"{where} has 4 coordinates, a box; draw an outline, or pass boxes=True to fill it"
            )
        centre, half = values[:2] * size, values[2:] * size / 2
        if not (-_SLACK <= values.min() and values.max() <= 1 + _SLACK and half.min() >= 0):
            raise DataError(f"{where} has a box whose centre or size is not within 0..1")
        return outlines_to_mask([marks.box_corners(*(centre - half), *(centre + half))], shape)
    if len(values) < 6 or len(values) % 2:
        raise DataError(
            f"{where} has {len(values)} coordinates; a polygon has x y pairs, 3 or more"
        )
    ring = marks.read_corners(values.reshape(-1, 2) * size, shape, where, _SLACK * size)
    ring = np.clip(ring, 0, size - 0.5)  # 1.0 is the last pixel's far edge
    return rings_to_mask([[ring]], shape)


def _read_label(label: Path, image: LabelledImage, classes: Sequence[str], boxes: bool) -> None:
    """Add the objects of a label file to their image."""
    seen = set()
    for number, line in enumerate(marks.read_text(label).splitlines(), 1):
        where = f"{label}, line {number}"
        try:
            values = np.array(line.split(), float)
        except ValueError as error:
            raise DataError(
                f"{where} is not a class number and coordinates, with points and no commas"
            ) from error
        if not len(values):
            continue
        if values[0] not in range(len(classes)):
            raise DataError(
                f"{where} has class {values[0]:g}; data.yaml lists {len(classes)} classes"
            )
        if values.tobytes() in seen:
            warnings.warn(f"{where} is there twice and is read once", stacklevel=3)
            continue
        seen.add(values.tobytes())
        mask = _read_mask(values[1:], image.shape, where, boxes)
        marks.add_object(image, classes[int(values[0])], mask, where)


def read_yolo(
    data_yaml: Path,
    side: str = "train",
    classes: Sequence[str] | None = None,
    boxes: bool = False,
) -> list[LabelledImage]:
    """Read images and polygons as Ultralytics would.

    Parameters
    ----------
    data_yaml
        The description that :func:`write_yolo` writes, or one of another tool: a side is a
        folder, a list of pictures (``.txt``) or a list of those, beside the file or below its
        ``path``.
    side
        Which part.
    classes
        Class names that the data must have, in this order; by default any.
    boxes
        Fill boxes (lines of five numbers); by default they are refused, for they hold no outline.

    Returns
    -------
    list of LabelledImage
        Sorted by path; an image without a label file, or with an empty one, has no objects.
        Groups and pixel sizes are not in the format. Warned of are files that are no pictures
        for YOLO, lines that are there twice, and a side without any label file.

    Raises
    ------
    DataError
        If the description is broken, the class lists differ, the side or an image is missing or
        cannot be read, a list leads out of the set, or a label is malformed, of an unknown class
        or leaves the frame by more than a hundredth of it.
    """
    file = Path(data_yaml)
    about = _read_description(file)
    names = _read_names(about, file)
    marks.check_classes(names, classes, str(file))
    pictures = _pictures(*_places(about, side, file))
    labels = [_label_of(picture) for picture in pictures]
    if not any(label.exists() for label in labels):
        warnings.warn(f"no picture of {side} has a label; there is no {labels[0]}", stacklevel=2)
    images = []
    for picture, label in zip(pictures, labels):
        images.append(LabelledImage(picture.stem, read_image(picture)))
        if label.exists():
            _read_label(label, images[-1], names, boxes)
    return images
