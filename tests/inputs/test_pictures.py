"""Every format and oddity is read as what it is, or refused in one sentence."""

import os
import struct
import sys
import zlib

import h5py
import microscope_files as written
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from mchelpers.downloads import DataError
from mchelpers.inputs.pictures import read_picture

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (6, 9), np.uint8)
COLOUR = RNG.integers(0, 255, (6, 9, 3), np.uint8)


def saved(tmp_path, array, name="a.png", mode=None, **options):
    picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def tiff(tmp_path, array, name="a.tif", **options):
    tifffile.imwrite(tmp_path / name, array, **options)
    return tmp_path / name


def pixels(path, *args, **options):
    picture = read_picture(path, *args, **options)
    assert picture.pixels.dtype.isnative and picture.source == path
    assert picture.pixels.flags.writeable and picture.pixels.flags.owndata
    return picture.pixels


def refused(path, *words, **options):
    """Read what must not be read; the error is one sentence with the file's name."""
    with pytest.raises(DataError) as caught:
        read_picture(path, **options)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    assert all(word in text for word in words), text


# Pictures of any program


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "gif", "tif", "ppm"])
def test_formats_without_loss(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    if ending != "webp":  # it has no grey
        found = pixels(saved(tmp_path, GREY, f"g.{ending}", **options))
        assert np.array_equal(found if found.ndim == 2 else found[..., 0], GREY)
    if ending != "gif":
        assert np.array_equal(pixels(saved(tmp_path, COLOUR, f"c.{ending}", **options)), COLOUR)


def test_jpeg_is_what_pillow_reads(tmp_path):
    path = saved(tmp_path, COLOUR, "a.jpg")
    assert np.array_equal(pixels(path), np.asarray(Image.open(path)))


def test_one_and_sixteen_bits(tmp_path):
    assert np.array_equal(pixels(saved(tmp_path, GREY > 99, "b.png")), GREY > 99)
    deep = GREY.astype(np.uint16) * 250
    found = pixels(saved(tmp_path, deep, "d.png"))
    assert found.dtype == np.uint16 and np.array_equal(found, deep)


def test_sixteen_bits_a_colour_become_eight_and_it_is_said(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(COLOUR.astype(np.uint16) * 257))
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, COLOUR) and "as 8" in picture.notes[0]


def test_no_file_s_resolution_is_a_pixel_size(tmp_path):
    for path in (saved(tmp_path, GREY, dpi=(96, 96)), saved(tmp_path, GREY, "a.tif", dpi=(96, 96))):
        picture = read_picture(path)
        assert (picture.pixel_size, picture.unit) == (None, None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    right = np.asarray(ImageOps.exif_transpose(Image.fromarray(GREY)))
    path = saved(tmp_path, GREY, exif=exif)
    right = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(pixels(path), right)
    turned = tiff(tmp_path, GREY, extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(pixels(turned), right)


def test_palettes_become_colours(tmp_path):
    picture = Image.fromarray(COLOUR).quantize(16)
    for name in ("a.png", "a.tif", "a.gif", "a.bmp"):
        picture.save(tmp_path / name)
        assert np.array_equal(pixels(tmp_path / name), np.asarray(picture.convert("RGB"))), name


def test_cmyk_becomes_rgb(tmp_path):
    picture = Image.fromarray(COLOUR).convert("CMYK")
    picture.save(tmp_path / "a.tif")
    assert np.array_equal(pixels(tmp_path / "a.tif"), np.asarray(picture.convert("RGB")))
    picture.save(tmp_path / "a.jpg", quality=100)
    found = read_picture(tmp_path / "a.jpg")
    assert found.pixels.shape == (6, 9, 3) and "CMYK" in found.notes[0]
    refused(tiff(tmp_path, np.zeros((6, 9, 4), np.uint16), photometric="separated"), "CMYK")
    refused(saved(tmp_path, COLOUR, "lab.tif", "LAB"), "LAB", "RGB")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("colours", [GREY[..., None], COLOUR])
def test_alpha_is_dropped_where_it_hides_nothing_and_else_needs_a_background(
    tmp_path, name, colours
):
    alpha = np.full((6, 9, 1), 255, np.uint8)
    right = np.squeeze(colours, -1) if colours.shape[-1] == 1 else colours
    found = read_picture(saved(tmp_path, np.concatenate([colours, alpha], -1), name))
    assert np.array_equal(found.pixels, right) and found.notes == ("alpha was dropped",)
    alpha[2, 3] = 0
    path = saved(tmp_path, np.concatenate([colours, alpha], -1), name)
    refused(path, "transparent in 1 pixels", "background=0")
    for background in (0, 1):
        laid = pixels(path, background=background)
        assert (laid[2, 3] == 255 * background).all() and np.array_equal(laid[0], right[0])


def test_a_transparent_palette_entry_is_alpha(tmp_path):
    picture = Image.fromarray((GREY > 99).astype(np.uint8)).convert("P")
    picture.save(tmp_path / "a.png", transparency=1)
    refused(tmp_path / "a.png", "transparent")


def test_half_transparent_pixels_are_mixed(tmp_path):
    path = saved(tmp_path, np.dstack([GREY, np.full_like(GREY, 128)]))
    right = (GREY * (128 / 255) + 255 * (127 / 255)).round()
    assert np.array_equal(pixels(path, background=1), right)


def test_an_animation_is_a_stack(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(GREY.copy()[::-1])]
    for name in ("a.gif", "a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        refused(tmp_path / name, "stack of 2 images", "page=0 to page=1")
    second = pixels(tmp_path / "a.png", page=1)
    assert np.array_equal(second if second.ndim == 2 else second[..., 0], GREY[::-1])


# TIFF


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_any_depth_and_byte_order(tmp_path, dtype, order):
    array = GREY.astype(dtype)
    found = pixels(tiff(tmp_path, array, byteorder=order))
    assert found.dtype == array.dtype and np.array_equal(found, array)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "deflate"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"rowsperstrip": 1},
    ],
)
def test_tiff_of_any_making(tmp_path, options):
    if "compression" in options:
        pytest.importorskip("imagecodecs")
    assert np.array_equal(pixels(tiff(tmp_path, GREY, **options)), GREY)
    assert np.array_equal(pixels(tiff(tmp_path, COLOUR, **options)), COLOUR)


