"""Writing and reading reduced images: nothing of the lattice may change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mchelpers.graphene_hrtem import reduction

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
MASKS = arrays(bool, SHAPES)


@given(MASKS)
def test_runs_come_back(mask):
    np.testing.assert_array_equal(
        reduction.decode_runs(reduction.encode_runs(mask), mask.shape), mask
    )


@pytest.mark.parametrize("value", [False, True])
def test_uniform_masks_take_few_bytes(value):
    mask = np.full((256, 256), value)
    code = reduction.encode_runs(mask)
    assert len(code) <= 4
    np.testing.assert_array_equal(reduction.decode_runs(code, mask.shape), mask)


def test_runs_must_fill_the_shape():
    code = reduction.encode_runs(np.zeros((4, 5), bool))
    with pytest.raises(ValueError, match="cover 20 pixels"):
        reduction.decode_runs(code, (4, 4))
    with pytest.raises(ValueError, match="cut short"):
        reduction.decode_runs(b"\x80", (4, 4))


@settings(deadline=None)
@given(MASKS.flatmap(lambda m: st.tuples(st.just(m), arrays(np.uint8, m.shape))))
def test_images_come_back_outside_the_mask(pair):
    mask, image = pair
    read, read_mask = reduction.decompress(reduction.compress(image, mask))
    np.testing.assert_array_equal(read_mask, mask)
    np.testing.assert_array_equal(read[~mask], image[~mask])
    again, _ = reduction.decompress(reduction.compress(read, mask))
    np.testing.assert_array_equal(again, read)  # the regions are flat now


def test_each_region_keeps_its_own_mean():
    image = np.arange(25, dtype=np.uint8).reshape(5, 5)
    mask = np.zeros((5, 5), bool)
    mask[0, :2] = mask[4, 3:] = True
    flat, _ = reduction.decompress(reduction.compress(image, mask))
    assert set(flat[0, :2]) == {0} and set(flat[4, 3:]) == {24}  # 0.5 and 23.5 to even
    np.testing.assert_array_equal(flat[~mask], image[~mask])


def test_a_full_mask_leaves_next_to_nothing():
    image = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    assert len(reduction.compress(image, np.ones((64, 64), bool))) < 30


def test_larger_masks_give_smaller_files():
    image = np.random.default_rng(0).normal(128, 20, (128, 128)).astype(np.uint8)
    sizes = []
    for rows in (0, 32, 64, 128):
        mask = np.zeros((128, 128), bool)
        mask[:rows] = True
        sizes.append(len(reduction.compress(image, mask)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < image.size


@pytest.mark.parametrize("cut", [1, 5, 9, 60])
def test_damaged_codes_are_refused(cut):
    image = np.random.default_rng(0).integers(0, 256, (32, 32)).astype(np.uint8)
    mask = np.zeros((32, 32), bool)
    mask[4:9, 3:20] = True
    code = reduction.compress(image, mask)
    for damaged in (code[:-cut], code[:cut], b"PNG" + code):
        with pytest.raises(ValueError, match="damaged|cut short|not a reduced image|cover"):
            reduction.decompress(damaged)


def test_wrong_kinds_are_refused():
    image, mask = np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool)
    for bad in ((image.astype(float), mask), (image[0], mask), (image[:0], mask[:0])):
        with pytest.raises(ValueError, match="8-bit|shape"):
            reduction.compress(*bad)
    for bad_mask in (mask[:2], mask.astype(int)):
        with pytest.raises(ValueError, match="boolean|shape"):
            reduction.compress(image, bad_mask)
    with pytest.raises(ValueError, match="threshold"):
        reduction.encode_runs(mask.astype(float))


def test_share_of_lattice_lost():
    truth = np.zeros((1, 2, 4), bool)
    truth[0, 0] = True
    masks = np.zeros_like(truth)
    masks[0, :, 0] = True
    assert reduction.lattice_lost(masks, truth) == pytest.approx(1 / 4)
    assert np.isnan(reduction.lattice_lost(masks, np.ones_like(truth)))
