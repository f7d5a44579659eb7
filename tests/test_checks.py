"""What is taken for an image, a mask and a pixel size, and in which words all else is refused."""

import numpy as np
import pytest

from mchelpers.checks import check_image, check_mask, check_pixel_size_nm


@pytest.mark.parametrize("kind", ["b1", "u1", ">u2", "<i4", ">f4", "f8", "f2", "g"])
def test_every_real_type_keeps_its_values_in_the_byte_order_of_the_machine(kind):
    values = np.arange(12).reshape(3, 4).astype(kind)
    for array in (values, np.asfortranarray(values), values[::-1][::-1], np.ma.array(values)):
        found = check_image(array)
        assert type(found) is np.ndarray and found.dtype.isnative
        assert found.dtype.itemsize <= 8 and found.dtype.char != "e"
        np.testing.assert_array_equal(found, values)


def test_a_plain_array_is_not_copied():
    image = np.zeros((3, 4), np.float32)
    assert np.shares_memory(check_image(image), image)


GOOD = np.ones((8, 9))
HOLE = np.where(np.arange(72).reshape(8, 9) == 7, np.nan, 1)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (GOOD.astype(complex), "complex128, but must hold real numbers; take np.abs"),
        (GOOD.astype(str), "must hold real numbers"),
        (GOOD.astype(object), "must hold real numbers"),
        (HOLE, "NaN or infinity"),
        (GOOD * np.inf, "NaN or infinity"),
        (GOOD * 1e16, "beyond 1e"),
        (np.full((8, 8), -(2**62)), "beyond 1e"),
        (np.ma.masked_invalid(HOLE), "masked pixels"),
        (GOOD[0], r"shape \(9,\)"),
        (np.array(3.0), r"shape \(\)"),
        (GOOD[None], r"shape \(1, 8, 9\); .height, width. of at least 8 x 8 px"),
        (GOOD[:7], "8 x 8"),
        (GOOD[:, :0], r"shape \(8, 0\)"),
    ],
)
def test_what_is_no_image_is_said(bad, words):
    with pytest.raises(ValueError, match=f"the tile.*{words}"):
        check_image(bad, "the tile", least=8)


def test_stacks_and_images_with_holes_where_they_are_allowed():
    assert check_image(GOOD[None], ndim=(2, 3)).shape == (1, 8, 9)
    assert check_image(HOLE, finite=False) is HOLE
    with pytest.raises(ValueError, match=r"\(images, height, width\)"):
        check_image(GOOD, ndim=(3,))


def test_masks_are_boolean_and_fit():
    mask = GOOD > 0
    assert check_mask(mask, shape=(8, 9)) is mask
    for bad, words in ((GOOD, "boolean"), (mask[1:], "the image has"), (mask[None], "shape")):
        with pytest.raises(ValueError, match=words):
            check_mask(bad, shape=(8, 9))


@pytest.mark.parametrize("size", [0, -0.02, np.nan, np.inf, 2.3e-11, 2e7])
def test_a_pixel_size_in_another_unit_is_refused(size):
    assert check_pixel_size_nm(0.02) == 0.02
    with pytest.raises(ValueError, match="pixel_size_nm must be 0.0001 to 100000 nm.*another unit"):
        check_pixel_size_nm(size)
