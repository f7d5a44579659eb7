"""Files that any program writes: pictures, TIFF, HDF5 and NPY."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path

import numpy as np

from .planes import Found, Refused, check_size, chosen, one_plane, opaque, turned
from .units import length_unit

__all__ = ["read_hdf5", "read_npy", "read_pillow", "read_tiff"]

_TURNS = range(2, 9)  # EXIF orientations that change something
_DEPTHS = {"YCbCr": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "PA": "RGBA"}


def _rgb_of_cmyk(pixels: np.ndarray, notes: list[str]) -> np.ndarray:
    from PIL import Image

    if pixels.dtype != np.uint8:
        raise Refused(f"holds CMYK of {pixels.dtype}; save it as RGB")
    notes.append("CMYK was turned into RGB, without a colour profile")
    return np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB"))


def read_pillow(path: Path, page: int | None, background: float | None) -> Found:
    """Read PNG, JPEG, BMP, WebP, GIF and what else Pillow knows."""
    from PIL import Image, UnidentifiedImageError

    notes = []
    try:
        picture = Image.open(path)
    except (UnidentifiedImageError, ImportError):  # Ultralytics' Image.open asks for pi_heif
        raise Refused(
            "cannot be read as an image: it is damaged, or not PNG, JPEG, BMP, WebP, GIF, TIFF, "
            "HDF5, NPY, DM3, DM4, EMD, MRC, SER, EMI, SPM, IBW, GWY, JPK, ASD, TOP or STP"
        ) from None
    with picture:
        count = getattr(picture, "n_frames", 1)
        if picture.format == "MPO":  # a phone's picture, with its preview behind it
            count = 1
        if count > 1:
            picture.seek(chosen(page, count, (count, picture.height, picture.width)))
        elif page is not None:
            chosen(page, 1, ())
        check_size((picture.height, picture.width, len(picture.getbands())), np.uint8)
        orientation = 1
        with contextlib.suppress(Exception):  # EXIF that is broken turns nothing
            orientation = picture.getexif().get(0x0112, 1)
        pixels = _pillow_pixels(picture, background, notes)
    if picture.format == "PNG" and path.read_bytes()[24:26] in (b"\x10\2", b"\x10\4", b"\x10\6"):
        notes.append("16 bits a colour were read as 8")
    return _right_way_up(pixels, orientation, notes)


def _pillow_pixels(picture, background: float | None, notes: list[str]) -> np.ndarray:
    if picture.mode in ("CMYK", "LAB", "HSV"):
        if picture.mode != "CMYK":
            raise Refused(f"holds {picture.mode} colours; save it as RGB")
        return _rgb_of_cmyk(np.asarray(picture), notes)
    if picture.mode == "P":
        notes.append("palette colours were turned into RGB")
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif "transparency" in picture.info and picture.mode in ("1", "L", "RGB"):
        picture = picture.convert("RGBA" if picture.mode == "RGB" else "LA")
    elif picture.mode in _DEPTHS:
        picture = picture.convert(_DEPTHS[picture.mode])
    pixels = np.asarray(picture)
    if picture.format == "PNG" and picture.mode == "I":
        pixels = pixels.astype(np.uint16)
    return _without_alpha(pixels, background, notes) if picture.mode[-1] == "A" else pixels


def _without_alpha(pixels, background, notes: list[str], premultiplied: bool = False):
    notes.append("alpha was dropped" if background is None else "alpha was laid on the background")
    return opaque(pixels, background, premultiplied)


def _right_way_up(pixels: np.ndarray, orientation: int, notes: list[str], **about) -> Found:
    if orientation in _TURNS:
        notes.append(f"turned as its orientation {orientation} says")
        pixels = turned(pixels, orientation)
        if orientation >= 5 and about.get("sizes"):
            about["sizes"] = about["sizes"][::-1]
    return Found(pixels, colour=pixels.ndim == 3, notes=notes, **about)


def read_tiff(path: Path, page: int | None, background: float | None) -> Found:
    """Read a TIFF of any bit depth, with the pixel size of the program that wrote it."""
    from tifffile import TiffFile

    notes = []
    with TiffFile(path) as file:
        series = [s for s in file.series if not s.keyframe.is_reduced] or list(file.series)
        if len(series) < len(file.series):
            notes.append("a preview in the file was passed over")
        # Planes that one series holds: all axes but rows, columns and samples.
        counts = [_planes_of(s) for s in series]
        shape = series[0].shape if len(series) == 1 else (sum(counts),)
        number = chosen(page, sum(counts), shape)
        which = 0
        while number >= counts[which]:
            number, which = number - counts[which], which + 1
        one = series[which]
        pixels = _tiff_plane(one, number, counts[which])
        frame = one.keyframe
        tag = frame.tags.get(274)
        orientation = tag.value if tag else 1
        sizes, unit = _tiff_scale(file, frame, list(file.series).index(one))
        pixels = _tiff_colours(pixels, frame, background, notes)
    return _right_way_up(pixels, orientation, notes, sizes=sizes, unit=unit)


def _planes_of(series) -> int:
    if not {"Y", "X"} <= set(series.axes):
        raise Refused(f"has shape {series.shape}; an image has a height and a width")
    return int(np.prod([n for n, a in zip(series.shape, series.axes) if a not in "YXS"]))


def _tiff_plane(series, number: int, count: int) -> np.ndarray:
    """Read one plane: (H, W) or (H, W, S)."""
    plane = [n for n, a in zip(series.shape, series.axes) if a in "YXS"]
    axes = "".join(a for a in series.axes if a in "YXS")
    check_size(plane, series.dtype)
    if len(series.pages) == count:
        pixels = series.pages[number].asarray()
    else:  # one contiguous block without a directory of its pages, as ImageJ writes it
        check_size(series.shape, series.dtype)
        pixels = series.asarray().reshape(count, *plane)[number]
    pixels = pixels.reshape(plane)
    return np.moveaxis(pixels, axes.index("S"), -1) if "S" in axes else pixels


def _tiff_colours(pixels, frame, background, notes: list[str]) -> np.ndarray:
    """Turn what a TIFF calls its photometric interpretation into grey or RGB."""
    kind = frame.photometric.name
    if kind == "MINISWHITE":
        if pixels.dtype.kind not in "bu":
            raise Refused(f"holds {pixels.dtype} with 0 as white; save it with 0 as black")
        notes.append("0 was white: grey levels were inverted")
        top = 2**frame.bitspersample - 1
        return ~pixels if pixels.dtype == bool else (top - pixels).astype(pixels.dtype)
    if kind == "PALETTE":
        notes.append("palette colours were turned into RGB")
        colours = np.moveaxis(frame.colormap, 0, -1)
        return (colours >> 8).astype(np.uint8)[pixels]  # a palette has 16 bits, a screen 8
    if kind == "SEPARATED":
        return _rgb_of_cmyk(pixels, notes)
    decoded = frame.compression.name in ("JPEG", "OJPEG")
    if kind not in ("MINISBLACK", "RGB") and not (kind == "YCBCR" and decoded):
        raise Refused(f"holds {kind} colours; save it as RGB")
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):
        premultiplied = [e.name for e in frame.extrasamples] == ["ASSOCALPHA"]
        return _without_alpha(pixels, background, notes, premultiplied)
    return pixels


def _tiff_scale(file, frame, number: int) -> tuple[tuple | None, object]:
    """Find height, width and unit of a pixel, where a microscope's program wrote them.

    A resolution in inches or centimetres is the printer's and says nothing of the object.
    """
    tags = frame.tags
    if file.is_ome:
        about = re.findall(r"<\w*:?Pixels\b[^>]*", file.ome_metadata)[number : number + 1]
        known = dict(re.findall(r'(PhysicalSize[XY](?:Unit)?)="([^"]*)"', "".join(about)))
        sizes = known.get("PhysicalSizeY"), known.get("PhysicalSizeX")
        across = known.get("PhysicalSizeXUnit", "um")
        units = (across, known.get("PhysicalSizeYUnit", across))
        units = sorted({length_unit(unit) or unit for unit in units})  # of two, none is known
        return (sizes, " by ".join(units)) if all(sizes) else (None, "")
    if file.is_imagej and "XResolution" in tags:
        across, per_x = tags["XResolution"].value
        down, per_y = tags["YResolution"].value
        if across and down:
            return (per_y / down, per_x / across), file.imagej_metadata.get("unit", "")
    if scan := (file.fei_metadata or {}).get("Scan"):
        return (scan.get("PixelHeight", 0), scan.get("PixelWidth", 0)), "m"
    if size := (file.sem_metadata or {}).get("ap_image_pixel_size"):
        return (size[1], size[1]), size[2]
    if 65003 in tags and 65009 in tags:  # DigitalMicrograph
        down = tags.get(65010, tags[65009]).value
        return (down, tags[65009].value), tags[65003].value
    return None, ""


def _array(source, path: Path, page: int | None, background: float | None, **about) -> Found:
    """Take an array that says nothing of its axes for (..., H, W) or (..., H, W, colours)."""
    shape = source.shape
    found = Found(source, len(shape) >= 3 and shape[-1] in (3, 4) and shape[-2] > 4, **about)
    found.pixels = one_plane(found, page)
    if found.colour and found.pixels.shape[-1] == 4:
        found.pixels = _without_alpha(found.pixels, background, found.notes)
    return found


def read_npy(path: Path, page: int | None, background: float | None) -> Found:
    """Read an array that NumPy saved, mapped, so that a false header allocates nothing."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        reader = {(1, 0): np.lib.format.read_array_header_1_0}
        shape, _, dtype = reader.get(version, np.lib.format.read_array_header_2_0)(file)
        if dtype.hasobject:
            raise Refused("holds Python objects; save one array of numbers")
        announced = file.tell() + math.prod(shape) * dtype.itemsize
    if announced > path.stat().st_size:
        raise ValueError(f"{announced:,} bytes are announced, {path.stat().st_size:,} are there")
    if 0 in shape:  # cannot be mapped
        check_size(shape, dtype)
    return _array(np.load(path, mmap_mode="r", allow_pickle=False), path, page, background)


def read_hdf5(path: Path, page: int | None, background: float | None, channel: str | None):
    """Read the one dataset of an HDF5 file, or the one that ``channel`` names."""
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  registers more compressions

    found = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda n, item: found.append(n) if getattr(item, "ndim", 0) >= 2 else None)
        names = [channel.strip("/")] if channel else found
        if channel and names[0] not in found or len(names) != 1:
            what = f"no dataset {channel!r}" if channel else f"{len(found)} datasets"
            raise Refused(
                f"holds {what}; name one of two axes or more, as in channel={found[0]!r} (it has "
                f"{', '.join(found[:8])}{', ...' if len(found) > 8 else ''})"
                if found
                else "holds no dataset of two axes or more"
            )
        return _array(file[names[0]], path, page, background, channels=(names[0],))
