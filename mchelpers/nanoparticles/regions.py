"""Regions of a mask: found, chosen by size, cut out, and named by what is true of them.

Source: Groschner et al., Microsc. Microanal. 27, 549 (2021), and the code that
came with it. Taken apart in the chapter *Stacking faults*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image, check_mask

if TYPE_CHECKING:
    from .particles import Particle
    from .tiles import Tiles

__all__ = [
    "CLASSES",
    "Crops",
    "Region",
    "crop",
    "crop_regions",
    "empty_regions",
    "regions",
    "truth_class",
]

CLASSES = ("fault", "no fault", "no fringes", "agglomeration", "empty")
"""What a region may be: one particle seen along its planes with or without a
stacking fault, one particle off every zone axis, several particles, none."""


@dataclass(frozen=True, eq=False)  # an array has no single truth value
class Region:
    """One connected piece of a mask.

    Attributes
    ----------
    box
        First row, first column, row and column behind the last.
    mask
        (rows, columns) bool within the box.
    """

    box: tuple[int, int, int, int]
    mask: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as an index into the image."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)

    @property
    def area(self) -> int:
        """Pixels of the region."""
        return int(self.mask.sum())

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the box."""
        return self.mask.shape


def regions(
    mask: np.ndarray, minimum_px: int = 200, sides: tuple[float, float] = (75, 250)
) -> list[Region]:
    """Cut a mask into its connected pieces and keep those of a particle's size.

    The defaults are the study's rules, for 0.03 nm pixels.

    Parameters
    ----------
    mask
        (H, W) bool.
    minimum_px
        Smallest area.
    sides
        Height and width of the box lie strictly between these.

    Returns
    -------
    list of Region
        From top to bottom.

    Raises
    ------
    ValueError
        If the mask is not boolean and (H, W).
    """
    from skimage.measure import label, regionprops

    low, high = sides
    found = (Region(tuple(map(int, p.bbox)), p.image) for p in regionprops(label(check_mask(mask))))
    return [r for r in found if r.area >= minimum_px and all(low < s < high for s in r.sides)]


def crop(image: np.ndarray, region: Region) -> np.ndarray:
    """Cut the box of a region out of its image: (rows, columns), a view, not masked."""
    image = check_image(image, ndim=(2, 3), finite=False)
    rows, columns = image.shape[:2]
    if region.box[2] > rows or region.box[3] > columns:
        raise ValueError(f"box {region.box} reaches out of an image of {rows} x {columns} px")
    return image[region.window]


def truth_class(
    instances: np.ndarray, particles: Sequence[Particle], region: Region, share: float = 0.05
) -> str:
    """Name a region by what the simulator put there.

    Parameters
    ----------
    instances
        (H, W) int: 0 is background, k the k-th of ``particles``.
    particles
        Of the micrograph.
    region
        From a true or a predicted mask.
    share
        A particle counts if it covers this share of the region's area: a
        neighbour's corner does not make an agglomeration.

    Returns
    -------
    str
        One of :data:`CLASSES`.

    Raises
    ------
    ValueError
        If the instances name a particle that is not in the list.
    """
    inside = crop(check_image(instances, "instances"), region)[region.mask]
    if inside.dtype.kind not in "iub" or inside.min(initial=0) < 0:
        raise ValueError(f"instances must be whole numbers from 0 on, got {inside.dtype}")
    if inside.max(initial=0) > len(particles):
        raise ValueError(f"instance {inside.max()} of {len(particles)} particles")
    covered = np.bincount(inside.astype(np.int64), minlength=1)
    (within,) = np.nonzero(covered[1:] >= max(1, share * region.area))
    if len(within) != 1:
        return "agglomeration" if len(within) else "empty"
    particle = particles[within[0]]
    if not particle.viewable:
        return "no fringes"
    return "fault" if particle.fault else "no fault"


