"""One door for labels: the reader is chosen by the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..downloads import DataError
from . import marks
from .coco import read_coco
from .cvat import read_cvat
from .labelme import read_labelme
from .objects import LabelledImage
from .yolo import read_yolo

__all__ = ["read_labels"]


def read_labels(
    path: Path,
    folder: Path | None = None,
    classes: Sequence[str] | None = None,
    side: str = "train",
    boxes: bool = False,
) -> list[LabelledImage]:
    """Read labelled images as a tool exported them.

    Parameters
    ----------
    path
        ``data.yaml`` of a set for YOLO (or its folder), COCO's or Labelme's JSON, CVAT's XML, or
        a folder of Labelme's files.
    folder
        Of the pictures, where they are not where the labels say; not for YOLO.
    classes
        Class names that the labels must have; see the reader of each.
    side
        Part of a set for YOLO.
    boxes
        Fill boxes that stand for outlines, of YOLO and COCO.

    Returns
    -------
    list of LabelledImage

    Raises
    ------
    DataError
        If the file is of none of these kinds, or its reader refuses it.
    """
    path = Path(path)
    if (path / "data.yaml").exists():
        path = path / "data.yaml"
    kind = path.suffix.lower()
    if kind in (".yaml", ".yml"):
        return read_yolo(path, side, classes, boxes)
    if kind == ".xml":
        return read_cvat(path, folder, classes)
    if path.is_dir() or (kind == ".json" and "shapes" in marks.read_json(path)):
        return read_labelme(path, folder, classes)
    if kind == ".json":
        return read_coco(path, folder, classes, boxes)
    raise DataError(
        f"{path} is no file of labels: data.yaml of YOLO, JSON of COCO or Labelme, XML of CVAT"
    )
