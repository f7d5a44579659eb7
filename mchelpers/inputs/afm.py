"""Files of atomic force microscopes: Gwyddion, Igor, WSxM, JPK, and what AFMReader reads."""

from __future__ import annotations

import importlib
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .planes import Found, Refused, check_size, distinct, pick

__all__ = ["read_afm"]


def read_afm(path: Path, kind: str, channel: str | None) -> Found:
    """Read a file of this kind (see :func:`mchelpers.inputs.pictures.file_kind`)."""
    if kind in _AFMREADER:
        return _read_afmreader(path, channel, kind)
    readers = {"gwy": _read_gwy, "ibw": _read_ibw, "wsxm": _read_wsxm, "h5-jpk": _read_h5jpk}
    return readers[kind](path, channel)


def _channel(pixels, z_unit: str, sizes: Sequence[float], unit: str, name: str) -> Found:
    """One channel of an AFM; heights in metres become nm."""
    notes = [] if z_unit else [f"the unit of {name} is not known"]
    if z_unit == "m":
        pixels, z_unit, notes = pixels * 1e9, "nm", ["heights in m were turned into nm"]
    about = {"sizes": sizes, "unit": unit, "channels": (name,), "notes": notes}
    return Found(pixels, z_unit=z_unit or None, **about)


_GWY_NUMBERS = {"c": "b", "i": "<i", "q": "<q", "d": "<d", "b": "?"}


def _gwy_object(data: bytes, at: int, end: int) -> dict:
    """Read the components of a Gwyddion object between two places of a file."""
    found = {}
    while at < end:
        name, at = _gwy_text(data, at)
        kind, at = chr(data[at]), at + 1
        if kind in _GWY_NUMBERS:
            (value,) = struct.unpack_from(_GWY_NUMBERS[kind], data, at)
            at += struct.calcsize(_GWY_NUMBERS[kind])
        elif kind == "s":
            value, at = _gwy_text(data, at)
        else:
            count, at = (1, at) if kind == "o" else (*struct.unpack_from("<I", data, at), at + 4)
            if kind.lower() in "cqdi":
                form = np.dtype(_GWY_NUMBERS[kind.lower()])
                value, at = np.frombuffer(data, form, count, at), at + count * form.itemsize
            elif kind in "oOS":
                value = []
                for _ in range(count):
                    text, at = _gwy_text(data, at)
                    if kind != "S":
                        (size,) = struct.unpack_from("<I", data, at)
                        value.append(_gwy_object(data, at + 4, at + 4 + size))
                        at += 4 + size
                value = value[0] if kind == "o" else value
            else:
                raise ValueError(f"a component of kind {kind!r} is not known")
        found[name] = value
    return found


def _gwy_text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8"), end + 1


def _read_gwy(path: Path, channel: str | None) -> Found:
    data = path.read_bytes()
    _, at = _gwy_text(data, 4)
    (size,) = struct.unpack_from("<I", data, at)
    if at + 4 + size > len(data):
        raise ValueError(f"{at + 4 + size} bytes are announced, there are {len(data)}")
    content = _gwy_object(data, at + 4, at + 4 + size)
    fields = [k for k in content if re.fullmatch(r"/\d+/data", k)]
    titles = distinct([content.get(f"{k}/title", k) for k in fields])
    place = pick(titles, channel)
    field = content[fields[place]]
    shape = field["yres"], field["xres"]
    units = [field.get(f"si_unit_{a}", {}).get("unitstr", "") for a in ("xy", "z")]
    sizes = field["yreal"] / shape[0], field["xreal"] / shape[1]
    return _channel(field["data"].reshape(shape), units[1], sizes, units[0], titles[place])


_IBW_NUMBERS = {2: "f4", 4: "f8", 8: "i1", 16: "i2", 32: "i4", 72: "u1", 80: "u2", 96: "u4"}


