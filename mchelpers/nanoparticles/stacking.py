"""Reading the stacking of a particle's layers off its diffraction.

Close-packed layers of atoms take one of three positions, A, B or C. Seen along
the rows of atoms, each layer shows the fringes of its atom columns, and the
phase of these fringes tells the position. A stacking fault is where their order
changes. Taken apart in the chapter *Stacking faults*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checks import check_image, check_mask, check_pixel_size_nm

__all__ = [
    "LAYER_NM",
    "PIXEL_SIZES_NM",
    "Spectrum",
    "Stacking",
    "bragg_spectrum",
    "layer_positions",
    "layer_waves",
    "read_stacking",
    "two_crystals",
]

LAYER_NM = 0.3505
"""Spacing of the close-packed layers of CdSe, c / 2 of wurtzite."""

PIXEL_SIZES_NM = (0.004, 0.07)  # shows the layers, and the transform fits into memory

_FRACTIONS = (0.0, 1 / 2, 1 / 3, -1 / 3)  # cycles per layer; see two_crystals
_KINDS = ((0, 1), (2,), (3,))  # wurtzite, zinc blende, and the same mirrored
_DRIFTS = np.linspace(-0.03, 0.03, 7)  # cycles per layer that a row may lean


@dataclass(frozen=True)
class Spectrum:
    """The power of one crop over spatial frequency.

    Attributes
    ----------
    waves
        (H, W) float32: the crop without its slow variations, under its window.
    power
        (M, M) float32, zero frequency in the middle.
    contrast
        (M, M) float32: power over what is usual at that frequency in all
        directions, averaged over 0.08/nm; about 1 where nothing diffracts.
    frequency
        (M, M) float32, 1/nm.
    step
        Between two values, 1/nm.
    pixel_size_nm
        Of the crop.
    """

    waves: np.ndarray
    power: np.ndarray
    contrast: np.ndarray
    frequency: np.ndarray
    step: float
    pixel_size_nm: float

    def at(self, angle: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Interpolate the contrast at frequencies along and across a direction (rad), 1/nm."""
        from scipy.ndimage import map_coordinates

        rows = np.sin(angle) * along + np.cos(angle) * across
        columns = np.cos(angle) * along - np.sin(angle) * across
        middle = len(self.contrast) // 2
        where = [rows / self.step + middle, columns / self.step + middle]
        return map_coordinates(self.contrast, where, order=1)


def _window(mask: np.ndarray, soft_px: float) -> np.ndarray:
    """Soften a mask, and let it fade towards the sides of its box: (H, W) float32."""
    from scipy.ndimage import gaussian_filter

    window = gaussian_filter(mask.astype(np.float32), soft_px)
    for axis, size in enumerate(mask.shape):
        slope = np.arange(size) + 0.5
        near = np.minimum(slope, slope[::-1]) / (0.1 * size)
        hann = (0.5 - 0.5 * np.cos(np.pi * np.minimum(near, 1))).astype(np.float32)
        window *= hann[:, None] if axis == 0 else hann
    return window


