"""Where the weights of a ResNet18 come from: ImageNet, MicroNet, or simulated films.

ImageNet shows cats and MicroNet micrographs of every kind; the encoder trained
here has seen nothing but films, simulated, of growth runs of their own. Used in
the chapters *Frozen features* and *Fine-tuning*, through :mod:`mchelpers.afm_coverage.encoders`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models import bce_dice
from .segmenters import micronet_url

if TYPE_CHECKING:
    from ..kept import CrossValidation

__all__ = [
    "DOMAIN",
    "IMAGENET",
    "MICRONET",
    "FilmSegmenter",
    "cell_loss",
    "domain_encoder",
    "empty_resnet18",
    "imagenet_resnet18",
    "micronet_resnet18",
    "normalise",
    "read_resnet18",
    "vary",
]

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's colours, which all published weights expect
_SPREAD = (0.229, 0.224, 0.225)
_CELL = 32  # px of the image in one place of the deepest layer

#: Published weights: file name, address, sha256 and bytes (None where nobody published them).
IMAGENET = (
    "resnet18-f37072fd.pth",
    "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    46_830_571,
)
_MICRONET_URL = micronet_url("resnet18")
MICRONET = (_MICRONET_URL.rpartition("/")[2], _MICRONET_URL, None, None)

#: Settings of :func:`domain_encoder` for each tier; every chapter that loads the encoder uses them.
DOMAIN = {
    "smoke": {"samples": 2, "short_side": 128, "side": 64, "held_out": 1, "epochs": 1},
    "laptop": {"samples": 26, "short_side": 384, "side": 160, "held_out": 4, "epochs": 60},
    "full": {"samples": 104, "short_side": 512, "side": 224, "held_out": 10, "epochs": 200},
}


def normalise(grey: Tensor) -> Tensor:
    """Give grey levels the three channels, mean and spread that ImageNet's networks expect.

    Parameters
    ----------
    grey
        (B, 1, H, W), uint8 or float 0..1.

    Returns
    -------
    (B, 3, H, W) float32
    """
    if grey.ndim != 4 or grey.shape[1] != 1:
        raise ValueError(f"need (B, 1, H, W) grey levels, got {tuple(grey.shape)}")
    mean = torch.tensor(_MEAN, device=grey.device).view(1, 3, 1, 1)
    spread = torch.tensor(_SPREAD, device=grey.device).view(1, 3, 1, 1)
    grey = grey.float() / 255 if grey.dtype == torch.uint8 else grey
    return (grey - mean) / spread


def empty_resnet18(state: dict[str, Tensor] | None = None) -> nn.Module:
    """Build torchvision's ResNet18 without its last layer, and fill it if weights are given.

    Its input is :func:`normalise`'s, (B, 3, H, W); 512 features come out, (B, 512).
    """
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.fc = nn.Identity()
    if state is not None:
        network.load_state_dict(state)
    return network


def imagenet_resnet18(folder: Path | None = None, file: tuple = IMAGENET) -> dict[str, Tensor]:
    """Load torchvision's ImageNet weights of ResNet18 (``IMAGENET1K_V1``), from disk or network.

    Parameters
    ----------
    folder
        Where the file is kept. By default ``weights`` in the data folder.
    file
        Name, address, sha256, bytes; a test passes its own.

    Returns
    -------
    dict
        Without ``fc``.

    Raises
    ------
    DataError
        If the file is not there and cannot be downloaded, is damaged, or holds no ResNet18.
    """
    return read_resnet18(_find(folder, file))


def micronet_resnet18(folder: Path | None = None, file: tuple = MICRONET) -> dict[str, Tensor]:
    """Load the ResNet18 that NASA trained on MicroNet (v1.0), from disk or network.

    As :func:`imagenet_resnet18`. The file has no published hash: it is read
    without running any code of it, and ``run.trained`` can write down its hash.

    Notes
    -----
    Stuckner, Harder, Smith, npj Comput. Mater. 8, 200 (2022);
    https://github.com/nasa/pretrained-microscopy-models.
    """
    return read_resnet18(_find(folder, file))


def _find(folder: Path | None, file: tuple) -> Path:
    """Return the file in the folder, downloaded if need be."""
    from ..data import data_folder, fetch

    name, url, sha256, size = file
    folder = data_folder() / "weights" if folder is None else folder
    return fetch(name, folder, {name: (sha256, size, url)})


def read_resnet18(path: Path) -> dict[str, Tensor]:
    """Read the weights of a ResNet18 from a file of torch, without running any code of it.

    Parameters
    ----------
    path
        A state dictionary of torchvision's layout, bare or under
        ``state_dict``, names with or without ``module.`` in front.

    Returns
    -------
    dict
        float32 tensors and counters on the CPU, without the last layer ``fc``.

    Raises
    ------
    DataError
        If the file cannot be read, or is no ResNet18.
    """
    from ..data import DataError

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)
        state = {k.removeprefix("module."): v for k, v in found.items()}
        state = {k: v for k, v in state.items() if not k.startswith("fc.")}
        return empty_resnet18(state).state_dict()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} holds no weights of torchvision's resnet18 ({reason}). Delete it, and "
            "download it again"
        ) from error


class FilmSegmenter(nn.Module):
    """U-Net on a ResNet18 that also says, from its deepest layer alone, how much film is where.

    The U-Net's skip connections let it draw masks with half of its encoder.
    The second output asks the deepest layer for the share of film in each
    square of 32 pixels, so that all of the encoder learns what film is.

    Notes
    -----
    Input (B, 1, H, W) uint8 or float 0..1, sides multiples of 32; output
    (B, 2, H, W) logits: the mask, and the share of film in the square around.
    """

    def __init__(self):
        super().__init__()
        import segmentation_models_pytorch as smp

        self.unet = smp.Unet("resnet18", encoder_weights=None, decoder_channels=(64, 32, 16, 8, 8))
        self.share = nn.Conv2d(512, 1, 1)

    def forward(self, grey: Tensor) -> Tensor:
        """Map grey levels to logits."""
        layers = self.unet.encoder(normalise(grey))
        mask = self.unet.segmentation_head(self.unet.decoder(layers))  # (B, 1, H, W)
        share = self.share(layers[-1])  # (B, 1, H / 32, W / 32)
        return torch.cat([mask, functional.interpolate(share, scale_factor=float(_CELL))], 1)


def cell_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Loss of a :class:`FilmSegmenter`: of its mask, and of its shares of film.

    Logits (B, 2, H, W), target (B, 1, H, W) float in 0..1; returns a scalar.
    """
    share = functional.avg_pool2d(target, _CELL)
    coarse = functional.avg_pool2d(logits[:, 1:], _CELL)
    return bce_dice(logits[:, :1], target) + functional.binary_cross_entropy_with_logits(
        coarse, share
    )