def test_planar_colours(tmp_path):
    planes = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
    path = tiff(tmp_path, planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(pixels(path), COLOUR)


def test_min_is_white_is_inverted(tmp_path):
    picture = read_picture(tiff(tmp_path, GREY, photometric="miniswhite"))
    assert np.array_equal(picture.pixels, 255 - GREY) and "inverted" in picture.notes[0]
    assert np.array_equal(pixels(tiff(tmp_path, GREY > 99, photometric="miniswhite")), ~(GREY > 99))
    white = tiff(tmp_path, GREY.astype("f4"), photometric="miniswhite")
    refused(white, "0 as white")


def test_a_stack_is_never_an_image_by_accident(tmp_path):
    stack = np.stack([GREY, GREY + 1, GREY + 2])
    for name, options in {"a": {}, "b": {"imagej": True}, "c": {"ome": True}}.items():
        path = tiff(tmp_path, stack, f"{name}.tif", photometric="minisblack", **options)
        refused(path, "stack of 3 images", "(3, 6, 9)", "page=0 to page=2")
        assert np.array_equal(pixels(path, page=2), stack[2])
        for page in (3, -1, 1.5, "x"):
            refused(path, "pages 0 to 2", page=page)


def test_pages_of_several_sizes_are_a_stack_and_a_preview_is_none(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[:3, :3], subfiletype=1)
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, GREY) and "preview" in picture.notes[0]
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(GREY)
        file.write(GREY[:3, :3])
    refused(tmp_path / "b.tif", "stack of 2 images")
    assert np.array_equal(pixels(tmp_path / "b.tif", page=1), GREY[:3, :3])


def test_pixel_sizes_of_programs(tmp_path):
    def size(path):
        picture = read_picture(path)
        return picture.pixel_size, picture.unit

    ome = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "nm"}
    assert size(tiff(tmp_path, GREY, ome=True, metadata=ome)) == (0.25, "nm")
    ome["PhysicalSizeY"] = 0.5
    assert size(tiff(tmp_path, GREY, ome=True, metadata=ome)) == (None, None)
    assert size(tiff(tmp_path, GREY, ome=True)) == (None, None)
    for unit, right in {"nm": "nm", "micron": "um", "\\u00B5m": "um", "pixel": None}.items():
        path = tiff(tmp_path, GREY, imagej=True, resolution=(4, 4), metadata={"unit": unit})
        assert size(path) == ((0.25, right) if right else (None, None)), unit
    assert size(tiff(tmp_path, GREY, imagej=True)) == (None, None)
    gatan = [
        (65003, "s", 0, "nm", True),
        (65009, "d", 1, 0.02, True),
        (65010, "d", 1, 0.02, True),
    ]
    assert size(tiff(tmp_path, GREY, extratags=gatan)) == (0.02, "nm")
    fei = "[Scan]\r\nPixelWidth=2e-9\r\nPixelHeight=2e-9\r\n"
    assert size(tiff(tmp_path, GREY, extratags=[(34682, "s", 0, fei, True)])) == (2e-9, "m")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), 1e9, 1e-9])
def test_a_pixel_size_that_cannot_be_is_left_unknown_and_it_is_said(tmp_path, value):
    tags = [(65003, "s", 0, "nm", True), (65009, "d", 1, value, True)]
    picture = read_picture(tiff(tmp_path, GREY, extratags=tags))
    assert picture.pixel_size is None and picture.unit is None
    assert "left unknown" in picture.notes[0]


def test_a_missing_compression_says_what_to_install(tmp_path, monkeypatch):
    pytest.importorskip("imagecodecs")
    path = tiff(tmp_path, COLOUR, compression="jpeg")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    monkeypatch.setattr(
        tifffile.TiffPage,
        "asarray",
        lambda *_: (_ for _ in ()).throw(ValueError("<7> requires the 'imagecodecs' package")),
    )
    refused(path, "needs imagecodecs", "pip install", "[microscopes]")


