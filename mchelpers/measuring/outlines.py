"""Outlines of what was found, along the edges of its pixels: for COCO, and for ImageJ and back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..install import install_line

__all__ = ["Outlined", "annotations", "outlined", "read_rois", "roi_zip", "trace"]

LINES = ("LINE", "FREELINE", "POLYLINE", "ANGLE", "POINT", "NOROI")  # ROIs without an area


def trace(mask: np.ndarray) -> list[np.ndarray]:
    """Walk round the pieces of a mask and their holes, along the edges of pixels.

    Parameters
    ----------
    mask
        (H, W) bool.

    Returns
    -------
    list of (N, 2) int
        x and y of corners, from 0 at the outer edge of the first pixel; clockwise round a piece,
        anticlockwise round a hole. Filled by the even-odd rule, they give the mask.
    """
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (  # which neighbour is missing; where the edge to it starts, and where it leads
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    onward: dict[tuple[int, int], list] = {}
    for neighbour, start, way in sides:
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            onward.setdefault((column + start[0], row + start[1]), []).append(way)
    rings = []
    while onward:
        point, ring, before = next(iter(onward)), [], None
        while point in onward:
            ways = onward[point]
            # Where two pixels touch at a corner, a turn to the right keeps them apart.
            right = before and (-before[1], before[0])
            way = ways.pop(ways.index(right) if right in ways else 0)
            if not ways:
                del onward[point]
            if way != before:
                ring.append(point)
            before, point = way, (point[0] + way[0], point[1] + way[1])
        rings.append(np.array(ring))
    return rings


def _is_hole(ring: np.ndarray) -> bool:
    """Tell whether a ring of :func:`trace` goes round a hole."""
    x, y = ring.T
    return bool((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0)


class Outlined(NamedTuple):
    """An object of a label image: number, corner of its box (x, y), its crop, its rings."""

    number: int
    corner: tuple[int, int]
    crop: np.ndarray
    rings: list[np.ndarray]


def outlined(labels: np.ndarray) -> list[Outlined]:
    """Trace each object of a label image (H, W) int."""
    from scipy.ndimage import find_objects

    found = []
    for number, box in enumerate(find_objects(labels), 1):
        if box is not None:  # a number that no pixel has
            corner = (box[1].start, box[0].start)
            crop = labels[box] == number
            found.append(Outlined(number, corner, crop, [ring + corner for ring in trace(crop)]))
    return found


def annotations(labels: np.ndarray, objects: list[Outlined]) -> list[dict]:
    """Describe the objects of a label image as COCO does, but for ids.

    Parameters
    ----------
    objects
        Of these labels, from :func:`outlined`.
    """
    from ..inputs.run_lengths import mask_to_runs

    found = []
    for number, corner, crop, rings in objects:
        outline: list | dict = [ring.ravel().tolist() for ring in rings]
        if any(_is_hole(ring) for ring in rings):
            size = list(labels.shape)
            outline = {"size": size, "counts": mask_to_runs(labels == number)}
        box = [*corner, *crop.shape[::-1]]
        about = {"category_id": 1, "area": int(crop.sum()), "bbox": box, "iscrowd": 0}
        found.append(about | {"segmentation": outline})
    return found


def roi_zip(objects: list[Outlined]) -> bytes | None:
    """Write objects as ImageJ's ROIs, zipped; None without ``roifile``.

    Each is named by its number. One without holes is a polygon, any other a composite.
    """
    try:
        from roifile import ROI_TYPE, ImagejRoi
    except ImportError:
        return None

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, (left, top), crop, rings in objects:
            name = f"{number:05d}"
            if len(rings) == 1:
                roi = ImagejRoi.frompoints(rings[0], name=name)
                roi.roitype = ROI_TYPE.TRACED
            else:
                roi = ImagejRoi(roitype=ROI_TYPE.RECT, name=name, left=left, top=top)
                roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
                roi.shape_roi_size = len(roi.multi_coordinates)
            roi.bottom, roi.right = top + crop.shape[0], left + crop.shape[1]
            packed.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes())
    return file.getvalue()


def _path(ring: np.ndarray) -> np.ndarray:
    """Lay a ring out as ImageJ does: move (0) to a point, lines (1) to others, close (4)."""
    steps = np.column_stack([[0, *[1] * (len(ring) - 1)], ring]).ravel()
    return np.append(steps, 4).astype(np.float32)


def read_rois(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Fill the ROIs of a zip of ImageJ: (H, W) int32 labels, in order of their names.

    Parameters
    ----------
    shape
        (H, W) of the image.

    Raises
    ------
    ImportError
        If ``roifile`` is not installed.
    ValueError
        If it is no such zip, or holds a line or a point, which has no area.
    """
    from ..inputs.polygons import outlines_to_mask

    try:
        from roifile import ImagejRoi
    except ImportError as error:
        raise ImportError(f"ROIs need roifile: {install_line('microscopes')}") from error

    labels = np.zeros(shape, np.int32)
    try:
        with zipfile.ZipFile(path) as packed:
            names = sorted(name for name in packed.namelist() if name.endswith(".roi"))
            rois = [ImagejRoi.frombytes(packed.read(name)) for name in names]
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is no zip of ROIs that ImageJ saved") from error
    for number, roi in enumerate(rois, 1):
        if roi.roitype.name in LINES:
            raise ValueError(f"{path}: the ROI {roi.name} has no area; delete it, or outline one")
        filled = [outlines_to_mask([ring], shape) for ring in roi.coordinates(multi=True)]
        labels[np.logical_xor.reduce(filled)] = number
    return labels
