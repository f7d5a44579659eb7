"""The network that two chapters segment nanoparticles with: one recipe, one cache.

Taken apart in the chapter *A U-Net of 65,000 weights*; *From micrograph to
population* measures with it.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..augment import affine, crop, symmetry
from ..checks import check_image
from ..data import bezier_background, zscore
from ..kept import CrossValidation, fit_split
from ..models import UNet, bce_dice
from ..train import Fit, autocast
from .crystallinity import local_lattice_map
from .tiles import Tiles

__all__ = [
    "ParticleUNet",
    "best_network",
    "build",
    "flatten",
    "new_view",
    "prepare",
    "prepare_whole",
    "rotate_fill",
    "settle_norms",
    "study_network",
]

_ON_FILM = 1.8  # logarithm of one and the lattice map, on bare film


def build(features: int = 32, blocks: int = 7) -> nn.Module:
    """Build the network: a normalised U-Net on pixels folded four by four, one logit a pixel."""
    return UNet(features, blocks, in_channels=2, norm=True, stem=4, classes=1)


def prepare(images: np.ndarray) -> Tensor:
    """Give each tile mean 0 and standard deviation 1, and put its lattice map beside it.

    The map answers what the first layers of so small a network cannot: whether fringes of one
    direction outshine the film's grain over a dozen periods.

    Parameters
    ----------
    images
        (N, H, W), any number type.

    Returns
    -------
    (N, 2, H, W) float32 tensor
        Grey levels, and the logarithm of :func:`local_lattice_map`, about 0 on bare film.
    """
    grey = zscore(check_image(images, "the tiles", (3,)))
    lattice = np.log1p(np.stack([local_lattice_map(image) for image in grey])) - _ON_FILM
    return torch.from_numpy(np.stack([grey, lattice.astype(np.float32)], axis=1))


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

    image = check_image(image).astype(np.float32)
    small = block_reduce(image, block, np.mean, cval=np.median(image))
    film = np.ones(small.shape, bool)
    for _ in range(4):
        surface = bezier_background(small, 2, film)
        rest = small - surface
        film = np.abs(rest) <= 2.5 * 1.4826 * np.median(np.abs(rest[film]))
    light = resize(surface.astype(np.float32), image.shape, order=1)
    return image - light


def prepare_whole(images: np.ndarray) -> Tensor:
    """Flatten whole micrographs, then :func:`prepare` them: (N, H, W) to (N, 2, H, W)."""
    return prepare(np.stack([flatten(image) for image in images]))


def new_view(
    images: Tensor, targets: Tensor, generator: torch.Generator, side: int = 256
) -> tuple[Tensor, Tensor]:
    """Draw a new view of each tile: turn, zoom and shift half of them, crop, mirror.

    Parameters
    ----------
    images, targets
        (B, 2, H, H) and (B, 1, H, H) float.
    generator
        Source of the draws.
    side
        Of the crop, px; at most the tile's.
    """
    images, targets = affine(images, targets, generator, share=0.5, zoom=(0.8, 1.25), shift=0.25)
    side = min(side, images.shape[-1])
    return symmetry(*crop(images, targets, generator, side), generator)


def best_network(
    tiles: Tiles,
    train: np.ndarray,
    test: np.ndarray,
    *,
    epochs: int = 24,
    features: int = 32,
    blocks: int = 7,
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
        Both materials, and bare film.
    train, test
        (n,) int: numbers of the tiles to learn from and to predict. No
        micrograph should have tiles on both sides.
    epochs, features, blocks, seed, device, progress
        As for :class:`mchelpers.train.Fit`, :func:`build` and
        :func:`mchelpers.kept.fit_split`.

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


def rotate_fill(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    fill: str = "wrap",
    side: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Turn each image and its target by any angle and mirror them at random.

    The corners that turn in from outside are filled with the image itself:
    continued on the other side (``"wrap"``, which tears particles apart) or
    mirrored at the edge (``"reflect"``, which does not).

    Parameters
    ----------
    images
        (B, C, H, H) float; interpolated between four pixels.
    targets
        (B, H, H) or (B, K, H, H) of any number type; the nearest pixel is taken, so
        that class numbers stay class numbers.
    generator
        Source of the draws.
    fill
        ``"wrap"`` or ``"reflect"``.
    side
        Return a random square of this side out of the turned image. The
        pixels outside it are never computed. None returns it whole.

    Returns
    -------
    images, targets
        Same types, H or ``side`` px wide.

    Raises
    ------
    ValueError
        If the fill is another word, images are not square, or smaller than ``side``.

    Notes
    -----
    Groschner et al., Microsc. Microanal. 27, 549 (2021) turn and mirror by a
    Keras generator, with ``"wrap"`` in their code.
    """
    count, _, height, width = images.shape
    side = height if side is None else side
    if fill not in ("wrap", "reflect"):
        raise ValueError(f"fill must be 'wrap' or 'reflect', got {fill!r}")
    if height != width or side > height:
        raise ValueError(f"cannot turn a square of {side} px out of {height} x {width} px")
    draws = torch.rand(count, 3, generator=generator)
    mirror = 1 - 2 * torch.randint(2, (count, 2), generator=generator)  # the other two by turning
    corner = torch.floor(draws[:, 1:] * (height - side + 1))  # (count, 2): column, row
    middle = (height - 1) / 2
    steps = torch.arange(side) - middle
    x = (corner[:, :1] + steps)[:, None, :] * mirror[:, 0, None, None]  # (count, 1, side)
    y = (corner[:, 1:] + steps)[:, :, None] * mirror[:, 1, None, None]  # (count, side, 1)
    angle = (2 * math.pi * draws[:, 0])[:, None, None]
    grid = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)
    grid = grid.to(images) + middle  # (count, side, side, 2), in px: column, row
    rest = targets if targets.ndim == 4 else targets[:, None]
    if fill == "wrap":
        # One pixel of the other side around the image, and every place folded into it.
        grid = torch.remainder(grid + 0.5, height) + 0.5
        images = functional.pad(images, (1, 1, 1, 1), mode="circular")
        rest = functional.pad(rest.to(images), (1, 1, 1, 1), mode="circular")
    grid = (2 * grid + 1) / images.shape[-1] - 1  # grid_sample counts from edge to edge, -1 to 1
    options = dict(padding_mode="reflection", align_corners=False)
    images = functional.grid_sample(images, grid, mode="bilinear", **options)
    rest = functional.grid_sample(rest.to(images), grid, mode="nearest", **options)
    return images, (rest if targets.ndim == 4 else rest[:, 0]).to(targets.dtype)


