"""Scores against known masks and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
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
    scores = metrics.per_image(square(4), square(2))
    assert scores["jaccard"] == pytest.approx(4 / 16)
    assert scores["precision"] == pytest.approx(0.25)
    assert scores["recall"] == 1


def test_empty_masks_both_ways():
    nothing = square(0)
    assert metrics.per_image(nothing, nothing)["f1"][0] == 0
    assert metrics.per_image(nothing, nothing, empty=1.0)["f1"][0] == 1
    assert metrics.per_image(square(1), nothing, empty=1.0)["f1"][0] == 0
    assert metrics.per_image(nothing, nothing)["accuracy"][0] == 1


def test_ignored_pixels_do_not_count():
    rim = np.ones((10, 10), bool)
    rim[2:-2, 2:-2] = False
    guess = square(10)
    truth = np.zeros_like(guess)
    truth[:, 2:-2, 2:-2] = True
    assert metrics.per_image(guess, truth)["f1"][0] < 1
    assert metrics.per_image(guess, truth, ignore=rim)["f1"][0] == 1


@pytest.mark.parametrize("guess", [np.zeros((10, 10), bool), np.zeros((1, 9, 10), bool)])
def test_shapes_must_agree(guess):
    with pytest.raises(ValueError, match="images, height, width"):
        metrics.per_image(guess, square(3))


def test_probabilities_are_not_masks():
    with pytest.raises(ValueError, match="threshold"):
        metrics.per_image(np.full((1, 10, 10), 0.7), square(3))


def test_bootstrap_covers_the_mean_and_knows_groups():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0, 1, 20), 5)  # five equal values in each group
    groups = np.repeat(np.arange(20), 5)
    low, high = metrics.bootstrap(values)
    low_g, high_g = metrics.bootstrap(values, groups)
    assert low < values.mean() < high
    assert high_g - low_g > 1.5 * (high - low)
    assert metrics.bootstrap(values, groups, seed=3) == metrics.bootstrap(values, groups, seed=3)


def test_redrawn_groups_are_whole_and_the_same_however_many_are_asked_for():
    groups = np.array(["b", "a", "c", "a", "c", "a"])
    drawn = list(metrics.redraw(groups, 50, np.random.default_rng(3)))
    members = [np.flatnonzero(groups == g) for g in "abc"]
    picks = np.random.default_rng(3).integers(0, 3, (50, 3))  # all draws at once
    for rows, row in zip(drawn, picks, strict=True):
        assert rows.tolist() == np.concatenate([members[i] for i in row]).tolist()


def test_a_bootstrap_interval_is_what_it_was():
    values, groups = np.random.default_rng(1).normal(size=(30, 2)), np.arange(30) % 7
    ends = metrics.bootstrap(values, groups, lambda v: v[:, 0].mean() - v[:, 1].mean(), seed=5)
    assert ends == (-0.15884549149926852, 0.5034492979684186)


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
