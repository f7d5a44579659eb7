"""ResNet18 frozen and free, and where its weights come from: a host that imitates the real ones."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_host import serve
from torchvision.models import resnet18

from mchelpers import models
from mchelpers.afm_coverage import encoders, pretraining
from mchelpers.data import DataError
from mchelpers.train import Fit


@pytest.fixture(autouse=True)
def _own_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def published():
    """A whole ResNet18 with a last layer of 54 classes, as MicroNet's has."""
    torch.manual_seed(3)
    return resnet18(num_classes=54).state_dict()


@pytest.fixture
def host(tmp_path):
    with serve(tmp_path / "host") as host:
        yield host


def patches(count=4, side=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side)).astype(np.uint8)


def test_the_study_s_weights_are_counted():
    assert models.count_parameters(encoders.FeatureMLP()) == 71_809
    head = encoders.FineTuned().head
    assert models.count_parameters(head) == 512 * 100 + 100 + 100 + 1
    assert models.count_parameters(encoders.FrozenResNet18()) == 0


@given(grey=st.integers(0, 255))
@settings(max_examples=20, deadline=None)
def test_both_ways_to_write_a_grey_level_are_one(grey):
    whole = torch.full((1, 1, 4, 4), grey, dtype=torch.uint8)
    channels = pretraining.normalise(whole)
    assert channels.shape == (1, 3, 4, 4)
    assert torch.allclose(channels, pretraining.normalise(whole.float() / 255))
    back = channels[0, :, 0, 0] * torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(
        back + torch.tensor([0.485, 0.456, 0.406]), torch.tensor(grey / 255), atol=1e-6
    )


def test_colours_are_not_grey_levels():
    with pytest.raises(ValueError, match="grey levels"):
        pretraining.normalise(torch.zeros(2, 3, 8, 8))


def test_features_are_the_pooled_last_layer(published):
    encoder = encoders.FrozenResNet18({k: v for k, v in published.items() if "fc." not in k})
    images = patches()
    found = encoders.features(encoder, images, batch_size=3)
    assert found.shape == (4, 512) and found.dtype == np.float32
    whole = resnet18(num_classes=54)
    whole.load_state_dict(published)
    whole.fc = torch.nn.Identity()
    with torch.inference_mode():
        right = whole.eval()(pretraining.normalise(torch.from_numpy(images)[:, None]))
    assert np.allclose(found, right, atol=0.05 * float(right.abs().max()))  # bf16 where it is fast
    alone = encoders.features(encoder, images[2:3])  # evaluation mode: neighbours do not matter
    assert np.allclose(found[2], alone[0], atol=0.02 * float(right.abs().max()))


def test_patches_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        encoders.features(encoders.FrozenResNet18(), patches().astype(np.float32))


def test_small_networks_learn_a_line_from_features():
    rng = np.random.default_rng(0)
    described = 100 + 20 * rng.normal(size=(60, 8))
    described[:, 7] = 3  # says nothing
    truth = 0.5 + 0.005 * (described[:, 0] - 100)
    train, test = np.arange(40), np.arange(40, 60)
    predicted, fits = encoders.fit_mlp(
        described, truth, train, test, Fit(60, 3e-3, 8), seeds=(0, 1)
    )
    assert predicted.shape == (2, 60) and len(fits) == 2
    assert np.sqrt(((predicted - truth) ** 2)[:, test].mean()) < 0.07  # it spreads by 0.1
    assert not np.array_equal(predicted[0], predicted[1])
    assert np.allclose(fits[0].logits[test, 0], predicted[0, test], atol=1e-5)


def test_an_encoder_stands_in_and_the_head_stays(published):
    state = {k: v for k, v in published.items() if "fc." not in k}
    network = encoders.FineTuned()
    begun = network.beginning(state)
    assert begun.keys() == network.state_dict().keys()
    assert torch.equal(begun["encoder.conv1.weight"], state["conv1.weight"])
    assert torch.equal(begun["head.0.weight"], network.head[0].weight)
    assert not torch.equal(network.encoder.conv1.weight, state["conv1.weight"])  # as it was


def test_fine_tuning_begins_where_it_is_told(published):
    grey = torch.from_numpy(patches(6, 32))[:, None]
    truth, train, test = np.linspace(0, 1, 6), np.arange(4), np.array([5, 4])
    state = {k: v for k, v in published.items() if "fc." not in k}
    runs = {}
    for name, encoder in (("scratch", None), ("published", state)):
        training, network = encoders.fine_tune(
            grey, truth, train, test, Fit(1, 1e-6, 4), encoder, progress=False
        )
        assert training.logits.shape == (6, 1) and not network.training
        with torch.inference_mode():
            again = network(grey[test])
        assert torch.allclose(training.logits[test], again, atol=0.02)
        assert ((again > 0) & (again < 1)).all()
        runs[name] = network
    assert torch.allclose(runs["published"].encoder.conv1.weight, state["conv1.weight"], atol=1e-4)
    heads = [r.head[0].weight for r in runs.values()]
    assert torch.allclose(*heads, atol=1e-4)  # both began from one head


