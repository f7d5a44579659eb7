"""The networks: weights as counted in the papers, shapes, how far a pixel sees."""

import pytest
import torch

from mchelpers import models


@pytest.mark.parametrize(
    ("features", "blocks", "weights"), [(32, 7, 1_925_058), (64, 9, 31_030_658)]
)
def test_weights_are_the_published_ones(features, blocks, weights):
    assert models.count_parameters(models.UNet(features, blocks)) == weights


def test_weights_of_each_block_of_the_graphene_network():
    network = models.UNet(32, 7)
    down = [models.count_parameters(b) for b in network.down]
    up = [
        models.count_parameters(g) + models.count_parameters(b)
        for g, b in zip(network.grow, network.up)
    ]
    assert down == [9_568, 55_424, 221_440, 885_248]
    assert up == [573_824, 143_552, 35_936]
    assert models.count_parameters(network.head) == 66


@pytest.mark.parametrize("options", [{}, {"norm": True}, {"stem": 2}, {"in_channels": 3}])
def test_the_mask_has_the_size_of_the_image(options):
    network = models.UNet(4, 5, **options).eval()
    image = torch.zeros(2, options.get("in_channels", 1), 32, 48)
    assert network(image).shape == (2, 2, 32, 48)


def test_a_wrong_size_says_what_to_do():
    with pytest.raises(ValueError, match="multiple of 8"):
        models.UNet(4, 7)(torch.zeros(1, 1, 30, 32))


@pytest.mark.parametrize("blocks", [1, 4])
def test_an_even_number_of_blocks_is_refused(blocks):
    with pytest.raises(ValueError, match="odd"):
        models.UNet(4, blocks)


def test_every_weight_learns():
    network = models.UNet(4, 5)
    network(torch.randn(1, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_receptive_field_of_known_networks():
    one = torch.nn.Conv2d(1, 1, 3, padding=1)
    assert models.receptive_field(one, 32) == 3
    two = torch.nn.Sequential(one, torch.nn.Conv2d(1, 1, 5, padding=2))
    assert models.receptive_field(two, 32) == 7
    before = [p.clone() for p in two.parameters()]
    models.receptive_field(two, 32)
    assert all(torch.equal(a, b) for a, b in zip(before, two.parameters()))
    assert models.receptive_field(models.UNet(2, 9), 512) > models.receptive_field(
        models.UNet(2, 7)
    )