def study_network(
    tiles: Tiles,
    train: np.ndarray,
    test: np.ndarray,
    settings: Fit,
    *,
    name: str,
    side: int = 256,
    device: str | torch.device = "cpu",
) -> CrossValidation:
    """Train the study's network on tiles turned by any angle, or load what was trained before.

    Parameters
    ----------
    tiles, train, test
        As for :func:`best_network`.
    settings, device
        As for :func:`mchelpers.kept.fit_split`.
    name
        Of what it learns from.
    side
        Of the crop, px; corners that a turn leaves empty are filled from the other side.

    Returns
    -------
    CrossValidation
        Logits (N, 2, H, W).
    """
    return fit_split(
        ParticleUNet,
        torch.from_numpy(tiles.images)[:, None],
        torch.from_numpy(tiles.masks).long(),
        train,
        test,
        settings,
        name=f"particles-study-{name}",
        augment=partial(rotate_fill, fill="wrap", side=side),
        device=device,
    )


@torch.no_grad()
def settle_norms(network: nn.Module, images: Tensor, batch_size: int = 8) -> nn.Module:
    """Measure the statistics of every batch norm again, on images that no augmentation changed.

    Turned tiles are smoother than the tiles that a network is asked about; its batch norms have
    learned the spread of the smoother ones.

    Parameters
    ----------
    network
        Changed in place: its moving means and variances become plain means over the batches.
    images
        (N, 1, H, W) float.
    batch_size
        Images at a time.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    rates = [norm.momentum for norm in norms]
    network.eval()  # dropout stays off
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    device = next(network.parameters()).device
    for batch in images.split(batch_size):
        with autocast(device):
            network(batch.to(device))
    for norm, rate in zip(norms, rates):
        norm.momentum = rate
    return network.eval()


class ParticleUNet(nn.Module):
    """U-Net of 65,002 weights that finds nanoparticles, as the study's stored network has it.

    Each level down is one convolution with batch norm; the tensor is halved
    *before* its ReLU, and only the skip connection sees the ReLU. Each level
    up repeats pixels, joins the skip and convolves twice with a dropout in
    between. Features double from 4 to 32 and stay there.

    Parameters
    ----------
    depth
        Times the image is halved: 4 in the study.
    width
        Multiplies the features of every layer; 1 in the study.
    dropout
        Share of values dropped between the two convolutions on the way up.
    pool_before_relu
        True halves the tensor before its ReLU, as the study's code does; False
        after it, as the paper's text and figure say.
    in_channels, classes
        Channels of the image and of the logits. The study's softmax over two
        classes is part of :func:`mchelpers.train.cross_entropy`.

    Raises
    ------
    ValueError
        If there is no level or no feature, or an image's side is not a
        multiple of ``2 ** depth``.

    Notes
    -----
    Groschner et al., Microsc. Microanal. 27, 549 (2021), Fig. 1, and the
    layers of the weights they released. The moving statistics of the batch
    norm follow at PyTorch's rate (0.1), not at Keras's (0.01), so that they are
    settled after short trainings, too. Taken apart in the chapter
    *A U-Net of 65,000 weights*.
    """

    def __init__(
        self,
        depth: int = 4,
        width: int = 1,
        dropout: float = 0.2,
        pool_before_relu: bool = True,
        in_channels: int = 1,
        classes: int = 2,
    ):
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"depth and width must be at least 1, got {depth} and {width}")
        self.multiple = 2**depth
        self.pool_before_relu = pool_before_relu
        widths = [width * min(4 * 2**level, 32) for level in range(depth)]

        def convolution(ins: int, outs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(ins, outs, 3, padding=1), nn.BatchNorm2d(outs, eps=1e-4))

        self.down = nn.ModuleList(map(convolution, [in_channels, *widths[:-1]], widths))
        bottom = widths[-1]
        self.centre = nn.Sequential(
            convolution(bottom, bottom), nn.ReLU(), convolution(bottom, bottom), nn.ReLU()
        )
        self.up = nn.ModuleList()
        for below, own in zip([bottom, *widths[:0:-1]], widths[::-1]):
            first, second = convolution(own + below, own), convolution(own, own)
            self.up.append(nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), second, nn.ReLU()))
        self.pool = nn.MaxPool2d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes, H, W)."""
        height, width = image.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(
                f"image of {height} x {width} px: both sides must be a multiple of "
                f"{self.multiple}; pad or crop it first"
            )
        x, skips = image, []
        for block in self.down:
            x = block(x)  # (B, 4 * 2**level, H / 2**level, W / 2**level), not yet rectified
            skips.append(x.relu())
            x = self.pool(x if self.pool_before_relu else skips[-1])
        x = self.centre(x)  # (B, 32, H / 2**depth, W / 2**depth)
        for block in self.up:
            x = block(torch.cat([skips.pop(), self.grow(x)], dim=1))
        return self.head(x)
