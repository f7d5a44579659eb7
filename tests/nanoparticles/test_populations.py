"""Particles whose number, size and class are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mchelpers.nanoparticles import populations

ROWS, COLUMNS = np.indices((120, 200))


def disc(row, column, radius, long=1.0):
    """Mark an ellipse, ``long`` times as wide as high; (120, 200) bool."""
    return ((ROWS - row) / radius) ** 2 + ((COLUMNS - column) / (radius * long)) ** 2 < 1


def labelled(*masks):
    """Number masks one after the other; (120, 200) uint8."""
    labels = np.zeros(ROWS.shape, np.uint8)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return labels


# ---- matching


def test_labels_may_be_numbered_in_any_way():
    true = labelled(disc(40, 40, 20), disc(60, 140, 30))
    predicted = np.array([0, 200, 7])[true]
    found = populations.match(predicted, true)
    assert sorted(map(tuple, found.pairs.tolist())) == [(7, 2), (200, 1)]
    np.testing.assert_allclose(found.iou, 1)
    assert not len(found.missed) and not len(found.invented)


def test_shifted_missed_and_invented_particles():
    true = labelled(disc(40, 40, 20), disc(60, 140, 30), disc(100, 30, 8))
    predicted = labelled(disc(40, 42, 20), disc(100, 100, 9), disc(60, 141, 30))
    found = populations.match(predicted, true)
    assert sorted(map(tuple, found.pairs.tolist())) == [(1, 1), (3, 2)]
    assert found.missed.tolist() == [3] and found.invented.tolist() == [2]
    scores = populations.particle_f1(predicted, true)
    assert (scores["tp"], scores["fp"], scores["fn"]) == (2, 1, 1)
    assert scores["f1"] == pytest.approx(2 / 3)


def test_iou_is_that_of_areas():
    true, predicted = np.zeros((2, 10, 10), int)
    true[0, :4], predicted[0, 1:4] = 1, 1  # 3 of 4 px
    assert populations.match(predicted, true, 0.75).iou.tolist() == [0.75]
    assert not len(populations.match(predicted, true, 0.76).pairs)


def test_two_halves_are_one_particle_at_most():
    """At an IoU of exactly one half both halves would do; a particle is found once."""
    true = np.ones((4, 10), int)
    predicted = np.ones((4, 10), int)
    predicted[:, 5:] = 2
    scores = populations.particle_f1(predicted, true)
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 1, 0)


def test_greatest_sum_below_one_half():
    """The nearest pairing first would leave one particle without a partner."""
    true, predicted = np.zeros((2, 1, 12), int)
    true[0, :6], true[0, 6:] = 1, 2
    predicted[0, :3], predicted[0, 3:10] = 1, 2
    found = populations.match(predicted, true, 0.3)
    assert sorted(map(tuple, found.pairs.tolist())) == [(1, 1), (2, 2)]


def test_slivers_do_not_count():
    true = labelled(disc(60, 60, 20), disc(118, 150, 4))
    predicted = labelled(disc(60, 60, 20), disc(10, 10, 3))
    assert populations.particle_f1(predicted, true)["f1"] == 0.5
    scores = populations.particle_f1(predicted, true, minimum_px=100)
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 0, 0)


def test_empty_images():
    nothing, something = np.zeros((120, 200), int), labelled(disc(60, 60, 20))
    assert populations.particle_f1(nothing, nothing)["f1"] == 1
    assert populations.particle_f1(nothing, something)["f1"] == 0
    assert populations.particle_f1(something, nothing)["precision"] == 0


def test_counts_are_pooled_over_images_of_any_size():
    true = [labelled(disc(60, 60, 20)), np.ones((10, 10), int)]
    predicted = [labelled(disc(60, 60, 20)), np.zeros((10, 10), int)]
    scores = populations.particle_f1(predicted, true)
    assert (scores["tp"], scores["fp"], scores["fn"]) == (1, 0, 1)
    invented = populations.particle_f1(true, predicted)
    assert (invented["tp"], invented["fp"], invented["fn"]) == (1, 1, 0)
    assert invented["precision"] == 0.5 and invented["recall"] == 1
    stack = np.stack([true[0], true[0]])
    assert populations.particle_f1(stack, stack)["tp"] == 2
    with pytest.raises(ValueError, match="1 predicted and 2 true"):
        populations.particle_f1(predicted[:1], true)


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.zeros((4, 4), bool), "separate"),
        (np.zeros((4, 4)), "whole numbers"),
        (np.full((4, 4), -1), "negative"),
        (np.zeros((2, 4, 4), int), "height, width"),
    ],
)
def test_what_is_no_label_image(labels, words):
    with pytest.raises(ValueError, match=words):
        populations.match(labels, np.zeros((4, 4), int))
    with pytest.raises(ValueError, match=words):
        populations.measure(labels, 0.02)


def test_images_and_threshold_must_fit():
    with pytest.raises(ValueError, match="not one image"):
        populations.match(np.zeros((4, 4), int), np.zeros((4, 5), int))
    with pytest.raises(ValueError, match="iou"):
        populations.match(np.zeros((4, 4), int), np.zeros((4, 4), int), iou=0)


small_labels = hnp.arrays(np.uint8, (8, 9), elements=st.integers(0, 4))


@settings(max_examples=50, deadline=None)
@given(small_labels, small_labels, st.floats(0.05, 1))
def test_every_particle_is_counted_once(predicted, true, iou):
    found = populations.match(predicted, true, iou)
    for own, labels, alone in ((0, predicted, found.invented), (1, true, found.missed)):
        counted = sorted([*found.pairs[:, own].tolist(), *alone.tolist()])
        assert counted == np.unique(labels[labels > 0]).tolist()
    back = populations.match(true, predicted, iou)
    assert back.iou.sum() == pytest.approx(found.iou.sum())


# ---- telling apart


def test_touching_particles_are_separated():
    mask = disc(60, 50, 30) | disc(60, 108, 30)
    labels = populations.separate(mask)
    assert labels.max() == 2 and labels.dtype == np.int32
    true = labelled(disc(60, 50, 30), disc(60, 108, 30))
    assert populations.particle_f1(labels, true, 0.9)["tp"] == 2


def test_a_small_particle_on_a_large_one_is_judged_by_its_own_size():
    labels = populations.separate(disc(60, 60, 45) | disc(60, 117, 16))
    assert np.sort(np.bincount(labels.ravel())[1:])[0] == pytest.approx(np.pi * 16**2, rel=0.1)


@pytest.mark.parametrize("long", [1.0, 1.6, 2.4])
def test_one_particle_stays_whole(long):
    assert populations.separate(disc(60, 100, 35, long)).max() == 1


def test_a_square_and_a_ragged_outline_stay_whole():
    square = np.zeros((120, 200), bool)
    square[20:100, 20:100] = True
    assert populations.separate(square).max() == 1
    ragged = disc(60, 100, 40) ^ (
        (np.random.default_rng(0).random(ROWS.shape) < 0.4) & disc(60, 100, 43) & ~disc(60, 100, 38)
    )
    assert populations.separate(ragged).max() == 1


def test_specks_go_and_small_holes_are_filled():
    mask = disc(60, 100, 40) & ~disc(60, 100, 5)
    mask |= disc(10, 10, 3)
    labels = populations.separate(mask, minimum_px=200)
    np.testing.assert_array_equal(labels > 0, disc(60, 100, 40))


def test_what_a_ring_of_particles_encloses_is_no_hole():
    ring = disc(60, 100, 55) & ~disc(60, 100, 30)
    assert not populations.separate(ring, minimum_px=200)[60, 100]


def test_nothing_and_everything():
    assert not populations.separate(np.zeros((40, 50), bool)).any()
    assert (populations.separate(np.ones((40, 50), bool)) == 1).all()
    with pytest.raises(ValueError, match="boolean"):
        populations.separate(np.zeros((40, 50)))
    with pytest.raises(ValueError, match="shape"):
        populations.separate(np.zeros((0, 5), bool))


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(bool, (24, 31)), st.integers(1, 30))
def test_labels_have_no_gaps_and_are_large_enough(mask, minimum):
    labels = populations.separate(mask, minimum)
    sizes = np.bincount(labels.ravel())[1:]
    assert (sizes >= minimum).all()
    grown = labels > 0
    assert not (grown & ~_filled(mask)).any()


def _filled(mask):
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes(mask)


# ---- measuring


def test_a_disc_is_round_and_has_its_diameter():
    (row,) = populations.measure(labelled(disc(60, 90, 30)), 0.02)
    assert row["diameter_nm"] == pytest.approx(2 * 30 * 0.02, rel=0.01)
    assert row["aspect"] == pytest.approx(1, abs=0.01)
    assert row["circularity"] > 0.97 and row["solidity"] > 0.97
    assert (row["row"], row["column"]) == pytest.approx((60, 90), abs=0.5)
    assert not row["touches_border"]


def test_an_ellipse_is_as_long_as_it_is():
    (row,) = populations.measure(labelled(disc(60, 90, 30, 1.5)), 0.02)
    assert row["aspect"] == pytest.approx(1.5, rel=0.02)
    assert row["diameter_nm"] == pytest.approx(2 * 30 * np.sqrt(1.5) * 0.02, rel=0.01)


@pytest.mark.parametrize("corner", [(0, 90), (60, 0), (119, 90), (60, 199)])
def test_the_border_cuts(corner):
    assert populations.measure(labelled(disc(*corner, 20)), 0.02)["touches_border"].all()


@pytest.mark.parametrize("gap, alone", [(0, False), (1, True)])
def test_neighbours_touch_even_at_a_corner(gap, alone):
    labels = np.zeros((120, 200), int)
    labels[58:80, 60:80] = 1
    labels[80 + gap : 90, 80 + gap : 90] = 5
    labels[10:20, 10:20] = 9
    rows = populations.measure(labels, 0.02)
    assert rows["alone"].tolist() == [alone, alone, True]
    assert rows["box"][2].tolist() == [10, 10, 20, 20]
    turned = populations.measure(labels[:, ::-1], 0.02)
    assert turned["alone"].tolist() == [alone, alone, True]


def test_small_and_no_particles():
    assert len(populations.measure(np.zeros((5, 5), int), 0.02)) == 0
    rows = populations.measure(np.array([[0, 1, 0], [2, 2, 2], [0, 0, 0]]), 1.0)
    assert np.isfinite(rows["aspect"]).all() and (rows["aspect"] >= 1).all()
    with pytest.raises(ValueError, match="pixel_size_nm"):
        populations.measure(np.zeros((5, 5), int), 0.0)
    with pytest.raises(ValueError, match="pixel_size_nm"):
        populations.measure(np.zeros((5, 5), int), np.nan)
