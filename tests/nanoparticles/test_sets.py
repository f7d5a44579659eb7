"""Which micrographs teach, choose and test: no micrograph on two sides."""

import numpy as np
import pytest
import torch
from torch import nn

from mchelpers.nanoparticles import network, sets


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("MCHELPERS_RUNS", str(tmp_path_factory.mktemp("runs")))
    yield sets.load_sets(smoke=True)
    patch.undo()


@pytest.mark.parametrize("count, parts", [(13, (8, 1, 4)), (46, (28, 4, 14)), (3, (1, 1, 1))])
def test_a_set_is_cut_in_three(count, parts):
    learn, choose, test = sets.split(list(range(count)))
    assert (len(learn), len(choose), len(test)) == parts
    assert learn + choose + test == list(range(count))


def test_the_study_s_tiles_are_as_many_of_each_and_never_on_both_sides(small):
    tiles, learn, test = sets.study_tiles(small, 128)
    assert len(learn["au"]) == len(learn["cdse"]) and set(test["combined"]) == set(
        np.r_[test["au"], test["cdse"]]
    )
    assert set(tiles.material[learn["combined"]]) == {"Au", "CdSe"}
    for part in learn:
        assert not set(tiles.micrograph[learn[part]]) & set(tiles.micrograph[test["combined"]])


def test_our_network_learns_from_another_dose_and_from_bare_film(small):
    tiles = sets.learning_tiles(small.learn, 128)
    names = set(tiles.micrograph)
    assert {"Au_000", "Au_000 again", "Au_000 bare", "CdSe_000 again"} <= names
    assert not tiles.masks[[n.endswith("bare") for n in tiles.micrograph]].any()


def test_batch_norms_are_measured_again_on_what_they_are_given():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    images = 3 * torch.randn(12, 1, 16, 16) + 1
    network.settle_norms(net, images, batch_size=4)
    features = net[0](images)
    assert torch.allclose(net[1].running_mean, features.mean((0, 2, 3)), atol=0.05)
    assert torch.allclose(net[1].running_var, features.var((0, 2, 3)), rtol=0.1)
    assert not net.training and net[1].momentum == 0.1
