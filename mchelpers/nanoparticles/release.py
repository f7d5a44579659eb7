"""The nanoparticle study's own tiles: HDF5 stacks of images and of one-hot maps.

They lie on Zenodo (record 3755011) and are not part of this repository. The
record could not be reached when this was written, so no hash of its files
stands in the registry: a download is checked against the sum that Zenodo names
for it, and every stack against the layout that the study's code describes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..downloads import DataError, data_folder, fetch_record
from .tiles import Tiles

if TYPE_CHECKING:
    import h5py

__all__ = ["DOI", "FILES", "fetch_nanoparticles", "load_nanoparticle_stack", "real_tiles"]

DOI = "10.5281/zenodo.3755011"
FILES = ("Bal_MedFilt_AuCdSeDots_20190726_v2.h5", "Bal_MedFilt_AuCdSeDots_20190726_maps_v2.h5")
"""Images and maps of gold and CdSe, shuffled together; named by the study's training script."""

_AT_ONCE = 16  # tiles held in the file's own, larger type


def fetch_nanoparticles(folder: Path | None = None) -> tuple[Path, Path]:
    """Find the study's stack of gold and CdSe, or download it from Zenodo by its DOI.

    As :func:`mchelpers.downloads.fetch_record` does; what is in it is checked by
    :func:`load_nanoparticle_stack`.

    Parameters
    ----------
    folder
        Where to look and to save. By default ``nanoparticles`` in
        :func:`mchelpers.downloads.data_folder`.

    Returns
    -------
    images, maps : Path

    Raises
    ------
    DataError
        As for :func:`mchelpers.downloads.fetch_record`.
    """
    folder = data_folder() / "nanoparticles" if folder is None else Path(folder)
    images, maps = fetch_record(DOI, folder, FILES)
    return images, maps


def _dataset(path: Path, key: str) -> h5py.Dataset:
    """Open the one dataset of a stack; the caller closes its file."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading HDF5 stacks needs h5py: pip install h5py") from error
    if not path.exists():
        raise DataError(
            f"{path} does not exist; fetch_nanoparticles() of this module downloads the study's"
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF5 ({error}); is it cut short?") from error
    if key not in file or not isinstance(file[key], h5py.Dataset):
        found = ", ".join(file) or "nothing"
        file.close()
        raise DataError(f"{path} holds no dataset {key!r}; it has {found}")
    if file[key].dtype.kind not in "biuf":
        kind = file[key].dtype
        file.close()
        raise DataError(
            f"{path} holds {kind} in {key!r}, not real numbers; save np.abs() of complex ones"
        )
    return file[key]


def _blocks(dataset: h5py.Dataset, path: Path) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield a few tiles at a time, with their place."""
    for first in range(0, len(dataset), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        try:
            block = dataset[part]
        except OSError as error:
            raise DataError(f"{path} breaks off near tile {first} ({error})") from error
        finite = np.isfinite(block.reshape(len(block), -1)).all(1)
        if not finite.all():
            raise DataError(f"{path} holds NaN or infinity in tile {first + int(finite.argmin())}")
        yield part, block


def _images(path: Path) -> np.ndarray:
    """Read grey levels and divide them by the largest of the stack: (N, S, S) float32."""
    dataset = _dataset(path, "images")
    with dataset.file:
        shape = dataset.shape
        if len(shape) not in (3, 4) or shape[1] != shape[2] or shape[3:] not in ((), (1,)):
            raise DataError(f"{path} has images of shape {shape}; (N, 512, 512, 1) is needed")
        images = np.empty(shape[:3], np.float32)
        for part, block in _blocks(dataset, path):
            images[part] = block.reshape(block.shape[:3])
    low, high = images.min(initial=np.inf), images.max(initial=-np.inf)
    if not 0 <= low < high:
        raise DataError(f"{path} runs from {low:g} to {high:g}; grey levels from 0 up are needed")
    images /= high
    return images


def _masks(path: Path) -> np.ndarray:
    """Read one-hot maps, channel 1 the particle: (N, S, S) bool."""
    dataset = _dataset(path, "maps")
    with dataset.file:
        shape = dataset.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 2:
            raise DataError(f"{path} has maps of shape {shape}; one-hot (N, 512, 512, 2) is needed")
        masks = np.empty(shape[:3], bool)
        for part, block in _blocks(dataset, path):
            hot = block > 0
            single = len(np.unique(block)) <= 2 and (hot[..., 0] != hot[..., 1]).all()
            if not single:
                raise DataError(
                    f"{path} is not one-hot near tile {part.start}: each pixel needs one channel "
                    "at 0 and the other at one same value"
                )
            masks[part] = hot[..., 1]
    return masks


def load_nanoparticle_stack(images_h5: Path, maps_h5: Path) -> Tiles:
    """Load a stack of the study's tiles from two HDF5 files.

    Parameters
    ----------
    images_h5
        Holds ``images``: (N, 512, 512) or (N, 512, 512, 1), filtered and scaled.
    maps_h5
        Holds ``maps``: (N, 512, 512, 2), channel 0 background, 1 particle.

    Returns
    -------
    Tiles
        ``kind="real"``. The stack was shuffled and says nothing of where a tile
        comes from: micrograph and material are ``"unknown"``, corners -1, pixel
        sizes NaN, and a split by micrograph is not possible.

    Raises
    ------
    DataError
        If a file is missing, cut short, lacks its dataset, or holds something
        else than tiles and their one-hot maps.
    ImportError
        If h5py is not installed.
    """
    images_h5, maps_h5 = Path(images_h5), Path(maps_h5)
    images, masks = _images(images_h5), _masks(maps_h5)
    if images.shape != masks.shape:
        raise DataError(f"{images_h5} holds {images.shape}, {maps_h5} {masks.shape}: not one set")
    count = len(images)
    return Tiles(
        images=images,
        masks=masks,
        instances=None,
        micrograph=np.full(count, "unknown"),
        material=np.full(count, "unknown"),
        corner=np.full((count, 2), -1),
        pixel_size_nm=np.full(count, np.nan),
        kind="real",
    )


def real_tiles() -> Tiles | None:
    """Fetch and load the study's own tiles if ``MCHELPERS_REAL`` is 1; None if it is not."""
    if os.environ.get("MCHELPERS_REAL") != "1":
        return None
    return load_nanoparticle_stack(*fetch_nanoparticles())