def _read_ibw(path: Path, channel: str | None) -> Found:
    """Read an Igor wave of version 5, the one that can hold an image."""
    data = path.read_bytes()
    order = "<" if data[0] else ">"

    def entries(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, data, at)

    if entries("h", 0) != (5,):
        raise ValueError("it is no Igor wave of version 5")
    size, texts = entries("i", 4)[0], entries("11i", 8)  # of the data; of what stands behind it
    columns, rows, layers, more = entries("4i", 132)
    (kind,) = entries("h", 80)
    if more or not rows or kind not in _IBW_NUMBERS:
        raise Refused(f"holds a wave of {columns} x {rows} x {layers} of kind {kind}, no image")
    shape = (layers or 1, rows, columns)
    dtype = np.dtype(order + _IBW_NUMBERS[kind])
    check_size(shape, dtype)
    values = np.frombuffer(data, dtype, math.prod(shape), 384).reshape(shape)
    at = 64 + size + sum(texts[:9])  # the labels of the third axis, 32 bytes each
    ends = range(at + 64, min(at + texts[9], len(data)) + 32, 32)
    labels = [data[k - 32 : k].split(b"\0")[0].decode("latin-1") for k in ends]
    if len(labels) != shape[0] or not all(labels):
        labels = [f"layer {n}" for n in range(shape[0])]
    place = pick(labels, channel)
    unit, unit_xy = (data[k : k + 4].split(b"\0")[0].decode("latin-1") for k in (212, 216))
    if not unit and re.match("Height|ZSensor", labels[place]):
        unit = "m"  # Asylum's heights are
    across, down = entries("2d", 148)
    return _channel(values[place, ::-1], unit, (down, across), unit_xy, labels[place])


def _read_wsxm(path: Path, _) -> Found:
    """Read TOP (16 bit) and STP (64 bit) of WSxM."""
    data, notes = path.read_bytes(), []
    (start,) = re.search(rb"Image header size: (\d+)", data).groups()
    head = data[: int(start)].decode("latin-1")

    def entry(name: str) -> tuple[float, str]:
        found = re.search(rf"{name}: ([-+.\deE]+) *([^\r\n]*)", head)
        if not found:
            raise ValueError(f"its header lacks {name!r}")
        return float(found[1]), found[2].strip()

    shape = int(entry("Number of rows")[0]), int(entry("Number of columns")[0])
    is_short = len(data) - int(start) < 8 * shape[0] * shape[1]
    dtype = np.dtype("<i2" if is_short else "<f8")
    check_size(shape, dtype)
    pixels = np.frombuffer(data, dtype, shape[0] * shape[1], int(start)).reshape(shape)
    (width, unit), (height, unit_down) = entry("X Amplitude"), entry("Y Amplitude")
    top, z_unit = entry("Z Amplitude") if "Z Amplitude" in head else (None, "")
    if is_short and top is not None:
        spread = float(np.ptp(pixels.astype(float))) or 1
        pixels = (pixels - float(pixels.min())) / spread * top
        notes.append("grey levels were turned into heights")
    sizes = (height / shape[0], width / shape[1]) if unit == unit_down else None
    return Found(pixels, sizes=sizes, unit=unit, z_unit=z_unit or None, notes=notes)


def _text(part, attribute: str) -> str:
    """Read an attribute of HDF5, be it text, bytes or a truth value, in small letters."""
    return str(np.asarray(part.attrs.get(attribute, "")).astype(str)).lower()


