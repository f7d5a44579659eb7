"""Images and masks are read, or refused with a reason."""

import numpy as np
import pytest
from skimage.io import imsave

from mchelpers import data


def image_file(tmp_path, array, name="i.png"):
    imsave(tmp_path / name, array, check_contrast=False)
    return tmp_path / name


GRADIENT = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    "array",
    [
        GRADIENT,
        GRADIENT.astype(np.uint16) * 900,
        np.dstack([GRADIENT] * 3),
        np.dstack([GRADIENT] * 3 + [np.full_like(GRADIENT, 255)]),
    ],
    ids=["8 bit", "16 bit", "grey RGB", "grey RGBA"],
)
def test_grey_images_of_any_kind_are_read(tmp_path, array):
    image = data.read_micrograph(image_file(tmp_path, array))
    assert image.shape == (8, 8) and image.dtype == np.float32
    assert image.max() == array[..., 0].max() if array.ndim == 3 else array.max()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.uint8), "constant"),
        (np.dstack([GRADIENT, GRADIENT.T, GRADIENT]), "colour"),
    ],
)
def test_useless_images_are_refused(tmp_path, array, message):
    with pytest.raises(data.DataError, match=message):
        data.read_micrograph(image_file(tmp_path, array))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_nan_and_infinity_are_refused(tmp_path, value, message):
    array = GRADIENT.astype(np.float32)
    array[2, 2] = value
    with pytest.raises(data.DataError, match=message):
        data.read_micrograph(image_file(tmp_path, array, "i.tif"))


def test_a_stack_is_not_an_image(tmp_path):
    with pytest.raises(data.DataError, match="shape"):
        data.read_micrograph(image_file(tmp_path, np.zeros((5, 8, 8), np.float32), "i.tif"))


def test_a_cut_file_is_refused(tmp_path):
    path = image_file(tmp_path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(data.DataError, match="cut short"):
        data.read_micrograph(path)
    with pytest.raises(data.DataError, match="cut short"):
        data.read_mask(path)


def test_masks(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    assert not data.read_mask(image_file(tmp_path, mask)).any()
    mask[2, 3] = 255
    read = data.read_mask(image_file(tmp_path, mask), (8, 8))
    assert read.sum() == 1 and read[2, 3]
    mask[5, 5] = 127  # grey, as compression leaves it at an edge
    assert data.read_mask(image_file(tmp_path, mask)).sum() == 1
    with pytest.raises(data.DataError, match="its image has"):
        data.read_mask(image_file(tmp_path, mask), (9, 8))
