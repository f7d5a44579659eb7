"""Files that microscopes write: electron microscopes' through rosettasciio, and AFMs'."""

from __future__ import annotations

import glob
import importlib
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .planes import Found, Refused, check_size

__all__ = ["read_instrument"]

_ROSETTA = {"dm": "digitalmicrograph", "emd": "emd", "mrc": "mrc", "ser": "tia"}


def read_instrument(path: Path, kind: str, channel: str | None) -> Found:
    """Read a file of this kind (see :func:`mchelpers.inputs.pictures.file_kind`)."""
    if kind in _ROSETTA:
        return _read_rosetta(path, kind, channel)
    if kind in _AFM:
        return _read_afm(path, channel, kind)
    readers = {"gwy": _read_gwy, "ibw": _read_ibw, "wsxm": _read_wsxm, "h5-jpk": _read_h5jpk}
    return readers[kind](path, channel)


def _pick(names: Sequence[str], channel: str | None) -> int:
    """Return which of a file's channels to read."""
    listed = ", ".join(dict.fromkeys(names))
    if channel is None and len(set(names)) > 1:
        raise Refused(f"holds the channels {listed}; name one, as in channel={names[0]!r}")
    if not names:
        raise Refused("holds no image")
    if channel is not None and channel not in names:
        raise Refused(f"has no channel {channel!r}; it has {listed}")
    return list(names).index(channel) if channel else 0


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that a file has more than once, so that each image can be asked for."""
    return [f"{n} ({k})" if names.count(n) > 1 else n for k, n in enumerate(names)]


def _read_rosetta(path: Path, kind: str, channel: str | None) -> Found:
    reader = importlib.import_module(f"rsciio.{_ROSETTA[kind]}").file_reader
    is_big = kind == "mrc" and _is_big_mrc(path)
    if kind == "ser":
        _check_ser(path)
    more = {"endianness": ">"} if is_big else {}
    try:
        signals = reader(str(path), lazy=True, **more)
    except ValueError as error:
        if "RGBA" not in str(error):
            raise
        signals = reader(str(path))  # colours of DigitalMicrograph are not read lazily
    titles = _distinct([_title(s, n) for n, s in enumerate(signals)])
    place = _pick(titles, channel)
    rows, columns = _image_axes(signals[place]["axes"])
    found = Found(
        signals[place]["data"],
        sizes=(rows["scale"], columns["scale"]),
        unit=columns["units"] if isinstance(columns["units"], str) else "",
        channels=(titles[place],) if len(signals) > 1 else (),
    )
    if is_big and found.pixels.dtype.isnative:  # rosettasciio turns the header only
        found.pixels = found.pixels.view(found.pixels.dtype.newbyteorder(">"))
    header = signals[place]["original_metadata"].get("std_header", {})
    if kind == "mrc" and not (header.get("MX", 1) and header.get("MY", 1)):
        found.unit = ""  # no grid, no size: rosettasciio says 1 nm
    if kind == "mrc" and np.allclose(found.sizes, 0.1, rtol=1e-6) and found.unit:
        found.unit = ""
        found.notes.append("the pixel size is left unknown: 1 angstrom stands for that in MRC")
    return found


def _check_ser(path: Path) -> None:
    """Refuse what rosettasciio would look for in vain, or take memory for, of TIA's files."""
    suffix, files = path.suffix.lower(), [path]
    if suffix not in (".ser", ".emi"):
        raise Refused("is a series of TIA; let its name end in .ser")
    if suffix == ".emi":
        files = sorted(path.parent.glob(glob.escape(path.stem) + "_[0-9].ser"))
    if not files:
        raise Refused(f"has its images in {path.stem}_1.ser and so on, which must lie beside it")
    for data in (np.memmap(file, np.uint8, "r") for file in files):
        (version,), (count,) = struct.unpack_from("<H", data, 4), struct.unpack_from("<I", data, 18)
        place = "<I" if version <= 528 else "<Q"
        (first,) = struct.unpack_from(place, data, struct.unpack_from(place, data, 22)[0])
        columns, rows = struct.unpack_from("<2I", data, first + 42)
        if data[6] == 0x22 and count * rows * columns > len(data):
            raise ValueError(f"{count:,} images of {columns:,} x {rows:,} px are announced")


