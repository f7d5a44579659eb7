"""What both simulators of graphene draw at random: patches, their texture, series of images."""

from __future__ import annotations

import numpy as np

__all__ = [
    "blobs",
    "contaminant_share",
    "labels",
    "series_length",
    "series_of",
    "smooth_noise",
    "stretch",
]

# Images per series, repeated: most series have one image, some two or three,
# as in the study (89 series of one image, 20 that share 42).
_SERIES_LENGTHS = (1, 2, 1, 1, 3)


_DATES = 7


def series_of(index: int) -> tuple[int, int]:
    """Return the series of an image and its place in the series, both from 0."""
    block, rest = divmod(index, sum(_SERIES_LENGTHS))
    ends = np.cumsum(_SERIES_LENGTHS)
    k = int(np.searchsorted(ends, rest, side="right"))
    return block * len(_SERIES_LENGTHS) + k, rest - int(ends[k] - _SERIES_LENGTHS[k])


def series_length(series: int) -> int:
    """Return the number of images of a series."""
    return _SERIES_LENGTHS[series % len(_SERIES_LENGTHS)]


def smooth_noise(
    rng: np.random.Generator, size: int, low: float, high: float | None = None
) -> np.ndarray:
    """Make noise of a band of spatial frequencies.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Pixels along each side.
    low, high
        With one number: noise up to about this frequency (px^-1). With two:
        noise in a ring from ``low`` to ``high``.

    Returns
    -------
    (size, size) float32
        Mean 0, standard deviation 1, periodic.
    """
    # Few frequencies matter: sum those alone, as two small matrix products.
    top = (low * 3.5 if high is None else (low + high) / 2 + 2 * (high - low)) * size
    k = np.arange(-int(min(top, size / 2 - 1)), int(min(top, size / 2 - 1)) + 1)
    q = np.hypot(k[:, None], k[None, k >= 0]) / size
    if high is None:
        envelope = np.exp(-0.5 * (q / low) ** 2)
    else:
        envelope = np.exp(-2 * ((q - (low + high) / 2) / (high - low)) ** 2)
    envelope[q == 0] = 0
    spectrum = (envelope * np.exp(2j * np.pi * rng.random(q.shape))).astype(np.complex64)
    roots = np.exp(2j * np.pi / size * np.arange(size)).astype(np.complex64)
    waves = roots[np.outer(np.arange(size), k) % size]  # (size, k)
    left, right = waves @ spectrum, waves[:, k >= 0]
    noise = left.real.copy() @ right.real.T.copy() - left.imag.copy() @ right.imag.T.copy()
    return (noise - noise.mean()) / noise.std()


def blobs(rng: np.random.Generator, size: int, fraction: float, count: int) -> np.ndarray:
    """Draw ragged blobs that cover an exact share of an image.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Pixels along each side.
    fraction
        Share of the pixels to cover, 0..1.
    count
        Number of blobs; they may touch.

    Returns
    -------
    (size, size) bool
    """
    if fraction == 0:
        return np.zeros((size, size), bool)
    axis = np.arange(size, dtype=np.float32) / size
    height = np.full((size, size), -np.inf, np.float32)
    for row, column in rng.uniform(-0.05, 1.05, (count, 2)):
        radius = rng.uniform(0.6, 1.2)
        distance = np.hypot(axis[:, None] - row, axis[None] - column)
        height = np.maximum(height, -distance / radius)
    height += 0.05 * smooth_noise(rng, size, 4 / size)
    return height > np.quantile(height, 1 - fraction)


def contaminant_share(rng: np.random.Generator) -> float:
    """Draw the share of an image that contaminant covers.

    Spread as in the 131 labelled images of Sadre et al. (2021): median near
    0.1, at most 0.6, now and then none.
    """
    empty = rng.random() < 0.05
    return 0.0 if empty else float(np.clip(np.exp(rng.normal(-2.3, 0.85)), 0.012, 0.6))


def stretch(image: np.ndarray) -> np.ndarray:
    """Stretch an image to 0..255 and round, as the study's 8-bit files are.

    Returns
    -------
    float32, the shape of the image
    """
    low, high = image.min(), image.max()
    return np.round(255 * (image - low) / (high - low)).astype(np.float32)


def labels(stem: str, places: list[tuple[int, int]]) -> dict:
    """Name images by their (series, layer), and group them."""
    dates = [f"day{series % _DATES + 1}" for series, _ in places]
    return {
        "names": [
            f"{stem}_{date}_{series:03d}_layer_{layer}"
            for date, (series, layer) in zip(dates, places, strict=True)
        ],
        "groups": {
            "series": np.array([f"series{series:03d}" for series, _ in places]),
            "date": np.array(dates),
        },
    }
