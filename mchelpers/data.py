"""Labelled micrographs: where they come from, and how to load them.

Real data is never part of this repository. ``registry.csv`` lists each file
with its sha256 and the address of one pinned version; files are looked for in
the folder named by ``MCHELPERS_DATA`` (else in the user's cache) and downloaded
only when they are not there.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import resources
from math import comb
from pathlib import Path, PureWindowsPath

import numpy as np

from ._moved import find_object

__all__ = [
    "DataError",
    "Micrographs",
    "Split",
    "bernstein",
    "bezier_background",
    "data_folder",
    "fetch",
    "fetch_all",
    "fetch_record",
    "read_mask",
    "read_micrograph",
    "registry",
    "split_samples",
    "stays_inside",
    "zscore",
]


class DataError(RuntimeError):
    """A data file is missing, damaged or unreadable; the message says what to do."""


@dataclass
class Micrographs:
    """Images with masks, and what is needed to split them honestly.

    Attributes
    ----------
    images
        (N, H, W) float32, in the units the file had.
    masks
        (N, H, W) bool, True on the labelled class.
    names
        N names, one per image.
    groups
        Name of a grouping -> (N,) array of labels; images that share a label
        must stay on one side of a split.
    kind
        ``"real"`` or ``"simulated"``.
    sha256
        One hash over all files or arrays.
    pixel_size_nm
        (N,) float, nm per pixel; NaN where unknown.
    """

    images: np.ndarray
    masks: np.ndarray
    names: list[str]
    groups: dict[str, np.ndarray]
    kind: str
    sha256: str
    pixel_size_nm: np.ndarray = field(default=None)

    def __post_init__(self):
        if self.pixel_size_nm is None:
            self.pixel_size_nm = np.full(len(self.names), np.nan)

    def __len__(self) -> int:
        return len(self.names)


@cache
def registry() -> dict[str, tuple[str, int, str]]:
    """Read the list of files: path -> (sha256, bytes, url)."""
    text = resources.files("mchelpers").joinpath("registry.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {r["path"]: (r["sha256"], int(r["bytes"]), r["url"]) for r in rows}


def data_folder() -> Path:
    """Return the folder of real data: ``MCHELPERS_DATA``, else the user's cache."""
    chosen = os.environ.get("MCHELPERS_DATA")
    if chosen:
        return Path(chosen).expanduser().resolve()
    import pooch

    return Path(pooch.os_cache("mchelpers"))


