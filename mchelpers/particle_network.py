"""The network that two chapters segment nanoparticles with: one recipe, one cache.

Taken apart in the chapter *A U-Net of 65,000 weights*; *From micrograph to
population* measures with it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from .augment import affine, crop, symmetry
from .crossval import CrossValidation, fit_split
from .losses import bce_dice
from .models import UNet
from .preprocess import bezier_background, zscore
from .tiles import Tiles
from .train import Fit

__all__ = ["best_network", "build", "flatten", "new_view", "prepare", "prepare_whole"]


def build(features: int = 32, blocks: int = 9) -> nn.Module:
    """Build the network: a normalised U-Net on pixels folded four by four, one logit a pixel."""
    return UNet(features, blocks, norm=True, stem=4, classes=1)


def prepare(images: np.ndarray) -> Tensor:
    """Give each tile mean 0 and standard deviation 1.

    Parameters
    ----------
    images
        (N, H, W), any number type.

    Returns
    -------
    (N, 1, H, W) float32 tensor
    """
    return torch.from_numpy(zscore(images))[:, None]


def flatten(image: np.ndarray, block: int = 16) -> np.ndarray:
    """Subtract the uneven light of a whole micrograph: a biquadratic surface fitted to the film.

    Parameters
    ----------
    image
        (H, W) float.
    block
        The fit sees means of blocks of so many pixels; blocks that stand out
        of the film by 2.5 standard deviations, particles say, do not count.

    Returns
    -------
    (H, W) float32
    """
    from skimage.measure import block_reduce
    from skimage.transform import resize

    image = np.asarray(image, np.float32)
    small = block_reduce(image, block, np.mean, cval=np.median(image))
    film = np.ones(small.shape, bool)
    for _ in range(4):
        surface = bezier_background(small, 2, film)
        rest = small - surface
        film = np.abs(rest) <= 2.5 * 1.4826 * np.median(np.abs(rest[film]))
    light = resize(surface.astype(np.float32), image.shape, order=1)
    return image - light


def prepare_whole(images: np.ndarray) -> Tensor:
    """Flatten whole micrographs, then :func:`prepare` them: (N, H, W) to (N, 1, H, W)."""
    return prepare(np.stack([flatten(image) for image in images]))


def new_view(
    images: Tensor, targets: Tensor, generator: torch.Generator, side: int = 256
) -> tuple[Tensor, Tensor]:
    """Draw a new view of each tile: turn, zoom and shift half of them, crop, mirror.

    Parameters
    ----------
    images, targets
        (B, 1, H, H) float.
    generator
        Source of the draws.
    side
        Of the crop, px.
    """
    images, targets = affine(images, targets, generator, share=0.5, zoom=(0.8, 1.25), shift=0.25)
    return symmetry(*crop(images, targets, generator, side), generator)


def best_network(
    tiles: Tiles,
    train: np.ndarray,
    test: np.ndarray,
    *,
    epochs: int = 60,
    features: int = 32,
    blocks: int = 9,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> CrossValidation:
    """Train the network on some tiles and predict others, or load what was trained before.

    AdamW at 2e-3 with a cosine, batches of eight crops, cross-entropy plus
    Dice, an exponential average of the weights.

    Parameters
    ----------
    tiles
        Both materials.
    train, test
        (n,) int: numbers of the tiles to learn from and to predict. No
        micrograph should have tiles on both sides.
    epochs, features, blocks, seed, device, progress
        As for :class:`mchelpers.train.Fit`, :func:`build` and
        :func:`mchelpers.crossval.fit_split`.

    Returns
    -------
    CrossValidation
        Logits (N, 1, H, W), positive on particles, 0 for tiles outside ``test``;
        ``weights[0]`` goes with ``load_network(build(features, blocks), ...)``.
    """
    targets = torch.from_numpy(tiles.masks).float()[:, None]
    settings = Fit(
        epochs=epochs,
        lr=2e-3,
        batch_size=8,
        weight_decay=1e-2,
        schedule="cosine",
        average=0.99,
        validate_every=epochs,
        seed=seed,
    )
    return fit_split(
        partial(build, features, blocks),
        prepare(tiles.images),
        targets,
        train,
        test,
        settings,
        name="particles-best",
        loss=bce_dice,
        augment=new_view,
        device=device,
        progress=progress,
    )