# Arrays


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", GREY.astype(">u2"))
    assert np.array_equal(pixels(tmp_path / "a.npy"), GREY)
    np.save(tmp_path / "b.npy", np.asfortranarray(COLOUR)[None])
    assert np.array_equal(pixels(tmp_path / "b.npy"), COLOUR)
    np.save(tmp_path / "c.npy", np.stack([GREY, GREY]))
    refused(tmp_path / "c.npy", "stack of 2 images")


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (GREY.astype(complex), "complex"),
        (np.array([[1, "a"]], object), "Python objects"),
        (np.zeros((3, 4), [("a", "f4")]), "not numbers"),
        (np.array([["a"]]), "not numbers"),
        (np.zeros((3, 4), "M8[s]"), "not numbers"),
        (np.zeros((0, 4)), "no pixels"),
        (np.zeros((0, 4, 4)), "no pixels"),
        (np.zeros(4), "height and a width"),
        (np.float32(3), "height and a width"),
        (np.zeros((6, 9, 5)), "stack of 6"),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), "2 NaN or infinite"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, word):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy", word)
    if array.dtype.kind not in "OUM":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = array
        refused(tmp_path / "a.h5", word if array.ndim > 1 else "no dataset")


@pytest.mark.parametrize("array", [GREY.astype(np.complex64)])
def test_a_complex_tiff_is_refused_with_advice(tmp_path, array):
    refused(tiff(tmp_path, array), "complex", "amplitude")


def test_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["scan/image"] = GREY.astype(">f4")
        file["scan/size"] = 3.0
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, GREY) and picture.channels == ("scan/image",)
    with h5py.File(path, "a") as file:
        file["other"] = np.stack([GREY, GREY])
    refused(path, "2 datasets", "channel='other'", "scan/image")
    refused(path, "no dataset 'nope'", channel="nope")
    assert np.array_equal(pixels(path, channel="scan/image"), GREY)
    refused(path, "stack of 2", channel="other")
    assert np.array_equal(pixels(path, channel="other", page=1), GREY)


# Instruments


@pytest.mark.parametrize("version", [3, 4])
def test_digital_micrograph(tmp_path, version):
    pytest.importorskip("rsciio")
    array = GREY.astype(np.float32)
    path = written.dm(tmp_path / "a.dm", [(array, "one", 0.25, "nm")], version)
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, array)
    assert (picture.pixel_size, picture.unit) == (0.25, "nm")
    # An uncalibrated file says 1.0 and no unit, a diffraction pattern a reciprocal length.
    for unit in ("", "1/nm"):
        picture = read_picture(written.dm(path, [(array, "one", 1.0, unit)], version))
        assert (picture.pixel_size, picture.unit) == (None, None)
    written.dm(path, [(array, "one", 0.25, "µm"), (GREY, "two", 0.25, "µm")], version)
    refused(path, "channels one, two", "channel='one'")
    refused(path, "no channel 'x'", channel="x")
    both = read_picture(path, channel=["two", "one"])
    assert np.array_equal(both.pixels, np.stack([GREY, GREY])) and both.unit == "um"
    assert both.channels == ("two", "one")
    written.dm(path, [(np.stack([array] * 2), "one", 0.25, "nm")], version)
    refused(path, "stack of 2")
    assert np.array_equal(pixels(path, page=1), array)
    colours = np.zeros((6, 9), [(c, "u1") for c in "BGRA"])
    for n, c in enumerate("RGB"):
        colours[c] = COLOUR[..., n]
    assert np.array_equal(pixels(written.dm(path, [(colours, "", 1, "")], version)), COLOUR)


def test_ser(tmp_path):
    pytest.importorskip("rsciio")
    stack = np.stack([GREY, GREY.T.reshape(6, 9)]).astype(np.float32)
    picture = read_picture(written.ser(tmp_path / "a.ser", stack[:1], 2.0**-36))
    assert np.array_equal(picture.pixels, stack[0])
    assert picture.pixel_size == pytest.approx(1e9 * 2.0**-36) and picture.unit == "nm"
    path = written.ser(tmp_path / "b.ser", stack, 2e-11)
    refused(path, "stack of 2")
    assert np.array_equal(pixels(path, page=1), stack[1])


def mrc(path, array, cell, order="<"):
    count, rows, columns = array.shape
    head = struct.pack(f"{order}10i", columns, rows, count, 2, 0, 0, 0, columns, rows, count)
    head += struct.pack(f"{order}6f3i", *cell, 90, 90, 90, 1, 2, 3)
    stamp = b"MAP \x44\x44\0\0" if order == "<" else b"MAP \x11\x11\0\0"
    head = (head.ljust(208, b"\0") + stamp).ljust(1024, b"\0")
    path.write_bytes(head + array.astype(f"{order}f4").tobytes())
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_mrc(tmp_path, order):
    pytest.importorskip("rsciio")
    path = mrc(tmp_path / "a.mrc", GREY[None], (18, 12, 2), order)
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, GREY)
    assert picture.pixel_size == pytest.approx(0.2) and picture.unit == "nm"
    assert read_picture(mrc(path, GREY[None], (0, 0, 0), order)).pixel_size is None
    refused(mrc(path, np.stack([GREY] * 3), (18, 12, 2), order), "stack of 3")


