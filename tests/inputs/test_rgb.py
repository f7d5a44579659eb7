"""Frames become 8-bit RGB, or are refused."""

import numpy as np
import pytest
from PIL import Image

from mchelpers.downloads import DataError
from mchelpers.inputs.rgb import as_rgb8, read_image


def test_frames_of_every_kind_become_rgb_or_are_refused():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(as_rgb8(grey), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(as_rgb8(grey[..., None]), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(as_rgb8(grey.astype(np.uint16) * 257), np.stack([grey] * 3, -1))
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    np.testing.assert_array_equal(as_rgb8(opaque), np.stack([grey] * 3, -1))
    bad = [
        (np.zeros((0, 4, 3), np.uint8), "not an image"),
        (np.zeros(4, np.uint8), "not an image"),
        (np.zeros((3, 4)), "8 or 16 bits"),
        (np.zeros((3, 4, 4), np.uint8), "transparent"),
        (np.zeros((3, 4, 2), np.uint8), "channels"),
    ]
    for frame, message in bad:
        with pytest.raises(ValueError, match=message):
            as_rgb8(frame)


@pytest.mark.parametrize("order", ["<", ">"])
def test_frames_of_either_byte_order(order):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    deep = (grey.astype(np.uint16) * 257).astype(f"{order}u2")
    np.testing.assert_array_equal(as_rgb8(deep), np.stack([grey] * 3, -1))


def test_masked_pixels_are_refused():
    frame = np.ma.masked_equal(np.arange(12, dtype=np.uint8).reshape(3, 4), 5)
    with pytest.raises(ValueError, match="masked"):
        as_rgb8(frame)
    np.testing.assert_array_equal(as_rgb8(np.ma.masked_array(frame.data))[..., 0], frame.data)


def test_a_picture_s_label_and_pixels_are_turned_alike(tmp_path):
    """A polygon is drawn where viewers show the object, which is after the EXIF turn."""
    picture = np.zeros((40, 60), np.uint8)
    picture[2:12, 3:23] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=100)
    read = read_image(tmp_path / "a.jpg")[..., 0]
    assert read[28:38, 37:57].mean() > 250 and read[2:12, 3:23].mean() < 5


def test_files_that_are_no_colour_image_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    with pytest.raises(DataError, match="a.npy cannot be read as a colour image: need a frame of"):
        read_image(tmp_path / "a.npy")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="b.jpg"):
        read_image(tmp_path / "b.jpg")
