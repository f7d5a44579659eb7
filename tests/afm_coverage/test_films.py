"""The network for whole films: what it takes, what it gives, and what it is pretrained on."""

import numpy as np
import pytest
import torch

from mchelpers.afm_coverage import films as film_network
from mchelpers.afm_coverage import sem
from mchelpers.train import Fit, History


@pytest.fixture(scope="module")
def scenes():
    return sem.sem_micrographs(6, (64, 96), seed=3)


def test_scenes_have_masks_on_the_darker_phase(scenes):
    images, masks = sem.sem_micrographs(40, (64, 96), seed=1)
    assert images.dtype == np.uint8 and masks.dtype == bool
    assert images.shape == masks.shape == (40, 64, 96)
    both = [(i[m].mean(), i[~m].mean()) for i, m in zip(images, masks) if 0.05 < m.mean() < 0.95]
    assert len(both) > 10
    assert np.mean([film < copper for film, copper in both]) > 0.95


def test_scenes_reach_from_hardly_any_film_to_nearly_closed_ones():
    coverage = sem.sem_micrographs(60, (64, 96), seed=0)[1].mean((1, 2))
    assert (coverage < 0.02).any() and (coverage > 0.85).any()
    assert 0.15 < coverage.mean() < 0.6


def test_a_scene_depends_on_its_number_and_seed_only(scenes):
    images, masks = scenes
    again, _ = sem.sem_micrographs(2, (64, 96), seed=3)
    np.testing.assert_array_equal(again, images[:2])
    assert (sem.sem_micrographs(2, (64, 96), seed=4)[0] != images[:2]).any()


@pytest.mark.parametrize("count, shape", [(0, (64, 64)), (1, (16, 64))])
def test_impossible_scenes_are_refused(count, shape):
    with pytest.raises(ValueError, match="sides of 32 px"):
        sem.sem_micrographs(count, shape)


def test_the_network_sees_everything_in_a_picture_and_survives_an_even_one():
    network = film_network.FilmNetwork(4).eval()
    picture = torch.zeros(1, 1, 128, 256)
    assert network(picture).shape == (1, 1, 128, 256)
    assert torch.isfinite(network(picture)).all()
    assert network.multiple == 64


def test_tensors_are_between_0_and_1_and_other_pictures_are_refused():
    assert film_network.as_tensor(np.full((2, 4, 4), 255, np.uint8)).max() == 1
    assert film_network.as_tensor(np.ones((1, 4, 4), bool)).max() == 1
    for wrong in (np.zeros((2, 4, 4), np.uint16), np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4))):
        with pytest.raises(ValueError, match="uint8 or bool"):
            film_network.as_tensor(wrong)


def test_views_keep_masks_binary_in_register_and_repeat_with_the_seed():
    mask = torch.zeros(3, 1, 80, 96)
    mask[:, :, 20:60, 30:70] = 1
    picture = 0.2 + 0.6 * mask

    def draw():
        generator = torch.Generator().manual_seed(0)
        return film_network.new_view(picture, mask, generator, side=64, zoom=(0.8, 1.25))

    images, targets = draw()
    assert images.shape == targets.shape == (3, 1, 64, 64)
    assert set(targets.unique().tolist()) <= {0.0, 1.0}
    assert 0 <= images.min() and images.max() <= 1
    for image, target in zip(images, targets):
        assert image[target == 1].mean() > image[target == 0].mean() + 0.2
    assert torch.equal(images, draw()[0])


def test_pretraining_is_kept_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    settings = Fit(epochs=1, lr=1e-3, batch_size=2)
    state, history, file = film_network.pretrain(settings, 2, (64, 64), features=2)
    assert isinstance(history, History) and not list(tmp_path.glob("*.pt"))
    stamp = file.stat().st_mtime_ns
    again, _, same = film_network.pretrain(settings, 2, (64, 64), features=2)
    assert same == file and file.stat().st_mtime_ns == stamp
    assert all(torch.equal(state[k], again[k]) for k in state)


def test_whole_micrographs_of_any_size_come_back_in_their_size():
    network = film_network.FilmNetwork(2)
    images = [np.full((100, 130), 90, np.uint8), np.full((128, 256), 10, np.uint8)]
    found = film_network.predict_films(network, images)
    assert [f.shape for f in found] == [(100, 130), (128, 256)]
    assert all(((f >= 0) & (f <= 1)).all() for f in found)


def test_a_description_is_the_same_alone_and_in_company_and_leaves_no_hook():
    network = film_network.FilmNetwork(2)
    images = np.random.default_rng(0).integers(0, 255, (3, 64, 128)).astype(np.uint8)
    together = film_network.describe(network, images)
    assert together.shape == (3, 32 * 2 + 1)
    assert ((together[:, -1] > 0) & (together[:, -1] < 1)).all()
    np.testing.assert_allclose(
        film_network.describe(network, images[1:2])[0], together[1], rtol=1e-5
    )
    assert not network.down[-1]._forward_hooks


def test_mirrored_answers_do_not_depend_on_how_a_micrograph_lies():
    network = film_network.FilmNetwork(2).eval()
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 128)).astype(np.uint8)
    answer = film_network.mirrored(network, images)
    turned = film_network.mirrored(network, images[:, ::-1, ::-1].copy())
    assert answer.shape == (2, 1, 64, 128)
    torch.testing.assert_close(turned.flip(-1, -2), answer, rtol=0.02, atol=0.02)
