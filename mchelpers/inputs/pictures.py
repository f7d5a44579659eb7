"""The one door for images: any file of a microscope or of a program, right or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..downloads import DataError
from ..install import install_line
from . import formats
from .afm import read_afm
from .electron import read_electron
from .planes import Refused, numbers, one_plane
from .units import pixel_size_in_nm

__all__ = ["Picture", "file_kind", "is_grey", "read_picture"]


@dataclass(frozen=True)
class Picture:
    """One image, and what its file says of it.

    Attributes
    ----------
    pixels
        (H, W), (H, W, 3) RGB, or (C, H, W) if several channels were asked for; in the file's
        own type and the machine's byte order, all finite.
    pixel_size, unit
        Edge of a square pixel and its unit, such as ``"nm"`` or ``"um"``; both None where the
        file does not say.
    z_unit
        Of the values, where the file says: ``"nm"`` for heights.
    channels
        Names of the channels that were read.
    source
        The file.
    notes
        What was converted on the way, a few words each.
    """

    pixels: np.ndarray
    pixel_size: float | None
    unit: str | None
    z_unit: str | None
    channels: tuple[str, ...]
    source: Path
    notes: tuple[str, ...]

    @property
    def pixel_size_nm(self) -> float:
        """Edge of a pixel in nm; NaN where the file does not say."""
        return math.nan if self.unit is None else pixel_size_in_nm(self.pixel_size, self.unit)


_BEGINNINGS = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"\x93NUMPY": "npy",
    b"GWYP": "gwy",
    b"II\x97\x01": "ser",
    b"\\*File list": "spm",
    b"\\*Force file list": "spm",
}
_WITHIN = {("tiff", ".jpk"): "jpk", ("hdf5", ".emd"): "emd", ("hdf5", ".h5-jpk"): "h5-jpk"}
_BY_NAME = {".ibw": "ibw", ".asd": "asd", ".mrc": "mrc", ".mrcs": "mrc", ".emi": "ser"}


def file_kind(path: Path) -> str:
    """Tell the format of a file by its first bytes, and by its name where they do not say."""
    with path.open("rb") as file:
        head = file.read(512)
    suffix = path.suffix.lower()
    kind = next((k for start, k in _BEGINNINGS.items() if head.startswith(start)), "")
    if not kind and head[:4] in (b"\0\0\0\3", b"\0\0\0\4"):
        kind = "dm"
    elif not kind and b"Image header size" in head:
        kind = "wsxm"
    elif not kind and head[208:211] == b"MAP":
        kind = "mrc"
    return _WITHIN.get((kind, suffix), kind) or _BY_NAME.get(suffix, "picture")


def read_picture(
    path: Path | str,
    page: int | None = None,
    channel: str | Sequence[str] | None = None,
    background: float | None = None,
) -> Picture:
    """Read one image from a file of any format that microscopists meet.

    What a file is, its content says, not its name. Palettes and CMYK become RGB, an image is
    turned as its EXIF orientation says, alpha that hides nothing is dropped, 0-is-white is
    inverted; ``notes`` names each.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, WebP, GIF, TIFF, HDF5, NPY, IBW, GWY, H5-JPK, TOP and STP; with
        rosettasciio DM3, DM4, EMD, MRC, SER and EMI; with AFMReader SPM, JPK and ASD.
    page
        Number of the image in a stack, from 0.
    channel
        Name of the channel of an instrument's file, or of the dataset of an HDF5 file; a list
        of names gives (C, H, W).
    background
        What to lay transparent pixels on: 0 for black, 1 for white. None refuses them.

    Returns
    -------
    Picture

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, a package is missing for it, it holds
        several images and none is chosen, or what it holds is no image of finite numbers.
    """
    path = Path(path)
    _check_file(path)
    if channel is not None and not isinstance(channel, str):
        return _several(path, page, list(channel), background)
    kind = "image"
    try:
        kind = file_kind(path)
        plain = {"picture": formats.read_pillow, "tiff": formats.read_tiff, "npy": formats.read_npy}
        if channel is not None and kind in (*plain, "wsxm"):
            raise Refused(f"has no named channels, so none called {channel!r}")
        if kind in plain:
            found = plain[kind](path, page, background)
        elif kind == "hdf5":
            found = formats.read_hdf5(path, page, background, channel)
        else:
            read = read_electron if kind in ("dm", "emd", "mrc", "ser") else read_afm
            found = read(path, kind, channel)
            found.pixels = one_plane(found, page)
        pixels = numbers(found.pixels)
        size, unit = found.pixel_size()
    except Refused as refusal:
        raise DataError(f"{path} {refusal}") from None
    except ImportError as error:
        raise DataError(_missing(path, error.name or "a package")) from error
    except Exception as error:
        if "imagecodecs" in str(error):
            raise DataError(_missing(path, "imagecodecs")) from error
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as an image ({words}); is it cut short or damaged?"
        ) from error
    return Picture(pixels, size, unit, found.z_unit, found.channels, path, tuple(found.notes))


def is_grey(pixels: np.ndarray) -> bool:
    """Tell whether the colours of an (H, W, 3) image are equal everywhere."""
    return bool((pixels == pixels[..., :1]).all())


def _missing(path: Path, package: str) -> str:
    return f"{path} needs {package} to be read: {install_line('microscopes')}"


def _check_file(path: Path) -> None:
    """Refuse what is no file with something in it."""
    try:
        is_file, is_folder, is_link = path.is_file(), path.is_dir(), path.is_symlink()
        size = path.stat().st_size if is_file else 0
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened ({error})") from error
    if is_folder:
        raise DataError(f"{path} is a folder; name a file in it")
    if is_link and not path.exists():
        raise DataError(f"{path} is a link to a file that does not exist: {path.readlink()}")
    if not is_file:
        what = "is no regular file" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}; name an image file")
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes); was it cut short? Copy it again")


def _several(path: Path, page, channels: list[str], background) -> Picture:
    """Read several channels of one file: (C, H, W)."""
    if not channels:
        raise DataError(f"{path} was read with an empty list of channels; name one or more")
    pictures = [read_picture(path, page, name, background) for name in channels]
    shapes = {p.pixels.shape for p in pictures}
    if len(shapes) > 1:
        raise DataError(f"{path} has channels of several shapes: {sorted(shapes)}; read them apart")
    z_units = {p.z_unit for p in pictures}
    return replace(
        pictures[0],
        pixels=np.stack([p.pixels for p in pictures]),
        z_unit=z_units.pop() if len(z_units) == 1 else None,
        channels=tuple(channels),
        notes=tuple(dict.fromkeys(note for p in pictures for note in p.notes)),
    )