def _is_big_mrc(path: Path) -> bool:
    """Tell the byte order by the machine stamp; refuse an MRC that is shorter than it says."""
    with path.open("rb") as file:
        head = file.read(214)
    is_big = head[212:] == b"\x11\x11"
    pixels = math.prod(struct.unpack_from(">3i" if is_big else "<3i", head))
    if not 0 < pixels <= 2 * path.stat().st_size:  # two pixels a byte at most
        raise ValueError(f"{pixels:,} pixels are announced in {path.stat().st_size:,} bytes")
    return is_big


def _title(signal: dict, number: int) -> str:
    return signal["metadata"].get("General", {}).get("title") or f"image {number}"


def _image_axes(axes: list[dict]) -> list[dict]:
    """Return the axes of rows and columns; a spectrum has none."""
    last = sorted(axes, key=lambda a: a.get("index_in_array", 0))[-2:]
    if len(last) < 2 or last[-1]["navigate"] != last[0]["navigate"]:
        raise Refused("holds spectra, not an image")
    return last


def _in_nm(pixels: np.ndarray, unit: str, notes: list[str]) -> tuple[np.ndarray, str | None]:
    """Turn heights in metres into nm; leave other values and their unit."""
    if unit != "m":
        return pixels, unit or None
    notes.append("heights in m were turned into nm")
    return pixels * 1e9, "nm"


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
    titles = _distinct([content.get(f"{k}/title", k) for k in fields])
    place = _pick(titles, channel)
    field = content[fields[place]]
    shape, notes = (field["yres"], field["xres"]), []
    units = [field.get(f"si_unit_{a}", {}).get("unitstr", "") for a in ("xy", "z")]
    pixels, z_unit = _in_nm(field["data"].reshape(shape), units[1], notes)
    sizes = field["yreal"] / shape[0], field["xreal"] / shape[1]
    return Found(
        pixels,
        sizes=sizes,
        unit=units[0],
        z_unit=z_unit,
        channels=(titles[place],),
        notes=notes,
    )


_IBW_NUMBERS = {2: "f4", 4: "f8", 8: "i1", 16: "i2", 32: "i4", 72: "u1", 80: "u2", 96: "u4"}


def _read_ibw(path: Path, channel: str | None) -> Found:
    """Read an Igor wave of version 5, the one that can hold an image."""
    data, notes = path.read_bytes(), []
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
    names = [
        data[k : k + 32].split(b"\0")[0] for k in range(at + 32, min(at + texts[9], len(data)), 32)
    ]
    labels = [name.decode("latin-1") for name in names]
    if len(labels) != shape[0] or not all(labels):
        labels = [f"layer {n}" for n in range(shape[0])]
    place = _pick(labels, channel)
    unit, unit_xy = (data[k : k + 4].split(b"\0")[0].decode("latin-1") for k in (212, 216))
    if not unit and re.match("Height|ZSensor", labels[place]):
        unit = "m"  # Asylum's heights are
    pixels, z_unit = _in_nm(values[place, ::-1], unit, notes)
    across, down = entries("2d", 148)
    return Found(
        pixels,
        sizes=(down, across),
        unit=unit_xy,
        z_unit=z_unit,
        channels=(labels[place],),
        notes=notes,
    )


def _read_wsxm(path: Path, channel: str | None) -> Found:
    """Read TOP (16 bit) and STP (64 bit) of WSxM."""
    if channel is not None:
        raise Refused(f"has no named channels, so none called {channel!r}")
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


