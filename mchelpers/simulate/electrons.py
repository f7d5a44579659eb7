"""What two electron microscopes share: amorphous carbon, its mask, and a camera that counts."""

from __future__ import annotations

import numpy as np

from ..install import install_line

__all__ = [
    "SHEET_Z_NM",
    "at",
    "amorphous_carbon",
    "detect",
    "import_abtem",
    "projected_mask",
]

_LAYER_NM = 0.3  # thickness of one layer of contaminant


SHEET_Z_NM = 0.5


def at(field: np.ndarray, positions: np.ndarray, side: float) -> np.ndarray:
    """Read a (n, n) field that spans the cell at (M, 2) positions: nearest value."""
    i, j = (positions / side * len(field)).astype(int).clip(0, len(field) - 1).T
    return field[i, j]


def amorphous_carbon(
    rng: np.random.Generator,
    layers: np.ndarray,
    side: float,
    density: float = 250.0,
    spacing: float = 0.14,
) -> np.ndarray:
    """Scatter carbon atoms that keep their distance.

    Parameters
    ----------
    rng
        Source of randomness.
    layers
        (n, n) number of layers of 0.3 nm at each point of the cell.
    side
        Edge of the cell, nm.
    density
        Atoms tried per nm^3. Of 250, about 90 keep their place: 1.8 g/cm^3.
    spacing
        Least distance of two atoms, nm.

    Returns
    -------
    (K, 3) float, nm
        Above the graphene sheet, which lies at z = 0.5 nm.
    """
    from scipy.spatial import cKDTree

    height = _LAYER_NM * layers
    tries = rng.poisson(density * side**2 * height.max())
    atoms = rng.uniform(0, 1, (tries, 3)) * [side, side, height.max()]
    atoms = atoms[atoms[:, 2] < at(height, atoms[:, :2], side)]
    if len(atoms):
        pairs = cKDTree(atoms).query_pairs(spacing, output_type="ndarray")
        late = np.zeros(len(atoms), bool)
        late[pairs.max(1)] = True  # of each pair the later one goes
        atoms = atoms[~late]
    return atoms + [0, 0, SHEET_Z_NM + 0.3]


def projected_mask(atoms: np.ndarray, side: float, size: int) -> np.ndarray:
    """Mark the pixels that a patch of atoms covers, seen along the beam.

    The projected atoms are closed with a disc of 0.25 nm, so that the gaps
    between them belong to the patch, and reach 0.1 nm beyond their centres.

    Parameters
    ----------
    atoms
        (K, 2 or more) nm.
    side
        Edge of the cell, nm.
    size
        Pixels along the edge.

    Returns
    -------
    (size, size) bool
    """
    from scipy.ndimage import distance_transform_edt

    if len(atoms) == 0:
        return np.zeros((size, size), bool)
    reach, radius = 0.35 * size / side, 0.1 * size / side  # px
    pad = int(np.ceil(reach)) + 1  # closing must not see the frame's edge
    points = np.ones((size + 2 * pad, size + 2 * pad), bool)
    i, j = (np.asarray(atoms)[:, :2] / side * size).astype(int).clip(0, size - 1).T + pad
    points[i, j] = False
    grown = distance_transform_edt(points) <= reach
    closed = distance_transform_edt(grown) > reach - radius
    return closed[pad:-pad, pad:-pad]


def detect(
    intensity: np.ndarray,
    dose: float,
    pixel_size_nm: float,
    rng: np.random.Generator,
    blur: float = 0.7,
) -> np.ndarray:
    """Count electrons, then smear the counts as a camera does.

    The order matters: a blur after the counting makes the noise of
    neighbouring pixels alike, which a network notices.

    Parameters
    ----------
    intensity
        (H, W) float, 1 for the full beam.
    dose
        Electrons per square angstrom.
    pixel_size_nm
        Edge of a pixel.
    rng
        Source of randomness.
    blur
        Standard deviation of the detector's point spread, px; 0 for none.

    Returns
    -------
    (H, W) float64
        Electrons a pixel. Without blur, the variance equals the mean.

    Raises
    ------
    ValueError
        If the dose is not positive, or the intensity is negative somewhere.
    """
    from scipy.ndimage import gaussian_filter

    if dose <= 0 or np.min(intensity) < 0:
        raise ValueError("dose must be positive and intensity nowhere negative")
    counts = rng.poisson(intensity * dose * (10 * pixel_size_nm) ** 2).astype(float)
    return gaussian_filter(counts, blur) if blur else counts


def import_abtem():
    """Import abTEM and ASE, or say how to get them."""
    try:
        import abtem
        import ase
    except ImportError as error:
        raise ImportError(
            f"the physical simulation needs abTEM and ASE: {install_line('simulate')} "
            "(or use lattice_micrographs, which needs neither)"
        ) from error
    return abtem, ase
