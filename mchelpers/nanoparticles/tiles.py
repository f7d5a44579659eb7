"""Tiles of whole micrographs: cleaned, normalised and cut as the nanoparticle study did.

Source: Groschner et al., Microsc. Microanal. 27, 549 (2021), and the code that
came with it. Taken apart in the chapter *Gold and cadmium selenide on carbon*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_image

if TYPE_CHECKING:
    from .particles import Particle, ParticleMicrograph

__all__ = [
    "Tiles",
    "cut",
    "join",
    "normalise",
    "remove_xrays",
]

KEEP = ("particles", "empty", "all")


@dataclass
class Tiles:
    """Square pieces of micrographs with masks, and where each was cut.

    Attributes
    ----------
    images
        (N, S, S) float32 in 0..1; the whole micrograph was scaled, not the tile.
    masks
        (N, S, S) bool, True on particles.
    instances
        (N, S, S) uint8: 0 is background, k the k-th of the micrograph's
        particles; None where nobody told particles apart (real data).
    micrograph
        (N,) str: name of the micrograph that a tile comes from.
    material
        (N,) str: ``"Au"``, ``"CdSe"`` or ``"unknown"``.
    corner
        (N, 2) int: row and column of the tile's first pixel in its micrograph.
    pixel_size_nm
        (N,) float; NaN where unknown.
    kind
        ``"real"`` or ``"simulated"``.
    particles
        Name of a micrograph -> what is true of its particles; empty for real data.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """

    images: np.ndarray
    masks: np.ndarray
    instances: np.ndarray | None
    micrograph: np.ndarray
    material: np.ndarray
    corner: np.ndarray
    pixel_size_nm: np.ndarray
    kind: str
    particles: dict[str, list[Particle]] = field(default_factory=dict)

    def __post_init__(self):
        shape = np.shape(self.images)
        if len(shape) != 3 or shape[1] != shape[2]:
            raise ValueError(f"tiles must be (N, side, side), got {shape}")
        for name in ("masks", "instances"):
            given = getattr(self, name)
            if given is not None and np.shape(given) != shape:
                raise ValueError(f"{name} have shape {np.shape(given)}, the images {shape}")
        for name in ("micrograph", "material", "corner", "pixel_size_nm"):
            if len(getattr(self, name)) != shape[0]:
                raise ValueError(f"{len(getattr(self, name))} {name} for {shape[0]} tiles")

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def sha256(self) -> str:
        """One hash over images and masks."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images))
        digest.update(np.ascontiguousarray(self.masks))
        return digest.hexdigest()

    def pick(self, index: np.ndarray | slice) -> Tiles:
        """Return some of the tiles.

        Parameters
        ----------
        index
            Numbers of tiles, a slice, or (N,) bool.
        """
        names = self.micrograph[index]
        return Tiles(
            images=self.images[index],
            masks=self.masks[index],
            instances=None if self.instances is None else self.instances[index],
            micrograph=names,
            material=self.material[index],
            corner=self.corner[index],
            pixel_size_nm=self.pixel_size_nm[index],
            kind=self.kind,
            particles={n: p for n, p in self.particles.items() if n in set(names.tolist())},
        )


def remove_xrays(image: np.ndarray, sds: float = 5.0) -> np.ndarray:
    """Replace pixels that stand far out of their neighbourhood by its median.

    An X-ray photon that hits the detector leaves one or a few pixels many times
    brighter than any number of electrons would. A plain median filter would
    blur the lattice too.

    Parameters
    ----------
    image
        (H, W), any real type.
    sds
        A pixel is replaced where it differs from the median of its 3 x 3
        pixels by more than this many standard deviations of the whole image.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    ValueError
        If the image is not (H, W) or not finite.
    """
    from scipy.ndimage import median_filter

    image = check_image(image, "the micrograph")
    median = median_filter(image, 3, mode="reflect").astype(np.float32)
    cleaned = image.astype(np.float32)
    spread = cleaned.std(dtype=np.float64)  # in float32 a sum of 17 million pixels drifts
    return np.where(np.abs(cleaned - median) > sds * spread, median, cleaned)


