"""Small things go, large things stay, and no fold sees its own labels."""

import numpy as np
import pytest

from mchelpers.graphene_hrtem import postprocess


@pytest.fixture
def logits():
    """A large square with a pinhole, and a speck."""
    logits = np.full((1, 64, 64), -4.0)
    logits[0, 8:40, 8:40] = 4
    logits[0, 20:22, 20:22] = -4
    logits[0, 52:55, 52:55] = 4
    return logits


def test_holes_and_specks_go(logits):
    mask = postprocess.tidy(logits, blur_px=0, hole_px=10, speck_px=20)[0]
    expected = np.zeros((64, 64), bool)
    expected[8:40, 8:40] = True
    assert np.array_equal(mask, expected)


def test_zeros_keep_everything(logits):
    mask = postprocess.tidy(logits, blur_px=0, hole_px=0, speck_px=0)
    assert np.array_equal(mask, logits > 0)


def test_empty_and_full_masks_stay(logits):
    assert not postprocess.tidy(np.full_like(logits, -1.0)).any()
    assert postprocess.tidy(np.full_like(logits, 1.0)).all()


def test_input_is_left_alone_and_checked(logits):
    before = logits.copy()
    postprocess.tidy(logits)
    assert np.array_equal(before, logits)
    with pytest.raises(ValueError, match="images, height, width"):
        postprocess.tidy(logits[0])


def test_cross_fitting_never_looks_at_its_own_fold():
    rng = np.random.default_rng(0)
    truth = np.zeros((6, 32, 32), bool)
    truth[:, 6:20, 6:20] = True
    logits = np.where(truth, 1.0, -1.0) + rng.normal(0, 0.7, truth.shape)
    folds = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    masks, chosen = postprocess.tidy_cross_fitted(logits, truth, folds)
    spoilt = truth.copy()
    spoilt[folds[0]] = ~spoilt[folds[0]]
    again, chosen_again = postprocess.tidy_cross_fitted(logits, spoilt, folds)
    assert chosen[0] == chosen_again[0]
    assert np.array_equal(masks[folds[0]], again[folds[0]])
