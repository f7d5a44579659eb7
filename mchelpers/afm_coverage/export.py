"""A micrograph as AFM software exports it: colours, scale bar, colour bar, text, white page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..checks import check_image, check_pixel_size_nm

__all__ = ["export_page", "write_tiff"]

_STOPS = ((0, 0, 0), (92, 38, 8), (168, 92, 32), (224, 164, 92), (250, 222, 176), (255, 250, 240))
COLOURS = (
    np.stack(
        [np.interp(np.arange(256), np.linspace(0, 255, 6), c) for c in np.transpose(_STOPS)], axis=1
    )
    .round()
    .astype(np.uint8)
)
"""(256, 3) uint8: a brown colour map, from low to high, as AFM software likes it."""

_PAGE = 255  # white


def export_page(
    rgb: np.ndarray,
    range_nm: tuple[float, float],
    pixel_size_nm: float,
    margin: int = 24,
    title: str | None = None,
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Lay a micrograph out on a white page, with colour bar, scale bar and text.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, in the viewer's colours.
    range_nm
        Heights at the ends of the colour bar.
    pixel_size_nm
        Edge of a pixel.
    margin
        White pixels around everything.
    title
        A line of text above the micrograph; by default none.

    Returns
    -------
    page : (h, w, 3) uint8
    where : tuple of two slices
        Rows and columns of the page that are the micrograph.

    Raises
    ------
    ValueError
        If the micrograph is not (H, W, 3) uint8, or the pixel size is none in nm.
    """
    from PIL import Image, ImageDraw, ImageFont

    rgb = check_image(rgb, ndim=None)
    check_pixel_size_nm(pixel_size_nm)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"need a (height, width, 3) uint8 image, got {rgb.dtype} {rgb.shape}")
    height, width = rgb.shape[:2]
    size = max(11, round(height / 32))  # of letters
    top, left = margin + (2 * size if title else 0), margin
    page = Image.new(
        "RGB", (left + width + 9 * size + margin, top + height + 4 * size + margin), (_PAGE,) * 3
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    if title:
        draw.text((left, margin), title, fill="black", font=font)
    page.paste(Image.fromarray(rgb), (left, top))

    bar = np.repeat(COLOURS[::-1][np.linspace(0, 255, height // 2).astype(int), None], size, axis=1)
    x = left + width + size
    page.paste(Image.fromarray(bar), (x, top))
    for value, y in zip(range_nm[::-1], (top, top + height // 2 - size)):
        draw.text((x + round(1.5 * size), y), f"{value:.1f} nm", fill="black", font=font)

    length = _round_length(0.25 * width * pixel_size_nm)
    y = top + height + size
    draw.text((left, y - size // 4), "Height", fill="black", font=font)
    right = left + width
    draw.rectangle((right - length / pixel_size_nm, y, right, y + size // 3), fill="black")
    text = f"{length:.0f} nm" if length < 1000 else f"{length / 1000:g} um"
    draw.text((right - 4 * size, y + size // 2), text, fill="black", font=font)
    return np.asarray(page), (slice(top, top + height), slice(left, left + width))


def _round_length(nanometres: float) -> float:
    """Largest of 1, 2, 5, 10, 20, 50, ... nm below a length."""
    power = 10.0 ** np.floor(np.log10(nanometres))
    return float(power * max(k for k in (1, 2, 5) if k * power <= nanometres))


def write_tiff(page: np.ndarray, path: Path) -> Path:
    """Write a page as an uncompressed RGB TIFF; return the path."""
    from PIL import Image

    Image.fromarray(page).save(path, format="TIFF")
    return Path(path)