def test_emd(tmp_path):
    emd = pytest.importorskip("rsciio.emd")
    axes = [
        {"name": n, "scale": 0.25, "offset": 0.0, "units": "nm", "size": s, "navigate": False}
        for n, s in zip("yx", GREY.shape)
    ]
    signal = {"data": GREY, "axes": axes, "metadata": {"General": {"title": "t"}, "Signal": {}}}
    emd.file_writer(str(tmp_path / "a.emd"), {**signal, "original_metadata": {}})
    picture = read_picture(tmp_path / "a.emd")
    assert np.array_equal(picture.pixels, GREY)
    assert (picture.pixel_size, picture.unit) == (0.25, "nm")


HEIGHTS = GREY.astype(np.float64)


def test_gwyddion(tmp_path):
    path = written.gwy(tmp_path / "a.gwy", [(HEIGHTS * 1e-9, "Height", 9e-7, "m")])
    picture = read_picture(path)
    assert np.allclose(picture.pixels, HEIGHTS) and picture.z_unit == "nm"
    assert picture.pixel_size == pytest.approx(1e-7) and picture.unit == "m"
    written.gwy(path, [(HEIGHTS, "Height", 9e-7, "m"), (HEIGHTS, "Phase", 9e-7, "deg")])
    refused(path, "channels Height, Phase")
    phase = read_picture(path, channel="Phase")
    assert np.array_equal(phase.pixels, HEIGHTS) and phase.z_unit == "deg"


def test_igor_waves_of_asylum(tmp_path):
    layers = np.stack([HEIGHTS * 1e-9, HEIGHTS])
    path = written.ibw(tmp_path / "a.ibw", layers, ["HeightRetrace", "PhaseRetrace"], 1e-8)
    refused(path, "HeightRetrace, PhaseRetrace")
    height, phase = (read_picture(path, channel=c) for c in ("HeightRetrace", "PhaseRetrace"))
    assert np.allclose(height.pixels, HEIGHTS) and height.z_unit == "nm"
    assert np.array_equal(phase.pixels, HEIGHTS) and phase.z_unit is None
    assert (height.pixel_size, height.unit) == (1e-8, "m")
    wave = pytest.importorskip("igor2.binarywave").load(str(path))["wave"]
    assert np.array_equal(wave["wData"][:, :, 1].T[::-1], phase.pixels)


def test_wsxm_is_what_afmreader_reads_where_that_reads_right(tmp_path):
    top = pytest.importorskip("AFMReader.top")
    square = RNG.integers(0, 99, (6, 6)).astype("<i2")
    path = written.wsxm(tmp_path / "a.top", square, "0.6 µm", "0.6 µm", "12 nm")
    picture = read_picture(path)
    right, size = top.load_top(path)
    assert np.allclose(picture.pixels, right) and picture.z_unit == "nm"
    assert (picture.pixel_size, picture.unit) == (pytest.approx(0.1), "um") and size == 100
    # It cuts fractions of the height off, and takes no image that is wider than high.
    written.wsxm(path, GREY.astype("<i2"), "90 nm", "60 nm", "0.7 nm")
    assert np.ptp(pixels(path)) == pytest.approx(0.7)
    path = written.wsxm(tmp_path / "a.stp", HEIGHTS, "90 nm", "60 nm")
    assert np.array_equal(pixels(path), HEIGHTS)


def test_bruker(tmp_path):
    pytest.importorskip("AFMReader")
    array = GREY.astype(np.int16)
    layers = [(array, "Height Sensor", 65.536), (array + 1, "Phase", 65.536)]
    picture = read_picture(written.spm(tmp_path / "a.spm", layers[:1], 900))
    assert np.allclose(picture.pixels[::-1], array / 1000)
    assert (picture.pixel_size, picture.unit, picture.z_unit) == (100, "nm", "nm")
    path = written.spm(tmp_path / "a.spm", layers, 900)
    refused(path, "channels Height Sensor, Phase")
    refused(path, "no channel 'x'", channel="x")
    path.write_bytes(path.read_bytes()[:300])  # without its end pySPM would read for ever
    refused(path, "damaged")