def stays_inside(name: str) -> bool:
    """Tell whether a file of this name lies below the folder that it is put in."""
    path = PureWindowsPath(name)  # knows both slashes, and drives
    return not path.anchor and ".." not in path.parts


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _downloading(source: str, target: Path) -> Iterator[None]:
    """Turn what goes wrong in a download into a :class:`DataError` that says what to do."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # its notes would stand on a chapter's page
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"{target} is missing and its folder cannot be written; set MCHELPERS_DATA to a folder "
            "of your own"
        ) from error
    except (OSError, ValueError, KeyError) as error:  # an answer that is none, a proxy that is none
        if "known hash" in str(error):
            raise DataError(
                f"{source} came down damaged or cut short (wrong checksum), nothing was kept; run "
                f"again, and if it stays so download it by hand to {target}"
            ) from error
        raise DataError(
            f"{target} is not on this machine and could not be downloaded from {source}: {error}. "
            "Check the network and the proxy settings, download it by hand, or set MCHELPERS_DATA "
            "to a folder that holds it"
        ) from error


def fetch(path: str, folder: Path | None = None, files: dict | None = None) -> Path:
    """Find one registered file, downloading it if it is not there yet.

    Parameters
    ----------
    path
        Path as the registry spells it.
    folder
        Where to look and to save. By default :func:`data_folder`.
    files
        A registry to use in place of the package's own; a sha256 of None takes any content.

    Returns
    -------
    Path
        The file on this machine, its hash checked.

    Raises
    ------
    DataError
        If the path is not registered or leads out of the folder, the file has the wrong
        hash, the folder cannot be written, or the download fails or is cut short.
    """
    import pooch

    files = registry() if files is None else files
    folder = data_folder() if folder is None else Path(folder)
    if path not in files:
        raise DataError(f"{path!r} is not in the registry; see mchelpers.data.registry()")
    if not stays_inside(path):
        raise DataError(f"{path!r} leads out of {folder}; mend the registry")
    sha256, size, url = files[path]
    target = folder / path
    if target.exists():
        if sha256 is not None and (found := _sha256(target)) != sha256:
            raise DataError(
                f"{target} is not the registered file: sha256 {found[:12]}..., expected "
                f"{sha256[:12]}... ({target.stat().st_size} bytes, expected {size}). Delete it and "
                f"run again to download it from {url}"
            )
        return target
    with _downloading(url, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        quiet = pooch.HTTPDownloader(progressbar=False, timeout=30)
        known = sha256 and f"sha256:{sha256}"
        pooch.retrieve(url, known, target.name, target.parent, downloader=quiet)
    return target


def fetch_all(paths: list[str]) -> list[Path]:
    """Find registered files, eight at a time; see :func:`fetch`."""
    from tqdm.auto import tqdm

    folder = data_folder()
    missing = sum(not (folder / p).exists() for p in paths)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(fetch, paths)
        return list(tqdm(found, total=len(paths), desc="download", disable=not missing))


def fetch_record(doi: str, folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Find files of a published record, downloading by its DOI what is not there.

    Parameters
    ----------
    doi
        Such as ``"10.5281/zenodo.3755011"``.
    folder
        Where to look and to save.
    names
        Files of the record; none means all. One that is there is used without network and
        without a hash; a download is checked against the sum that the host names.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        If the record cannot be read, lacks a file, or a download comes down damaged.
    """
    import pooch

    folder = Path(folder)
    if names and all((folder / name).exists() for name in names):
        return [folder / name for name in names]
    source = f"https://doi.org/{doi}"
    with _downloading(source, folder):
        record = pooch.create(folder, f"doi:{doi}/")
        record.load_registry_from_doi()
        names = names or sorted(record.registry)
        for name in names:
            if name not in record.registry or not stays_inside(name):
                found = ", ".join(sorted(record.registry)) or "nothing"
                raise DataError(f"{source} holds no {name} to take; it has {found}")
            if not (folder / name).exists():
                record.fetch(name, downloader=pooch.DOIDownloader(progressbar=True))
    return [folder / name for name in names]