def normalise(image: np.ndarray) -> np.ndarray:
    """Scale a whole micrograph to 0..1, as the study does before tiling.

    It divides by the standard deviation, subtracts the minimum and divides by
    the maximum; the first step cancels in the last and is left out.

    Parameters
    ----------
    image
        (H, W), any real type.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    ValueError
        If the image is not (H, W), not finite, or constant.
    """
    image = check_image(image, "the micrograph").astype(np.float32)
    low, high = image.min(), image.max()
    if low == high:
        raise ValueError(f"the micrograph is constant ({low:g}; all black?): nothing to scale")
    image -= low
    image /= high - low
    return image


def _kept(mask: np.ndarray, size: int, keep: str) -> list[tuple[int, int]]:
    """Corners of the tiles to keep, row by row."""
    corners = [
        (row, column)
        for row in range(0, mask.shape[0] - size + 1, size)
        for column in range(0, mask.shape[1] - size + 1, size)
    ]
    if keep == "all":
        return corners
    wanted = keep == "particles"
    return [c for c in corners if mask[c[0] : c[0] + size, c[1] : c[1] + size].any() == wanted]


def cut(
    micrographs: Iterable[ParticleMicrograph],
    size: int = 512,
    keep: str = "particles",
) -> Tiles:
    """Clean and normalise whole micrographs, then cut them into tiles.

    Parameters
    ----------
    micrographs
        Simulated micrographs; one after the other is held as float32.
    size
        Edge of a tile in px. What is left over at the right and lower border
        is dropped.
    keep
        ``"particles"`` keeps tiles with at least one pixel of a particle, as
        the study did; ``"empty"`` the others; ``"all"`` both.

    Returns
    -------
    Tiles
        In order of the micrographs, within each row by row.

    Raises
    ------
    ValueError
        If there is no micrograph, one is smaller than a tile, two share a
        name, or ``keep`` is none of the three words.
    """
    if keep not in KEEP:
        raise ValueError(f"keep is {keep!r}; it must be one of {', '.join(KEEP)}")
    micrographs = list(micrographs)
    names = [m.name for m in micrographs]
    if not micrographs or len(set(names)) < len(names):
        raise ValueError(f"micrographs must be one or more, each with its own name, got {names}")
    for m in micrographs:
        check_image(m.image, m.name, finite=False)
    small = [f"{m.name} {m.image.shape}" for m in micrographs if min(m.image.shape) < size]
    if small:
        raise ValueError(f"smaller than a tile of {size} px: {', '.join(small)}")
    corners = [_kept(m.instances > 0, size, keep) for m in micrographs]
    counts = [len(c) for c in corners]
    shape = (sum(counts), size, size)
    # Filled in place: a whole set and a second copy of it need not fit in memory.
    images, instances = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    n = 0
    for micrograph, places in zip(micrographs, corners, strict=True):
        image = micrograph.image
        if places:
            image = normalise(remove_xrays(image))
        for row, column in places:
            window = slice(row, row + size), slice(column, column + size)
            images[n] = image[window]
            instances[n] = micrograph.instances[window]
            n += 1
    return Tiles(
        images=images,
        masks=instances > 0,
        instances=instances,
        micrograph=np.repeat(names, counts),
        material=np.repeat([m.material for m in micrographs], counts),
        corner=np.array([c for places in corners for c in places], int).reshape(-1, 2),
        pixel_size_nm=np.repeat([m.pixel_size_nm for m in micrographs], counts),
        kind="simulated" if any(m.kind == "simulated" for m in micrographs) else "real",
        particles={m.name: list(m.particles) for m in micrographs},
    )


def join(*tiles: Tiles) -> Tiles:
    """Put sets of tiles one behind the other.

    Returns
    -------
    Tiles
        ``kind`` is ``"simulated"`` if any of the sets is; ``instances`` is
        None if any set has none.

    Raises
    ------
    ValueError
        If there is no set, or the tiles differ in size.
    """
    if not tiles:
        raise ValueError("there is nothing to join")
    sides = {t.images.shape[1] for t in tiles}
    if len(sides) > 1:
        raise ValueError(f"tiles of {sorted(sides)} px cannot be joined")

    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(t, name) for t in tiles])

    known = all(t.instances is not None for t in tiles)
    return Tiles(
        images=stacked("images"),
        masks=stacked("masks"),
        instances=stacked("instances") if known else None,
        micrograph=stacked("micrograph"),
        material=stacked("material"),
        corner=stacked("corner"),
        pixel_size_nm=stacked("pixel_size_nm"),
        kind="simulated" if any(t.kind == "simulated" for t in tiles) else "real",
        particles={name: p for t in tiles for name, p in t.particles.items()},
    )