def test_jpk(tmp_path):
    pytest.importorskip("AFMReader")
    path = written.jpk(tmp_path / "a.jpk", GREY.astype(np.int32), 9e-7, 1e-9)
    picture = read_picture(path)
    assert np.allclose(picture.pixels[::-1], HEIGHTS) and picture.z_unit == "nm"
    assert picture.pixel_size == pytest.approx(100) and picture.channels == ("height_trace",)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_asd(tmp_path, version):
    pytest.importorskip("AFMReader")
    levels = GREY.astype(np.int16) * 9 - 999
    path = written.asd(tmp_path / "a.asd", levels[None, None], 900, 600, version=version)
    picture = read_picture(path)  # its second channel is blank
    assert np.allclose(picture.pixels, -levels * (5 / 4096 * 2 * 3), rtol=1e-14)
    assert (picture.pixel_size, picture.unit, picture.z_unit) == (100, "nm", "nm")
    assert picture.channels == ("TP",) and picture.notes == ()
    both = np.stack([levels, levels + 1])[:, None]
    path = written.asd(tmp_path / "b.asd", both, 900, 600, ("TP", "PH"), version)
    refused(path, "channels TP, PH", "channel='TP'")
    refused(path, "no channel 'ER'", "TP, PH", channel="ER")
    phase = read_picture(path, channel="PH")
    assert np.allclose(phase.pixels, (levels + 1) * (5 / 4096 * 5.0), rtol=1e-14)
    assert phase.z_unit is None and phase.notes == ("the unit of PH is not known",)


def test_a_video_of_asd_is_a_stack(tmp_path):
    pytest.importorskip("AFMReader")
    frames = np.stack([GREY, GREY + 1, GREY + 2]).astype(np.int16)
    path = written.asd(tmp_path / "a.asd", frames[None], 900, 600)
    refused(path, "stack of 3 images", "page=0 to page=2")
    assert np.allclose(pixels(path, page=2), -frames[2] * (5 / 4096 * 6), rtol=1e-14)


def test_what_afmreader_takes_for_granted_of_asd_is_refused(tmp_path):
    pytest.importorskip("AFMReader")
    frame = GREY.astype(np.int16)[None, None]
    refused(written.asd(tmp_path / "a.asd", frame, 900, 600, bits=16), "16 bits", "TIFF")
    refused(written.asd(tmp_path / "b.asd", frame, 900, 600, skip=40), "40 bytes before a frame")
    path = written.asd(tmp_path / "c.asd", frame, 900, 600)
    for at, number in ((0, 7), (48, 10**6), (48, -9), (36, 99), (16, 2**31 - 1), (20, 10**9)):
        data = bytearray(path.read_bytes())
        data[at : at + 4] = struct.pack("<i", number)
        (tmp_path / "d.asd").write_bytes(data)
        refused(tmp_path / "d.asd", "damaged")


def test_pixels_that_are_not_square_have_no_size(tmp_path):
    pytest.importorskip("AFMReader")
    array = GREY.astype(np.int32)
    frames = array[None].astype(np.int16)
    for picture in (
        read_picture(written.asd(tmp_path / "a.asd", frames[None], 900, 900)),
        read_picture(written.jpk(tmp_path / "a.jpk", array, 9e-7, 1e-9, 9e-7)),
        read_picture(
            written.h5jpk(tmp_path / "a.h5-jpk", [(array[None], "height", 0, 1)], 1e-6, 1e-6)
        ),
    ):
        assert picture.pixel_size is None and "not square" in picture.notes[-1]


def test_jpk_of_hdf5(tmp_path):
    frames = np.stack([GREY, GREY + 1]).astype(np.int32)
    channels = [(frames[:1], "height", False, 0.5), (frames[:1], "phase", True, 2e9)]
    picture = read_picture(written.h5jpk(tmp_path / "a.h5-jpk", channels[:1], 9e-7, 6e-7))
    assert np.allclose(picture.pixels, GREY * 0.5, rtol=1e-14) and picture.z_unit == "nm"
    assert picture.pixel_size == pytest.approx(100) and picture.unit == "nm"
    assert picture.channels == ("height_trace",)
    path = written.h5jpk(tmp_path / "b.h5-jpk", channels, 9e-7, 6e-7)
    refused(path, "channels height_trace, phase_retrace")
    phase = read_picture(path, channel="phase_retrace")
    assert np.allclose(phase.pixels, HEIGHTS * 2) and phase.z_unit is None
    path = written.h5jpk(tmp_path / "c.h5-jpk", [(frames, "height", False, 1.0)], 9e-7, 6e-7)
    refused(path, "stack of 2 images")
    assert np.allclose(pixels(path, page=1), frames[1], rtol=1e-14)
    with h5py.File(path, "a") as file:
        file["Measurement_000"].attrs["position-pattern.grid.ilength"] = 10
    refused(path, "damaged")


def test_jpk_of_hdf5_is_what_afmreader_reads_where_that_reads_it(tmp_path):
    h5_jpk = pytest.importorskip("AFMReader.h5_jpk")
    square = GREY[None, :6, :6].astype(np.int32)
    path = written.h5jpk(tmp_path / "a.h5-jpk", [(square, "height", False, 0.5)], 6e-7, 6e-7)
    right, size, _ = h5_jpk.load_h5jpk(path, "height_trace")
    picture = read_picture(path)
    assert np.allclose(picture.pixels, right[0], rtol=1e-14) and picture.pixel_size == size