def _read_h5jpk(path: Path, channel: str | None) -> Found:
    """Read JPK's HDF5: each frame is a column of its channel, its lowest row first."""
    import h5py

    with h5py.File(path, "r") as file:
        parts = [p for s in file.values() if isinstance(s, h5py.Group) for p in s.values()]
        found = {}
        for part in (p for p in parts if "channel.name" in p.attrs):
            name, back = (str(part.attrs.get(k)).lower() for k in ("channel.name", "retrace"))
            found.setdefault(f"{name}_{'retrace' if back in ('true', '1') else 'trace'}", part)
        channel = list(found)[_pick(list(found), channel)]
        about, grid = found[channel].attrs, found[channel].parent.attrs
        (values,) = (d for d in found[channel].values() if getattr(d, "ndim", 0) == 2)
        shape = [int(grid[f"position-pattern.grid.{a}length"]) for a in "ji"]
        sizes = [float(grid[f"position-pattern.grid.{a}length"]) for a in "vu"]
        check_size(values.shape, np.float64)
        pixels = values[:] * float(about.get("net-encoder.scaling.multiplier", 1))
        pixels += float(about.get("net-encoder.scaling.offset", 0))
    is_height = channel.startswith(("height_", "measuredheight_"))
    return Found(
        pixels.T.reshape(-1, *shape)[:, ::-1] * (1e9 if is_height else 1),
        sizes=[1e9 * size / n for size, n in zip(sizes, shape)],
        unit="nm",
        z_unit="nm" if is_height else None,
        channels=(channel,),
        notes=[] if is_height else [f"the unit of {channel} is not known"],
    )


_AFM = {"spm": "load_spm", "jpk": "load_jpk", "asd": "load_asd"}
_HEIGHTS = {"jpk": "height|measuredHeight", "asd": "TP"}


def _read_afm(path: Path, channel: str | None, kind: str) -> Found:
    """Read through AFMReader, whose error names the channels of a file."""
    if kind == "spm" and not _has_end(path):
        raise ValueError("its header has no end")  # pySPM would look for it for ever
    if kind == "asd":
        _check_asd(path)
    sizes = _jpk_sizes(path) if kind == "jpk" else None
    load = getattr(importlib.import_module(f"AFMReader.{kind}"), _AFM[kind])
    importlib.import_module("loguru").logger.disable("AFMReader")
    names = _afm_channels(load, path)
    channel = names[_pick(names, channel)]
    pixels, size, *about = load(path, channel)
    if kind == "asd":
        sizes = _asd_sizes(about[0])
    z_unit = "nm" if re.match(_HEIGHTS.get(kind, "$"), channel) else None
    if kind == "spm":
        scale = importlib.import_module("pySPM").Bruker(path).get_channel(channel).zscale
        z_unit = scale.decode("latin-1") if isinstance(scale, bytes) else scale
    notes = [] if z_unit else [f"the unit of {channel} is not known"]
    return Found(
        np.asarray(pixels),
        sizes=sizes or (size, size),
        unit="nm",
        z_unit=z_unit,
        channels=(channel,),
        notes=notes,
    )


def _has_end(path: Path) -> bool:
    lines = path.read_bytes().split(b"\n")
    return any(line.rstrip().replace(b"\\", b"") == b"*File list end" for line in lines)


def _jpk_sizes(path: Path) -> list[float]:
    """Height and width of a pixel in nm; AFMReader gives the width only."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        for page in file.pages:
            check_size(page.shape, page.dtype)
            if 32896 in page.tags and int(page.tags[32896].value) > 99:
                raise ValueError("its header has too many slots")  # AFMReader would make them all
        grid = file.pages[0].tags
        return [
            1e9 * grid[size].value / grid[n].value for size, n in ((32835, 32839), (32834, 32838))
        ]


def _check_asd(path: Path) -> None:
    with path.open("rb") as file:
        version, columns, rows = struct.unpack("<i44x2i", file.read(56))
    if version and 2 * columns * rows > path.stat().st_size:
        raise ValueError(f"frames of {columns:,} x {rows:,} px are announced")


def _asd_sizes(header: dict) -> list[float]:
    """Height and width of a pixel in nm; refuse what AFMReader takes for granted and is not so."""
    bits, skipped = header["analogue_digital_data_bits_size"], header["frame_header_length"]
    if bits not in (12, 4096) or skipped != 32:
        raise Refused(
            f"has levels of {bits} bits and {skipped} bytes before a frame; only 12 and 32 are "
            "read: export its frames as TIFF"
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
