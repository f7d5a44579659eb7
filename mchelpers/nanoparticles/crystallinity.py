"""Finding crystals without a network: grey level, Fourier annulus, local lattice.

The first two are the baselines of Groschner et al., Microsc. Microanal. 27,
549 (2021); taken apart in the chapter *Without a network*.
"""

from __future__ import annotations

import numpy as np

from ..checks import check_image, check_mask

__all__ = [
    "annulus",
    "best_threshold",
    "fourier_envelope",
    "fourier_mask",
    "lattice_mask",
    "local_lattice_map",
    "otsu_mask",
]


def otsu_mask(image: np.ndarray) -> np.ndarray:
    """Call the dark side of Otsu's threshold particle: heavy atoms scatter more.

    Parameters
    ----------
    image
        (H, W) float.

    Returns
    -------
    (H, W) bool
        Empty where the image is constant.
    """
    from skimage.filters import threshold_otsu

    image = check_image(image).astype(np.float32)
    if image.min() == image.max():
        return np.zeros(image.shape, bool)
    return image < threshold_otsu(image)


def annulus(shape: tuple[int, int], inner: float, outer: float, soft: float = 0.01) -> np.ndarray:
    """Make a ring of spatial frequencies with soft edges, for ``scipy.fft.rfft2``.

    Parameters
    ----------
    shape
        Of the image.
    inner, outer
        Radii in cycles per pixel, 0..0.5.
    soft
        Standard deviation of the edges, cycles per pixel.

    Returns
    -------
    (H, W // 2 + 1) float32 in 0..1
    """
    from scipy.fft import fftfreq, rfftfreq
    from scipy.special import erf

    if not 0 <= inner < outer:
        raise ValueError(f"need 0 <= inner < outer, got {inner} and {outer}")
    radius = np.hypot(fftfreq(shape[0])[:, None], rfftfreq(shape[1])[None])
    edges = erf((radius - inner) / soft) - erf((radius - outer) / soft)
    return (edges / 2).astype(np.float32)


def fourier_envelope(
    image: np.ndarray, inner: float, outer: float, smooth_px: float = 3.0
) -> np.ndarray:
    """Local power of an image in a ring of spatial frequencies.

    Image times ring in Fourier space, back, squared, smoothed: bright where
    the image varies at the frequencies of the lattice.

    Parameters
    ----------
    image
        (H, W) float.
    inner, outer
        The ring in cycles per pixel.
    smooth_px
        Standard deviation of the Gaussian, px.

    Returns
    -------
    (H, W) float32
    """
    from scipy.fft import irfft2, rfft2
    from scipy.ndimage import gaussian_filter

    image = check_image(image).astype(np.float32)
    spectrum = rfft2(image - image.mean())
    passed = irfft2(spectrum * annulus(image.shape, inner, outer), image.shape)
    return gaussian_filter(passed**2, smooth_px)


def fourier_mask(
    image: np.ndarray, inner: float, outer: float, smooth_px: float = 3.0
) -> np.ndarray:
    """Cut :func:`fourier_envelope` at its own Otsu threshold: (H, W) bool."""
    from skimage.filters import threshold_otsu

    envelope = fourier_envelope(image, inner, outer, smooth_px)
    if envelope.max() > 1e12:  # Otsu's method squares it
        envelope /= envelope.max()
    return envelope > threshold_otsu(envelope)


def _bank(inner: float, outer: float, gap: float) -> list[np.ndarray]:
    """Spread wave vectors evenly over half a ring: one (K, 2) array of (row, column) a radius."""
    rings = []
    for radius in np.arange(inner, outer + gap / 2, gap):
        # Half a turn is enough: the image is real, and q and -q are one set of planes.
        angles = np.linspace(0, np.pi, max(4, int(np.ceil(np.pi * radius / gap))), endpoint=False)
        rings.append(radius * np.column_stack([np.sin(angles), np.cos(angles)]))
    return rings


