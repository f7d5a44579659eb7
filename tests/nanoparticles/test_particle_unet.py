"""The nanoparticle study's network: its published counts, and each switch alone."""

import pytest
import torch

from mchelpers import models


def moving_statistics(network):
    return sum(b.numel() for n, b in network.named_buffers() if "running" in n)


def stored(module):
    """Weights and moving statistics, as a Keras file counts them."""
    return models.count_parameters(module) + moving_statistics(module)


def test_stored_values_are_the_published_ones():
    network = models.ParticleUNet()
    assert models.count_parameters(network) == 65_002
    assert moving_statistics(network) == 488


def test_stored_values_of_each_layer():
    network = models.ParticleUNet()
    down = [[stored(layer) for layer in block] for block in network.down]
    assert down == [[40, 16], [296, 32], [1168, 64], [4640, 128]]
    assert [stored(m) for m in network.centre if stored(m)] == [9248 + 128] * 2
    up = [[stored(m) for m in block if stored(m)] for block in network.up]
    assert up == [
        [18_464 + 128, 9_248 + 128],
        [6_928 + 64, 2_320 + 64],
        [1_736 + 32, 584 + 32],
        [436 + 16, 148 + 16],
    ]
    assert models.count_parameters(network.head) == 10


def test_batch_norm_and_dropout_are_the_studys():
    norms = [m for m in models.ParticleUNet().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 14 and {m.eps for m in norms} == {1e-4}
    drops = [m for m in models.ParticleUNet().modules() if isinstance(m, torch.nn.Dropout)]
    assert [m.p for m in drops] == [0.2] * 4


@pytest.mark.parametrize(
    "options", [{}, {"depth": 1}, {"depth": 5}, {"width": 2}, {"in_channels": 3, "classes": 1}]
)
def test_the_mask_has_the_size_of_the_image(options):
    network = models.ParticleUNet(**options).eval()
    image = torch.zeros(2, options.get("in_channels", 1), 64, 96)
    assert network(image).shape == (2, options.get("classes", 2), 64, 96)


def test_one_level_more_keeps_the_widest_layers():
    widths = [block[0].out_channels for block in models.ParticleUNet(depth=5).down]
    assert widths == [4, 8, 16, 32, 32]
    assert [b[0].out_channels for b in models.ParticleUNet(width=2).down] == [8, 16, 32, 64]


@pytest.mark.parametrize("shape", [(24, 32), (32, 24), (8, 8)])
def test_a_wrong_size_says_what_to_do(shape):
    with pytest.raises(ValueError, match="multiple of 16"):
        models.ParticleUNet()(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0}])
def test_no_level_or_no_feature_is_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        models.ParticleUNet(**options)


def test_the_switch_moves_the_relu_before_the_pooling():
    """Without pooled negative values, the levels below see only what the skip sees."""
    seen = {}
    for quirk in (True, False):
        torch.manual_seed(0)
        network = models.ParticleUNet(pool_before_relu=quirk).eval()
        network.down[1].register_forward_hook(
            lambda _, inputs, __, quirk=quirk: seen.update({quirk: inputs[0]})
        )
        network(torch.randn(1, 1, 32, 32))
    assert seen[True].min() < 0 and seen[False].min() == 0
    assert torch.equal(seen[True].relu(), seen[False])  # a maximum and a ReLU commute


def test_the_receptive_field_is_the_measured_one():
    network = models.ParticleUNet()
    assert {models.receptive_field(network, 192, 96 + k) for k in (0, 8)} == {158, 174}


def test_every_weight_learns():
    torch.manual_seed(0)
    network = models.ParticleUNet(depth=2)
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        # The batch norm takes a bias before it away again.
        assert name.endswith("0.bias") or parameter.grad.abs().sum() > 0, name