def test_symmetries_move_pixels_and_leave_coverages():
    grey, coverage = torch.from_numpy(patches(5, 8))[:, None], torch.rand(5, 1)
    moved, same = encoders.turned(grey, coverage, torch.Generator().manual_seed(1))
    assert torch.equal(same, coverage) and moved.dtype == torch.uint8
    assert torch.equal(moved.flatten(1).sort(1)[0], grey.flatten(1).sort(1)[0])
    assert not torch.equal(moved, grey)


def test_training_mode_moves_a_copy_and_looks_at_neighbours():
    torch.manual_seed(0)
    network = encoders.FineTuned().eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    grey = torch.from_numpy(patches(6, 32))[:, None]
    found, moved = encoders.predict_in_training_mode(network, grey, batch_size=3)
    assert found.shape == (6,) and not moved.training and not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not torch.equal(moved.encoder.bn1.running_mean, network.encoder.bn1.running_mean)
    torch.manual_seed(0)
    one, _ = encoders.predict_in_training_mode(network, grey, batch_size=3)
    torch.manual_seed(0)
    other, _ = encoders.predict_in_training_mode(network, grey.flip(0), batch_size=3)
    assert not np.allclose(one, other[::-1])


@pytest.mark.parametrize("load", [pretraining.imagenet_resnet18, pretraining.micronet_resnet18])
def test_published_weights_come_down_once(published, host, tmp_path, load):
    folder, address = host
    known = load is pretraining.imagenet_resnet18
    wrapped = {"state_dict": {f"module.{k}": v for k, v in published.items()}}
    torch.save(published if known else wrapped, folder / "net.pth")
    content = (folder / "net.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest() if known else None
    file = ("net.pth", f"{address}/net.pth", digest, len(content))
    state = load(tmp_path, file)
    assert not any(k.startswith("fc") for k in state)
    assert torch.equal(state["layer4.1.conv2.weight"], published["layer4.1.conv2.weight"])
    (folder / "net.pth").unlink()
    assert load(tmp_path, file).keys() == state.keys()  # from disk


@pytest.mark.parametrize("load", [pretraining.imagenet_resnet18, pretraining.micronet_resnet18])
def test_without_a_network_the_message_says_what_to_do(load, tmp_path):
    digest = "0" * 64 if load is pretraining.imagenet_resnet18 else None
    file = ("net.pth", "http://127.0.0.1:9/net.pth", digest, 5)
    with pytest.raises(DataError, match=r"net\.pth is not on this machine.*Check the network"):
        load(tmp_path, file)
    assert not list(tmp_path.glob("*.pth"))


def test_a_damaged_or_other_file_is_refused(published, host, tmp_path):
    folder, address = host
    bad = {k: v for k, v in published.items() if not k.startswith("layer4")}
    torch.save(bad, folder / "half.pth")
    (folder / "broken.pth").write_bytes(b"PK\x03\x04 not all of it")
    for name in ("half.pth", "broken.pth"):
        file = (name, f"{address}/{name}", None, None)
        with pytest.raises(DataError, match="no weights of torchvision's resnet18"):
            pretraining.micronet_resnet18(tmp_path / "own", file)
    with pytest.raises(DataError, match="damaged"):
        pretraining.imagenet_resnet18(
            tmp_path / "own2", ("half.pth", f"{address}/half.pth", "1" * 64, 5)
        )


def test_no_code_of_a_file_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(DataError):
        pretraining.read_resnet18(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


@given(seed=st.integers(0, 2**31), side=st.sampled_from([32, 64]))
@settings(max_examples=10, deadline=None)
def test_views_for_pretraining_stay_images_and_masks(seed, side):
    grey = torch.from_numpy(patches(2, 96, seed % 7))[:, None]
    masks = (grey > 128).to(torch.uint8)
    generator = torch.Generator().manual_seed(seed)
    seen, truth = pretraining.vary(grey, masks, generator, side=side, views=3)
    assert seen.shape == truth.shape == (6, 1, side, side)
    assert 0 <= seen.min() and seen.max() <= 1
    assert set(truth.unique().tolist()) <= {0.0, 1.0}


def test_a_segmenter_tells_the_share_of_film_by_squares():
    network = pretraining.FilmSegmenter().eval()
    with torch.inference_mode():
        out = network(torch.from_numpy(patches(2, 64))[:, None])
    assert out.shape == (2, 2, 64, 64)
    assert (out[:, 1, :32, :32] == out[:, 1:, :1, :1].squeeze(1)).all()
    target = torch.zeros(2, 1, 64, 64)
    target[..., :32] = 1
    right = torch.cat([20 * target - 10, 20 * target - 10], 1)
    assert pretraining.cell_loss(right, target) < 0.01 < pretraining.cell_loss(-right, target)


def test_the_domain_encoder_fits_both_libraries():
    import segmentation_models_pytorch as smp

    tiny = {"samples": 2, "short_side": 64, "side": 32, "held_out": 1, "epochs": 1}
    state, training, score = encoders.domain_encoder(**tiny, progress=False)
    encoders.FrozenResNet18(state)
    smp.Unet("resnet18", encoder_weights=None).encoder.load_state_dict(state)
    assert 0 <= score <= 1 and len(training.weights) == len(training.histories) == 1
    again, same, _ = encoders.domain_encoder(**tiny, progress=False)
    assert same.weights == training.weights  # loaded, not trained
    assert all(torch.equal(state[k], again[k]) for k in state)
    assert set(encoders.DOMAIN) == {"smoke", "laptop", "full"}
