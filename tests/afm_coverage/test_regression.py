"""The network from scratch, its loss, and what four augmentations do to patch and label."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import models
from mchelpers.afm_coverage import patches, regression


def halves(count=2, side=320):
    """Patches whose right half is bright film."""
    masks = torch.zeros(count, side, side, dtype=torch.uint8)
    masks[:, :, side // 2 :] = 1
    return (40 + 160 * masks)[:, None], masks


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_network_has_the_released_number_of_weights():
    network = regression.CNNsc()
    assert models.count_parameters(network) == 118_061
    own = [sum(p.numel() for p in layer.parameters()) for layer in network.convolutions]
    assert own == [832, 12_816, 3_208, 804]


def test_it_reads_channel_0_and_the_middle_only():
    network = regression.CNNsc().eval()
    images = torch.rand(2, 3, 240, 240)
    changed = images.clone()
    changed[:, 1:] = 0
    changed[:, :, :8] = 0
    assert torch.equal(network(images), network(changed))
    assert network(images).shape == (2, 1)


def test_bytes_and_floats_give_the_same_coverage():
    network = regression.CNNsc().eval()
    images = torch.randint(256, (2, 1, 224, 224), dtype=torch.uint8)
    assert torch.allclose(network(images), network(images.float() / 255))


def test_small_patches_are_refused():
    with pytest.raises(ValueError, match="smaller than"):
        regression.CNNsc()(torch.zeros(1, 1, 200, 224))


def test_the_loss_takes_both_shapes_and_no_others():
    truth = torch.tensor([0.0, 1.0])
    assert regression.mse(torch.tensor([[0.5], [0.5]]), truth) == 0.25
    assert regression.mse(torch.tensor([0.5, 0.5]), truth) == 0.25
    assert regression.mse(torch.tensor([[0.0], [0.5]]), truth) == 0.125  # each with its own
    for wrong in (torch.zeros(1, 2), torch.zeros(3, 1), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match="must be"):
            regression.mse(wrong, truth)
    with pytest.raises(ValueError, match="must be"):
        regression.mse(torch.zeros(2, 1), truth[:, None])


def test_prediction_is_a_number_a_patch():
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)
    found = regression.predict_coverage(regression.CNNsc(), images, batch_size=2)
    assert found.shape == (3,) and np.isfinite(found).all()
    with pytest.raises(ValueError, match="uint8"):
        regression.predict_coverage(regression.CNNsc(), images / 255)


def test_patches_become_tensors_without_a_copy():
    cut = patches.Patches(
        np.zeros((2, 8, 8), np.uint8), np.ones((2, 8, 8), bool), np.arange(2), np.ones(2)
    )
    images, masks = regression.tensors(cut)
    assert images.shape == (2, 1, 8, 8) and masks.shape == (2, 8, 8)
    assert images.dtype == masks.dtype == torch.uint8 and masks.min() == 1


@pytest.mark.parametrize("arm", regression.ARMS)
def test_every_arm_gives_what_the_network_takes(arm):
    images, masks = halves()
    first = regression.ARMS[arm](images, masks, generator(3))
    again = regression.ARMS[arm](images, masks, generator(3))
    assert first[0].shape == (2, 1, 224, 224) and first[1].shape == (2,)
    assert 0 <= first[0].min() and first[0].max() <= 1
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


@pytest.mark.parametrize("arm", ["none", "flips", "zero_fill"])
def test_given_coverages_stay(arm):
    given_ones = torch.tensor([0.3, 0.8])
    assert torch.equal(regression.ARMS[arm](halves()[0], given_ones, generator())[1], given_ones)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_label_follows_what_is_seen_inside_a_larger_patch(seed):
    rng = np.random.default_rng(seed)
    masks = torch.zeros(1, 320, 320, dtype=torch.uint8)
    row, column = rng.integers(0, 200, 2)
    masks[:, row : row + 120, column : column + 120] = 1
    view, label = regression.inscribed(50 + 200 * masks[:, None], masks, generator(seed))
    film = (view - 50 / 255) / (200 / 255)
    assert float(film.mean()) == pytest.approx(float(label), abs=1e-4)
    assert view.min() > 50 / 255 - 1e-4  # nothing black came in


def test_symmetries_only_move_pixels():
    images = torch.randint(256, (4, 1, 224, 224), dtype=torch.uint8)
    masks = (images[:, 0] > 99).to(torch.uint8)
    view, label = regression.symmetric(images, masks, generator())
    assert torch.allclose(label, masks.float().mean((1, 2)))
    for before, after in zip(images / 255, view):
        assert torch.equal(before.flatten().sort()[0], after.flatten().sort()[0])


def test_black_corners_keep_the_label_and_cost_an_eighth_of_the_view():
    black = regression.black_share(100)
    assert 0.10 < float(black.mean()) < 0.135
    assert float(black.max()) <= (math.sqrt(2) - 1) ** 2 + 0.002
    _, label = regression.zero_fill(*halves(), generator())
    assert torch.equal(label, torch.tensor([0.5, 0.5]))


def test_turning_inside_needs_room_and_a_mask():
    images, masks = halves(side=300)
    with pytest.raises(ValueError, match="317 px"):
        regression.inscribed(images, masks, generator())
    with pytest.raises(ValueError, match="pass masks"):
        regression.inscribed(halves()[0], torch.zeros(2), generator())
