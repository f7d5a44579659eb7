"""Files of electron microscopes, through rosettasciio."""

from __future__ import annotations

import importlib
import math
import struct
from pathlib import Path

import numpy as np

from .planes import Found, Refused, distinct, pick

__all__ = ["read_electron"]

_READERS = {"dm": "digitalmicrograph", "emd": "emd", "mrc": "mrc", "ser": "tia"}


def read_electron(path: Path, kind: str, channel: str | None) -> Found:
    """Read a file of this kind (see :func:`mchelpers.inputs.pictures.file_kind`)."""
    reader = importlib.import_module(f"rsciio.{_READERS[kind]}").file_reader
    is_big, is_signed = _mrc_kind(path) if kind == "mrc" else (False, False)
    if kind == "ser" and path.suffix.lower() not in (".ser", ".emi"):
        raise Refused("is a series of TIA; let its name end in .ser")
    if kind == "emd":
        _check_emd(path)
    try:
        signals = reader(str(path), lazy=True, **({"endianness": ">"} if is_big else {}))
    except ValueError as error:
        if "RGBA" not in str(error):
            raise
        signals = reader(str(path))  # colours of DigitalMicrograph are not read lazily
    if kind == "ser":
        _check_ser(signals, path)
    titles = [s["metadata"].get("General", {}).get("title") for s in signals]
    titles = distinct([title or f"image {n}" for n, title in enumerate(titles)])
    place = pick(titles, channel)
    rows, columns = _image_axes(signals[place]["axes"])
    found = Found(
        signals[place]["data"],
        sizes=(rows["scale"], columns["scale"]),
        unit=columns["units"] if isinstance(columns["units"], str) else "",
        channels=(titles[place],) if len(signals) > 1 else (),
    )
    if kind == "mrc":
        _mend_mrc(found, signals[place]["original_metadata"]["std_header"], is_big, is_signed)
    return found


def _mend_mrc(found: Found, header: dict, is_big: bool, is_signed: bool) -> None:
    """Correct what rosettasciio takes amiss of an MRC."""
    if is_big and found.pixels.dtype.isnative:  # it turns the header only
        found.pixels = found.pixels.view(found.pixels.dtype.newbyteorder(">"))
    if is_signed and found.pixels.dtype == np.uint8:
        found.pixels = found.pixels.view(np.int8)
    if not (header.get("MX", 1) and header.get("MY", 1)):
        found.unit = ""  # no grid, no size: it says 1 nm
    elif found.unit == "nm" and np.allclose(found.sizes, 0.1, rtol=1e-6):
        found.unit = ""
        found.notes.append("the pixel size is left unknown: 1 angstrom stands for that in MRC")


def _check_emd(path: Path) -> None:
    """Refuse an array that no compression makes so small: its parts alone would fill memory."""
    import h5py

    sizes = [0]
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: sizes.append(getattr(item, "nbytes", 0)))
    if max(sizes) > 2000 * path.stat().st_size:
        raise ValueError(f"{max(sizes):,} bytes are announced in {path.stat().st_size:,}")


def _check_ser(signals: list[dict], path: Path) -> None:
    """Refuse an EMI without its files of images, and one of those that lacks some."""
    if not signals:
        raise Refused(f"has its images in {path.stem}_1.ser and so on, which must lie beside it")
    for signal in signals:
        file = path.with_name(signal["metadata"]["General"]["original_filename"])
        if signal["data"].nbytes > file.stat().st_size:
            raise ValueError(f"{signal['data'].nbytes:,} bytes are announced in {file.name}")


def _mrc_kind(path: Path) -> tuple[bool, bool]:
    """Tell whether an MRC is big-endian, and its bytes signed; refuse one that is too short."""
    with path.open("rb") as file:
        head = file.read(214)
    is_big = head[212:] == b"\x11\x11"
    *sides, year, imod, flags = struct.unpack_from(f"{'<>'[is_big]}3i96xi40x2i", head)
    pixels = math.prod(sides)
    if not 0 < pixels <= 2 * path.stat().st_size:  # two pixels a byte at most
        raise ValueError(f"{pixels:,} pixels are announced in {path.stat().st_size:,} bytes")
    # The standard's since 2014; IMOD says so in a flag of its own.
    return is_big, year // 10 == 2014 or (imod == 1146047817 and flags & 1 == 1)


def _image_axes(axes: list[dict]) -> list[dict]:
    """Return the axes of rows and columns; a spectrum has none."""
    last = sorted(axes, key=lambda a: a.get("index_in_array", 0))[-2:]
    if len(last) < 2 or last[-1]["navigate"] != last[0]["navigate"]:
        raise Refused("holds spectra, not an image")
    return last
