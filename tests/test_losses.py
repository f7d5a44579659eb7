"""The loss must reward what the score rewards."""

import pytest
import torch

from mchelpers.models import bce_dice, soft_dice


@pytest.fixture
def target():
    target = torch.zeros(2, 1, 32, 32)
    target[0, :, 8:24, 8:24] = 1
    target[1, :, :4, :4] = 1
    return target


def test_dice_is_zero_for_perfect_and_near_one_for_opposite(target):
    logits = 40 * target - 20
    assert soft_dice(logits, target).abs().max() < 1e-6
    assert (soft_dice(-logits, target, smooth=1e-3) > 0.99).all()


def test_dice_by_hand():
    target = torch.tensor([[[[1.0, 0.0]]]])
    logits = torch.zeros(1, 1, 1, 2)  # a chance of one half everywhere
    assert soft_dice(logits, target, smooth=0).item() == pytest.approx(1 - 2 * 0.5 / 2)


def test_dice_does_not_mix_images(target):
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([soft_dice(logits[:1], target[:1]), soft_dice(logits[1:], target[1:])])
    assert torch.allclose(soft_dice(logits, target), alone)


def test_empty_label_is_finite_and_wants_an_empty_mask():
    empty = torch.zeros(1, 1, 16, 16)
    nothing, all_of_it = torch.full_like(empty, -20), torch.full_like(empty, 20)
    assert bce_dice(nothing, empty) < 1e-4 < bce_dice(all_of_it, empty)
    assert torch.isfinite(bce_dice(all_of_it, empty))


def test_weight_zero_is_cross_entropy(target):
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert torch.equal(bce_dice(logits, target, dice_weight=0), plain)


def test_gradient_step_lowers_the_loss(target):
    logits = torch.zeros_like(target, requires_grad=True)
    before = bce_dice(logits, target)
    before.backward()
    assert bce_dice(logits - 10 * logits.grad, target) < before


def test_shapes_must_agree(target):
    with pytest.raises(ValueError, match="differ"):
        soft_dice(torch.zeros(2, 2, 32, 32), target)