def bragg_spectrum(crop: np.ndarray, mask: np.ndarray, pixel_size_nm: float) -> Spectrum:
    """Transform what lies within a mask, and hold its power against the amorphous film's.

    Parameters
    ----------
    crop
        (H, W) float.
    mask
        (H, W) bool.
    pixel_size_nm
        Edge of a pixel.

    Returns
    -------
    Spectrum
        Up to 9/nm, or to the Nyquist frequency.
    """
    from scipy import fft
    from scipy.ndimage import gaussian_filter, median

    crop = check_image(crop, "the crop").astype(np.float32)
    mask = check_mask(mask, shape=crop.shape)
    check_pixel_size_nm(pixel_size_nm, *PIXEL_SIZES_NM)
    flat = crop - gaussian_filter(crop, 0.5 / pixel_size_nm)
    waves = flat * _window(mask, 0.15 / pixel_size_nm)
    n = 2 * fft.next_fast_len(int(np.ceil(max(7.5 / pixel_size_nm, max(crop.shape) / 2))))
    step = 1 / (n * pixel_size_nm)
    reach = min(int(9 / step), n // 2 - 1)
    kept = slice(n // 2 - reach, n // 2 + reach + 1)
    power = np.abs(fft.fftshift(fft.fft2(waves, (n, n)))[kept, kept]) ** 2
    axis = step * np.arange(-reach, reach + 1, dtype=np.float32)
    frequency = np.hypot(axis[:, None], axis)
    # The median over a ring does not see the few directions in which a crystal diffracts.
    ring = np.rint(frequency / 0.25).astype(int)
    half = slice(reach + 1)  # a real image has the same power at q and -q
    usual = median(power[half], ring[half], np.arange(ring.max() + 1)) / np.log(2)
    usual = np.interp(frequency, 0.25 * np.arange(len(usual)), gaussian_filter(usual, 0.7))
    contrast = (power / np.maximum(usual, np.finfo(np.float32).tiny)).astype(np.float32)
    return Spectrum(
        waves, power, gaussian_filter(contrast, 0.08 / step), frequency, step, pixel_size_nm
    )


@dataclass(frozen=True)
class Stacking:
    """What the layers of one particle say.

    Attributes
    ----------
    angle
        Of the stacking direction from the columns' axis towards the rows', rad.
    layer_nm, row_nm
        Spacing of the layers, and of the columns of atoms within one.
    fringe, row
        Contrast of the layers' own reflection, and of the row beside it.
    explained
        Share of the row's power that two crystals account for.
    two_crystals
        How much of it one crystal cannot: 0 for a perfect particle, about 0.7
        for a fault or twin in the middle.
    signal, second
        What one crystal explains, and two crystals more, over the noise.
    """

    angle: float
    layer_nm: float
    row_nm: float
    fringe: float
    row: float
    explained: float
    two_crystals: float
    signal: float
    second: float


def _row_nm(layer_nm: float) -> float:
    """Spacing of the atom columns within a close-packed layer, from that of the layers."""
    return layer_nm * np.sqrt(3 / 2) * np.sqrt(3) / 2


def _axis(spectrum: Spectrum, layer_nm: float) -> tuple[float, float, float, float, float]:
    """Find the direction with a reflection at the layers' spacing and a row of them beside it.

    Returns angle, layer_nm, row_nm, fringe and row of :class:`Stacking`.
    """
    angles = np.radians(np.arange(180))[:, None]
    stretch = np.linspace(0.96, 1.04, 5)  # a calibration may be off, a lattice strained
    ladder = np.linspace(-1.05, 1.05, 43) / layer_nm
    fringe = spectrum.at(angles, stretch / layer_nm, 0).max(1)
    row = np.max([spectrum.at(angles, ladder, s / _row_nm(layer_nm)).mean(1) for s in stretch], 0)
    best = int((fringe * row).argmax())
    # Finer: the reflection's place gives direction and spacing, then the row's distance.
    near = angles[best] + np.radians(np.linspace(-4, 4, 17))[:, None]
    stretch = np.linspace(0.95, 1.05, 11)
    peak = spectrum.at(near, stretch / layer_nm, 0)
    i, j = np.unravel_index(peak.argmax(), peak.shape)
    angle, layer = float(near[i, 0]), float(layer_nm / stretch[j])
    across = stretch[:, None] / _row_nm(layer_nm)
    k = int(spectrum.at(angle, ladder, across).mean(1).argmax())
    return angle, layer, float(1 / across[k, 0]), float(fringe[best]), float(row[best])


def layer_waves(
    spectrum: Spectrum, angle: float, layer_nm: float, row_nm: float, parts: int = 8
) -> np.ndarray:
    """Add up one set of fringes layer by layer.

    The fringes of the atom columns within a layer: their phase tells where the
    columns stand, A, B or C, each a third of a turn from the next.

    Parameters
    ----------
    spectrum
        As :func:`bragg_spectrum` returns it.
    angle, layer_nm, row_nm
        As in :class:`Stacking`.
    parts
        Each layer is cut into so many slices.

    Returns
    -------
    (N, parts) complex
        Amplitude and phase of the fringes in every slice, from one end of the
        particle to the other.
    """
    from scipy.ndimage import gaussian_filter1d

    rows, columns = (
        spectrum.pixel_size_nm * (np.arange(size) - (size - 1) / 2) for size in spectrum.waves.shape
    )
    height = np.sin(angle) * rows[:, None] + np.cos(angle) * columns
    aside = np.cos(angle) * rows[:, None] - np.sin(angle) * columns
    turned = spectrum.waves * np.exp((-2j * np.pi / row_nm) * aside)
    half = int(np.ceil(np.abs(height).max() / layer_nm)) + 1  # layers on each side of the centre
    part = (np.floor(height * (parts / layer_nm)).astype(int) + half * parts).ravel()
    real, imaginary = (
        np.bincount(part, x.ravel(), 2 * half * parts) for x in (turned.real, turned.imag)
    )
    return gaussian_filter1d(real + 1j * imaginary, 1.0).reshape(-1, parts)


def layer_positions(waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spell a stack of layers: the position of each as a number of thirds.

    Parameters
    ----------
    waves
        (N, parts) complex, as :func:`layer_waves` returns it.

    Returns
    -------
    layers : (K,) int
        Those of enough amplitude to be read.
    positions : (K,) float
        -0.5 to 2.5; 0, 1 and 2 stand for A, B and C. Which of the three is
        called A, and in which sense they follow, an image does not tell.
    """
    amplitude = np.abs(waves)
    height = waves[:, (amplitude**2).sum(0).argmax()]  # where in a layer the fringes are strongest
    layers = np.flatnonzero(amplitude.max(1) > 0.3 * amplitude.max())
    # All positions coincide in the cube: its phase is the origin, and leans if the row does.
    cube = height[layers] ** 3 / np.maximum(np.abs(height[layers]), np.finfo(float).tiny) ** 2
    drifts = np.linspace(-0.05, 0.05, 101)
    sums = np.exp(-6j * np.pi * np.outer(drifts, layers)) @ cube
    best = int(np.abs(sums).argmax())
    turns = np.angle(height[layers]) / (2 * np.pi) - drifts[best] * layers
    positions = 3 * turns - np.angle(sums[best]) / (2 * np.pi)
    return layers, (positions + 0.5) % 3 - 0.5


def two_crystals(waves: np.ndarray) -> tuple[float, float, float]:
    """Cut a stack of layers in two: how much better do two crystals explain it than one?

    In a perfect crystal the phase of :func:`layer_waves` repeats from layer to
    layer: with two layers in wurtzite (frequencies 0 and 1/2 per layer), with
    three in zinc blende (1/3, mirrored -1/3). A fault shifts all that lies
    behind it, a twin mirrors it, and one repeat no longer runs through.

    Parameters
    ----------
    waves
        (N, parts) complex.

    Returns
    -------
    one, two, total : float
        Power that the best perfect crystal explains, that the best two perfect
        crystals on both sides of the best cut explain, and the power there is.
    """
    from scipy.ndimage import gaussian_filter1d

    weight = gaussian_filter1d(np.sqrt((np.abs(waves) ** 2).sum(1)), 1.5)
    inside = np.flatnonzero(weight > 0.3 * weight.max())
    if len(inside) < 3:
        total = float((np.abs(waves) ** 2).sum())
        return total, total, total
    span = slice(inside[0], inside[-1] + 1)
    waves, weight = waves[span], weight[span]
    turns = np.add.outer(_DRIFTS, _FRACTIONS)[..., None] * np.arange(len(waves))
    sums = np.cumsum(np.exp(-2j * np.pi * turns)[..., None] * (waves * weight[:, None]), axis=2)
    norm = np.cumsum(weight**2)

    def power(amplitude):
        return (np.abs(amplitude) ** 2).sum(-1)  # over the slices of a layer

    def best(powers):  # (drifts, fractions, cuts): kinds add up their fractions
        return np.max([powers[:, list(kind)].sum(1) for kind in _KINDS], axis=0)

    one = float(best(power(sums[:, :, -1:]) / norm[-1]).max())
    left = best(power(sums[:, :, :-1]) / norm[:-1])
    right = best(power(sums[:, :, -1:] - sums[:, :, :-1]) / (norm[-1] - norm[:-1]))
    share = norm[:-1] / norm[-1]
    cuts = (share > 0.12) & (share < 0.88)  # a single layer at the rim is no crystal
    two = float((left + right)[:, cuts].max(initial=one))
    # Over a few layers the frequencies are not quite independent: no more than there is.
    total = float((np.abs(waves) ** 2).sum())
    return min(one, total), min(two, total), total


def read_stacking(spectrum: Spectrum, layer_nm: float = LAYER_NM) -> Stacking:
    """Find the stacking direction of a particle and ask whether its layers repeat throughout.

    Parameters
    ----------
    spectrum
        As :func:`bragg_spectrum` returns it.
    layer_nm
        Spacing of the close-packed layers.

    Returns
    -------
    Stacking
        Of noise too, where nothing is stacked: ``fringe`` and ``signal`` are low then.
    """
    angle, layer, row, fringe, strength = _axis(spectrum, layer_nm)
    one, two, total = two_crystals(layer_waves(spectrum, angle, layer, row))
    # Between two rows no crystal of this direction diffracts: that is the noise.
    beside = layer_waves(spectrum, angle, layer, row / 1.5)
    noise = max((np.abs(beside) ** 2).sum() / len(beside), np.finfo(float).tiny)
    return Stacking(
        angle=angle,
        layer_nm=layer,
        row_nm=row,
        fringe=fringe,
        row=strength,
        explained=float(two / total) if total else 0.0,
        two_crystals=float(1 - one / two) if two else 0.0,
        signal=float(one / noise),
        second=float((two - one) / noise),
    )
