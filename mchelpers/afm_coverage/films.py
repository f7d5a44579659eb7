"""One network for films under any microscope: whole micrographs, any scale, global context.

Small enough for a processor, wide enough in view to see a whole micrograph
with a short side of 256 px at once, and trained at magnifications on both sides of the one it is
used at. Taken apart in the chapter *Whole micrographs*.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import augment
from ..checks import check_image
from ..contexts import seeded
from ..kept import CrossValidation, cross_validate, find_file, half, load_tensors, save_tensors
from ..key import fingerprint
from ..models import UNet, bce_dice
from ..record.machine import describe_device
from ..train import Fit, History, fit, predict

__all__ = [
    "FilmNetwork",
    "as_tensor",
    "describe",
    "mirrored",
    "new_view",
    "predict_films",
    "pretrain",
    "shade",
    "train_films",
]


class FilmNetwork(UNet):
    """A normalised U-Net on pixels folded two by two, six levels deep.

    Two pictures go in: the micrograph with mean 0 and standard deviation 1,
    and its grey values as they are, for an even grey means another thing
    when it is dark.

    Parameters
    ----------
    features
        Features of the first of 11 blocks.
    """

    def __init__(self, features: int = 16):
        super().__init__(features, 11, in_channels=2, classes=1, norm=True, stem=2)

    def forward(self, image: Tensor) -> Tensor:
        """Map micrographs (B, 1, H, W) in 0..1 to logits (B, 1, H, W); sides multiples of 64."""
        mean = image.mean((1, 2, 3), keepdim=True)
        spread = image.std((1, 2, 3), keepdim=True) + 1e-3  # an even picture stays finite
        return super().forward(torch.cat([(image - mean) / spread, 4 * (image - 0.5)], 1))


def as_tensor(images: np.ndarray) -> Tensor:
    """Turn (N, H, W) uint8 or bool into (N, 1, H, W) float32 in 0..1."""
    images = check_image(images, "images", None)
    if images.ndim != 3 or images.dtype not in (np.uint8, bool):
        raise ValueError(
            f"(N, H, W) uint8 or bool are needed, got {images.dtype} {images.shape}; "
            "labelling.luminance turns other pictures into lightness"
        )
    top = 255 if images.dtype == np.uint8 else 1
    return torch.from_numpy(images.astype(np.float32) / top)[:, None]


def shade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, gamma and noise of each micrograph (B, 1, H, W) in 0..1."""
    draws = torch.rand(4, len(images), 1, 1, 1, generator=generator)
    gamma, gain, offset, noise = draws.to(images.device)
    images = images.clamp(1e-3, 1) ** torch.exp(0.8 * (gamma - 0.5))
    images = images * torch.exp(0.6 * (gain - 0.5)) + 0.2 * (offset - 0.5)
    grain = torch.randn(images.shape, generator=generator).to(images.device)
    images = images + 0.03 * noise * grain
    return images.clamp(0, 1)


def new_view(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    side: int = 256,
    zoom: tuple[float, float] = (2 / 3, 1.5),
    share: float = 0.7,
) -> tuple[Tensor, Tensor]:
    """Draw a new view of each micrograph: cut, turn and zoom a share of them, mirror, shade.

    Parameters
    ----------
    images, targets
        (B, 1, H, W) float in 0..1.
    generator
        Source of the draws.
    side
        Of the view, px.
    zoom, share
        Smallest and largest magnification, and the share of views it is drawn for.
    """
    images, targets = augment.crop(images, targets, generator, side)
    images, targets = augment.affine(images, targets, generator, share, zoom, shift=0.15)
    images, targets = augment.symmetry(images, targets, generator)
    return shade(images, generator), targets


