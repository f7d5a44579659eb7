"""Figures: micrographs, masks, stages of a method, error maps, learning curves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..checks import check_image, check_mask, check_pixel_size_nm

if TYPE_CHECKING:
    from ..train import History

WIDTH = 7.0  # inches, the width of the book's text column
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Line colours, after Okabe and Ito: told apart by colour-blind readers."""
ERRORS = {
    "true positive": (255, 255, 255),
    "true negative": (0, 0, 0),
    "false positive": (214, 39, 40),
    "false negative": (31, 119, 180),
}
"""Colours of :func:`error_map`, RGB."""
MASK_COLOUR = COLOURS[1]


def style() -> None:
    """Set matplotlib's defaults for the book; ``mchelpers.start`` calls it."""
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.5),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "font.size": 10,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "image.cmap": "gray",
        }
    )


def grey_limits(values: np.ndarray) -> tuple[float, float]:
    """Grey levels that stand for black and white: all but the 0.5 % outliers on each side."""
    values = check_image(values, ndim=(2, 3), finite=False)
    if values.dtype == bool:
        return 0.0, 1.0
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("the image has no finite pixel; nothing can be shown")
    low, high = np.percentile(finite, (0.5, 99.5))
    if low == high:  # a map that is zero almost everywhere
        low, high = finite.min(), finite.max()
    return float(low), float(high) if high > low else float(low) + 1.0


def _draw(ax: Axes, values: np.ndarray, title: str | None = None) -> None:
    """Draw one (H, W) or (H, W, 3) array without ticks."""
    values = check_image(values, ndim=(2, 3), finite=False)
    if values.ndim == 2:
        low, high = grey_limits(values)
        ax.imshow(values, cmap="gray", vmin=low, vmax=high)
    elif values.ndim == 3 and values.shape[-1] in (3, 4):
        ax.imshow(values)
    else:
        raise ValueError(f"one (height, width) or RGB image is needed, got shape {values.shape}")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():  # a white region must not melt into the page
        spine.set(visible=True, color="0.6", linewidth=0.6)
    if title is not None:
        inches = ax.get_position().width * ax.figure.get_figwidth()
        if len(title) > inches * 72 / 6 and "\n" not in title:  # a letter is about 6 points wide
            lines = textwrap.fill(title.replace("_", "_ "), int(inches * 72 / 5))  # break at _ too
            ax.set_title(lines.replace("_ ", "_"), size=8)
        else:
            ax.set_title(title)


def image(
    ax: Axes,
    image: np.ndarray,
    title: str | None = None,
    pixel_size_nm: float | None = None,
    mask: np.ndarray | None = None,
) -> None:
    """Draw a micrograph, its mask and a scale bar.

    Parameters
    ----------
    ax
        Axes to draw into.
    image
        (H, W) grey, shown between its 0.5th and 99.5th percentile, or (H, W, 3).
    title
        Text above the image.
    pixel_size_nm
        Width of a pixel in nm; None or NaN (unknown) draws no scale bar.
    mask
        (H, W) bool; tinted and outlined where True.

    Raises
    ------
    ValueError
        If the image is not 2-D or RGB, the mask is not a boolean array of the
        same size, or the pixel size is not positive.
    """
    _draw(ax, image, title)
    if mask is not None:
        mask = check_mask(mask, shape=np.shape(image)[:2])
        tint = np.zeros((*mask.shape, 4))
        tint[mask] = mpl.colors.to_rgba(MASK_COLOUR, 0.3)
        ax.imshow(tint)
        if mask.any() and not mask.all() and min(mask.shape) > 1:  # an outline needs two sides
            ax.contour(mask, [0.5], colors=MASK_COLOUR, linewidths=1.2)
    if pixel_size_nm is not None and not np.isnan(pixel_size_nm):
        _scale_bar(ax, pixel_size_nm)


def _scale_bar(ax: Axes, pixel_size_nm: float) -> None:
    from matplotlib_scalebar.scalebar import ScaleBar

    bar = ScaleBar(
        check_pixel_size_nm(pixel_size_nm),
        "nm",
        length_fraction=0.3,
        location="lower right",
        box_alpha=0.75,
        border_pad=0.4,
        font_properties={"size": 8},
    )
    ax.add_artist(bar)


