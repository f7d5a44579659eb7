"""Images and masks are read, or refused with a reason."""

import numpy as np
import pytest
from PIL import Image
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


@pytest.mark.parametrize(
    ("dtype", "value", "ending"),
    [
        (np.uint8, 1, "png"),
        (np.uint16, 1, "png"),
        (np.uint16, 255, "tif"),
        (np.uint16, 65535, "tif"),
        (np.int32, 1, "tif"),
        (np.uint32, 2**32 - 1, "tif"),
        (np.float32, 1, "tif"),
        (np.float32, 255, "tif"),
        (np.uint8, 100, "png"),
    ],
)
def test_masks_of_any_depth_and_value(tmp_path, dtype, value, ending):
    labelled = np.zeros((8, 8), bool)
    labelled[2:5, 3:6] = True
    mask = (labelled * value).astype(dtype)
    assert (data.read_mask(image_file(tmp_path, mask, f"m.{ending}")) == labelled).all()
    Image.fromarray(labelled).save(tmp_path / "bits.png")
    assert (data.read_mask(tmp_path / "bits.png") == labelled).all()
    full = np.full((8, 8), value, dtype)
    assert data.read_mask(image_file(tmp_path, full, f"f.{ending}")).all()
    assert not data.read_mask(image_file(tmp_path, np.zeros_like(mask), f"e.{ending}")).any()


def test_masks_of_two_colours(tmp_path):
    labelled = np.zeros((8, 8), bool)
    labelled[2:5, 3:6] = True
    green = labelled[..., None] * np.array([0, 255, 0], np.uint8)
    assert (data.read_mask(image_file(tmp_path, green)) == labelled).all()
    opaque = np.dstack([labelled * np.uint8(255)] * 4)  # what is not labelled is transparent
    assert (data.read_mask(image_file(tmp_path, opaque)) == labelled).all()
    green[0, 0] = (255, 0, 0)
    with pytest.raises(data.DataError, match="3 colours"):
        data.read_mask(image_file(tmp_path, green))
    with pytest.raises(data.DataError, match="2 colours"):
        data.read_mask(image_file(tmp_path, 255 - labelled[..., None] * np.uint8([0, 99, 9])))


def test_soft_edges_are_cut_at_half(tmp_path):
    mask = np.zeros((8, 8), np.uint16)
    mask[2:6, 2:6], mask[1, 2:6], mask[6, 2:6] = 255, 140, 100
    assert data.read_mask(image_file(tmp_path, mask, "a.tif")).sum() == 20
    assert data.read_mask(image_file(tmp_path, mask.astype(np.uint8))).sum() == 20
    chance = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert data.read_mask(image_file(tmp_path, chance, "p.tif")).sum() == 32


@pytest.mark.parametrize(
    "values",
    [[0, 1, 2], [0, 7, 200], [1, 2], [0, 50, 100, 150, 200, 255], [-1, 0, 1], [0, 1000, 2000]],
)
def test_numbers_of_objects_are_no_mask(tmp_path, values):
    dtype = np.uint8 if 0 <= min(values) and max(values) < 256 else np.int16
    mask = np.resize(np.array(values, dtype), (8, 8))
    with pytest.raises(data.DataError, match="no mask of one class"):
        data.read_mask(image_file(tmp_path, mask, "a.tif"))


def test_complex_images_are_refused(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", GRADIENT.astype(np.complex64))
    with pytest.raises(data.DataError, match="complex; save its amplitude"):
        data.read_micrograph(tmp_path / "a.tif")


def test_an_image_beyond_float32_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", GRADIENT * 1e300)
    with pytest.raises(data.DataError, match="float32"):
        data.read_micrograph(tmp_path / "a.npy")
