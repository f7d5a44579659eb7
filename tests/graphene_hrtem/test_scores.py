"""Scores of single images: the best threshold, areas under curves, outlines."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import metrics
from mchelpers.graphene_hrtem import scores as scores_of


def square(size, corner=0, shape=(1, 10, 10)):
    mask = np.zeros(shape, bool)
    mask[:, corner : corner + size, corner : corner + size] = True
    return mask


def test_macro_averages_over_images():
    truth = np.concatenate([square(8), square(1), square(1)])
    guess = np.concatenate([square(8), square(0), square(0)])
    assert scores_of.macro(guess, truth)["f1"] == pytest.approx(1 / 3)
    assert metrics.pooled(guess, truth)["f1"] > 0.98


def test_contaminant_is_where_the_second_logit_is_higher():
    truth = np.concatenate([square(8), square(4)])
    logits = torch.zeros(2, 2, 10, 10)
    logits[:, 1] = torch.from_numpy(truth).float() - 0.5
    assert scores_of.contaminant_f1(logits, torch.from_numpy(truth).long()) == 1
    assert scores_of.contaminant_f1(-logits, torch.from_numpy(truth).long()) < 0.2


def test_the_oracle_finds_the_separating_threshold():
    truth = square(4)
    scores = np.where(truth, 0.8, 0.2) + np.random.default_rng(0).uniform(-0.1, 0.1, truth.shape)
    threshold = scores_of.oracle_threshold(scores, truth)
    assert 0.2 < threshold[0] < 0.8
    assert scores_of.macro(scores > threshold[:, None, None], truth)["f1"] > 0.95
    nothing = scores_of.oracle_threshold(scores, square(0))
    assert not (scores > nothing[:, None, None]).any()


def test_auc_of_perfect_and_undefined_scores():
    truth = np.concatenate([square(4), square(0)])
    auc = scores_of.auc_per_image(truth.astype(float), truth)
    assert auc[0] == 1 and np.isnan(auc[1])


@pytest.mark.parametrize(("tolerance", "perfect"), [(1, False), (3, True)])
def test_surface_dice_forgives_a_shift_within_tolerance(tolerance, perfect):
    truth = np.zeros((1, 40, 40), bool)
    truth[:, 10:30, 10:30] = True
    shifted = np.roll(truth, 3, axis=2)
    score = scores_of.surface_dice(shifted, truth, tolerance)[0]
    assert (score == 1) == perfect


def test_surface_dice_of_empty_masks():
    nothing = square(0)
    assert scores_of.surface_dice(nothing, nothing, 2)[0] == 1
    assert scores_of.surface_dice(square(3, 2), nothing, 2)[0] == 0


@given(st.integers(1, 8))
@settings(max_examples=8, deadline=None)
def test_surface_dice_is_one_for_equal_masks(size):
    assert scores_of.surface_dice(square(size, 1), square(size, 1), 0)[0] == 1


def test_surface_dice_of_a_filled_frame():
    """Neither of two opposite masks has an outline; that does not make them alike."""
    nothing, everything = np.zeros((1, 9, 9), bool), np.ones((1, 9, 9), bool)
    assert scores_of.surface_dice(everything, everything, 2)[0] == 1
    assert scores_of.surface_dice(everything, nothing, 2)[0] == 0
    assert scores_of.surface_dice(nothing, everything, 2)[0] == 0


def test_surface_dice_counts_both_outlines():
    """One square found of two: all that was found is right, and half is missing."""
    truth = np.zeros((1, 20, 40), bool)
    truth[0, 5:11, 5:11] = truth[0, 5:11, 25:31] = True
    mask = truth.copy()
    mask[..., 20:] = False
    assert scores_of.surface_dice(mask, truth, 1.0) == pytest.approx(2 / 3)  # (1 + 1) / (1 + 2)
    assert scores_of.surface_dice(truth, mask, 1.0) == pytest.approx(2 / 3)
