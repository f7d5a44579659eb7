"""Scores against known masks and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference

from mchelpers import metrics

masks = arrays(bool, (2, 5, 6))


@given(masks, masks)
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_scikit_learn(guess, truth):
    ours = metrics.per_image(guess, truth)
    for n in range(2):
        t, g = truth[n].ravel(), guess[n].ravel()
        assert ours["accuracy"][n] == pytest.approx(reference.accuracy_score(t, g))
        assert ours["jaccard"][n] == pytest.approx(reference.jaccard_score(t, g, zero_division=0))
        assert ours["f1"][n] == pytest.approx(reference.f1_score(t, g, zero_division=0))
        assert ours["precision"][n] == pytest.approx(
            reference.precision_score(t, g, zero_division=0)
        )
        assert ours["recall"][n] == pytest.approx(reference.recall_score(t, g, zero_division=0))
        recalls = [(g == t)[t == c].mean() for c in (False, True) if (t == c).any()]
        assert ours["balanced_accuracy"][n] == pytest.approx(np.mean(recalls))


def square(size, corner=0, shape=(1, 10, 10)):
    mask = np.zeros(shape, bool)
    mask[:, corner : corner + size, corner : corner + size] = True
    return mask


def test_a_known_overlap():
    scores = metrics.macro(square(4), square(2))
    assert scores["jaccard"] == pytest.approx(4 / 16)
    assert scores["precision"] == pytest.approx(0.25)
    assert scores["recall"] == 1


def test_empty_masks_both_ways():
    nothing = square(0)
    assert metrics.macro(nothing, nothing)["f1"] == 0
    assert metrics.macro(nothing, nothing, empty=1.0)["f1"] == 1
    assert metrics.macro(square(1), nothing, empty=1.0)["f1"] == 0
    assert metrics.macro(nothing, nothing)["accuracy"] == 1


def test_pooled_weighs_pixels_and_macro_weighs_images():
    truth = np.concatenate([square(8), square(1)])
    guess = np.concatenate([square(8), square(0)])
    assert metrics.macro(guess, truth)["f1"] == 0.5
    assert metrics.pooled(guess, truth)["f1"] > 0.98


def test_ignored_pixels_do_not_count():
    rim = np.ones((10, 10), bool)
    rim[2:-2, 2:-2] = False
    guess = square(10)
    truth = np.zeros_like(guess)
    truth[:, 2:-2, 2:-2] = True
    assert metrics.macro(guess, truth)["f1"] < 1
    assert metrics.macro(guess, truth, ignore=rim)["f1"] == 1


@pytest.mark.parametrize("guess", [np.zeros((10, 10), bool), np.zeros((1, 9, 10), bool)])
def test_shapes_must_agree(guess):
    with pytest.raises(ValueError, match="images, height, width"):
        metrics.macro(guess, square(3))


def test_probabilities_are_not_masks():
    with pytest.raises(ValueError, match="threshold"):
        metrics.macro(np.full((1, 10, 10), 0.7), square(3))


def test_bootstrap_covers_the_mean_and_knows_groups():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0, 1, 20), 5)  # five equal values in each group
    groups = np.repeat(np.arange(20), 5)
    low, high = metrics.bootstrap(values)
    low_g, high_g = metrics.bootstrap(values, groups)
    assert low < values.mean() < high
    assert high_g - low_g > 1.5 * (high - low)
    assert metrics.bootstrap(values, groups, seed=3) == metrics.bootstrap(values, groups, seed=3)


@pytest.mark.parametrize(
    ("values", "groups", "message"),
    [
        ([1.0, np.nan], None, "NaN"),
        ([1.0, 2.0], [0, 0], "two groups"),
        ([1.0, 2.0], [0], "labels"),
    ],
)
def test_bootstrap_refuses(values, groups, message):
    with pytest.raises(ValueError, match=message):
        metrics.bootstrap(np.array(values), groups)


def test_the_oracle_finds_the_separating_threshold():
    truth = square(4)
    scores = np.where(truth, 0.8, 0.2) + np.random.default_rng(0).uniform(-0.1, 0.1, truth.shape)
    threshold = metrics.oracle_threshold(scores, truth)
    assert 0.2 < threshold[0] < 0.8
    assert metrics.macro(scores > threshold[:, None, None], truth)["f1"] > 0.95
    nothing = metrics.oracle_threshold(scores, square(0))
    assert not (scores > nothing[:, None, None]).any()


def test_auc_of_perfect_and_undefined_scores():
    truth = np.concatenate([square(4), square(0)])
    auc = metrics.auc_per_image(truth.astype(float), truth)
    assert auc[0] == 1 and np.isnan(auc[1])


@pytest.mark.parametrize(("tolerance", "perfect"), [(1, False), (3, True)])
def test_surface_dice_forgives_a_shift_within_tolerance(tolerance, perfect):
    truth = np.zeros((1, 40, 40), bool)
    truth[:, 10:30, 10:30] = True
    shifted = np.roll(truth, 3, axis=2)
    score = metrics.surface_dice(shifted, truth, tolerance)[0]
    assert (score == 1) == perfect


def test_surface_dice_of_empty_masks():
    nothing = square(0)
    assert metrics.surface_dice(nothing, nothing, 2)[0] == 1
    assert metrics.surface_dice(square(3, 2), nothing, 2)[0] == 0


def test_surface_dice_of_a_filled_frame():
    """Neither of two opposite masks has an outline; that does not make them alike."""
    nothing, everything = np.zeros((1, 9, 9), bool), np.ones((1, 9, 9), bool)
    assert metrics.surface_dice(everything, everything, 2)[0] == 1
    assert metrics.surface_dice(everything, nothing, 2)[0] == 0
    assert metrics.surface_dice(nothing, everything, 2)[0] == 0


@given(st.integers(1, 8))
@settings(max_examples=8, deadline=None)
def test_surface_dice_is_one_for_equal_masks(size):
    assert metrics.surface_dice(square(size, 1), square(size, 1), 0)[0] == 1
