"""The shared network of the nanoparticle study: one recipe, one cache, honest views."""

import numpy as np
import pytest
import torch

from mchelpers import kept as weights
from mchelpers import models
from mchelpers.nanoparticles import network as particle_network
from mchelpers.nanoparticles import tiles


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small():
    """Return six tiles of noise with a dark disk each."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 64, 64), bool)
    masks[:, 20:44, 16:40] = True
    images = rng.random((6, 64, 64), np.float32) * 0.3 + 0.5 - 0.3 * masks
    names = np.array(["a", "a", "b", "b", "c", "c"])
    return tiles.Tiles(
        images=images.astype(np.float32),
        masks=masks,
        instances=masks.astype(np.uint8),
        micrograph=names,
        material=np.repeat("Au", 6),
        corner=np.zeros((6, 2), int),
        pixel_size_nm=np.full(6, 0.02),
        kind="simulated",
    )


def test_tiles_are_standardised_one_by_one(small):
    prepared = particle_network.prepare(100 * small.images + np.arange(6)[:, None, None])
    assert prepared.shape == (6, 2, 64, 64) and prepared.dtype == torch.float32
    assert torch.allclose(prepared[:, 0].mean((1, 2)), torch.zeros(6), atol=1e-4)
    assert torch.allclose(prepared, particle_network.prepare(small.images), atol=1e-3)


def test_the_lattice_map_beside_the_tile_is_high_where_fringes_are():
    rows, columns = np.mgrid[:128, :128]
    fringes = 3 * np.cos(2 * np.pi * 0.09 * rows) * (np.hypot(rows - 64, columns - 64) < 30)
    tile = np.random.default_rng(0).normal(size=(128, 128)) + fringes
    lattice = particle_network.prepare(tile[None])[0, 1]
    assert lattice[54:74, 54:74].mean() > 1 + lattice[:16].mean()


def test_uneven_light_is_taken_out_and_particles_stay():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:512, :512] / 512
    image = 0.5 + 0.2 * x - 0.1 * y * x + 0.01 * rng.standard_normal((512, 512))
    image[100:200, 100:200] -= 0.3
    flat = particle_network.flatten(image)
    film = np.ones(image.shape, bool)
    film[90:210, 90:210] = False
    assert abs(flat[film].mean()) < 2e-3 and flat[film].std() < 0.012
    assert flat[100:200, 100:200].mean() == pytest.approx(-0.3, abs=0.01)
    assert particle_network.prepare_whole(image[None]).shape == (1, 2, 512, 512)


@pytest.mark.parametrize("bad", [np.nan, 0.5])
def test_a_broken_or_constant_tile_is_refused(bad):
    with pytest.raises(ValueError):
        particle_network.prepare(np.full((1, 8, 8), bad))


def test_a_new_view_keeps_image_and_target_together():
    target = torch.zeros(16, 1, 64, 64)
    target[:, :, 10:40, 12:50] = 1
    images, targets = particle_network.new_view(target.clone(), target, generator(), side=32)
    assert images.shape == targets.shape == (16, 1, 32, 32)
    assert torch.equal((images > 0.5).float(), targets)
    again, _ = particle_network.new_view(target.clone(), target, generator(), side=32)
    assert torch.equal(images, again)


def test_the_network_gives_one_logit_a_pixel():
    network = particle_network.build(4, 5).eval()
    assert network(torch.zeros(1, 2, 64, 64)).shape == (1, 1, 64, 64)
    assert models.count_parameters(particle_network.build()) > 65_002


def test_a_finished_training_is_loaded_and_its_network_gives_its_logits(small, monkeypatch):
    monkeypatch.setattr(particle_network.new_view, "__defaults__", (32,))
    options = dict(epochs=1, features=4, blocks=3, progress=False)
    learn, test = np.arange(4), np.array([4, 5])
    first = particle_network.best_network(small, learn, test, **options)
    assert first.logits.shape == (6, 1, 64, 64) and first.logits[:4].abs().sum() == 0
    again = particle_network.best_network(small, learn, test, **options)
    assert again.weights == first.weights and torch.equal(again.logits, first.logits)
    network = weights.load_network(particle_network.build(4, 3), first.weights[0])
    with torch.inference_mode():
        answer = network(particle_network.prepare(small.images[test]))
    assert torch.allclose(answer, first.logits[test], atol=0.05)  # bfloat16 where it is fast
