"""Turns by any angle: image and target alike, corners filled as asked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import augment
from mchelpers.nanoparticles.network import rotate_fill


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pair():
    """Images whose first channel is their target, so that a mismatch shows."""
    targets = torch.zeros(6, 1, 32, 32)
    targets[:, :, 4:12, 6:25] = 1
    return torch.cat([targets, targets], 1), targets


@pytest.mark.parametrize("fill", ["wrap", "reflect"])
@pytest.mark.parametrize("side", [None, 16])
def test_rotate_fill_keeps_image_and_target_together(pair, fill, side):
    images, targets = rotate_fill(*pair, generator(), fill, side)
    assert images.shape == (6, 2, side or 32, side or 32)
    inside = (images[:, :1] - targets).abs() < 0.5  # interpolated against nearest pixel
    assert inside.float().mean() > 0.98
    assert not torch.equal(targets[..., :16, :16], pair[1][..., :16, :16])


def test_rotate_fill_keeps_class_numbers_and_their_type(pair):
    numbers = 3 * pair[1][:, 0].long()
    images, turned = rotate_fill(pair[0], numbers, generator())
    assert turned.shape == (6, 32, 32) and turned.dtype == torch.long
    assert set(turned.unique().tolist()) == {0, 3}
    assert images.dtype == torch.float32


def test_rotate_fill_by_right_angles_only_moves_pixels(monkeypatch):
    image = torch.rand(1, 1, 8, 8)
    for quarter in range(4):
        monkeypatch.setattr(
            torch, "rand", lambda *_, q=quarter, **__: torch.tensor([[q / 4, 0, 0]])
        )
        for fill in ("wrap", "reflect"):
            turned, _ = rotate_fill(image, image[:, 0], generator(quarter), fill)
            views = [augment.turn(image, n) for n in range(8)]
            assert any(torch.allclose(turned, v, atol=1e-5) for v in views)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_wrapped_rotation_of_a_constant_is_that_constant(seed):
    image = torch.full((2, 1, 12, 12), 0.7)
    for fill in ("wrap", "reflect"):
        turned, target = rotate_fill(image, image[:, 0] > 0, generator(seed), fill)
        assert torch.allclose(turned, image) and target.all() and target.dtype == torch.bool


def test_wrapped_corners_continue_on_the_other_side():
    """A stripe pattern that repeats has no seam, whatever the angle."""
    x = torch.arange(64.0)
    image = torch.cos(2 * np.pi * 4 * x / 64).expand(1, 1, 64, 64).contiguous()
    turned, _ = rotate_fill(image, image[:, 0], generator(1), "wrap")
    torch.manual_seed(0)
    draws = torch.rand(1, 3, generator=generator(1))
    angle = float(2 * np.pi * draws[0, 0])
    offset = torch.arange(64) - 31.5
    place = np.cos(angle) * offset[None] - np.sin(angle) * offset[:, None]
    mirrored = np.cos(angle) * offset[None] + np.sin(angle) * offset[:, None]
    errors = [
        (turned[0, 0] - torch.cos(2 * np.pi * 4 * (p + 31.5) / 64)).abs().max()
        for p in (place, -place, mirrored, -mirrored)
    ]
    assert min(errors) < 0.03


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 1, 8, 8), {"fill": "zeros"}, "'wrap' or 'reflect'"),
        ((1, 1, 8, 10), {}, "cannot turn"),
        ((1, 1, 8, 8), {"side": 9}, "cannot turn"),
    ],
)
def test_rotate_fill_refuses_what_it_cannot_do(shape, options, words):
    image = torch.zeros(shape)
    with pytest.raises(ValueError, match=words):
        rotate_fill(image, image, generator(), **options)


def test_rotate_fill_repeats_with_its_seed(pair):
    first = rotate_fill(*pair, generator(3))
    assert all(torch.equal(a, b) for a, b in zip(first, rotate_fill(*pair, generator(3))))
    assert not torch.equal(first[0], rotate_fill(*pair, generator(4))[0])
