"""The page of what happens to each format and oddity: made by reading small files of each."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import numpy as np

from ..downloads import DataError
from .pictures import read_picture

__all__ = ["inputs_page"]

INTRODUCTION = """\
# Images that are read, and images that are refused

{notice}
Every loader, chapter and command reads images through one function,
{{func}}`mchelpers.inputs.pictures.read_picture`: PNG, JPEG, BMP, WebP, GIF, TIFF, HDF5, NPY, IBW,
GWY, H5-JPK, TOP and STP as they are; DM3, DM4, EMD, MRC, SER and EMI with rosettasciio; SPM, JPK
and ASD with AFMReader. The extra `microscopes` brings both. What a file is, its content says, not
its name. A pixel size is read where a microscope's program wrote it; otherwise it is unknown and
never 1.

A mask is 0, or black, and one other value, whatever the bit depth. Soft edges are cut at half;
numbers of several objects or classes are refused.

This table was made by writing each file and reading it.

| file | what happens |
|---|---|
"""


def _pictures(path: Path, grey: np.ndarray, colour: np.ndarray) -> Iterator[str]:
    """Write files that Pillow writes, one after the other; yield what each is."""
    from PIL import Image

    picture, exif = Image.fromarray(colour), Image.Exif()
    exif[0x0112] = 6
    grey_picture, clear = Image.fromarray(grey), Image.fromarray(np.dstack([colour, grey]))
    moves = {"save_all": True, "append_images": [Image.fromarray(colour[::-1])]}
    forms = ("PNG", "BMP", "GIF", "JPEG", "WebP")
    for what, image, form, options in (
        *((f"{form}, RGB", picture, form, {}) for form in forms),
        ("JPEG with the EXIF orientation 6", grey_picture, "JPEG", {"exif": exif}),
        ("PNG of 1 bit", Image.fromarray(grey > 99), "PNG", {}),
        ("PNG of 16 bits", Image.fromarray(grey.astype(np.uint16) * 250), "PNG", {}),
        ("PNG with a palette", picture.quantize(16), "PNG", {}),
        ("JPEG in CMYK", picture.convert("CMYK"), "JPEG", {}),
        ("PNG with alpha that hides nothing", picture.convert("RGBA"), "PNG", {}),
        ("PNG that is transparent in places", clear, "PNG", {}),
        ("GIF that moves", picture, "GIF", moves),
    ):
        image.save(path, form, **options)
        yield what
    picture.save(path, "PNG")
    path.write_bytes(path.read_bytes()[:100])
    yield "PNG that is cut short"
    picture.save(path, "PNG")
    data = path.read_bytes()
    head = b"IHDR" + struct.pack(">2I", 10**5, 10**5) + data[24:29]
    path.write_bytes(data[:12] + head + struct.pack(">I", crc32(head)) + data[33:])
    yield "PNG whose header asks for 30 GB"
    path.write_bytes(b"")
    yield "file without a byte"
    path.write_text("no picture")
    yield "text"


def _arrays(path: Path, grey: np.ndarray, colour: np.ndarray) -> Iterator[str]:
    """As :func:`_pictures`, with files that tifffile, h5py and NumPy write."""
    import h5py
    from tifffile import imwrite

    known = {"imagej": True, "resolution": (50, 50), "metadata": {"unit": "nm"}}
    for what, array, options in (
        ("TIFF, RGB", colour, {"photometric": "rgb"}),
        ("TIFF of 16 bits, most significant byte first", grey.astype("u2"), {"byteorder": ">"}),
        ("TIFF of 32-bit floats", grey.astype("f4"), {}),
        ("TIFF of ImageJ, 50 pixels a nm", grey, known),
        ("TIFF where 0 is white", grey, {"photometric": "miniswhite"}),
        ("TIFF of 3 pages", np.stack([grey] * 3), {"photometric": "minisblack"}),
        ("TIFF of complex numbers", grey.astype("c8"), {}),
        ("TIFF with NaN", np.where(grey > 250, np.nan, grey), {}),
    ):
        imwrite(path, array, **options)
        yield what
    for what, array in (
        ("NPY", grey),
        ("NPY, a stack of 3", np.stack([grey] * 3)),
        ("NPY of one axis", grey[0]),
        ("NPY without pixels", grey[:0]),
        ("NPY of Python objects", grey.astype(object)),
    ):
        with path.open("wb") as file:
            np.save(file, array)
        yield what
    for what, names in (("one dataset", ["height"]), ("two datasets", ["height", "phase"])):
        with h5py.File(path, "w") as file:
            file.update({f"scan/{name}": grey for name in names})
        yield f"HDF5, {what}"


def _outcome(path: Path) -> str:
    try:
        picture = read_picture(path)
    except DataError as error:
        return f"refused: {error}".replace(str(path), "*the file*")
    size = "unknown" if picture.unit is None else f"{picture.pixel_size:g} {picture.unit}"
    shape = " x ".join(str(n) for n in picture.pixels.shape)
    notes = "".join(f"; {note}" for note in picture.notes)
    return f"read: {shape}, {picture.pixels.dtype}, pixel size {size}{notes}"


def inputs_page(notice: str) -> str:
    """Make the page: write each file, read it, say what happened."""
    rng = np.random.default_rng(0)
    grey, colour = (rng.integers(0, 256, (48, 64, *c), np.uint8) for c in ((), (3,)))
    with TemporaryDirectory() as folder:
        path, rows = Path(folder) / "image", []
        for write in (_pictures, _arrays):
            rows += [f"| {what} | {_outcome(path)} |" for what in write(path, grey, colour)]
        rows.append(f"| folder | {_outcome(Path(folder))} |")
        rows.append(f"| name of no file | {_outcome(Path(folder) / 'none')} |")
    return INTRODUCTION.format(notice=notice) + "\n".join(rows) + "\n"