def local_lattice_map(
    image: np.ndarray,
    inner: float = 0.06,
    outer: float = 0.15,
    window_px: float = 12.0,
    smooth_px: float = 6.0,
) -> np.ndarray:
    """Ask at every pixel whether one set of lattice planes outshines the amorphous film.

    A windowed Fourier transform, as a bank of Gabor filters: the local power at
    each wave vector of a ring, in units of what is usual at that radius in
    this image, and of these the largest; where that is less than a quarter of
    the largest nearby, 0. Amorphous carbon spreads its power over all
    directions, a crystal gathers it in few. No grey level enters, and a change
    of brightness or contrast changes nothing.

    Parameters
    ----------
    image
        (H, W) float.
    inner, outer
        Ring of wave vectors, cycles per pixel.
    window_px
        Standard deviation of the Gaussian window, px: over how many fringes a
        lattice must hold.
    smooth_px
        Standard deviation of the Gaussian that smooths each power, px.

    Returns
    -------
    (H, W) float32
        Around 5 on carbon, of which the largest of some 90 waves is taken; 0
        everywhere for a constant image.

    Raises
    ------
    ValueError
        If the ring is not within 0..0.5 or the image is not finite.
    """
    from scipy import fft
    from scipy.ndimage import affine_transform, gaussian_filter, maximum_filter

    image = check_image(image).astype(np.float32)
    if not 0 < inner < outer <= 0.5:
        raise ValueError(f"need 0 < inner < outer <= 0.5, got {inner} and {outer}")
    if image.min() == image.max():
        return np.zeros(image.shape, np.float32)
    # Mirrored at the border: a jump there would be taken for fringes.
    rim = int(np.ceil(2 * window_px))
    padded = [fft.next_fast_len(size + 2 * rim) for size in image.shape]
    after = [p - size - rim for p, size in zip(padded, image.shape)]
    mirrored = np.pad(image - image.mean(), list(zip((rim, rim), after)), "symmetric")
    spectrum = fft.fft2(mirrored)
    # Power varies no faster than the window: compute it on every few pixels only.
    step = max(1, int(window_px / 2))
    grid = [fft.next_fast_len(-(-p // step)) for p in padded]
    offsets = [fft.fftfreq(g, 1 / g).astype(int) for g in grid]
    width = 1 / (2 * np.pi * window_px)  # of the window's own transform, cycles per pixel
    rows, columns = (np.exp(-0.5 * (o / p / width) ** 2) for o, p in zip(offsets, padded))
    gauss = np.outer(rows, columns).astype(np.float32)

    def power(wave: np.ndarray) -> np.ndarray:
        # The neighbourhood of one wave vector, moved to the origin: its inverse
        # transform is the local amplitude of that wave, without its fringes.
        centre = np.round(wave * padded).astype(int)
        near = spectrum[np.ix_(*((o + c) % p for o, c, p in zip(offsets, centre, padded)))]
        local = fft.ifft2(near * gauss)
        return gaussian_filter(local.real**2 + local.imag**2, smooth_px / step, mode="wrap")

    best = np.zeros(grid, np.float32)
    for ring in _bank(inner, outer, 1.5 * width):
        powers = np.stack([power(wave) for wave in ring])  # (waves, *grid)
        usual = max(float(np.median(powers)), np.finfo(np.float32).tiny)
        np.maximum(best, powers.max(0) / usual, out=best)
    # At a straight edge the window holds half of the crystal: half the amplitude, a
    # quarter of the power. Less than that beside a strong crystal is its shine.
    best[best < maximum_filter(best, round(3 * window_px / step), mode="wrap") / 4] = 0
    scale = np.divide(grid, padded)
    return affine_transform(
        best, scale, rim * scale, image.shape, np.float32, order=1, mode="grid-wrap"
    )


def lattice_mask(image: np.ndarray, threshold: float, **settings: float) -> np.ndarray:
    """Cut :func:`local_lattice_map` at a threshold, fitted by :func:`best_threshold`.

    Parameters
    ----------
    image
        (H, W) float.
    threshold
        The same for every image: the map carries its own unit.
    settings
        Of :func:`local_lattice_map`.

    Returns
    -------
    (H, W) bool
    """
    return local_lattice_map(image, **settings) > threshold


def best_threshold(maps: np.ndarray, masks: np.ndarray, steps: int = 1000) -> tuple[float, float]:
    """Find the one threshold whose masks agree best with the labels.

    Parameters
    ----------
    maps
        (N, H, W) float, larger on particles.
    masks
        (N, H, W) bool.
    steps
        Thresholds tried, at quantiles of all values.

    Returns
    -------
    threshold, dice : float
        ``maps > threshold`` has this pooled Dice.

    Raises
    ------
    ValueError
        If the shapes differ or no pixel is labelled.
    """
    maps = check_image(maps, "maps", (3,), floating=True)
    masks = check_mask(masks, "masks", ndim=(3,))
    if maps.shape != masks.shape or not masks.any():
        raise ValueError(f"need labelled pixels and equal shapes, got {maps.shape}, {masks.shape}")
    levels = np.unique(np.quantile(maps[:, ::4, ::4], np.linspace(0, 1, steps)))
    # One sort per set gives the counts above every level at once.
    above = [
        values.size - np.searchsorted(np.sort(values), levels, "right")
        for values in (maps[masks], maps[~masks])
    ]
    dice = 2 * above[0] / (above[0] + above[1] + masks.sum())
    best = int(dice.argmax())
    return float(levels[best]), float(dice[best])