def vary(
    grey: Tensor,
    masks: Tensor,
    generator: torch.Generator,
    side: int = 160,
    zoom: tuple[float, float] = (0.5, 1.8),
    views: int = 1,
) -> tuple[Tensor, Tensor]:
    """Cut squares at random magnification, turn or mirror them, and change their greys.

    Parameters
    ----------
    grey
        (B, 1, H, W) uint8.
    masks
        (B, 1, H, W) of 0 and 1, any type.
    generator
        Source of the draws.
    side
        Of the squares, px.
    zoom
        Smallest and largest magnification, drawn evenly on a log scale; as
        small as the image allows.
    views
        Squares of each image.

    Returns
    -------
    grey, masks
        (B views, 1, side, side) float32, both 0..1. Gamma, contrast,
        brightness and noise are drawn for each square.
    """
    from ..augment import turn

    height, width = grey.shape[-2:]
    smallest = max(zoom[0], side / min(height, width))
    squares, truths = [], []
    for image, mask in zip(grey, masks):
        for _ in range(views):
            draws = torch.rand(7, generator=generator).tolist()
            size, top, left, gamma, contrast, shift, noise = draws
            wide = round(side / (smallest * (max(zoom[1], smallest) / smallest) ** size))
            row, column = int(top * (height - wide + 1)), int(left * (width - wide + 1))
            window = (..., slice(row, row + wide), slice(column, column + wide))
            both = torch.stack([image[window].float() / 255, mask[window].float()], 1)
            both = functional.interpolate(both, (side, side), mode="bilinear", antialias=True)
            both = turn(both, int(torch.randint(8, (1,), generator=generator)))
            square = both[:, :1].clamp(0, 1) ** (2 ** (1.4 * gamma - 0.7))
            square = 0.5 + (0.5 + 0.7 * contrast) * (square - 0.5) + 0.3 * (shift - 0.5)
            grain = torch.randn(square.shape, generator=generator).to(square)
            squares.append((square + 0.05 * noise**2 * grain).clamp(0, 1))
            truths.append((both[:, 1:] > 0.5).float())
    return torch.cat(squares), torch.cat(truths)


