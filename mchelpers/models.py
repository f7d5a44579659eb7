"""Segmentation networks that the chapters take apart.

Ready-made encoders come from segmentation-models-pytorch and timm; what is
defined here are the networks that a study describes layer by layer.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ._moved import find_object

__all__ = ["UNet", "double_conv", "count_parameters", "receptive_field", "bce_dice", "soft_dice"]


def double_conv(in_channels: int, out_channels: int, norm: bool = False) -> nn.Sequential:
    """Build two padded 3x3 convolutions, each followed by a ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Channels before and after.
    norm
        Put a batch norm between convolution and ReLU (the paper has none).
    """
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net with same-padding, so that the mask has the size of the image.

    Every level halves the image and doubles the features; the way back up
    doubles the image by a 2x2 transposed convolution, halves the features and
    joins the features of the same level on the way down.

    Parameters
    ----------
    features
        Features of the first block: 32 in the graphene study, 64 in the
        original U-Net.
    blocks
        Blocks in all, an odd number: 7 (four down, three up) in the graphene
        study, 9 in the original.
    in_channels, classes
        Channels of the image and of the logits.
    norm
        Batch norm after each convolution (not in the paper).
    stem
        Fold each ``stem`` x ``stem`` square of pixels into channels before the
        first block and unfold the logits after the last. 1 leaves the paper's
        network as it is; 2 makes every convolution four times cheaper.

    Raises
    ------
    ValueError
        If ``blocks`` is not odd, or an image's side is not a multiple of
        ``stem * 2 ** (blocks // 2)``.

    Notes
    -----
    Sadre et al., Microsc. Microanal. 27, 804 (2021), Fig. 3; Ronneberger et
    al., MICCAI 2015. Taken apart in the chapter *A U-Net for contaminants*.
    """

    def __init__(
        self,
        features: int = 32,
        blocks: int = 7,
        in_channels: int = 1,
        classes: int = 2,
        norm: bool = False,
        stem: int = 1,
    ):
        super().__init__()
        if blocks < 3 or blocks % 2 == 0:
            raise ValueError(f"blocks must be odd and at least 3 (one bottom block), got {blocks}")
        depth = blocks // 2
        widths = [features * 2**level for level in range(depth + 1)]
        self.multiple = stem * 2**depth
        self.fold = nn.PixelUnshuffle(stem)
        self.unfold = nn.PixelShuffle(stem)
        ins = [in_channels * stem**2, *widths[:-1]]
        self.down = nn.ModuleList(double_conv(i, o, norm) for i, o in zip(ins, widths))
        self.pool = nn.MaxPool2d(2)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(w, w // 2, 2, stride=2) for w in widths[:0:-1])
        self.up = nn.ModuleList(double_conv(w, w // 2, norm) for w in widths[:0:-1])
        self.head = nn.Conv2d(features, classes * stem**2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes, H, W)."""
        height, width = image.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(
                f"image of {height} x {width} px: both sides must be a multiple of "
                f"{self.multiple}; pad or crop it first"
            )
        x = self.fold(image)  # (B, C * stem**2, H / stem, W / stem)
        skips = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)  # (B, features * 2**level, H / 2**level, ...)
            skips.append(x)
        skips.pop()
        for grow, block in zip(self.grow, self.up):
            x = grow(x)
            x = block(torch.cat([x, skips.pop()], dim=1))
        return self.unfold(self.head(x))


def count_parameters(model: nn.Module) -> int:
    """Count a network's trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def receptive_field(model: nn.Module, size: int = 256, pixel: int | None = None) -> int:
    """Measure how wide a square of input pixels can move one output pixel.

    The gradient of one output pixel is followed back to the input,
    with every weight set to a positive constant so that nothing cancels, and
    with means in place of maxima.

    Parameters
    ----------
    model
        Network from (1, C, H, W) to (1, classes, H, W). It is copied, not
        changed. Its first layer's channel count is read from its first
        convolution.
    size
        Side of the probing image in pixels; must exceed the field.
    pixel
        Row and column of the output pixel to follow back; by default the
        middle. Where a network repeats pixels, neighbours see unequally far.

    Returns
    -------
    int
        Side of the square, in pixels.
    """
    # Products of many small weights would vanish in single precision.
    probe = copy.deepcopy(model).cpu().double().eval()
    for module in list(probe.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):  # passes gradient to one pixel of each square
                setattr(module, name, nn.AvgPool2d(child.kernel_size))
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.fill_(1e-3)
    stem = getattr(model, "fold", nn.PixelUnshuffle(1)).downscale_factor
    first = next(m for m in probe.modules() if isinstance(m, nn.Conv2d))
    channels = first.in_channels // stem**2
    image = torch.ones(1, channels, size, size, dtype=torch.float64, requires_grad=True)
    pixel = size // 2 if pixel is None else pixel
    probe(image)[0, 0, pixel, pixel].backward()
    reached = image.grad.abs().sum((0, 1)) > 0  # (H, W)
    rows = torch.nonzero(reached.any(1)).flatten()
    return int(rows[-1] - rows[0] + 1)


def soft_dice(logits: Tensor, target: Tensor, smooth: float = 64.0) -> Tensor:
    """Soft Dice loss of each image.

    Parameters
    ----------
    logits
        (B, C, H, W) float, one sigmoid per class.
    target
        (B, C, H, W) float in 0..1.
    smooth
        Pixels added to both sides of the ratio: it keeps the loss of an empty
        label finite, and a region far smaller than this from dominating.

    Returns
    -------
    (B,) float
        0 for a perfect mask, towards 1 for no overlap.

    Notes
    -----
    Milletari, Navab, Ahmadi, 3DV 2016, Eq. 1, with a linear denominator.
    """
    if logits.shape != target.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} differ")
    chance = logits.sigmoid()
    overlap = (chance * target).sum((1, 2, 3))
    total = (chance + target).sum((1, 2, 3))
    return 1 - (2 * overlap + smooth) / (total + smooth)


def bce_dice(
    logits: Tensor, target: Tensor, dice_weight: float = 1.0, smooth: float = 64.0
) -> Tensor:
    """Binary cross-entropy over pixels plus soft Dice over images.

    Cross-entropy gives every pixel a gradient from the first step on; Dice
    pulls towards the score that counts.

    Parameters
    ----------
    logits, target
        (B, C, H, W) float; the target in 0..1.
    dice_weight
        Weight of the Dice term; 0 is plain cross-entropy.
    smooth
        As for :func:`soft_dice`.

    Returns
    -------
    () float
    """
    pixels = binary_cross_entropy_with_logits(logits, target)
    return pixels + dice_weight * soft_dice(logits, target, smooth).mean()


__getattr__ = partial(find_object, "models")  # old names of recorded chapters
