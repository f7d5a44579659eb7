"""Images with labelled objects, and how to hand them to YOLO and back.

YOLO labels, here, hold one polygon for each object; COCO (:mod:`mchelpers.tmd_optical.coco`)
holds several, or run lengths. Both ways are tested to give back what was
written; where YOLO cannot, :func:`mchelpers.tmd_optical.polygons.bridge` says what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..data import DataError, Split
from ..downloads import stays_inside
from .polygons import bridge, mask_to_rings, polygon_box, rings_to_mask

__all__ = [
    "Instance",
    "LabelledImage",
    "as_rgb8",
    "augmented_copies",
    "check_images",
    "find_leaks",
    "read_image",
    "read_yolo",
    "write_yolo",
]


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


def as_rgb8(frame: np.ndarray) -> np.ndarray:
    """Turn a frame of a camera or a file into (H, W, 3) uint8.

    Grey frames get three equal channels; 16-bit frames lose their lower eight
    bits (one of 12 bits must be scaled by whoever knows); an opaque fourth
    channel is dropped.

    Raises
    ------
    ValueError
        If the frame is empty, has another shape or type, or is partly transparent.
    """
    frame = np.asarray(frame)
    if not frame.size or frame.ndim not in (2, 3):
        raise ValueError(f"not an image: shape {frame.shape}")
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    if frame.dtype != np.uint8:
        raise ValueError(f"need a frame of 8 or 16 bits, got {frame.dtype}")
    if frame.ndim == 2 or frame.shape[2] == 1:
        return np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)
    if frame.shape[2] == 4 and (frame[..., 3] < 255).any():
        raise ValueError("the frame is partly transparent; lay it on a background first")
    if frame.shape[2] not in (3, 4):
        raise ValueError(f"need 1, 3 or 4 channels, got {frame.shape[2]}")
    return np.ascontiguousarray(frame[..., :3])


def augmented_copies(
    images: Iterable[LabelledImage], copies: int = 2, seed: int = 0
) -> list[LabelledImage]:
    """Make flipped, turned and brightened copies; each remembers its parent and its group.

    Parameters
    ----------
    images
        Originals; they are not part of the result.
    copies
        Of each.
    seed
        Of the copies.

    Returns
    -------
    list of LabelledImage
    """
    rng, made = np.random.default_rng(seed), []
    for original in images:
        for k in range(copies):
            quarters, flip, gain = (
                int(rng.integers(4)),
                bool(rng.integers(2)),
                rng.uniform(0.8, 1.2),
            )

            def move(array, quarters=quarters, flip=flip):
                array = np.rot90(array, quarters)
                return np.ascontiguousarray(array[:, ::-1] if flip else array)

            image = np.clip(move(original.image) * gain, 0, 255).round().astype(np.uint8)
            instances = [
                replace(
                    Instance.of(i.category, move(i.mask(original.shape))),
                    layers=i.layers,
                    area_um2=i.area_um2,
                )
                for i in original.instances
            ]
            name = f"{original.name}_copy{k}"
            made.append(
                replace(original, name=name, image=image, instances=instances, parent=original.name)
            )
    return made


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


def check_images(images: Sequence[LabelledImage], classes: Sequence[str]) -> None:
    """Refuse images that cannot be written (ValueError); say which and why."""
    names = [image.name for image in images]
    if len(set(names)) != len(names):
        raise ValueError("two images have one name; names become file names")
    if outside := [name for name in names if not stays_inside(name)]:
        raise ValueError(f"{outside[0]!r} leads out of the folder; names become file names")
    if len(set(classes)) != len(classes) or not classes:
        raise ValueError(f"need a list of different class names, got {list(classes)}")
    for image in images:
        as_rgb8(image.image)
        if unknown := set(image.categories) - set(classes):
            raise ValueError(f"{image.name} holds {sorted(unknown)}; the classes are {classes}")
        for i in image.instances:
            bottom, right = i.top + i.crop.shape[0], i.left + i.crop.shape[1]
            if min(i.top, i.left) < 0 or bottom > image.shape[0] or right > image.shape[1]:
                raise ValueError(f"{image.name} holds a {i.category} that leaves its frame")


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
    :func:`mchelpers.tmd_optical.polygons.bridge`. An object without pixels is left out.
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
            picture = Image.fromarray(as_rgb8(image.image))
            picture.save(folder / "images" / side / f"{image.name}.png", compress_level=1)
    sides = {side: f"images/{side}" for side in split}
    about = {"path": str(folder), **sides, "names": dict(enumerate(classes))}
    target = folder / "data.yaml"
    target.write_text(yaml.safe_dump(about, sort_keys=False))
    return target


def read_image(path: Path) -> np.ndarray:
    """Read an image file with :func:`as_rgb8`; :class:`DataError` if it is not one."""
    from skimage.io import imread

    try:
        return as_rgb8(imread(path))
    except Exception as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _read_label(line: str, where: str, classes: Sequence[str], shape: tuple[int, int]) -> Instance:
    """Read one line of a YOLO label file."""
    try:
        number, *values = line.split()
        number, values = int(number), np.array(values, float)
    except ValueError as error:
        raise DataError(f"{where} is not a class number and coordinates") from error
    if len(values) < 6 or len(values) % 2:
        raise DataError(
            f"{where} has {len(values)} coordinates; a polygon has x y pairs, 3 or more"
        )
    if not 0 <= number < len(classes):
        raise DataError(f"{where} has class {number}; data.yaml lists {len(classes)} classes")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DataError(f"{where} leaves the frame: coordinates are not within 0..1")
    ring = values.reshape(-1, 2) * (shape[1], shape[0])
    ring = np.minimum(ring, (shape[1] - 0.5, shape[0] - 0.5))  # 1.0 is the last pixel's far edge
    return Instance.of(classes[number], rings_to_mask([[ring]], shape))


def read_yolo(
    data_yaml: Path, side: str = "train", classes: Sequence[str] | None = None
) -> list[LabelledImage]:
    """Read images and polygons as Ultralytics would.

    Parameters
    ----------
    data_yaml
        The description that :func:`write_yolo` writes.
    side
        Which part.
    classes
        Class names that the data must have, in this order; by default any.

    Returns
    -------
    list of LabelledImage
        Sorted by name; an image without a label file, or with an empty one,
        has no objects. Groups and pixel sizes are not in the format.

    Raises
    ------
    DataError
        If the class lists differ, the side or an image is missing or cannot be
        read, or a label is malformed, of an unknown class or out of the frame.
    """
    import yaml

    about = yaml.safe_load(Path(data_yaml).read_text())
    names = about.get("names", [])
    names = [names[k] for k in sorted(names)] if isinstance(names, dict) else list(names)
    if classes is not None and list(classes) != names:
        raise DataError(f"{data_yaml} has the classes {names}, expected {list(classes)}")
    if side not in about:
        raise DataError(f"{data_yaml} has no {side!r} part; it has {sorted(about)}")
    folder = Path(about.get("path", Path(data_yaml).parent)) / about[side]
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".png", ".jpg", ".tif"))
    if not paths:
        raise DataError(f"{folder} holds no images")
    images = []
    for path in paths:
        image = read_image(path)
        label = Path(*(("labels" if p == "images" else p) for p in path.with_suffix(".txt").parts))
        lines = label.read_text().splitlines() if label.exists() else []
        instances = [
            _read_label(line, f"{label}, line {k}", names, image.shape[:2])
            for k, line in enumerate(lines, 1)
            if line.strip()
        ]
        images.append(LabelledImage(path.stem, image, instances))
    return images
