"""Image and target must change alike, and every draw must be repeatable."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pair():
    """Images whose first channel is their target, so that a mismatch shows."""
    targets = torch.zeros(6, 1, 32, 32)
    targets[:, :, 4:12, 6:25] = 1
    return torch.cat([targets, targets], 1), targets


def test_eight_symmetries_differ_and_can_be_undone():
    image = torch.arange(16.0).reshape(4, 4)
    views = [augment.turn(image, n) for n in range(8)]
    assert len({tuple(v.flatten().tolist()) for v in views}) == 8
    for n, view in enumerate(views):
        assert torch.equal(augment.turn(view, n, back=True), image)


def test_symmetry_keeps_image_and_target_together(pair):
    images, targets = augment.symmetry(*pair, generator())
    assert torch.equal(images[:, :1], targets)
    assert not torch.equal(targets, pair[1])


def test_affine_keeps_image_and_target_together(pair):
    images, targets = augment.affine(*pair, generator(), share=1.0)
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert torch.equal((images[:, :1] > 0.5).float(), targets)
    assert not torch.equal(targets, pair[1])


def test_affine_share_zero_changes_nothing_and_share_one_changes_all(pair):
    images, targets = augment.affine(*pair, generator(), share=0.0)
    assert torch.equal(images, pair[0]) and torch.equal(targets, pair[1])
    _, targets = augment.affine(*pair, generator(), share=1.0)
    assert all(not torch.equal(a, b) for a, b in zip(targets, pair[1]))


def test_zoom_scales_the_area():
    square = torch.zeros(1, 1, 64, 64)
    square[..., 24:40, 24:40] = 1
    for zoom in (0.75, 1.5):
        _, large = augment.affine(square, square, generator(), 1.0, (zoom, zoom), shift=0.0)
        assert large.sum() / square.sum() == pytest.approx(zoom**2, rel=0.15)


def test_invert_turns_only_signed_channels(pair):
    images = augment.invert(pair[0], generator(), channels=(1,))
    assert torch.equal(images[:, 0], pair[0][:, 0])
    signs = images[:, 1].sum((1, 2)) / pair[0][:, 1].sum((1, 2))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert pair[0].min() == 0  # the batch passed in is left alone


def test_micrograph_repeats_with_its_seed(pair):
    first = augment.micrograph(*pair, generator(3))
    again = augment.micrograph(*pair, generator(3))
    other = augment.micrograph(*pair, generator(4))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == pair[0].shape and torch.isfinite(first[0]).all()


def test_predict_symmetric_undoes_each_view():
    torch.manual_seed(0)
    images = torch.randn(3, 1, 16, 16)
    same = augment.predict_symmetric(torch.nn.Identity(), images)
    np.testing.assert_allclose(same.numpy(), images.numpy(), rtol=1e-2, atol=1e-2)


def test_predict_symmetric_has_no_preferred_direction():
    torch.manual_seed(0)
    model = torch.nn.Conv2d(1, 1, 3, padding=1)
    images = torch.randn(2, 1, 16, 16)
    straight = augment.predict_symmetric(model, images)
    turned = augment.predict_symmetric(model, images.transpose(-1, -2).contiguous())
    np.testing.assert_allclose(
        turned.transpose(-1, -2).numpy(), straight.numpy(), rtol=0.02, atol=0.02
    )


def test_crop_keeps_image_and_target_together_and_stays_inside(pair):
    images, targets = augment.crop(*pair, generator(), 20)
    assert images.shape == (6, 2, 20, 20)
    assert torch.equal(images[:, :1], targets)
    whole, _ = augment.crop(*pair, generator(), 32)
    assert torch.equal(whole, pair[0])
    with pytest.raises(ValueError, match="cannot cut 33"):
        augment.crop(*pair, generator(), 33)


@pytest.mark.parametrize("fill", ["wrap", "reflect"])
@pytest.mark.parametrize("side", [None, 16])
def test_rotate_fill_keeps_image_and_target_together(pair, fill, side):
    images, targets = augment.rotate_fill(*pair, generator(), fill, side)
    assert images.shape == (6, 2, side or 32, side or 32)
    inside = (images[:, :1] - targets).abs() < 0.5  # interpolated against nearest pixel
    assert inside.float().mean() > 0.98
    assert not torch.equal(targets[..., :16, :16], pair[1][..., :16, :16])


def test_rotate_fill_keeps_class_numbers_and_their_type(pair):
    numbers = 3 * pair[1][:, 0].long()
    images, turned = augment.rotate_fill(pair[0], numbers, generator())
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
            turned, _ = augment.rotate_fill(image, image[:, 0], generator(quarter), fill)
            views = [augment.turn(image, n) for n in range(8)]
            assert any(torch.allclose(turned, v, atol=1e-5) for v in views)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_wrapped_rotation_of_a_constant_is_that_constant(seed):
    image = torch.full((2, 1, 12, 12), 0.7)
    for fill in ("wrap", "reflect"):
        turned, target = augment.rotate_fill(image, image[:, 0] > 0, generator(seed), fill)
        assert torch.allclose(turned, image) and target.all() and target.dtype == torch.bool


def test_wrapped_corners_continue_on_the_other_side():
    """A stripe pattern that repeats has no seam, whatever the angle."""
    x = torch.arange(64.0)
    image = torch.cos(2 * np.pi * 4 * x / 64).expand(1, 1, 64, 64).contiguous()
    turned, _ = augment.rotate_fill(image, image[:, 0], generator(1), "wrap")
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
        augment.rotate_fill(image, image, generator(), **options)


def test_rotate_fill_repeats_with_its_seed(pair):
    first = augment.rotate_fill(*pair, generator(3))
    assert all(torch.equal(a, b) for a, b in zip(first, augment.rotate_fill(*pair, generator(3))))
    assert not torch.equal(first[0], augment.rotate_fill(*pair, generator(4))[0])
