"""The second channel must be free of the lattice and on one scale for all images."""

import numpy as np
import pytest
import torch

from mchelpers.graphene_hrtem import classical as networks


@pytest.fixture(scope="module")
def images():
    """A noisy hexagonal lattice, bright and dim, with a rough patch in the second."""
    rows, columns = np.mgrid[:128, :128]
    rng = np.random.default_rng(0)
    waves = [
        np.cos(2 * np.pi * 0.2 * (rows * np.cos(a) + columns * np.sin(a)))
        for a in (0.1, 0.1 + np.pi / 3, 0.1 + 2 * np.pi / 3)
    ]
    lattice = sum(waves)
    plain = 100 + 10 * lattice + rng.normal(0, 2, lattice.shape)
    rough = 50 + lattice + rng.normal(0, 0.2, lattice.shape)
    rough[40:80, 40:80] += rng.normal(0, 3, (40, 40))
    return np.stack([plain, rough])


def test_shape_type_and_first_channel(images):
    channels = networks.lattice_free_channels(images)
    assert channels.shape == (2, 2, 128, 128) and channels.dtype == torch.float32
    assert torch.isfinite(channels).all()
    assert channels[:, 0].mean((1, 2)).abs().max() < 1e-5
    assert torch.allclose(channels[:, 0].std((1, 2)), torch.ones(2), atol=1e-3)


def test_second_channel_has_no_lattice_and_one_noise_level(images):
    rest = networks.lattice_free_channels(images)[:, 1].numpy()
    spread = 1.4826 * np.median(np.abs(rest), axis=(1, 2))
    np.testing.assert_allclose(spread, 0.5, rtol=1e-3)
    line = np.abs(np.fft.rfft2(rest[0]))
    before = np.abs(np.fft.rfft2(images[0] - images[0].mean()))
    assert line.max() / np.median(line) < 0.2 * before.max() / np.median(before)


def test_contaminant_stands_out(images):
    rest = np.abs(networks.lattice_free_channels(images)[1, 1].numpy())
    assert rest[45:75, 45:75].mean() > 2 * rest[90:, 90:].mean()


def test_brightness_and_contrast_do_not_matter(images):
    first = networks.lattice_free_channels(images)
    again = networks.lattice_free_channels(3 * images + 7)
    assert torch.allclose(first, again, atol=1e-2)
