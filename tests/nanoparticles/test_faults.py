"""Five features as the study's code has them, better ones that keep still, and honest splits."""

import numpy as np
import pytest
from drawn_crystals import PIXEL, drawn, particle_mask, sequence
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from mchelpers.nanoparticles import faults


def slow_profile(image):
    """The same sums, ring by ring over all pixels."""
    n = min(image.shape)
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(image[:n, :n])))
    rows, columns = np.mgrid[:n, :n] - n / 2
    radius = np.hypot(rows, columns)

    def step(low):  # from 0 to 1 between low and low + 4
        return (1 + erf(4 * (radius - low - 2) / 4)) / 2

    starts = np.hypot(np.arange(n), np.arange(n))
    return np.array([((step(r) - step(r + 14)) * amplitude).sum() for r in starts])


@pytest.mark.parametrize("shape", [(24, 24), (25, 31), (40, 33)])
def test_profile_is_the_sum_over_rings(shape):
    image = np.random.default_rng(0).random(shape)
    assert np.allclose(faults.study_profile(image), slow_profile(image), rtol=1e-6, atol=1e-6)


def test_profile_is_cut_not_padded():
    rng = np.random.default_rng(0)
    assert len(faults.study_profile(rng.random((60, 80)))) == 60
    assert len(faults.study_profile(rng.random((140, 120)))) == 100


def test_profile_ends_at_the_corner_of_the_transform():
    f = faults.study_profile(np.random.default_rng(0).random((90, 90)))
    assert (f[:45] > 0).all()
    assert np.allclose(f[50:], 0)


def test_five_features_are_what_they_are_called():
    image = np.random.default_rng(0).random((40, 50))
    f = slow_profile(image)
    centre = (np.arange(40) * f).sum() / f.sum()
    expected = [f.mean(), f.std(), image.mean(), image.std(), centre]
    assert np.allclose(faults.study_features(image), expected)
    assert len(faults.STUDY_FEATURES) == 5


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 300), st.integers(0, 10))
def test_a_unit_scales_all_but_the_centre(unit, seed):
    image = np.random.default_rng(seed).random((32, 32))
    ratio = faults.study_features(unit * image) / faults.study_features(image)
    assert np.allclose(ratio, [unit, unit, unit, unit, 1])


def test_black_and_bad_crops():
    assert np.array_equal(faults.study_features(np.zeros((20, 20))), np.zeros(5))
    assert not faults.better_features(np.zeros((40, 40), np.uint16), PIXEL).any()
    for compute in (faults.study_features, lambda c: faults.better_features(c, PIXEL)):
        with pytest.raises(ValueError, match="NaN"):
            compute(np.full((20, 20), np.nan))
        with pytest.raises(ValueError, match="16 px"):
            compute(np.zeros((8, 40)))
        with pytest.raises(ValueError, match="16 px"):
            compute(np.zeros((3, 40, 40)))
    image = np.random.default_rng(0).random((40, 40))
    with pytest.raises(ValueError, match="pixel_size"):
        faults.better_features(image, 0.0)
    for mask in (np.zeros((40, 40), bool), np.ones((40, 39), bool), np.ones((40, 40))):
        with pytest.raises(ValueError, match="mask"):
            faults.better_features(image, PIXEL, mask)


@settings(max_examples=4, deadline=None)
@given(st.floats(0.001, 1000), st.floats(-100, 100))
def test_better_features_know_no_unit(gain, offset):
    image = drawn(sequence("wurtzite", 7), 0.3, noise=1.0)
    usual = faults.better_features(image, PIXEL, particle_mask())
    moved = faults.better_features(gain * (image + offset), PIXEL, particle_mask())
    assert np.isfinite(usual).all()
    assert usual.shape == (len(faults.BETTER_FEATURES),)
    assert np.allclose(usual, moved, rtol=0.02, atol=0.02)


def test_better_features_say_what_they_are_called():
    names = list(faults.BETTER_FEATURES)
    perfect, faulty = (
        faults.better_features(drawn(sequence("wurtzite", p), 0.3, 1.0), PIXEL, particle_mask())
        for p in (None, 7)
    )
    noise = faults.better_features(np.random.default_rng(0).normal(size=(150, 150)), PIXEL)
    crystal = names.index("two crystals")
    assert faulty[crystal] > perfect[crystal] + 0.2
    for name in ("power 2.5-3", "ring peak", "spots", "layer fringe", "row over noise", "halves"):
        assert perfect[names.index(name)] > noise[names.index(name)], name
    assert perfect[names.index("darkness")] > 0.05  # the dots are dark
    assert abs(noise[names.index("darkness")]) < 0.05
    assert perfect[names.index("solidity")] > 0.97
    assert perfect[names.index("dent")] < 0.1


def test_two_disks_make_a_dent():
    rows, columns = np.mgrid[:120, :200]
    two = (np.hypot(rows - 60, columns - 55) < 50) | (np.hypot(rows - 60, columns - 145) < 50)
    image = np.random.default_rng(0).normal(size=two.shape)
    features = dict(zip(faults.BETTER_FEATURES, faults.better_features(image, PIXEL, two)))
    assert features["solidity"] < 0.95
    assert features["dent"] > 0.5  # nm; 28 px deep where the disks meet


def test_8bit():
    grey = faults.to_8bit(np.array([[0.0, 0.5, 1.0]]))
    assert grey.dtype == np.uint8
    assert grey.tolist() == [[0, 128, 255]]


def test_grouped_splits_keep_groups_together():
    groups = np.repeat(list("abcdefgh"), 5)
    splits = faults.grouped_splits(groups, repeats=4)
    assert len(splits) == 4
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert len(set(groups[test])) == 2


def test_recalls():
    found = faults.recalls(list("aabb"), list("abbb"), list("abc"))
    assert found[:2].tolist() == [0.5, 1.0]
    assert np.isnan(found[2])


def test_a_forest_never_sees_its_test_side():
    """Labels drawn at random can only be known by heart."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(80, 3)), rng.choice(["fault", "no fault"], 80)
    splits = [(np.arange(40), np.arange(40, 80))]
    (said,) = faults.predict_splits(features, labels, splits, trees=20)
    assert 0.25 < (said == labels[40:]).mean() < 0.75


def test_a_forest_learns_and_repeats_itself():
    rng = np.random.default_rng(0)
    labels = np.repeat(["fault", "no fault"], 30)
    features = rng.normal(size=(60, 4)) + 3 * (labels == "fault")[:, None]
    groups = np.tile(np.arange(6), 10)
    splits = faults.grouped_splits(groups, repeats=2)
    said = faults.predict_splits(features, labels, splits, seed=1, trees=20)
    for (_, test), names in zip(splits, said):
        assert (names == labels[test]).mean() > 0.8
    again = faults.predict_splits(features, labels, splits, seed=1, trees=20)
    assert all(np.array_equal(a, b) for a, b in zip(said, again))
    forest = faults.fit_forest(features, labels)
    assert len(forest.estimators_) == 500
    assert forest.oob_score_ > 0.9
