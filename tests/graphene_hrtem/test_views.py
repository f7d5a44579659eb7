"""Views of micrographs of graphene, to learn from and to average over."""

import numpy as np
import pytest
import torch

from mchelpers.graphene_hrtem import views


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pair():
    """Images whose first channel is their target, so that a mismatch shows."""
    targets = torch.zeros(6, 1, 32, 32)
    targets[:, :, 4:12, 6:25] = 1
    return torch.cat([targets, targets], 1), targets


def test_invert_turns_only_signed_channels(pair):
    images = views.invert(pair[0], generator(), channels=(1,))
    assert torch.equal(images[:, 0], pair[0][:, 0])
    signs = images[:, 1].sum((1, 2)) / pair[0][:, 1].sum((1, 2))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert pair[0].min() == 0  # the batch passed in is left alone


def test_micrograph_repeats_with_its_seed(pair):
    first = views.micrograph(*pair, generator(3))
    again = views.micrograph(*pair, generator(3))
    other = views.micrograph(*pair, generator(4))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == pair[0].shape and torch.isfinite(first[0]).all()


def test_predict_symmetric_undoes_each_view():
    torch.manual_seed(0)
    images = torch.randn(3, 1, 16, 16)
    same = views.predict_symmetric(torch.nn.Identity(), images)
    np.testing.assert_allclose(same.numpy(), images.numpy(), rtol=1e-2, atol=1e-2)


def test_predict_symmetric_has_no_preferred_direction():
    torch.manual_seed(0)
    model = torch.nn.Conv2d(1, 1, 3, padding=1)
    images = torch.randn(2, 1, 16, 16)
    straight = views.predict_symmetric(model, images)
    turned = views.predict_symmetric(model, images.transpose(-1, -2).contiguous())
    np.testing.assert_allclose(
        turned.transpose(-1, -2).numpy(), straight.numpy(), rtol=0.02, atol=0.02
    )
