"""Pictures of a run: outlines over each image, a histogram of what was measured, masks."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from .answer import Answer

__all__ = ["histogram", "mask_tiff", "overlay"]

COLOURS = {"found": (230, 159, 0), "second": (86, 180, 233)}  # told apart by the colour-blind
SIDE = 640  # px, the longer side of an overlay


def overlay(answer: Answer) -> bytes:
    """Draw the outlines of the objects (orange) and of the classical method (blue): PNG."""
    from PIL import Image

    shrink = max(1, math.ceil(max(answer.labels.shape) / SIDE))
    grow = max(1, SIDE // max(answer.labels.shape))
    picture = np.stack([_enlarged(c, grow) for c in _colours(answer.pixels[::shrink, ::shrink])], 2)
    for mask, name in ((answer.second, "second"), (answer.mask, "found")):
        if mask is not None:
            picture[_outline(_enlarged(mask[::shrink, ::shrink], grow))] = COLOURS[name]
    _scale_bar(picture, answer.ruler.nm * shrink / grow)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _colours(pixels: np.ndarray) -> list[np.ndarray]:
    """Stretch pixels to 0..255; three (H, W) uint8."""
    from ..show.figures import grey_limits

    low, high = grey_limits(pixels)
    shown = (255 * np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)).astype(np.uint8)
    return [shown] * 3 if shown.ndim == 2 else list(np.moveaxis(shown, 2, 0))


def _enlarged(plane: np.ndarray, times: int) -> np.ndarray:
    return plane.repeat(times, 0).repeat(times, 1)


def _outline(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion

    return mask & ~binary_erosion(mask, iterations=2, border_value=1)


def bar_nm(width_nm: float) -> float:
    """Choose a round length, 1, 2 or 5 times a power of ten, near a fifth of a width."""
    power = 10.0 ** math.floor(math.log10(width_nm / 5))
    return max(n * power for n in (1, 2, 5) if n * power <= width_nm / 5)


def _scale_bar(picture: np.ndarray, pixel_nm: float) -> None:
    """Draw a bar with its length into the lower left corner; none where the scale is unknown."""
    from PIL import Image, ImageDraw, ImageFont

    if math.isnan(pixel_nm):
        return
    height, width = picture.shape[:2]
    length = bar_nm(width * pixel_nm)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, height - 44, 24 + length / pixel_nm, height - 8), fill="black")
    draw.rectangle((16, height - 18, 16 + length / pixel_nm, height - 14), fill="white")
    text = f"{length:g} nm" if length < 1000 else f"{length / 1000:g} um"
    draw.text((16, height - 40), text, "white", ImageFont.load_default(16))
    picture[:] = np.asarray(image)


def mask_tiff(answer: Answer) -> bytes:
    """Write the labels as a TIFF that ImageJ opens with its pixel size."""
    from tifffile import imwrite

    nm = answer.ruler.nm
    about = {} if math.isnan(nm) else {"resolution": (1 / nm, 1 / nm), "metadata": {"unit": "nm"}}
    labels = answer.labels if answer.labels.max() < 2**16 else answer.mask  # as ImageJ can count
    file = io.BytesIO()
    imwrite(file, labels.astype(np.uint16), imagej=True, **about)
    return file.getvalue()


def histogram(values: Sequence[float], name: str) -> tuple[bytes, str]:
    """Draw a histogram (PNG) and describe its median, with its 95 % interval, in words.

    The interval goes from one of the values in order to another, whatever their distribution;
    it needs six values, and takes them for independent.
    """
    from matplotlib.figure import Figure

    values = np.sort(np.asarray(values, float))
    count, middle = len(values), float(np.median(values))
    said = f"{count} values of {name}; median {middle:.3g}"
    figure = Figure((5, 2.6), layout="constrained")
    ax = figure.subplots()
    ax.hist(values, bins=min(40, max(5, round(math.sqrt(count)))), color="0.5")
    ax.axvline(middle, color="C1")
    if count >= 6:
        reach = 0.98 * math.sqrt(count)  # ranks: 1.96 standard deviations of a coin's tosses
        low = values[max(0, math.floor(count / 2 - reach))]
        high = values[min(count - 1, math.ceil(count / 2 + reach))]
        ax.axvspan(low, high, color="C1", alpha=0.3, linewidth=0)
        said += f", 95 % interval {low:.3g} to {high:.3g}"
    ax.set(xlabel=name, ylabel="count")
    file = io.BytesIO()
    figure.savefig(file, dpi=110)
    return file.getvalue(), said
