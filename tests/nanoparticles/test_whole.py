"""From detector counts to a table, as the steps one by one give it."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from mchelpers import models, train
from mchelpers.nanoparticles import populations, tiles
from mchelpers.whole import predict_whole


@pytest.fixture(autouse=True)
def single_precision(monkeypatch):
    """Rounding to bfloat16 differs with the size of a batch; seams are looked for, not rounding."""
    monkeypatch.setattr(train, "autocast", lambda device: nullcontext())


def network():
    """Build a U-Net of two levels with settled batch norms; receptive field below 64 px."""
    torch.manual_seed(0)
    net = models.UNet(features=4, blocks=5, norm=True)
    net(torch.randn(2, 1, 64, 64))  # statistics other than 0 and 1
    return net.eval()


class Dark(torch.nn.Module):
    """Calls dark pixels particle, without any weight."""

    def forward(self, x):
        return torch.cat([x - 0.5, 0.5 - x], 1) * 50


def micrograph():
    """Two dark discs of 24 px on bright ground, one cut by the border, and one X-ray; uint16."""
    rows, columns = np.indices((100, 150))
    image = np.full((100, 150), 1000, np.uint16)
    for row, column in ((50, 60), (0, 120)):
        image[np.hypot(rows - row, columns - column) < 12] = 200
    image[80, 20] = 60000
    return image


def test_from_raw_counts_to_a_table():
    labels, table = populations.segment(Dark(), micrograph(), 0.1, tile=64, halo=32)
    assert labels.shape == (100, 150) and len(table) == 2
    inner = table[~table["touches_border"]]
    assert inner["diameter_nm"] == pytest.approx([2.4], rel=0.03)
    none, _ = populations.segment(Dark(), micrograph(), 0.1, smallest_nm=5.0, tile=64, halo=32)
    assert not none.any()
    with pytest.raises(ValueError, match="constant"):
        populations.segment(Dark(), np.zeros((100, 150), np.uint16), 0.1)


def test_the_steps_are_the_ones_of_training():
    net = network()
    image = micrograph() + (50 * np.abs(np.random.default_rng(0).normal(size=(100, 150)))).astype(
        np.uint16
    )
    clean = tiles.normalise(tiles.remove_xrays(image))
    mask = predict_whole(net, clean, 64, 32) > 0.4
    labels, _ = populations.segment(net, image, 0.1, threshold=0.4, tile=64, halo=32)
    np.testing.assert_array_equal(labels, populations.separate(mask, 79))  # pi / 4 * 10**2


def test_what_the_network_wants_is_done_to_the_whole():
    """Tile by tile, the same grey would mean something else in each."""
    given = []

    def prepare(images):
        given.append(images.shape)
        return torch.from_numpy(1 - images)[:, None]

    labels, _ = populations.segment(Dark(), micrograph(), 0.1, prepare=prepare, tile=64, halo=32)
    assert given == [(1, 100, 150)]
    assert labels[5, 5] and not labels[50, 60]