def _grid(count: int, columns: int, aspect: float = 1.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of page width with ``count`` axes of height/width ``aspect``."""
    if count < 1 or columns < 1:
        raise ValueError(f"there must be an image and a column, got {count} and {columns}")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    height = rows * (min(WIDTH / columns, 3.5) * aspect + 0.3)
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return fig, list(axes.flat[:count])


def montage(
    images: Sequence[np.ndarray] | np.ndarray,
    titles: Sequence[str] | None = None,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    columns: int = 4,
    pixel_size_nm: float | Sequence[float] | None = None,
) -> Figure:
    """Draw micrographs side by side.

    Parameters
    ----------
    images
        (N, H, W), or N images.
    titles, masks
        One per image.
    columns
        Images in a row.
    pixel_size_nm
        One for all or one per image; None or NaN where unknown.

    Returns
    -------
    Figure
        Displayed by the notebook at the end of the cell: do not repeat it.

    Raises
    ------
    ValueError
        If there is no image, or titles, masks or pixel sizes do not match.
    """
    images = [check_image(i, ndim=(2, 3), finite=False) for i in images]
    count = len(images)
    for name, given in (("titles", titles), ("masks", masks)):
        if given is not None and len(given) != count:
            raise ValueError(f"{len(given)} {name} for {count} images")
    sizes = np.full(count, np.nan) if pixel_size_nm is None else np.asarray(pixel_size_nm, float)
    if sizes.ndim and len(sizes) != count:
        raise ValueError(f"{len(sizes)} pixel sizes for {count} images")
    sizes = np.broadcast_to(sizes, count)
    aspect = max((i.shape[0] / i.shape[1] for i in images), default=1.0)
    fig, axes = _grid(count, columns, aspect)
    for n, ax in enumerate(axes):
        title = None if titles is None else titles[n]
        image(ax, images[n], title, sizes[n], None if masks is None else masks[n])
    return fig


def steps(arrays: Mapping[str, np.ndarray], columns: int = 4) -> Figure:
    """Draw the stages of a method, each in grey levels of its own.

    Parameters
    ----------
    arrays
        Title -> (H, W) array of any real type, or RGB; in order.
    columns
        Panels in a row.

    Raises
    ------
    ValueError
        If there is no stage, or one is complex or not an image.
    """
    arrays = {t: check_image(a, t, ndim=(2, 3), finite=False) for t, a in arrays.items()}
    aspect = max((a.shape[0] / a.shape[1] for a in arrays.values()), default=1.0)
    fig, axes = _grid(len(arrays), columns, aspect)
    for ax, (title, values) in zip(axes, arrays.items(), strict=True):
        _draw(ax, values, title)
    return fig


def error_colours(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Colour each pixel by what was said and what is true.

    Parameters
    ----------
    mask, truth
        (H, W) bool.

    Returns
    -------
    (H, W, 3) uint8
        True positive white, true negative black, false positive red, false
        negative blue.

    Raises
    ------
    ValueError
        If the arrays are not boolean or their shapes differ.
    """
    truth = check_mask(truth, "truth")
    mask = check_mask(mask, shape=truth.shape)
    names = ("true negative", "false negative", "false positive", "true positive")
    return np.array([ERRORS[n] for n in names], np.uint8)[2 * mask + truth]


def error_map(
    ax: Axes, mask: np.ndarray, truth: np.ndarray, title: str | None = None, legend: bool = False
) -> None:
    """Draw :func:`error_colours`, with a legend below if asked for."""
    _draw(ax, error_colours(mask, truth), title)
    if legend:
        patches = [
            mpl.patches.Patch(facecolor=np.divide(c, 255), edgecolor="0.5", label=name)
            for name, c in ERRORS.items()
        ]
        ax.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)


def curves(
    histories: Sequence[History] | Mapping[str, Sequence[History]], label: str = "validation"
) -> Figure:
    """Draw learning curves: each fold thin, their mean thick.

    Parameters
    ----------
    histories
        One :class:`~mchelpers.train.History` per fold, or name -> such a list
        to compare networks.
    label
        What the validation values are, e.g. ``"F1 of the held-out fold"``.

    Raises
    ------
    ValueError
        If there is no history, or one has no epoch.
    """
    sets = dict(histories) if isinstance(histories, Mapping) else {"": list(histories)}
    if not sets or not all(sets.values()) or not all(h.loss for s in sets.values() for h in s):
        raise ValueError("each learning curve needs at least one epoch; was anything trained?")
    validated = any(h.validation for s in sets.values() for h in s)
    fig, axes = plt.subplots(1, 1 + validated, figsize=(WIDTH, 2.9), squeeze=False)
    for (name, folds), colour in zip(sets.items(), COLOURS * len(sets), strict=False):
        _folds(axes[0, 0], [(_epochs(h.loss, h), h.loss) for h in folds], name, colour)
        if validated:
            points = [(_epochs(h.validation, h), h.validation) for h in folds if h.validation]
            _folds(axes[0, 1], points, name, colour)
    axes[0, 0].set(xlabel="epoch", ylabel="training loss")
    if validated:
        axes[0, 1].set(xlabel="epoch", ylabel=label)
    if any(sets):
        axes[0, -1].legend()
    return fig


def _epochs(values: list[float], history: History) -> np.ndarray:
    """Epochs (from 1) of values written every so many epochs, the last one always."""
    every = math.ceil(len(history.loss) / len(values))
    return np.minimum(every * np.arange(1, len(values) + 1), len(history.loss))


def _folds(ax: Axes, points: list[tuple[np.ndarray, list[float]]], name: str, colour: str) -> None:
    for epochs, values in points:
        ax.plot(epochs, values, color=colour, linewidth=0.7, alpha=0.45)
    shortest = min((p[0] for p in points), key=len, default=[])  # early stopping ends unevenly
    if len(shortest):
        mean = np.mean([values[: len(shortest)] for _, values in points], axis=0)
        marker = "o" if len(shortest) == 1 else None
        ax.plot(shortest, mean, color=colour, linewidth=2, marker=marker, label=name or None)