def read_micrograph(path: Path) -> np.ndarray:
    """Read a grey-scale micrograph of any bit depth.

    Returns
    -------
    (H, W) float32
        Intensity in the file's units. RGB(A) is averaged over the colours
        where they are equal.

    Raises
    ------
    DataError
        If the file cannot be read, is not a single image, is in colour, holds
        NaN or infinity, or is constant (all black, say).
    """
    from skimage.io import imread

    try:
        image = np.asarray(imread(path))
    except Exception as error:
        raise DataError(f"{path} cannot be read as an image ({error}); is it cut short?") from error
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        colours = image[..., :3]
        if np.ptp(colours.astype(float), axis=-1).max() > 0:
            raise DataError(f"{path} is a colour image; a grey-scale micrograph is needed")
        image = colours[..., 0]
    if image.ndim != 2:
        raise DataError(f"{path} has shape {image.shape}; one (height, width) image is needed")
    image = image.astype(np.float32)
    if not np.isfinite(image).all():
        bad = int((~np.isfinite(image)).sum())
        raise DataError(f"{path} holds {bad} NaN or infinite pixels; fill or crop them first")
    if image.min() == image.max():
        raise DataError(f"{path} is constant ({image.min():g}); there is nothing to segment")
    return image


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read a mask; any value above half of the file's range is the labelled class.

    Parameters
    ----------
    path
        Image file, (H, W), 0 on background.
    shape
        Shape that the mask must have.

    Returns
    -------
    (H, W) bool
        May be empty: an image without the labelled class is a fact, not an error.

    Raises
    ------
    DataError
        If the file cannot be read or does not have the shape.
    """
    from skimage.io import imread

    try:
        mask = np.asarray(imread(path))
    except Exception as error:
        raise DataError(f"{path} cannot be read as a mask ({error}); is it cut short?") from error
    if mask.ndim == 3:
        mask = mask[..., 0]
    if shape is not None and mask.shape != shape:
        raise DataError(f"{path} has shape {mask.shape}, its image has {shape}")
    top = np.iinfo(mask.dtype).max if mask.dtype.kind in "ui" else 1
    return mask > top / 2


def bernstein(count: int, degree: int) -> np.ndarray:
    """Evaluate the Bernstein polynomials of one degree on a line of pixels.

    Parameters
    ----------
    count
        Pixels, spread evenly over 0..1.
    degree
        Degree of the polynomials.

    Returns
    -------
    (count, degree + 1) float64
        Each row sums to 1.
    """
    u = np.linspace(0, 1, count)[:, None]
    i = np.arange(degree + 1)
    return np.array([comb(degree, k) for k in i]) * u**i * (1 - u) ** (degree - i)


def bezier_background(
    image: np.ndarray, degree: int = 2, mask: np.ndarray | None = None
) -> np.ndarray:
    """Fit a Bezier surface to an image by least squares.

    Parameters
    ----------
    image
        (H, W) float.
    degree
        Degree along each axis: 2 has 3 x 3 coefficients, 1 has 2 x 2.
    mask
        (H, W) bool, True where pixels count; None counts all.

    Returns
    -------
    (H, W) float64
        The surface, in the units of the image.

    Raises
    ------
    ValueError
        If fewer pixels count than there are coefficients.
    """
    rows, columns = (bernstein(size, degree) for size in image.shape)
    if mask is None:
        # The basis is separable: solve along each axis in turn.
        return rows @ (np.linalg.pinv(rows) @ image @ np.linalg.pinv(columns).T) @ columns.T
    basis = np.einsum("ri,cj->rcij", rows, columns).reshape(image.size, -1)
    counted = mask.ravel()
    if counted.sum() < basis.shape[1]:
        raise ValueError(
            f"{counted.sum()} pixels cannot fix {basis.shape[1]} coefficients; widen the mask"
        )
    coefficients, *_ = np.linalg.lstsq(basis[counted], image.ravel()[counted], rcond=None)
    return (basis @ coefficients).reshape(image.shape)


def zscore(images: np.ndarray) -> np.ndarray:
    """Give each image mean 0 and standard deviation 1 (Eq. 3).

    Parameters
    ----------
    images
        (..., H, W), any number type.

    Returns
    -------
    (..., H, W) float32

    Raises
    ------
    ValueError
        If an image is constant or not finite.
    """
    images = np.asarray(images, np.float64)
    spread = images.std((-2, -1), keepdims=True)
    if not np.isfinite(spread).all():
        raise ValueError("an image holds NaN or infinity; fill or crop those pixels first")
    if (spread == 0).any():
        raise ValueError("an image is constant (all black?); it cannot be normalised")
    return ((images - images.mean((-2, -1), keepdims=True)) / spread).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """Numbers of the micrographs on each side of a split; no sample is on two sides.

    Attributes
    ----------
    train, validation, test
        (n,) int, ascending.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_samples(samples: np.ndarray, validation: int = 5, test: int = 6, seed: int = 0) -> Split:
    """Split micrographs by sample, as many samples on each side as the study had.

    Parameters
    ----------
    samples
        (N,) label of each micrograph's sample.
    validation, test
        Samples put aside; the study: 5 and 6 of 52.
    seed
        Of the shuffle.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If no sample is left to train on.
    """
    samples = np.asarray(samples)
    names = np.unique(samples)
    if min(validation, test) < 0 or validation + test >= len(names):
        raise ValueError(
            f"{len(names)} samples cannot give {validation} for validation, {test} for testing "
            "and one or more for training"
        )
    order = np.random.default_rng(seed).permutation(names)
    sides = np.split(order, [test, test + validation])
    test_side, validation_side, train_side = (np.flatnonzero(np.isin(samples, s)) for s in sides)
    return Split(train_side, validation_side, test_side)


__getattr__ = partial(find_object, "data")  # old names of recorded chapters
