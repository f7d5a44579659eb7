"""Candidate atoms of graphene in HRTEM images, whatever the sampling and the contrast.

Source of the task: Sadre et al., Microsc. Microanal. 27, 804 (2021), section
*Segmentation in Atomic Position Workflows* and Fig. 5. The finder is ours, for
that of the study is not described; it is taken apart in the chapter *Atoms,
bonds and sorting*.

Positions are (row, column) in pixels; (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "BOND_NM",
    "Lattice",
    "atom_signal",
    "draw_atoms",
    "find_atoms",
    "measure_lattice",
    "unmasked",
]

BOND_NM = 0.246 / np.sqrt(3)
"""Distance of nearest neighbours in graphene (its lattice constant is 0.246 nm)."""

# Three equal waves meeting in phase have this skewness; it turns skewness into -1..1.
_THREE_WAVES = 1.5 / 1.5**1.5
# Mean of the six strongest pixels of a ring over the ring's median: 2 in white noise.
_LEAST_STRENGTH = 3.0


@dataclass(frozen=True)
class Lattice:
    """What the spots of a diffractogram say about the honeycomb behind them.

    Attributes
    ----------
    bond_px
        Distance of nearest neighbours in pixels; NaN where no lattice was found.
    strength
        Six strongest pixels of the spots' ring over the ring's median; noise
        alone has about 2.
    first
        Order parameter of the six inner spots, -1..1: +1 where the centres of
        the hexagons are dark and the atoms bright (white-atom contrast), -1
        where the centres are bright and the atoms dark (black-atom contrast).
        Near 0 the two atoms of a cell look unlike: one blob per cell.
    second
        Order parameter of the next six spots, -1..1: +1 where they brighten the
        atoms, -1 where they darken them, 0 where there are none.
    """

    bond_px: float
    strength: float
    first: float
    second: float

    @property
    def found(self) -> bool:
        """Whether there are Bragg spots at all."""
        return bool(np.isfinite(self.bond_px))

    @property
    def resolved(self) -> bool:
        """Whether a bond spans two pixels, the least that can show two atoms apart."""
        return self.found and self.bond_px >= 2.0

    @property
    def honeycomb(self) -> bool:
        """Whether both atoms of a cell look alike, so that two blobs per cell are expected."""
        return self.found and abs(self.first) >= 0.3

    @property
    def white(self) -> bool:
        """Whether atoms are brighter than the centres of the hexagons."""
        return self.first >= 0


def _frequency(shape: tuple[int, int]) -> np.ndarray:
    """Return the length of each frequency of ``fft2`` (px^-1)."""
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])


def _bragg_ring(image: np.ndarray) -> tuple[float, float]:
    """Find the innermost ring of spots: its frequency (px^-1) and its strength."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    bins = min(image.shape)
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    flat = image - gaussian_filter(image, 0.05 * bins)
    amplitude = gaussian_filter(np.abs(np.fft.fft2(flat * window)), 1, mode="wrap")
    ring = np.rint(_frequency(image.shape) * bins).astype(int)
    radii = np.arange(max(4, round(0.09 * bins)), bins // 2)
    rings = [np.sort(amplitude[ring == radius]) for radius in radii]
    # A noise-free ring has next to nothing but its spots: keep the ratio from running away.
    floor = 0.01 * max(values[-1] for values in rings)
    if floor == 0:  # a constant image
        return np.nan, 0.0
    median = np.array([np.median(values) for values in rings]) + floor
    strength = np.array([values[-6:].mean() for values in rings]) / median
    best = int(np.argmax(strength))
    radius, strength = float(radii[best]), float(strength[best])
    if strength < _LEAST_STRENGTH:
        return np.nan, strength

    # The second ring, wider by the square root of 3, may outshine the first. It did so if
    # spots stand where the first ring must have them: turned by 30 degrees, nearer the centre.
    inner = radius / np.sqrt(3)
    peaks = (amplitude == maximum_filter(amplitude, 5, mode="wrap")) & (np.abs(ring - radius) <= 2)
    brightest = np.flatnonzero(peaks)[np.argsort(amplitude[peaks])[-12:]]
    brightest = brightest[amplitude.flat[brightest] > 0.4 * amplitude.flat[brightest].max()]
    rows, columns = np.unravel_index(brightest, image.shape)
    # Frequencies in units of 1/bins, as complex numbers; a turn is then a product.
    spots = bins * (
        np.fft.fftfreq(image.shape[0])[rows] + 1j * np.fft.fftfreq(image.shape[1])[columns]
    )
    turned = np.concatenate([spots * np.exp(1j * t) for t in (np.pi / 6, -np.pi / 6)]) / np.sqrt(3)
    near = maximum_filter(amplitude, 3, mode="wrap")[
        np.rint(turned.real * image.shape[0] / bins).astype(int),
        np.rint(turned.imag * image.shape[1] / bins).astype(int),
    ]
    if inner >= radii[0] and np.median(near) > 1.7 * np.interp(inner, radii, median):
        radius = inner
    return radius / bins, strength


def _pass_ring(frequency: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((frequency - centre) / width) ** 2)


def measure_lattice(image: np.ndarray, mask: np.ndarray | None = None) -> Lattice:
    """Measure the sampling and the contrast of a honeycomb from its Bragg spots.

    Both order parameters are third moments of ring-filtered images. Of one
    ring, the skewness: where three waves add up at the hexagons' centres and
    half cancel at the atoms, bright centres skew it to +, dark ones to -. Of
    the second ring, its mean where the first is strong. No orientation is
    needed, so any number of grains may share the image.

    Parameters
    ----------
    image
        (H, W) float, any scale; flat-fielded if the illumination is uneven.
    mask
        (H, W) bool, True where the contrast must not be measured (contaminant).

    Returns
    -------
    Lattice

    Raises
    ------
    ValueError
        If the image is not two-dimensional, is smaller than 32 px, or the mask
        has another shape.

    Notes
    -----
    Sadre et al. (2021), section *Training Dataset*, describe an order parameter
    that compares the atoms of a hexagon with its centre; this is one, without
    the search for the orientation.
    """
    image = np.asarray(image, float)
    if image.ndim != 2 or min(image.shape) < 32:
        raise ValueError(f"need one image of at least 32 x 32 px, got shape {image.shape}")
    clean = np.ones(image.shape, bool) if mask is None else ~np.asarray(mask, bool)
    if clean.shape != image.shape:
        raise ValueError(f"the mask has shape {clean.shape}, the image {image.shape}")
    q1, strength = _bragg_ring(image)
    if not np.isfinite(q1):
        return Lattice(np.nan, strength, 0.0, 0.0)
    if not clean.any():
        clean[:] = True  # nothing clean to measure on: better the whole image than no answer
    frequency, spectrum = _frequency(image.shape), np.fft.fft2(image)
    waves = []
    for order, width in ((1.0, 0.06), (np.sqrt(3), 0.1)):
        ring = _pass_ring(frequency, order * q1, width * q1)
        values = np.fft.ifft2(spectrum * ring).real[clean]
        values = values - values.mean()
        waves.append(values / max(values.std(), 1e-12))
    first = -np.mean(waves[0] ** 3) / _THREE_WAVES
    second = np.mean(waves[0] ** 2 * waves[1]) / _THREE_WAVES
    return Lattice(
        bond_px=2 / (3 * q1),
        strength=strength,
        first=float(np.clip(first, -1, 1)),
        second=float(np.clip(second, -1, 1)),
    )


def atom_signal(image: np.ndarray, lattice: Lattice, zoom: int = 1) -> np.ndarray:
    """Filter an image so that atoms are its maxima, whatever the contrast was.

    Each ring of frequencies is weighted by its order parameter, so that it
    brightens the atoms: black-atom contrast is turned over, and a ring that
    carries noise hardly counts. The filter has no direction: it cannot draw a
    lattice where there is none, nor prefer one grain.

    Parameters
    ----------
    image
        (H, W) float.
    lattice
        As from :func:`measure_lattice`.
    zoom
        Interpolate to so many times the pixels (exactly: zeros are added to
        the spectrum).

    Returns
    -------
    (zoom * H, zoom * W) float64

    Raises
    ------
    ValueError
        If no lattice was found.
    """
    if not lattice.found:
        raise ValueError("no Bragg spots, so no scale to filter at; check lattice.found first")
    from scipy.fft import fft2, fftshift, ifft2, ifftshift, next_fast_len

    # Mirrored rims: a periodic transform would join the lattice to its far side out of step.
    pad = int(np.ceil(4 * lattice.bond_px))
    height, width = np.shape(image)
    size = [2 * next_fast_len(int(np.ceil(s / 2)) + pad) for s in (height, width)]
    far = [s - pad - n for s, n in zip(size, (height, width), strict=True)]
    wide = np.pad(np.asarray(image, float), ((pad, far[0]), (pad, far[1])), mode="symmetric")
    frequency, q1 = _frequency(wide.shape), 2 / (3 * lattice.bond_px)
    weights = lattice.first * _pass_ring(frequency, q1, 0.2 * q1)
    weights += lattice.second * _pass_ring(frequency, np.sqrt(3) * q1, 0.2 * q1)
    spectrum = fftshift(fft2(wide - wide.mean()) * weights)
    more = [((zoom - 1) * s // 2,) * 2 for s in size]  # even sizes: zero frequency stays central
    fine = ifft2(ifftshift(np.pad(spectrum, more))).real * zoom**2
    return fine[pad * zoom : (pad + height) * zoom, pad * zoom : (pad + width) * zoom]


def _parabola(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where a parabola through three samples peaks, -0.5..0.5 around the middle one."""
    bend = before - 2 * at + after
    return np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -np.inf), -0.5, 0.5)


def find_atoms(image: np.ndarray, lattice: Lattice, least: float = 0.3) -> np.ndarray:
    """Find candidate atoms: the maxima of :func:`atom_signal`, to a fraction of a pixel.

    Parameters
    ----------
    image
        (H, W) float.
    lattice
        As from :func:`measure_lattice`; its scale sets the filter and how far
        apart candidates must be.
    least
        Smallest height of a maximum, in units of the median height.

    Returns
    -------
    (N, 2) float64
        Rows and columns in pixels; (0, 2) where no lattice was found. Where
        ``lattice.resolved`` is False the list is returned all the same, but
        two atoms are then less than two pixels apart.
    """
    from scipy.ndimage import maximum_filter

    if not lattice.found:
        return np.empty((0, 2))
    zoom = int(np.clip(np.ceil(8 / lattice.bond_px), 1, 4))
    signal = atom_signal(image, lattice, zoom)
    reach = max(1, round(0.35 * lattice.bond_px * zoom))
    disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    top = signal == maximum_filter(signal, footprint=disc, mode="constant", cval=-np.inf)
    top[[0, -1]] = top[:, [0, -1]] = False  # a maximum needs neighbours on both sides
    rows, columns = np.nonzero(top & (signal > 0))
    heights = signal[rows, columns]
    high = heights > least * (np.median(heights) if len(heights) else 0)
    rows, columns, heights = rows[high], columns[high], heights[high]
    fine_rows = rows + _parabola(signal[rows - 1, columns], heights, signal[rows + 1, columns])
    fine_columns = columns + _parabola(
        signal[rows, columns - 1], heights, signal[rows, columns + 1]
    )
    return np.stack([fine_rows, fine_columns], axis=1) / zoom


def unmasked(atoms: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Keep the atoms whose pixel is not in a mask.

    Parameters
    ----------
    atoms
        (N, 2) float, rows and columns in pixels.
    mask
        (H, W) bool, True on contaminant. Atoms outside the frame are dropped.

    Returns
    -------
    (M, 2) float
    """
    pixels = np.rint(atoms).astype(int)
    inside = ((pixels >= 0) & (pixels < mask.shape)).all(1)
    kept = atoms[inside]
    return kept[~mask[tuple(pixels[inside].T)]]


def draw_atoms(atoms: np.ndarray, shape: tuple[int, int], width: float) -> np.ndarray:
    """Draw a Gaussian spot of height 1 for each atom.

    Parameters
    ----------
    atoms
        (N, 2) float, rows and columns in pixels.
    shape
        Rows and columns of the image.
    width
        Standard deviation of a spot in pixels.

    Returns
    -------
    (H, W) float64
    """
    rows = np.exp(-0.5 * ((np.arange(shape[0]) - atoms[:, :1]) / width) ** 2)  # (N, H)
    columns = np.exp(-0.5 * ((np.arange(shape[1]) - atoms[:, 1:]) / width) ** 2)  # (N, W)
    return rows.T @ columns