def test_emd_of_velox(tmp_path):
    pytest.importorskip("rsciio")
    deep = GREY.astype("<u2") * 250
    picture = read_picture(written.velox(tmp_path / "a.emd", [(deep[..., None], "HAADF")], 2e-11))
    assert np.array_equal(picture.pixels, deep) and picture.pixels.dtype == np.uint16
    assert picture.pixel_size_nm == pytest.approx(0.02, rel=1e-14)
    path = written.velox(tmp_path / "b.emd", [(deep[..., None], n) for n in ("HAADF", "BF")], 2e-11)
    refused(path, "channels HAADF, BF")
    assert read_picture(path, channel="BF").channels == ("BF",)
    path = written.velox(tmp_path / "c.emd", [(np.stack([GREY, GREY + 1], -1), "Ceta")], 2e-11)
    refused(path, "stack of 2 images")
    assert np.array_equal(pixels(path, page=1), GREY + 1)
    for number, (size, unit) in enumerate([(2e8, "1/m"), (1.0, "")]):
        path = written.velox(tmp_path / f"{number}.emd", [(GREY[..., None], "Ceta")], size, unit)
        assert read_picture(path).unit is None


def test_images_of_one_name_are_told_apart(tmp_path):
    pytest.importorskip("rsciio")
    images = [(GREY[..., None], "Ceta"), (GREY[..., None] + 1, "Ceta")]
    path = written.velox(tmp_path / "a.emd", images, 2e-11)
    refused(path, "channels Ceta (0), Ceta (1)")
    assert np.array_equal(pixels(path, channel="Ceta (1)"), GREY + 1)
    path = written.gwy(tmp_path / "a.gwy", [(HEIGHTS, "Height", 9e-7, "m")] * 2)
    refused(path, "channels Height (0), Height (1)")


def test_emi(tmp_path):
    pytest.importorskip("rsciio")
    series = GREY[None].astype(np.float32)
    path = written.emi(tmp_path / "a.emi", [series], 2.0**-36)
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, GREY) and picture.unit == "nm"
    assert picture.pixel_size == pytest.approx(1e9 * 2.0**-36, rel=1e-14)
    path.rename(tmp_path / "moved.emi")
    refused(tmp_path / "moved.emi", "moved_1.ser", "beside it")
    path = written.emi(tmp_path / "b.emi", [series], 2e8, "TEM Diffraction")
    assert read_picture(path).unit is None
    path = written.emi(tmp_path / "c.emi", [series, series + 1], 2e-11)
    refused(path, "channels image 0, image 1")
    assert np.array_equal(pixels(path, channel="image 1"), GREY + 1)
    (tmp_path / "c_1.ser").rename(tmp_path / "c.dat")
    refused(tmp_path / "c.dat", "let its name end in .ser")
    assert read_picture(written.ser(tmp_path / "d.ser", series, 1.0)).unit is None  # TIA's unknown


def test_a_series_that_announces_more_images_than_it_holds(tmp_path):
    pytest.importorskip("rsciio")
    path = written.ser(tmp_path / "a.ser", GREY[None].astype(np.float32), 2e-11)
    for at, number in ((18, 9), (18, 2**31), (22, 2**30), (26, 10**6)):
        data = bytearray(path.read_bytes())
        data[at : at + 4] = struct.pack("<I", number)
        (tmp_path / "b.ser").write_bytes(data)
        refused(tmp_path / "b.ser")
        refused(tmp_path / "b.ser", page=1)


def test_one_angstrom_in_an_mrc_is_no_pixel_size(tmp_path):
    pytest.importorskip("rsciio")
    picture = read_picture(mrc(tmp_path / "a.mrc", GREY[None], (9, 6, 1)))
    assert (picture.pixel_size, picture.unit) == (None, None)
    assert picture.notes == ("the pixel size is left unknown: 1 angstrom stands for that in MRC",)


def test_bytes_of_an_mrc_are_signed_where_it_says_so(tmp_path):
    pytest.importorskip("rsciio")
    path = mrc(tmp_path / "a.mrc", GREY[None], (18, 12, 2))
    head = bytearray(path.read_bytes()[:1024])
    head[12:16] = struct.pack("<i", 0)
    for at, numbers, dtype in (
        (0, (9,), "u1"),
        (108, (20140,), "i1"),
        (152, (1146047817, 1), "i1"),
    ):
        data = head.copy()
        data[at : at + 4 * len(numbers)] = struct.pack(f"<{len(numbers)}i", *numbers)
        path.write_bytes(data + GREY.tobytes())
        assert np.array_equal(pixels(path), GREY.view(dtype))


@pytest.mark.parametrize(
    ("package", "name", "content"),
    [
        ("rsciio", "a.dm4", b"\0\0\0\4" + bytes(99)),
        ("AFMReader", "a.spm", b"\\*File list\r\n\\*File list end\r\n"),
    ],
)
def test_a_missing_reader_says_what_to_install(tmp_path, monkeypatch, package, name, content):
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, f"needs {package}", "[microscopes]")


# Files that lie


def test_what_is_no_file(tmp_path):
    refused(tmp_path, "is a folder")
    refused(tmp_path / "none.png", "does not exist")
    (tmp_path / "link.png").symlink_to("nowhere.png")
    refused(tmp_path / "link.png", "link to a file that does not exist")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty (0 bytes)")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "no regular file")
    (tmp_path / "a.png").write_text("no picture")
    refused(tmp_path / "a.png", "it is damaged, or not PNG")
    refused(tmp_path / ("n" * 300), "cannot be opened")


