"""Patches lie inside, masks stay on their images, and splits keep samples whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from mchelpers import data
from mchelpers.afm_coverage import patches


def blobs(shape=(160, 220), seed=0):
    """Make a smooth image and the mask of its brighter half."""
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 6)
    image = np.interp(image, (image.min(), image.max()), (0, 255)).round().astype(np.uint8)
    return image, image > 127


def flagged(shape=(160, 220), rim=1):
    """Make a grey image with a black rim that no patch may show."""
    image = np.zeros(shape, np.uint8)
    image[rim:-rim, rim:-rim] = 200
    return image


@pytest.mark.parametrize("turn", [True, False])
def test_no_patch_sees_beyond_the_micrograph(turn):
    shapes = [(160, 220), (90, 301), (64, 64)]
    corners, scale = patches.frames(shapes, 48, 40, turn=turn)
    for number, (height, width) in enumerate(shapes):
        own = corners[40 * number : 40 * number + 40]
        assert own.min() >= -1e-9
        assert own[..., 0].max() <= height - 1 + 1e-9 and own[..., 1].max() <= width - 1 + 1e-9
    assert scale.min() >= 0.5 and scale.max() <= 2


def test_the_rim_of_the_image_is_seen_only_by_patches_that_reach_it():
    image = flagged()
    cut = patches.cut_patches([image], [image > 0], 32, 80, scale=(1, 2))
    corners, _ = patches.frames([image.shape], 32, 80, scale=(1, 2))
    last = np.array(image.shape) - 1
    clear = ((corners > 2) & (corners < last - 2)).all((1, 2))
    assert 0 < clear.sum() < 80
    assert (cut.images[clear] == 200).all() and cut.masks[clear].all()


@pytest.mark.parametrize("turn", [True, False])
def test_image_and_mask_stay_in_register(turn):
    image, mask = blobs()
    cut = patches.cut_patches([image], [mask], 64, 30, scale=(1, 2), turn=turn)
    assert ((cut.images > 127) == cut.masks).mean() > 0.97
    sure = np.abs(cut.images.astype(int) - 127) > 12  # far from the edge of the mask
    assert ((cut.images > 127) == cut.masks)[sure].mean() > 0.999


def test_shrunken_patches_stay_in_register_too():
    image, mask = blobs((300, 300), seed=1)
    cut = patches.cut_patches([image], [mask], 64, 20, scale=(0.5, 0.7))
    assert ((cut.images > 127) == cut.masks).mean() > 0.95


def test_without_turning_or_rescaling_a_patch_is_a_cut_out():
    ramp = np.add.outer(np.arange(100), np.arange(120)).astype(np.uint8)
    cut = patches.cut_patches([ramp], [ramp > 100], 33, 5, scale=(1, 1), turn=False)
    for patch in cut.images.astype(int):
        assert (np.diff(patch, axis=0) == 1).all() and (np.diff(patch, axis=1) == 1).all()


def test_frames_are_where_the_patches_were_cut():
    image, mask = blobs()
    cut = patches.cut_patches([image, image], [mask, mask], 40, 6, seed=3)
    corners, scale = patches.frames([image.shape] * 2, 40, 6, seed=3)
    assert np.array_equal(scale, cut.scale)
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)  # (N, 4)
    assert np.allclose(edges, 39 / scale[:, None])
    row, column = np.rint(corners[..., 0]).astype(int), np.rint(corners[..., 1]).astype(int)
    going_round = ([0, 0, -1, -1], [0, -1, -1, 0])
    assert np.array_equal(mask[row, column], cut.masks[(slice(None), *going_round)])


@pytest.mark.parametrize(
    ("side", "count", "mean", "low", "high"),
    [(512, 4, 1.73, 1.36, 1.98), (224, 20, 1.45, 0.81, 1.95)],
)
def test_rejection_changes_the_scale_as_the_monte_carlo_says(side, count, mean, low, high):
    shapes = [(512, 907), (512, 1024), (512, 1551)] * 12
    _, scale = patches.frames(shapes, side, count)
    assert scale.mean() == pytest.approx(mean, abs=0.04)
    assert np.percentile(scale, (5, 95)) == pytest.approx([low, high], abs=0.06)
    if side == 224:
        assert 0.12 < (scale < 1.05).mean() < 0.21
    else:
        assert (scale < 1.05).mean() < 0.01


def test_small_patches_keep_the_scale_that_was_drawn():
    _, scale = patches.frames([(2000, 2000)], 8, 400)
    assert scale.mean() == pytest.approx(1.25, abs=0.07)


def test_same_seed_same_patches_and_other_seed_others():
    image, mask = blobs()
    first, again, other = (
        patches.cut_patches([image], [mask], 48, 3, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.images, again.images) and np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.images, other.images)


def test_patches_of_an_image_do_not_depend_on_the_images_before():
    (a, mask_a), (b, mask_b), (c, mask_c) = (blobs(seed=seed) for seed in range(3))
    one = patches.cut_patches([a, b], [mask_a, mask_b], 48, 4)
    two = patches.cut_patches([c, b], [mask_c, mask_b], 48, 4)
    assert np.array_equal(one.images[4:], two.images[4:])
    assert np.array_equal(one.scale[4:], two.scale[4:])
    fewer = patches.cut_patches([a, b], [mask_a, mask_b], 48, 2)
    assert np.array_equal(fewer.images[2:], one.images[4:6])


def test_the_label_of_a_patch_is_the_share_of_its_mask():
    image, mask = blobs()
    cut = patches.cut_patches([image, image], [mask, ~mask], 40, 5)
    assert np.allclose(cut.coverage, [m.mean() for m in cut.masks])
    assert cut.source.tolist() == [0] * 5 + [1] * 5
    assert cut.of(np.array([1])).tolist() == [5, 6, 7, 8, 9] and len(cut.of(np.array([7]))) == 0
    assert cut.images.dtype == np.uint8 and cut.masks.dtype == bool


GREY, MASK = np.zeros((64, 64), np.uint8), np.zeros((64, 64), bool)


@pytest.mark.parametrize(
    ("images", "masks", "more", "message"),
    [
        ([], [], {}, "as many masks as images"),
        ([GREY], [], {}, "as many masks as images"),
        ([GREY], [MASK], {"count": 0}, "above 0"),
        ([GREY], [MASK], {"side": 0}, "above 0"),
        ([GREY], [MASK], {"scale": (2.0, 0.5)}, "smallest, largest"),
        ([GREY], [MASK], {"scale": (0.0, 0.5)}, "smallest, largest"),
        ([GREY.astype(float)], [MASK], {}, "uint8"),
        ([np.zeros((64, 64, 3), np.uint8)], [MASK], {}, "luminance"),
        ([GREY], [MASK[:32]], {}, "mask 0"),
        ([GREY], [GREY], {}, "must be bool"),
        ([GREY], [MASK], {"side": 200}, "no room"),
    ],
)
def test_bad_input_is_refused(images, masks, more, message):
    arguments = {"side": 16, "count": 1} | more
    with pytest.raises(ValueError, match=message):
        patches.cut_patches(images, masks, **arguments)


def sides(split):
    return split.train, split.validation, split.test


@given(
    sizes=st.lists(st.integers(1, 5), min_size=4, max_size=15),
    validation=st.integers(0, 2),
    test=st.integers(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_no_sample_is_on_two_sides(sizes, validation, test, seed):
    samples = np.repeat([f"s{k}" for k in range(len(sizes))], sizes)
    split = data.split_samples(samples, validation, test, seed)
    names = [set(samples[side]) for side in sides(split)]
    assert [len(n) for n in names] == [len(sizes) - validation - test, validation, test]
    assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])
    assert np.array_equal(np.sort(np.concatenate(sides(split))), np.arange(len(samples)))
    assert all((np.diff(side) > 0).all() for side in sides(split))


def test_sizes_of_the_study_and_the_seed():
    samples = np.repeat(np.arange(52), 4)
    split = data.split_samples(samples)
    assert [len(set(samples[side])) for side in sides(split)] == [41, 5, 6]
    assert np.array_equal(split.test, data.split_samples(samples).test)
    assert not np.array_equal(split.test, data.split_samples(samples, seed=1).test)


@pytest.mark.parametrize("sizes", [{"validation": 2, "test": 1}, {"test": -1}, {"test": 3}])
def test_nothing_left_to_train_on(sizes):
    with pytest.raises(ValueError, match="samples cannot give"):
        data.split_samples(np.array(["a", "b", "c"]), **{"validation": 0, **sizes})


@given(which=st.lists(st.integers(0, 9), min_size=12, max_size=30), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_growth_condition_is_on_two_sides(which, seed):
    which = np.array([*which, 10, 11, 12, 13])
    samples = np.repeat(np.arange(len(which)), 2)
    conditions = np.stack([which % 3, which // 3], 1)[samples]  # (N, 2)
    try:
        split = patches.split_conditions(samples, conditions, 2, 3, seed)
    except ValueError:
        assert np.bincount(which).max() > 5  # one condition is nearly everything
        return
    found = [{tuple(c) for c in conditions[side]} for side in sides(split)]
    assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    assert len(set(samples[split.test])) >= 3 and len(set(samples[split.validation])) >= 2
    assert np.array_equal(np.sort(np.concatenate(sides(split))), np.arange(len(samples)))


def test_conditions_may_be_words():
    samples = np.array(["a", "a", "b", "c", "d"])
    words = np.array(["hot", "hot", "cold", "hot", "wet"])
    split = patches.split_conditions(samples, words, 1, 1, seed=0)
    assert len({*words[split.train]} | {*words[split.validation]} | {*words[split.test]}) == 3
    assert all(len(set(words[side])) == 1 for side in sides(split))


def test_bad_conditions_are_refused():
    samples = np.array(["a", "a", "b"])
    with pytest.raises(ValueError, match="two growth conditions"):
        patches.split_conditions(samples, np.array([1, 2, 1]), 0, 1)
    with pytest.raises(ValueError, match="cannot give"):
        patches.split_conditions(samples, np.array([1, 1, 2]), 1, 1)
    with pytest.raises(ValueError, match="need a condition"):
        patches.split_conditions(samples, np.array([1, 1]), 1, 1)
    with pytest.raises(ValueError, match="negative"):
        patches.split_conditions(samples, np.array([1, 1, 2]), -1, 1)