def _read_h5jpk(path: Path, channel: str | None) -> Found:
    """Read JPK's HDF5: each frame is a column of its channel, its lowest row first."""
    import h5py

    with h5py.File(path, "r") as file:
        parts = [p for s in file.values() if isinstance(s, h5py.Group) for p in s.values()]
        parts = [p for p in parts if "channel.name" in p.attrs]
        ways = ["re" * (_text(p, "retrace") in ("true", "1")) + "trace" for p in parts]
        names = distinct([f"{_text(p, 'channel.name')}_{w}" for p, w in zip(parts, ways)])
        place = pick(names, channel)
        about, grid = parts[place].attrs, parts[place].parent.attrs
        (values,) = (d for d in parts[place].values() if getattr(d, "ndim", 0) == 2)
        check_size(values.shape, np.float64)
        pixels = values[:] * float(about.get("net-encoder.scaling.multiplier", 1))
        pixels += float(about.get("net-encoder.scaling.offset", 0))
        shape = [int(grid[f"position-pattern.grid.{a}length"]) for a in "ji"]
        sides = [float(grid[f"position-pattern.grid.{a}length"]) for a in "vu"]
    unit = "m" if re.match("(measured)?height_", names[place]) else ""
    sizes = [1e9 * side / n for side, n in zip(sides, shape)]
    return _channel(pixels.T.reshape(-1, *shape)[:, ::-1], unit, sizes, "nm", names[place])


_AFMREADER = {"spm": "load_spm", "jpk": "load_jpk", "asd": "load_asd"}
_HEIGHTS = {"jpk": "height|measuredHeight", "asd": "TP"}


def _read_afmreader(path: Path, channel: str | None, kind: str) -> Found:
    """Read through AFMReader, whose error names the channels of a file."""
    if kind == "spm" and not _has_end(path):
        raise ValueError("its header has no end")  # pySPM would look for it for ever
    sizes = _jpk_sizes(path) if kind == "jpk" else None
    load = getattr(importlib.import_module(f"AFMReader.{kind}"), _AFMREADER[kind])
    importlib.import_module("loguru").logger.disable("AFMReader")
    names = _afm_channels(load, path)
    channel = names[pick(names, channel)]
    pixels, size, *about = load(path, channel)
    if kind == "asd":
        sizes = _asd_sizes(about[0])
    z_unit = "nm" if re.match(_HEIGHTS.get(kind, "$"), channel) else ""
    if kind == "spm":
        scale = importlib.import_module("pySPM").Bruker(path).get_channel(channel).zscale
        z_unit = scale.decode("latin-1") if isinstance(scale, bytes) else scale
    return _channel(np.asarray(pixels), z_unit, sizes or (size, size), "nm", channel)


def _has_end(path: Path) -> bool:
    lines = path.read_bytes().split(b"\n")
    return any(line.rstrip().replace(b"\\", b"") == b"*File list end" for line in lines)


def _jpk_sizes(path: Path) -> list[float]:
    """Height and width of a pixel in nm; AFMReader gives the width alone."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        for page in file.pages:
            check_size(page.shape, page.dtype)
            if 32896 in page.tags and int(page.tags[32896].value) > 99:
                raise ValueError("its header has too many slots")  # AFMReader would make them all
        grid = file.pages[0].tags
        up, along, rows, columns = (grid[n].value for n in (32835, 32834, 32839, 32838))
    return [1e9 * up / rows, 1e9 * along / columns]


def _asd_sizes(header: dict) -> list[float]:
    """Height and width of a pixel in nm; refuse what AFMReader takes for granted and is not so."""
    bits, skipped = header["analogue_digital_data_bits_size"], header["frame_header_length"]
    if bits not in (12, 4096) or skipped != 32:
        raise Refused(
            f"has {bits} bits and {skipped} bytes before a frame, not 12, 32; export TIFF"
        )
    return [header[f"{a}_nm"] / header[f"{a}_pixels"] for a in "yx"]


def _afm_channels(load, path: Path) -> list[str]:
    try:
        load(path, "none_trace")
    except ValueError as error:
        if "not" not in str(error) or ":" not in str(error):
            raise
        tail = str(error).partition(": ")[2]
        names = re.findall(r"'([^']+)'", tail) or tail.split(", ")
        return [n for n in names if n.strip("\0 ")]  # ASD of one channel leaves the second blank
    return ["none_trace"]