def test_what_ultralytics_makes_of_pillow_changes_no_words(tmp_path, monkeypatch):
    def opened(path):
        raise ModuleNotFoundError("No module named 'pi_heif'", name="pi_heif")

    monkeypatch.setattr(Image, "open", opened)
    (tmp_path / "a.png").write_text("no picture")
    refused(tmp_path / "a.png", "it is damaged, or not PNG")


def test_what_a_file_is_its_content_says(tmp_path):
    for name in ("a.png", "a.dm4", "a.jpeg", "a"):
        assert np.array_equal(pixels(tiff(tmp_path, GREY, name)), GREY)
    saved(tmp_path, GREY, "b.png").rename(tmp_path / "b.tif")
    assert np.array_equal(pixels(tmp_path / "b.tif"), GREY)


def test_two_pictures_in_one_ome_have_sizes_of_their_own(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for array, size in ((GREY, 1), (GREY[:5], 2)):
            about = {f"PhysicalSize{a}": size for a in "XY"}
            units = {f"PhysicalSize{a}Unit": "nm" for a in "XY"}
            file.write(array, metadata={"axes": "YX", **about, **units})
    assert [read_picture(tmp_path / "a.ome.tif", page=n).pixel_size for n in (0, 1)] == [1, 2]


def test_sides_of_an_ome_pixel_in_two_units_are_not_compared(tmp_path):
    about = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm"}
    for unit, right in {"nm": None, "um": "um"}.items():
        metadata = {"axes": "YX", **about, "PhysicalSizeYUnit": unit}
        assert read_picture(tiff(tmp_path, GREY, ome=True, metadata=metadata)).unit == right


@pytest.mark.parametrize("background", [5, -0.1, float("nan"), "white"])
def test_a_background_is_between_black_and_white(tmp_path, background):
    path = saved(tmp_path, np.dstack([GREY, GREY]))
    refused(path, repr(background), background=background)


def test_odd_files_that_are_pictures_are_read(tmp_path):
    data = bytearray(tiff(tmp_path, GREY).read_bytes())  # its list of pages is a ring
    start = struct.unpack_from("<I", data, 4)[0]
    end = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
    data[end : end + 4] = struct.pack("<I", start)
    (tmp_path / "a.tif").write_bytes(data)
    assert np.array_equal(pixels(tmp_path / "a.tif"), GREY)
    png = saved(tmp_path, GREY).read_bytes()
    for name in ("a b ü 日本 #1 %.png", "a.dm4", "\udcff\udcfe.png"):
        (tmp_path / name).write_bytes(png + b"behind it")
        assert np.array_equal(pixels(tmp_path / name), GREY)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["ring"], file["lost"] = GREY, h5py.SoftLink("/"), h5py.SoftLink("/none")
        file["other"] = h5py.ExternalLink("/etc/passwd", "a")
    assert np.array_equal(pixels(tmp_path / "a.h5"), GREY)
    hyper = np.arange(2 * 3 * 4 * 54, dtype=np.uint16).reshape(2, 3, 4, 6, 9)
    path = tiff(tmp_path, hyper, imagej=True, metadata={"axes": "TZCYX"})
    assert np.array_equal(pixels(path, page=23), hyper[1, 2, 3])


def test_odd_files_that_are_no_pictures_are_refused(tmp_path):
    for name, content in {
        "a.png": b"<html>404</html>",
        "a.tif": b"version https://git-lfs.github.com/spec/v1\n",
        "a.asd": b"a,b\n1,2\n" * 50,
        "a.mrc": b"a,b\n1,2\n" * 500,
        "a.ibw": b"IGOR\n",
        "a.emi": b"no",
        "a.npz": b"PK\3\4" + bytes(99),
        "a.h5-jpk": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "a.emd": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "a.jpg": b"\xff\xd8\xff\xe0" + bytes(50),
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)
    (tmp_path / "one.png").symlink_to("two.png")
    (tmp_path / "two.png").symlink_to("one.png")
    refused(tmp_path / "one.png", "link")
    (tmp_path / "folder.tif").mkdir()
    refused(tmp_path / "folder.tif", "folder")


def lying_headers(folder):
    """Small files that ask for a terabyte."""
    with (folder / "a.npy").open("wb") as file:
        about = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(file, about)
        file.write(b"12345")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("x", (10**6, 10**6), "f8", chunks=(100, 100))
    data = bytearray(mrc(folder / "a.mrc", GREY[None], (18, 12, 2)).read_bytes())
    data[:8] = struct.pack("<2i", 10**6, 10**6)
    (folder / "a.mrc").write_bytes(data)
    data = bytearray(tiff(folder, GREY).read_bytes())
    for tag in (256, 257):
        at = data.index(struct.pack("<H", tag), 8)
        data[at + 8 : at + 12] = struct.pack("<I", 10**6)
    (folder / "a.tif").write_bytes(data)
    data = bytearray(saved(folder, GREY).read_bytes())
    data[16:24] = struct.pack(">2I", 10**5, 10**5)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (folder / "a.png").write_bytes(data)
    data = bytearray(saved(folder, GREY, "a.bmp").read_bytes())
    data[18:26] = struct.pack("<2i", 10**5, 10**5)
    (folder / "a.bmp").write_bytes(data)
    written.wsxm(folder / "a.top", np.zeros((6, 9), "<i2"), "9 nm", "6 nm")
    text = (folder / "a.top").read_bytes().replace(b"rows: 6", b"rows: 600000000")
    (folder / "a.top").write_bytes(text)
    data = bytearray(written.asd(folder / "a.asd", GREY[None, None], 900, 600).read_bytes())
    data[48:56] = struct.pack("<2i", 10**6, 10**6)
    (folder / "a.asd").write_bytes(data)
    data = bytearray(written.ser(folder / "a.ser", GREY[None], 2e-11).read_bytes())
    first = struct.unpack_from("<I", data, struct.unpack_from("<I", data, 22)[0])[0]
    data[first + 42 : first + 50] = struct.pack("<2I", 10**5, 10**4)  # 4 GB, for it stops at 2
    (folder / "a.ser").write_bytes(data)
    written.h5jpk(folder / "a.h5-jpk", [(GREY[None], "height", False, 1.0)], 9e-7, 6e-7)
    written.velox(folder / "a.emd", [(GREY[..., None], "HAADF")], 2e-11)
    for name, place, shape in (
        ("a.h5-jpk", "Measurement_000/Channel_000/Height", (10**12, 1)),
        ("a.emd", f"Data/Image/{0:032x}/Data", (10**6, 10**6, 1)),
    ):
        with h5py.File(folder / name, "a") as file:
            del file[place]
            file.create_dataset(place, shape, "u1", chunks=(100,) * (len(shape) - 1) + (1,))
    endings = "npy h5 mrc tif png bmp top asd ser h5-jpk emd".split()
    return [f"a.{ending}" for ending in endings]


def test_a_header_that_asks_for_a_terabyte_is_refused_before_it_is_read(tmp_path):
    import resource

    pytest.importorskip("rsciio"), pytest.importorskip("AFMReader")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in lying_headers(tmp_path):
        refused(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 200_000  # kB


def whole_files(folder):
    """One small file of each format."""
    saved(folder, GREY), saved(folder, COLOUR, "a.jpg"), tiff(folder, GREY)
    np.save(folder / "a.npy", GREY)
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = GREY
    written.dm(folder / "a.dm3", [(GREY.astype(np.float32), "one", 0.25, "nm")], 3)
    written.dm(folder / "a.dm4", [(GREY.astype(np.float32), "one", 0.25, "nm")], 4)
    written.ser(folder / "a.ser", GREY[None].astype(np.float32), 2e-11)
    mrc(folder / "a.mrc", GREY[None], (18, 12, 2))
    written.gwy(folder / "a.gwy", [(HEIGHTS, "Height", 9e-7, "m")])
    written.ibw(folder / "a.ibw", HEIGHTS[None], ["HeightRetrace"], 1e-8)
    written.wsxm(folder / "a.top", GREY.astype("<i2"), "90 nm", "60 nm")
    written.wsxm(folder / "a.stp", HEIGHTS, "90 nm", "60 nm")
    written.spm(folder / "a.spm", [(GREY.astype(np.int16), "Height", 65.536)], 900)
    written.jpk(folder / "a.jpk", GREY.astype(np.int32), 9e-7, 1e-9)
    written.asd(folder / "a.asd", GREY[None, None], 900, 600)
    written.h5jpk(folder / "a.h5-jpk", [(GREY[None], "height", False, 1.0)], 9e-7, 6e-7)
    written.velox(folder / "a.emd", [(GREY[..., None], "HAADF")], 2e-11)
    return sorted(folder.glob("a.*"))


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_cut_anywhere_is_read_or_refused(tmp_path):
    pytest.importorskip("rsciio"), pytest.importorskip("AFMReader")
    for path in whole_files(tmp_path):
        data = path.read_bytes()
        assert read_picture(path).pixels.size
        for length in np.unique(np.linspace(1, len(data) - 1, 12).astype(int)):
            path.write_bytes(data[:length])
            try:
                read_picture(path)
            except DataError as error:
                assert "\n" not in str(error)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    array=arrays.arrays(
        st.one_of(
            arrays.boolean_dtypes(),
            arrays.integer_dtypes(endianness="?"),
            arrays.unsigned_integer_dtypes(endianness="?"),
            arrays.floating_dtypes(endianness="?"),
            arrays.complex_number_dtypes(),
        ),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6),
    )
)
def test_any_array_is_read_as_it_is_or_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    try:
        picture = read_picture(tmp_path / "a.npy")
    except DataError as error:
        assert str(error).startswith(str(tmp_path / "a.npy"))
        return
    assert np.isfinite(picture.pixels).all() and picture.pixels.dtype.isnative
    if array.ndim == 2:
        assert np.array_equal(picture.pixels, array)