def _windows(films: list) -> tuple[Tensor, Tensor, np.ndarray]:
    """Cut one or two squares as high as the film out of each; (N, 1, S, S) uint8 twice, samples."""
    images, masks, samples = [], [], []
    for film in films:
        grey = film.lightness()
        side, width = grey.shape
        for left in (0, width - side) if width >= 1.5 * side else ((width - side) // 2,):
            images.append(grey[:, left : left + side])
            masks.append(film.mask[:, left : left + side].astype(np.uint8))
            samples.append(film.sample)
    stacked = (torch.from_numpy(np.stack(part))[:, None] for part in (images, masks))
    return *stacked, np.array(samples)


def domain_encoder(
    samples: int = 26,
    short_side: int = 384,
    side: int = 160,
    held_out: int = 4,
    epochs: int = 60,
    workers: int = 1,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> tuple[dict[str, Tensor], CrossValidation, float]:
    """Train a ResNet18 on simulated AFM micrographs of growth runs that no chapter tests on.

    Parameters
    ----------
    samples, short_side
        Growth runs to simulate, from seed 1 (the chapters' own films have seed
        0), and the short side of their micrographs, px.
    side
        Of the squares that the network sees, px.
    held_out
        Growth runs kept for the score.
    epochs
        Passes over the windows, one square of each a pass.
    workers, device, progress
        Processes that simulate; where to train; whether to show a progress bar.

    Returns
    -------
    state
        Weights of torchvision's ``resnet18`` without ``fc``; the encoder of a
        segmentation-models-pytorch network has the same names.
    training
        One history and one file, for ``run.trained(training.histories, training.weights)``.
    score
        Mean IoU of the masks of the held-out growth runs.

    Examples
    --------
    >>> state, training, score = encoders.domain_encoder(
    ...     **encoders.DOMAIN[run.tier], device=run.device)  # doctest: +SKIP
    """
    from ..kept import fit_split, load_tensors
    from ..metrics import per_image
    from ..train import Fit
    from .images import afm_micrographs

    films = afm_micrographs(samples, seed=1, short_side=short_side, workers=workers)
    images, masks, names = _windows(films)
    tested = np.isin(names, np.unique(names)[-held_out:])
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    settings = Fit(epochs, lr=1e-3, batch_size=8, weight_decay=1e-4, schedule="cosine", seed=1)
    training = fit_split(
        FilmSegmenter,
        images,
        masks,
        train,
        test,
        settings,
        name="domain-encoder",
        loss=cell_loss,
        augment=partial(vary, side=side),
        device=device,
        progress=progress,
    )
    stem = "unet.encoder."
    tensors, _ = load_tensors(training.weights[0])
    state = {k.removeprefix(stem): v for k, v in tensors.items() if k.startswith(stem)}
    found = training.logits[test, 0].numpy() > 0
    return state, training, float(per_image(found, masks[test, 0].numpy() > 0)["jaccard"].mean())
