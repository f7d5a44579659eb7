"""Candidate atoms of graphene in HRTEM images, whatever the sampling and the contrast.

Source of the task: Sadre et al., Microsc. Microanal. 27, 804 (2021), section
*Segmentation in Atomic Position Workflows* and Fig. 5. The finder is ours; it
is taken apart in the chapter *Atoms, bonds and sorting*.

Positions are (row, column) in pixels; (0, 0) is the centre of the first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checks import check_image, check_mask

__all__ = [
    "BOND_NM",
    "Lattice",
    "draw_atoms",
    "find_atoms",
    "find_hexagons",
    "hexagon_signal",
    "measure_lattice",
    "order_parameter",
    "unmasked",
]

BOND_NM = 0.246 / np.sqrt(3)
"""Distance of nearest neighbours in graphene (its lattice constant is 0.246 nm)."""

# Three equal waves that meet in phase have this skewness; it turns skewness into -1..1.
_THREE_WAVES = 1.5 / 1.5**1.5


@dataclass(frozen=True)
class Lattice:
    """What the spots of a diffractogram say about the honeycomb behind them.

    Attributes
    ----------
    bond_px
        Distance of nearest neighbours in pixels; NaN where no lattice was found.
    order
        Order parameter, -1..1: +1 where the centres of the hexagons are dark
        and the atoms bright (white-atom contrast), -1 where the centres are
        bright and the atoms dark (black-atom contrast).
    """

    bond_px: float
    order: float

    @property
    def found(self) -> bool:
        """Whether there are Bragg spots at all."""
        return bool(np.isfinite(self.bond_px))

    @property
    def resolved(self) -> bool:
        """Whether a bond spans two pixels, the least that can show two atoms apart."""
        return self.found and self.bond_px >= 2.0

    @property
    def certain(self) -> bool:
        """Whether the hexagons' centres stand out from both atoms of the cell.

        Near order 0 the centre and the two atoms are three alike lattices of
        blobs, and which of them is the empty one cannot be told.
        """
        return self.found and abs(self.order) >= 0.3

    @property
    def white(self) -> bool:
        """Whether atoms are brighter than the centres of the hexagons."""
        return self.order >= 0


def _ring(shape: tuple[int, int], centre: float, width: float) -> np.ndarray:
    """Return a Gaussian ring of frequencies in the order of ``fft2``."""
    q = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    return np.exp(-0.5 * ((q - centre) / width) ** 2)


def order_parameter(image: np.ndarray, radius: float) -> float:
    """Tell from the inner Bragg spots whether hexagons have dark or bright centres.

    Three waves with the spots' frequencies add up at one place of each cell
    and half cancel at two others: one blob of height 3 against two of height
    1.5 and opposite sign. The empty centre is the one, the atoms are the two.
    So a bright centre skews the grey values of the ring-filtered image to one
    side and a dark centre to the other. No orientation is needed, and any
    number of grains may share the image.

    Parameters
    ----------
    image
        (H, W) float, any scale.
    radius
        Radius of the inner Bragg spots, px^-1.

    Returns
    -------
    float
        -1..1, as :attr:`Lattice.order`.

    Notes
    -----
    Sadre et al. (2021) compare the signal of a hexagon's atoms with that of
    its centre for all orientations; this sums the comparison up in one number.
    """
    image = check_image(image)
    waves = np.fft.ifft2(np.fft.fft2(image) * _ring(image.shape, radius, 0.06 * radius)).real
    waves -= waves.mean()
    skewness = np.mean(waves**3) / max(np.mean(waves**2) ** 1.5, 1e-30)
    return float(np.clip(-skewness / _THREE_WAVES, -1, 1))


def measure_lattice(image: np.ndarray) -> Lattice:
    """Measure how finely a honeycomb is sampled, and its contrast.

    Parameters
    ----------
    image
        (H, W) float, any scale; flat-fielded if the illumination is uneven.

    Returns
    -------
    Lattice

    Raises
    ------
    ValueError
        If the image is not one finite, real image of at least 32 x 32 px.
    """
    from .lattice import bragg_radius

    image = check_image(image, least=32).astype(float)
    radius = bragg_radius(image)
    if not np.isfinite(radius):
        return Lattice(float("nan"), 0.0)
    # The spots' planes are 1.5 bonds apart.
    return Lattice(2 / (3 * radius), order_parameter(image, radius))


def hexagon_signal(image: np.ndarray, lattice: Lattice, zoom: int = 1) -> np.ndarray:
    """Filter an image so that the centres of hexagons are its maxima.

    Only frequencies near the inner Bragg spots pass, whatever their direction,
    so that the filter neither draws a lattice where there is none nor prefers
    one grain; white-atom contrast is turned over.

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
    from scipy.fft import fft2, fftshift, ifft2, ifftshift, next_fast_len

    if not lattice.found:
        raise ValueError("no Bragg spots, so no scale to filter at; check lattice.found first")
    image = check_image(image)
    # Mirrored rims: a periodic transform would join the lattice to its far side out of step.
    pad = int(np.ceil(4 * lattice.bond_px))
    height, width = image.shape
    size = [2 * next_fast_len(int(np.ceil(s / 2)) + pad) for s in (height, width)]
    far = [s - pad - n for s, n in zip(size, (height, width), strict=True)]
    wide = np.pad(image.astype(float), ((pad, far[0]), (pad, far[1])), mode="symmetric")
    radius = 2 / (3 * lattice.bond_px)
    spectrum = fftshift(fft2(wide) * _ring(wide.shape, radius, 0.2 * radius))
    more = [((zoom - 1) * s // 2,) * 2 for s in size]  # even sizes: zero frequency stays central
    fine = ifft2(ifftshift(np.pad(spectrum, more))).real * zoom**2
    signal = -fine if lattice.white else fine
    return signal[pad * zoom : (pad + height) * zoom, pad * zoom : (pad + width) * zoom]


def _parabola(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where a parabola through three samples peaks, -0.5..0.5 around the middle one."""
    bend = before - 2 * at + after
    return np.clip(0.5 * (before - after) / np.where(bend < 0, bend, -np.inf), -0.5, 0.5)


def find_hexagons(image: np.ndarray, lattice: Lattice, least: float = 0.3) -> np.ndarray:
    """Find the centres of hexagons (and of other rings) to a fraction of a pixel.

    Parameters
    ----------
    image
        (H, W) float.
    lattice
        As from :func:`measure_lattice`; its scale sets the filter and how far
        apart centres must be.
    least
        Smallest height of a maximum of :func:`hexagon_signal`, in units of the
        median height: noise in a hole stays below.

    Returns
    -------
    (N, 2) float64
        Rows and columns in pixels; (0, 2) where no lattice was found.
    """
    from scipy.ndimage import maximum_filter

    if not lattice.found:
        return np.empty((0, 2))
    zoom = int(np.clip(np.ceil(6 / lattice.bond_px), 1, 4))
    signal = hexagon_signal(image, lattice, zoom)
    reach = max(1, round(0.6 * lattice.bond_px * zoom))
    disc = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= reach
    top = signal == maximum_filter(signal, footprint=disc, mode="constant", cval=-np.inf)
    top[[0, -1]] = top[:, [0, -1]] = False  # a maximum needs neighbours on both sides
    rows, columns = np.nonzero(top & (signal > 0))
    heights = signal[rows, columns]
    high = heights > least * np.median(heights) if len(heights) else np.zeros(0, bool)
    rows, columns, heights = rows[high], columns[high], heights[high]
    above, below = signal[rows - 1, columns], signal[rows + 1, columns]
    left, right = signal[rows, columns - 1], signal[rows, columns + 1]
    fine = [rows + _parabola(above, heights, below), columns + _parabola(left, heights, right)]
    return np.stack(fine, axis=1) / zoom


def find_atoms(image: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Find candidate atoms: the places where three neighbouring hexagons meet.

    Each carbon atom of a sheet belongs to three rings, so it is the middle of
    a triangle of ring centres (Delaunay's triangulation); this holds for the
    pentagons and heptagons of a grain boundary too. A centre is twice as high
    as an atom, so it survives noise, and aberrations that make the two atoms
    of a cell look unlike, better than the atoms themselves do.

    Parameters
    ----------
    image
        (H, W) float.
    lattice
        As from :func:`measure_lattice`.

    Returns
    -------
    (N, 2) float64
        Rows and columns in pixels; (0, 2) where no lattice was found. Atoms
        within about two bonds of the frame lack a hexagon and are missing.
        Where ``lattice.resolved`` or ``lattice.certain`` is False the list is
        returned all the same, but should not be trusted.
    """
    from scipy.spatial import Delaunay, QhullError

    centres = find_hexagons(image, lattice)
    try:
        corners = centres[Delaunay(centres).simplices]  # (M, 3, 2)
    except (QhullError, ValueError):  # fewer than three centres, or all on one line
        return np.empty((0, 2))
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    spacing = np.sqrt(3) * lattice.bond_px
    # Pentagons bring centres closer, heptagons push them apart; holes are spanned by long sides.
    fits = ((sides > 0.6 * spacing) & (sides < 1.5 * spacing)).all(1)
    return corners[fits].mean(axis=1)


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

    Raises
    ------
    ValueError
        If the mask is not boolean.
    """
    mask = check_mask(mask)
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
