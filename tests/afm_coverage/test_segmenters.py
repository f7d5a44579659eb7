"""The coverage study's segmenters: what goes in, what the loss sees, what is kept."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_host import serve

from mchelpers import data
from mchelpers import kept as weights
from mchelpers.afm_coverage import patches, segmenters
from mchelpers.data import DataError
from mchelpers.models import count_parameters


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return segmenters.UnetPlusPlus().eval()


def test_a_grey_image_becomes_one_logit_a_pixel(network):
    with torch.inference_mode():
        logits = network(torch.rand(2, 1, 64, 96))
    assert logits.shape == (2, 1, 64, 96)
    assert logits.min() < 0 or logits.max() > 1  # logits, no probabilities
    assert network.multiple == 32 and 15e6 < count_parameters(network) < 17e6


def test_three_equal_channels_are_normalised_as_photographs(network):
    seen = []
    handle = network.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        network(torch.full((1, 1, 32, 32), 0.5))
    handle.remove()
    expected = [(0.5 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize("encoder", segmenters.ENCODERS[1:])
def test_the_larger_encoders_build_without_memory(encoder):
    with torch.device("meta"):
        network = segmenters.UnetPlusPlus(encoder=encoder)
        assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 64, 64)
    assert count_parameters(network) > 40e6


def test_the_largest_encoder_answers():
    network = segmenters.UnetPlusPlus(encoder="se_resnext101_32x4d").eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, 32, 32)).shape == (1, 1, 32, 32)


def test_a_partial_of_the_network_is_a_stable_key():
    one, two = (partial(segmenters.UnetPlusPlus, encoder="resnet18") for _ in range(2))
    other = partial(segmenters.UnetPlusPlus, encoder="resnet34")
    assert weights.fingerprint(one) == weights.fingerprint(two) != weights.fingerprint(other)


def test_micronet_weights_come_from_the_host(network, tmp_path, monkeypatch):
    state = {k: torch.full_like(v, 2) for k, v in network.net.encoder.state_dict().items()}
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path / "data"))
    with serve(tmp_path / "host") as (folder, address):
        torch.save({**state, "fc.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, folder / "w")
        monkeypatch.setattr(segmenters, "micronet_url", lambda _: f"{address}/w")
        loaded = segmenters.UnetPlusPlus(weights="micronet")
    assert (tmp_path / "data" / "weights" / "w").exists()
    assert (loaded.net.encoder.conv1.weight == 2).all()


def test_a_host_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path))
    monkeypatch.setattr(segmenters, "micronet_url", lambda _: "http://127.0.0.1:9/none")
    with pytest.raises(DataError, match="weights=None"):
        segmenters.UnetPlusPlus(weights="micronet")


def test_imagenet_weights_go_into_the_encoder(network, monkeypatch):
    from segmentation_models_pytorch import encoders

    class Stored:
        def state_dict(self):
            return {k: torch.full_like(v, 3) for k, v in network.net.encoder.state_dict().items()}

    with monkeypatch.context() as patch:
        patch.setattr(encoders, "get_encoder", lambda *_, **__: Stored())
        segmenters._fill(network.net.encoder, "resnet18", "imagenet")
    assert (network.net.encoder.conv1.weight == 3).all()
    with pytest.raises(ValueError, match="micronet"):
        segmenters._fill(network.net.encoder, "resnet18", "photographs")


def test_the_address_of_the_weights():
    address = segmenters.micronet_url("se_resnext50_32x4d")
    assert address.endswith("/se_resnext50_32x4d_pretrained_microscopynet_v1.0.pth.tar")


def test_the_loss_by_hand():
    logits = torch.tensor([0.3, -1.2, 2.0, 0.0]).reshape(2, 1, 1, 2)
    target = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(2, 1, 1, 2)
    for sigmoids in (1, 2):
        chance = logits.sigmoid() if sigmoids == 1 else logits.sigmoid().sigmoid()
        bce = -(target * chance.log() + (1 - target) * (1 - chance).log()).mean()
        dice = 1 - (2 * (chance * target).sum() + 1) / (chance.sum() + target.sum() + 1)
        expected = float(0.7 * bce + 0.3 * dice)
        assert float(segmenters.study_loss(logits, target, sigmoids)) == pytest.approx(
            expected, abs=1e-6
        )


def test_the_floor_of_the_loss():
    assert segmenters.loss_floor(0.5) == pytest.approx(0, abs=1e-6)
    sure = 1 / (1 + math.exp(-1))  # all that is left of a probability of one: 0.731
    bce = -(math.log(sure) + math.log(0.5)) / 2
    dice = 1 - sure / (sure / 2 + 0.25 + 0.5)
    found = segmenters.loss_floor(0.5, sigmoids=2)
    assert found == pytest.approx(0.7 * bce + 0.3 * dice, abs=1e-3)
    assert found == pytest.approx(0.456, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(0, 99))
def test_no_prediction_is_better_than_the_floor(covered, seed):
    film = (torch.arange(400) < round(400 * covered)).float().reshape(1, 1, 20, 20)
    logits = 8 * torch.randn(film.shape, generator=torch.Generator().manual_seed(seed))
    floor = segmenters.loss_floor(covered, 2, pixels=400)
    assert float(segmenters.study_loss(logits, film, 2)) >= floor - 1e-5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(8, 21), st.integers(8, 21))
def test_smaller_micrographs_keep_their_coverage(times, height, width):
    rng = np.random.default_rng(height * width)
    image = rng.integers(0, 256, (height, width), np.uint8)
    mask = np.zeros((height, width), bool)
    mask[:, : width // times // 2 * times] = True  # an edge that falls between two blocks
    (small,), (film,) = segmenters.shrink([image], [mask], times)
    assert small.shape == film.shape == (height // times, width // times)
    assert small.dtype == np.uint8 and film.dtype == bool
    assert film.mean() == pytest.approx((width // times // 2) / (width // times))
    block = image[:times, :times]
    assert abs(float(small[0, 0]) - block.mean()) <= 0.51


def test_nothing_shrinks_by_less_than_one():
    with pytest.raises(ValueError, match="times"):
        segmenters.shrink([], [], 0)


def test_coverage_and_overlap():
    truth = np.zeros((3, 4, 4), bool)
    truth[0, :2] = True
    found = truth.copy()
    found[1, 0, 0] = True
    assert segmenters.coverage_of(found).tolist() == [0.5, 1 / 16, 0]
    assert segmenters.iou(found, truth).tolist() == [1, 0, 1]
    assert segmenters.iou(found, truth, empty=0).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="boolean"):
        segmenters.coverage_of(found.astype(float))


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 64, 64), bool)
    masks[:, :, 20:44] = True
    images = (120 * masks + rng.integers(0, 80, masks.shape)).astype(np.uint8)
    parts = patches.Patches(images, masks, np.repeat(np.arange(3), 2), np.ones(6))
    return parts, data.Split(np.array([0]), np.array([1]), np.array([2]))


def test_a_finished_training_is_loaded(small):
    parts, split = small
    options = dict(epochs=2, lr=1e-3, batch_size=2, patience=1, side=32, progress=False)
    network, first = segmenters.study_segmenter(parts, split, **options)
    assert first.logits.shape == (6, 1, 64, 64)
    assert not first.logits[:2].any() and first.logits[2:].any()
    assert 1 <= len(first.histories[0].validation) <= 2
    images, _ = segmenters.to_tensors(parts)
    assert images.shape == (6, 1, 64, 64) and 0.4 < images.max() <= 1
    with torch.inference_mode():
        answer = network(images[2:])
    assert torch.allclose(answer, first.logits[2:], atol=0.1)  # bfloat16 where it is fast
    _, again = segmenters.study_segmenter(parts, split, **options)
    assert again.weights == first.weights
    _, more = segmenters.study_segmenter(parts, split, **options, rounds=2)
    assert more.weights[0] == first.weights[0] != more.weights[1] and len(more.histories) == 2
    assert not torch.equal(more.logits, first.logits)
    _, other = segmenters.study_segmenter(parts, split, **options, sigmoids=2)
    assert other.weights != first.weights
    with pytest.raises(ValueError, match="rounds"):
        segmenters.study_segmenter(parts, split, **options, rounds=0)


def test_it_stops_by_the_validation_side(small, monkeypatch):
    class Asked(Exception):
        pass

    def look(make_model, images, targets, folds, settings, *, score, **rest):
        raise Asked(folds[0][score.keywords["rows"]].tolist())

    monkeypatch.setattr(segmenters, "cross_validate", look)
    for validation, patches_of_it in ((1, [2, 3]), (2, [4, 5])):
        split = data.Split(np.array([0]), np.array([validation]), np.array([3 - validation]))
        with pytest.raises(Asked) as asked:
            segmenters.study_segmenter(small[0], split, epochs=1, progress=False)
        assert asked.value.args == (patches_of_it,)


def test_the_validation_score_reads_its_own_rows_only():
    targets = torch.zeros(3, 1, 4, 4)
    targets[0] = 1
    logits = torch.stack([targets[0], targets[0], targets[0]]) * 2 - 1
    assert segmenters._missed(logits, targets, np.array([0])) == 0
    assert segmenters._missed(logits, targets, np.array([1, 2])) == 1


def test_a_split_of_other_micrographs_is_refused(small):
    parts, _ = small
    split = data.Split(np.array([0]), np.array([7]), np.array([2]))
    with pytest.raises(ValueError, match="0 to validate"):
        segmenters.study_segmenter(parts, split, epochs=1, progress=False)
