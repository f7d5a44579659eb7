"""Images with labelled objects: what every reader of labels gives and every writer takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..downloads import is_file_name
from .polygons import mask_to_rings, polygon_box
from .rgb import native_rgb8

__all__ = ["Instance", "LabelledImage", "check_images"]


@dataclass(frozen=True)
class Instance:
    """One object in an image.

    Attributes
    ----------
    category
        Name of its class.
    top, left
        Row and column of the crop's first pixel.
    crop
        (h, w) bool, the visible part, cut out by its bounding box.
    layers
        Of the crystal; None where unknown.
    area_um2
        Of the visible part; NaN where the pixel size is unknown.
    """

    category: str
    top: int
    left: int
    crop: np.ndarray
    layers: int | None = None
    area_um2: float = float("nan")

    @classmethod
    def of(cls, category: str, mask: np.ndarray, pixel_um: float = float("nan"), **about):
        """Cut an object out of an (H, W) bool mask; ``pixel_um`` is the edge of a pixel."""
        left, top, width, height = polygon_box(mask)
        crop = np.ascontiguousarray(mask[top : top + height, left : left + width], bool)
        area = float(crop.sum()) * pixel_um**2
        return cls(category, top, left, crop, area_um2=area, **about)

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Lay the object into a frame: (H, W) bool."""
        full = np.zeros(shape, bool)
        height, width = self.crop.shape
        full[self.top : self.top + height, self.left : self.left + width] = self.crop
        return full

    def rings(self) -> list[list[np.ndarray]]:
        """Trace its pieces and holes in px of the image; see :func:`polygons.mask_to_rings`."""
        if not self.crop.size:
            return []
        shift = np.array([self.left, self.top])
        return [[ring + shift for ring in piece] for piece in mask_to_rings(self.crop)]


@dataclass
class LabelledImage:
    """An image and the objects in it.

    Attributes
    ----------
    name
        Of the image; also of its files.
    image
        (H, W, 3) uint8, RGB.
    instances
        The objects; may be none.
    group
        Growth run, wafer or session; images of one group stay on one side of a split.
    pixel_um
        Edge of a pixel, um; NaN where unknown.
    parent
        Name of the image that this one is an augmented copy of; "" if it is none.
    kind
        ``"real"`` or ``"simulated"``.
    """

    name: str
    image: np.ndarray
    instances: list[Instance] = field(default_factory=list)
    group: str = ""
    pixel_um: float = float("nan")
    parent: str = ""
    kind: str = "real"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.shape[:2]

    @property
    def masks(self) -> np.ndarray:
        """(n, H, W) bool, one mask for each object."""
        masks = [i.mask(self.shape) for i in self.instances]
        return np.array(masks, bool).reshape(-1, *self.shape)

    @property
    def categories(self) -> list[str]:
        """Class name of each object."""
        return [i.category for i in self.instances]


def check_images(images: Sequence[LabelledImage], classes: Sequence[str]) -> None:
    """Refuse images that cannot be written (ValueError); say which and why."""
    names = [image.name for image in images]
    if len(set(names)) != len(names):
        raise ValueError("two images have one name; names become file names")
    if outside := [name for name in names if not is_file_name(name)]:
        raise ValueError(f"{outside[0]!r} cannot be the name of a file; names become file names")
    if len(set(classes)) != len(classes) or not classes:
        raise ValueError(f"need a list of different class names, got {list(classes)}")
    for image in images:
        native_rgb8(image.image)
        if unknown := set(image.categories) - set(classes):
            raise ValueError(f"{image.name} holds {sorted(unknown)}; the classes are {classes}")
        for i in image.instances:
            bottom, right = i.top + i.crop.shape[0], i.left + i.crop.shape[1]
            if min(i.top, i.left) < 0 or bottom > image.shape[0] or right > image.shape[1]:
                raise ValueError(f"{image.name} holds a {i.category} that leaves its frame")
