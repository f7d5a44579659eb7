"""A micrograph cut into tiles gives what it gives uncut."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import models, train, whole


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


def uncut(net, image):
    logits = train.predict(net, torch.from_numpy(image)[None, None])
    return torch.softmax(logits, 1)[0, 1].numpy()


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_no_seams():
    net, image = network(), noise(224, 160)
    assert models.receptive_field(net, 128) <= 64
    tiled = whole.predict_whole(net, image, tile=64, halo=32)
    assert tiled.dtype == np.float32 and tiled.shape == image.shape
    np.testing.assert_allclose(tiled, uncut(net, image), atol=1e-5)


def test_without_a_halo_there_are_seams():
    net, image = network(), noise(128, 128)
    gap = np.abs(whole.predict_whole(net, image, tile=64, halo=0) - uncut(net, image))
    assert gap[:, 62:66].max() > 1e-3
    assert gap[:20, :20].max() < 1e-5


def test_a_micrograph_may_have_any_size():
    net, image = network(), noise(133, 75)
    tiled = whole.predict_whole(net, image, tile=64, halo=32)
    padded = np.pad(image, [(0, 3), (0, 1)], "reflect")  # to a multiple of 4
    np.testing.assert_allclose(tiled, uncut(net, padded)[:133, :75], atol=1e-5)
    assert whole.predict_whole(net, noise(3, 5), tile=64, halo=32).shape == (3, 5)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_every_pixel_is_predicted_once(height, width):
    """A network that hands its input through: the tiles come back where they were."""

    class Through(torch.nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), x], 1)

    image = noise(height, width)
    out = whole.predict_whole(Through(), image, tile=32, halo=32)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-image)), atol=1e-5)


def test_one_logit_is_a_sigmoid():
    net = torch.nn.Conv2d(1, 1, 1)
    image = noise(40, 50)
    expected = 1 / (1 + np.exp(-(image * net.weight.item() + net.bias.item())))
    out = whole.predict_whole(net, image, tile=32, halo=0)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_several_channels():
    net = torch.nn.Conv2d(3, 2, 1)
    assert whole.predict_whole(net, noise(3, 40, 50), tile=32, halo=0).shape == (40, 50)


@pytest.mark.parametrize(
    "image, options, words",
    [
        (noise(4), {}, "shape"),
        (noise(0, 5), {}, "shape"),
        (np.full((8, 8), np.nan), {}, "NaN"),
        (noise(8, 8), {"tile": 62}, "multiples of 4"),
        (noise(8, 8), {"halo": 3}, "multiples of 4"),
    ],
)
def test_what_cannot_be_predicted(image, options, words):
    with pytest.raises(ValueError, match=words):
        whole.predict_whole(network(), image, **options)
