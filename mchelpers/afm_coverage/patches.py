"""Patches cut out of labelled micrographs of films, and splits that keep a sample together.

The coverage study multiplies 221 micrographs into patches: mirrored, turned by
any angle, rescaled, cut out, and thrown away unless all of the patch lies
inside the micrograph. Taken apart in the chapter *Patches and splits*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import check_image, check_mask
from ..data import Split

__all__ = ["Patches", "cut_patches", "frames", "split_conditions"]

_MOST_TRIES = 20_000  # a 512 px patch of a 512 x 900 px image passes one time in fifteen


@dataclass(frozen=True)
class Patches:
    """Square patches with their masks, and where each came from.

    Attributes
    ----------
    images
        (N, side, side) uint8.
    masks
        (N, side, side) bool.
    source
        (N,) int, number of the micrograph.
    scale
        (N,) float, magnification against the micrograph: 2 shows half as much.
    """

    images: np.ndarray
    masks: np.ndarray
    source: np.ndarray
    scale: np.ndarray

    @property
    def coverage(self) -> np.ndarray:
        """(N,) float, share of each patch that is film."""
        return self.masks.mean((1, 2))

    def of(self, micrographs: np.ndarray) -> np.ndarray:
        """Return the (n,) numbers of the patches that come from these micrographs."""
        return np.flatnonzero(np.isin(self.source, micrographs))


def cut_patches(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    side: int,
    count: int,
    scale: tuple[float, float] = (0.5, 2.0),
    turn: bool = True,
    seed: int = 0,
    progress: str | None = None,
) -> Patches:
    """Cut patches that lie wholly inside their micrographs, image and mask alike.

    Parameters
    ----------
    images
        Micrographs (H, W) uint8; sizes may differ.
    masks
        (H, W) bool each.
    side
        Of a patch, px.
    count
        Patches of each micrograph.
    scale
        Smallest and largest magnification, drawn evenly.
    turn
        Turn by any angle and mirror; False only rescales and cuts.
    seed
        The patches of micrograph ``i`` depend on ``(seed, i)``, the micrograph
        and the other arguments only.
    progress
        Caption of a progress bar; None shows none.

    Returns
    -------
    Patches
        ``count`` of each micrograph, in their order.

    Raises
    ------
    ValueError
        If an image is no (H, W) uint8 or its mask no boolean of that shape, or
        if a micrograph is too small for such patches.

    Notes
    -----
    Moses et al., Mater. Today Adv. 22, 100483 (2024), Methods: independent
    flips, rotation by 0 to 360 degrees, rescaling by 0.5 to 2, random crop, and
    rejection until ten patches are valid. The middle of a patch is drawn evenly
    over the micrograph, which the paper does not say.
    """
    from tqdm.auto import tqdm

    if len(images) != len(masks) or not len(images) or count < 1 or side < 1:
        raise ValueError(
            f"need as many masks as images, and side and count above 0; got {len(images)} images, "
            f"{len(masks)} masks, side {side}, count {count}"
        )
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f"scale must be (smallest, largest) above 0, got {scale}")
    parts, shown, scales = [], [], []
    pairs = zip(images, masks)
    for number, (image, mask) in enumerate(
        tqdm(pairs, desc=progress, total=len(images), unit="image", disable=progress is None)
    ):
        image, mask = _check(image, mask, number)
        rng = np.random.default_rng((seed, number))
        for _ in range(count):
            rows, columns, size = _place(rng, image.shape, side, scale, turn, number)
            parts.append(_sample(image, rows, columns, size))
            shown.append(mask[np.rint(rows).astype(int), np.rint(columns).astype(int)])
            scales.append(size)
    return Patches(
        np.stack(parts), np.stack(shown), np.repeat(np.arange(len(images)), count), np.array(scales)
    )


def frames(
    shapes: Sequence[tuple[int, int]],
    side: int,
    count: int,
    scale: tuple[float, float] = (0.5, 2.0),
    turn: bool = True,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Tell where :func:`cut_patches` cuts, without cutting.

    Parameters
    ----------
    shapes
        Height and width of each micrograph, px.
    side, count, scale, turn, seed
        As for :func:`cut_patches`.

    Returns
    -------
    corners
        (N, 4, 2) float, row and column of the middles of the four corner
        pixels in the micrograph, going round.
    scale
        (N,) float, magnification.

    Raises
    ------
    ValueError
        If a micrograph is too small for such patches.
    """
    corners, scales = [], []
    for number, shape in enumerate(shapes):
        rng = np.random.default_rng((seed, number))
        for _ in range(count):
            rows, columns, size = _place(rng, shape, side, scale, turn, number)
            at = ([0, 0, -1, -1], [0, -1, -1, 0])
            corners.append(np.stack([rows[at], columns[at]], 1))
            scales.append(size)
    return np.array(corners).reshape(-1, 4, 2), np.array(scales)


