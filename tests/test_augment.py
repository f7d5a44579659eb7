"""Image and target must change alike, and every draw must be repeatable."""

import pytest
import torch

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


def test_crop_keeps_image_and_target_together_and_stays_inside(pair):
    images, targets = augment.crop(*pair, generator(), 20)
    assert images.shape == (6, 2, 20, 20)
    assert torch.equal(images[:, :1], targets)
    whole, _ = augment.crop(*pair, generator(), 32)
    assert torch.equal(whole, pair[0])
    with pytest.raises(ValueError, match="cannot cut 33"):
        augment.crop(*pair, generator(), 33)