def pretrain(
    settings: Fit,
    scenes: int = 2400,
    shape: tuple[int, int] = (256, 320),
    features: int = 16,
    *,
    workers: int = 1,
    device: str | torch.device = "cpu",
) -> tuple[dict[str, Tensor], History, Path]:
    """Train a network on simulated SEM scenes, or load the one that was trained before.

    Parameters
    ----------
    settings
        Epochs, learning rate, seed.
    scenes, shape
        Number and size (px) of the scenes, see :mod:`mchelpers.afm_coverage.sem`.
    features
        Of the :class:`FilmNetwork`.
    workers, device
        Processes that simulate; where to train.

    Returns
    -------
    state
        Weights to begin from.
    history
        Of the training.
    file
        Where the weights are kept; its name holds a hash of all that made them.
    """
    from . import sem

    scene_maker = partial(sem.sem_micrographs, scenes, shape, settings.seed)
    view = partial(new_view, side=min(shape), share=0.0)  # scenes come in all sizes
    key = fingerprint(fit, FilmNetwork, features, settings, bce_dice, view, scene_maker)
    file = find_file(f"film-pretrained-{key}.safetensors")
    if not file.exists():
        images, masks = scene_maker(workers)
        with seeded(settings.seed):
            network = FilmNetwork(features)
        unfinished = file.with_suffix(".pt")
        history = fit(
            network,
            as_tensor(images),
            as_tensor(masks),
            settings,
            loss=bce_dice,
            augment=view,
            device=device,
            checkpoint=unfinished,
            progress="pretrain on simulated SEM",
        )
        note = {"history": json.dumps(asdict(history)), "trained_on": describe_device(device)}
        save_tensors(half(network.state_dict()), file, note)
        unfinished.unlink(missing_ok=True)
    state, note = load_tensors(file)
    return state, History(**json.loads(note["history"])), file


def train_films(
    images: np.ndarray,
    masks: np.ndarray,
    folds: list[np.ndarray],
    settings: Fit,
    *,
    name: str,
    start: dict[str, Tensor] | None = None,
    features: int = 16,
    side: int = 256,
    zoom: tuple[float, float] = (2 / 3, 1.5),
    only: int | None = None,
    device: str | torch.device = "cpu",
    workers: int = 1,
) -> CrossValidation:
    """Cross-validate the network on micrographs, or load what was trained before.

    Parameters
    ----------
    images, masks
        (N, H, W) uint8 and bool; sides multiples of 64.
    folds
        Test numbers of each fold; they train on all other images.
    settings
        Epochs, learning rate, seed.
    name
        Readable beginning of the kept files' names.
    start
        Weights to begin from, as from :func:`pretrain`.
    features
        Of the :class:`FilmNetwork`.
    side, zoom
        Of a view, as for :func:`new_view`.
    only, device, workers
        As for :func:`mchelpers.kept.cross_validate`.

    Returns
    -------
    CrossValidation
        Logits (N, 1, H, W), positive on film.
    """
    return cross_validate(
        partial(FilmNetwork, features),
        as_tensor(images),
        as_tensor(masks),
        folds,
        settings,
        name=name,
        loss=bce_dice,
        augment=partial(new_view, side=side, zoom=zoom),
        start=start,
        only=only,
        device=device,
        workers=workers,
    )


def predict_films(
    network: nn.Module, images: list[np.ndarray], device: str | torch.device = "cpu"
) -> list[np.ndarray]:
    """Predict whole micrographs of any size at once, each mirrored up to the network's multiple.

    Parameters
    ----------
    network
        A trained :class:`FilmNetwork`.
    images
        (H, W) uint8 each; short side about 256 px.

    Returns
    -------
    list of (H, W) float32
        Probability of being film.
    """
    found = []
    for image in images:
        image = check_image(image)
        height, width = image.shape
        rest = [(0, -size % network.multiple) for size in (height, width)]
        padded = np.pad(image, rest, "symmetric")
        logits = predict(network, as_tensor(padded[None]), device=device)[0, 0]
        found.append(logits.sigmoid().numpy()[:height, :width])
    return found


@torch.inference_mode()
def describe(network: FilmNetwork, images: np.ndarray) -> np.ndarray:
    """Describe micrographs by a frozen network, for a regression to read.

    Parameters
    ----------
    network
        A trained network.
    images
        (N, H, W) uint8; sides multiples of 64.

    Returns
    -------
    (N, 32 * features + 1) float32
        Means of the deepest maps, and the mean probability of being film.
    """
    network.eval()
    rows: list[Tensor] = []
    deepest: list[Tensor] = []
    hook = network.down[-1].register_forward_hook(lambda _, __, maps: deepest.append(maps))
    try:
        for image in as_tensor(images).split(1):
            chance = network(image).sigmoid()
            rows.append(torch.cat([deepest.pop().mean((2, 3)), chance.mean((2, 3))], 1))
    finally:
        hook.remove()
    return torch.cat(rows).numpy()


def mirrored(network: nn.Module, images: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """Average a network's answers to a micrograph and to its three mirror images.

    Parameters
    ----------
    network
        A trained :class:`FilmNetwork`.
    images
        (N, H, W) uint8; sides multiples of 64, not necessarily equal.

    Returns
    -------
    (N, 1, H, W) float32
        Logits.
    """
    seen, total = as_tensor(images), 0
    for axes in ((), (-2,), (-1,), (-2, -1)):
        total = total + predict(network, seen.flip(axes), device=device).flip(axes)
    return total / 4