def _check(image: np.ndarray, mask: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    image = check_image(image, f"image {number}", None)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(
            f"image {number} is {image.dtype} {image.shape}; patches are cut from (H, W) uint8 "
            "(labelling.luminance turns colours into lightness)"
        )
    return image, check_mask(mask, f"mask {number}", image.shape)


def _place(
    rng: np.random.Generator,
    shape: tuple[int, int],
    side: int,
    scale: tuple[float, float],
    turn: bool,
    number: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw places until a patch lies inside; (side, side) row and column of each pixel, scale."""
    height, width = shape
    for _ in range(_MOST_TRIES):
        size = rng.uniform(*scale)
        angle = rng.uniform(0, 2 * math.pi) if turn else 0.0
        mirror = 1 - 2 * rng.integers(2) if turn else 1  # the other flip follows by turning
        middle = rng.uniform(0, 1, 2) * (height, width) - 0.5
        cos, sin = math.cos(angle), math.sin(angle)
        reach = (side - 1) / 2 / size * (abs(cos) + abs(sin))
        low, high = middle - reach, middle + reach
        if low.min() >= 0 and high[0] <= height - 1 and high[1] <= width - 1:
            steps = (np.arange(side) - (side - 1) / 2) / size
            down, right = steps[:, None], mirror * steps[None, :]
            return middle[0] + cos * down + sin * right, middle[1] - sin * down + cos * right, size
    raise ValueError(
        f"image {number} of {height} x {width} px has no room for a patch of {side} px at scale "
        f"{scale[0]} to {scale[1]}: {_MOST_TRIES} tries failed; take a smaller side or larger scale"
    )


def _sample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: float) -> np.ndarray:
    """Interpolate between four pixels, after smoothing what a smaller picture cannot hold."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    top, left = int(rows.min()), int(columns.min())
    window = image[top : int(rows.max()) + 2, left : int(columns.max()) + 2].astype(np.float32)
    if scale < 1:
        window = gaussian_filter(window, 0.5 * (1 / scale - 1))
    found = map_coordinates(window, [rows - top, columns - left], order=1, mode="nearest")
    return np.rint(found).astype(np.uint8)


def split_conditions(
    samples: np.ndarray, conditions: np.ndarray, validation: int = 5, test: int = 6, seed: int = 0
) -> Split:
    """Split micrographs so that no growth condition, and no sample, is on two sides.

    Parameters
    ----------
    samples
        (N,) label of each micrograph's sample.
    conditions
        (N,) or (N, k) growth condition of each micrograph, such as temperature,
        pressure and time.
    validation, test
        Samples to put aside, at least: conditions are added whole, in a
        shuffled order, until there are as many.
    seed
        Of the shuffle.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If a sample has two conditions, or none is left to train on.
    """
    samples, conditions = np.asarray(samples), np.asarray(conditions)
    if min(validation, test) < 0 or len(samples) != len(conditions) or not len(samples):
        raise ValueError(
            f"need a condition of every micrograph and no negative size; got {len(samples)} "
            f"samples, {len(conditions)} conditions, validation {validation}, test {test}"
        )
    _, which = np.unique(conditions, axis=0, return_inverse=True)
    which = which.reshape(-1)  # (N,) number of the condition
    of_sample = {s: set(which[samples == s].tolist()) for s in np.unique(samples)}
    if any(len(numbers) > 1 for numbers in of_sample.values()):
        raise ValueError("a sample has two growth conditions; give its runs two names")
    grown = np.bincount([numbers.pop() for numbers in of_sample.values()])  # samples of each
    order = np.random.default_rng(seed).permutation(len(grown))
    before = np.cumsum(grown[order]) - grown[order]  # samples put aside before this condition
    tested = order[before < test]
    rest = order[before >= test]
    checked = rest[np.cumsum(grown[rest]) - grown[rest] < validation]
    train = np.setdiff1d(rest, checked)
    if not len(train):
        raise ValueError(
            f"{len(grown)} conditions cannot give {validation} samples for validation, {test} for "
            "testing and one or more for training"
        )
    sides = (train, checked, tested)
    return Split(*(np.flatnonzero(np.isin(which, side)) for side in sides))
