"""The graph for a browser does to an image what ``measure`` does, down to the probabilities."""

import math

import numpy as np
import pytest
from conftest import needs
from lattices import honeycomb
from scipy.ndimage import gaussian_filter

from mchelpers.afm_coverage.whole import rescale
from mchelpers.browser.graph import whole_graph
from mchelpers.graphene_hrtem.stand_in import lattice_micrographs
from mchelpers.kept import load_network
from mchelpers.measuring import graphene
from mchelpers.measuring.shipped import find_network
from mchelpers.models import UNet

pytestmark = [needs("onnx", "onnxruntime"), pytest.mark.usefixtures("in_float32")]
LIGHT = np.linspace(0.3, 1.5, 240)[None]
MOST_UNEVEN = find_network("graphene_hrtem").ranges["unevenness"][1]


@pytest.fixture(scope="module")
def model():
    network = UNet(features=32, blocks=7, classes=1, norm=True, stem=4)
    return whole_graph(load_network(network, find_network("graphene_hrtem").path), MOST_UNEVEN)


@pytest.fixture(scope="module")
def session(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def answered(session, image, size):
    given = {"grey": image.astype(np.float32), "size": np.array(size)}
    return session.run(None, given)


def expected(image, size):
    """Follow the steps of measure_graphene to its probabilities."""
    even, flattened = graphene._evenly_lit(image.astype(np.float32))
    scaled = rescale(even, size)
    probability = graphene._probability(find_network("graphene_hrtem").module, scaled)
    return gaussian_filter(probability, 1.0, mode="nearest"), flattened


@pytest.fixture(scope="module")
def image():
    return lattice_micrographs(5).images[4][:, :240].round()  # 256 x 240: it is padded


@pytest.mark.parametrize(
    "change, size, flattened",
    [
        (lambda x: x, (256, 240), False),
        (lambda x: 100 * x + 20000, (256, 240), False),  # 16 bits
        (lambda x: x * LIGHT + 20, (256, 240), True),  # divided by its light
        (lambda x: x + 400 * LIGHT - 500, (256, 240), True),  # below 0: subtracted
        (lambda x: x, (171, 160), False),  # smoothed, then made smaller
        (lambda x: x, (300, 281), False),
    ],
)
def test_the_probabilities_are_those_of_measure(session, image, change, size, flattened):
    image = change(image)
    probability, unevenness = answered(session, image, size)
    true, was_flattened = expected(image, size)
    assert was_flattened == flattened == (unevenness > MOST_UNEVEN)
    assert probability.shape == size and true.max() > 0.9
    assert np.abs(probability - true).max() < 1e-4
    assert ((probability > 0.5) == (true > 0.5)).mean() > 0.9999


def test_a_network_of_another_shape_is_written_down_too(image):
    import onnxruntime
    import torch

    network = UNet(features=8, blocks=5, classes=1).half().float().eval()
    session = onnxruntime.InferenceSession(whole_graph(network, math.inf).SerializeToString())
    standard = torch.from_numpy((image - image.mean()) / image.std()).float()[None, None]
    with torch.no_grad():
        true = gaussian_filter(network(standard)[0, 0].sigmoid().numpy(), 1.0, mode="nearest")
    assert np.abs(answered(session, image, image.shape)[0] - true).max() < 1e-5


def test_the_weights_are_kept_in_half_precision(model):
    assert model.ByteSize() < 1.02 * find_network("graphene_hrtem").path.stat().st_size


def test_the_lattice_alone_is_no_contaminant(session):
    lattice = 30 * honeycomb(256, 0.2) + 128
    assert (answered(session, lattice, (256, 256))[0] > 0.5).mean() < 0.01