def empty_regions(
    masks: np.ndarray,
    count: int,
    sides: tuple[int, int] = (100, 150),
    seed: int = 0,
    outlines: Sequence[np.ndarray] = (),
) -> list[tuple[int, Region]]:
    """Cut squares of background, at random, where there is no particle.

    Parameters
    ----------
    masks
        (N, H, W) bool of the tiles.
    count
        How many squares.
    sides
        Shortest and longest edge in px.
    seed
        Of place and size.
    outlines
        Masks (h, w) bool of true regions: each square borrows one, scaled to its
        size, so that no outline gives an empty square away. Without them the
        whole square is the region.

    Returns
    -------
    list of (tile, Region)

    Raises
    ------
    ValueError
        If a tile is smaller than a square, or there is too little background.
    """
    from skimage.transform import resize

    masks = check_mask(masks, "masks", ndim=(3,))
    if min(masks.shape[1:]) < sides[1]:
        raise ValueError(f"(N, H, W) masks larger than {sides[1]} px are needed: {masks.shape}")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(1000 * count):
        if len(found) == count:
            break
        tile, side = int(rng.integers(len(masks))), int(rng.integers(sides[0], sides[1] + 1))
        top, left = (int(rng.integers(s - side + 1)) for s in masks.shape[1:])
        if masks[tile, top : top + side, left : left + side].any():
            continue
        own = np.ones((side, side), bool)
        if len(outlines):
            own = resize(outlines[rng.integers(len(outlines))], own.shape, order=0)
        found.append((tile, Region((top, left, top + side, left + side), own)))
    if len(found) < count:
        raise ValueError(f"only {len(found)} of {count} empty squares found: too little background")
    return found


@dataclass
class Crops:
    """Cut-out regions, their classes, and where they come from.

    Attributes
    ----------
    images
        N arrays (rows, columns) float32, not masked.
    masks
        N arrays (rows, columns) bool.
    labels
        (N,) str, of :data:`CLASSES`.
    micrograph
        (N,) str, the group of a split.
    tile
        (N,) int, number of the tile.
    particle
        (N,) int, number of the particle that covers most, 0 where there is none.
    box
        (N, 4) int, as in :class:`Region`.
    pixel_size_nm
        (N,) float.
    clipped
        (N,) bool: the border of the tile cuts the region, so part of it may be
        missing.
    """

    images: list[np.ndarray]
    masks: list[np.ndarray]
    labels: np.ndarray
    micrograph: np.ndarray
    tile: np.ndarray
    particle: np.ndarray
    box: np.ndarray
    pixel_size_nm: np.ndarray
    clipped: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def pick(self, index: np.ndarray) -> Crops:
        """Return some of the crops: numbers, or (N,) bool."""
        index = np.arange(len(self))[index]
        arrays = ("labels", "micrograph", "tile", "particle", "box", "pixel_size_nm", "clipped")
        return Crops(
            images=[self.images[i] for i in index],
            masks=[self.masks[i] for i in index],
            **{name: getattr(self, name)[index] for name in arrays},
        )


def _largest(instances: np.ndarray) -> int:
    """Return the number of the particle with most pixels, 0 for none."""
    covered = np.bincount(instances[instances > 0], minlength=1)
    return int(covered.argmax())


def crop_regions(tiles: Tiles, empty: int = 0, seed: int = 0, **rules) -> Crops:
    """Cut all regions of labelled tiles, and some empty squares.

    Parameters
    ----------
    tiles
        With instances and particles.
    empty
        Number of empty squares, see :func:`empty_regions`.
    seed
        Of the empty squares.
    rules
        Of :func:`regions`.

    Returns
    -------
    Crops
        Regions in order of the tiles, then the empty squares.

    Raises
    ------
    ValueError
        If the tiles do not tell particles apart.
    """
    if tiles.instances is None:
        raise ValueError("these tiles have no instances: nobody told their particles apart")
    found, labels = [], []
    for n, (mask, name) in enumerate(zip(tiles.masks, tiles.micrograph)):
        for region in regions(mask, **rules):
            found.append((n, region))
            labels.append(truth_class(tiles.instances[n], tiles.particles[str(name)], region))
    if empty:
        outlines = [region.mask for _, region in found]
        found += empty_regions(tiles.masks, empty, seed=seed, outlines=outlines)
        labels += ["empty"] * empty
    tile = np.array([n for n, _ in found], int)
    box = np.array([region.box for _, region in found], int).reshape(-1, 4)
    side = tiles.masks.shape[1]
    particle = [_largest(crop(tiles.instances[n], r)[r.mask]) for n, r in found]
    return Crops(
        images=[crop(tiles.images[n], region) for n, region in found],
        masks=[region.mask for _, region in found],
        labels=np.array(labels, str),
        micrograph=tiles.micrograph[tile],
        tile=tile,
        particle=np.array(particle, int),
        box=box,
        pixel_size_nm=tiles.pixel_size_nm[tile],
        clipped=((box == 0) | (box == side)).any(1) & (np.array(labels) != "empty"),
    )
