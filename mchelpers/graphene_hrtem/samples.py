"""Samples for the microscope: polycrystalline graphene with amorphous carbon on it.

Positions are in nm, (x, y) in the plane, z along the beam; the electrons come
from small z. All is drawn in a square cell whose edges do not match, so a rim
of the image must be cropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..simulate.electrons import SHEET_Z_NM, amorphous_carbon, at
from .scenes import blobs, contaminant_share, smooth_noise

__all__ = [
    "LATTICE_NM",
    "PLANE_SPACING_NM",
    "Sample",
    "draw_sample",
    "honeycomb",
]

LATTICE_NM = 0.246
"""Lattice constant of graphene."""


PLANE_SPACING_NM = LATTICE_NM * np.sqrt(3) / 2
"""Spacing of the {100} planes of graphene, whose spots are the innermost six."""

_MERGE_NM = 0.1  # atoms of two grains that come closer than this become one


@dataclass(frozen=True)
class Sample:
    """What lies in the beam.

    Attributes
    ----------
    atoms
        (M, 2) float, nm: carbon atoms of the graphene sheet.
    grains
        (M,) int8: grain of each atom, 0 or 1.
    adatoms
        (K, 3) float, nm: atoms of the contaminant.
    side
        Edge of the cell, nm.
    """

    atoms: np.ndarray
    grains: np.ndarray
    adatoms: np.ndarray
    side: float

    def positions(self) -> np.ndarray:
        """Return all atoms, graphene first: (M + K, 3) nm."""
        sheet = np.column_stack([self.atoms, np.full(len(self.atoms), SHEET_Z_NM)])
        return np.concatenate([sheet, self.adatoms])

    def thickness(self) -> float:
        """Return the height of the cell along the beam, nm."""
        return float(self.positions()[:, 2].max(initial=SHEET_Z_NM)) + SHEET_Z_NM


def honeycomb(side: float, angle: float, origin: np.ndarray) -> np.ndarray:
    """Place the atoms of a perfect sheet of graphene in a square.

    Parameters
    ----------
    side
        Edge of the square, nm.
    angle
        Turn of the lattice, rad.
    origin
        (2,) nm: where a hexagon has its centre.

    Returns
    -------
    (M, 2) float, nm
    """
    reach = int(np.ceil(1.5 * side / LATTICE_NM)) + 2
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    cells = np.column_stack([i.ravel() + j.ravel() / 2, j.ravel() * np.sqrt(3) / 2]) * LATTICE_NM
    bond = LATTICE_NM / np.sqrt(3)
    atoms = np.concatenate([cells + [0, bond], cells - [0, bond]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    atoms = atoms @ turn.T + side / 2 + np.asarray(origin)
    return atoms[((atoms >= 0) & (atoms < side)).all(1)]


def _polycrystal(
    rng: np.random.Generator, side: float, grid: int, single: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Join two grains along a wavy line: (M, 2) atoms in nm, (M,) grain."""
    from scipy.spatial import cKDTree

    u = np.linspace(-0.5, 0.5, grid)
    direction, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3)
    first = np.cos(direction) * u[:, None] + np.sin(direction) * u[None] + offset
    first = first + 0.02 * smooth_noise(rng, grid, 5 / grid) > 0
    if single:
        first[:] = True
    turns = rng.uniform(0, np.pi / 3, 2)
    grains = [honeycomb(side, turn, rng.uniform(0, LATTICE_NM, 2)) for turn in turns]
    a = grains[0][at(first, grains[0], side)]
    b = grains[1][~at(first, grains[1], side)]
    if len(a) and len(b):
        distance, nearest = cKDTree(a).query(b)
        close = distance < _MERGE_NM
        a[nearest[close]] = (a[nearest[close]] + b[close]) / 2
        b = b[~close]
    grain = np.concatenate([np.zeros(len(a), np.int8), np.ones(len(b), np.int8)])
    return np.concatenate([a, b]), grain


def draw_sample(rng: np.random.Generator, side: float, grid: int) -> Sample:
    """Draw polycrystalline graphene with patches of amorphous carbon.

    Two grains of random turns (one in 30 % of the samples), joined at a wavy
    boundary where atoms closer than 0.1 nm are merged and nothing is relaxed;
    a hole in 20 %; patches of carbon that thicken from one layer at the rim to
    two to five inside.

    Parameters
    ----------
    rng
        Source of randomness.
    side
        Edge of the cell, nm.
    grid
        Points along the edge at which regions are drawn.

    Returns
    -------
    Sample
    """
    from scipy.ndimage import distance_transform_edt

    patch = blobs(rng, grid, contaminant_share(rng), rng.integers(1, 4))
    hole_share = rng.uniform(0.01, 0.08) if rng.random() < 0.2 else 0.0
    hole = blobs(rng, grid, hole_share, 1) & ~patch
    atoms, grains = _polycrystal(rng, side, grid, single=rng.random() < 0.3)
    kept = ~at(hole, atoms, side)
    depth = distance_transform_edt(patch) * side / grid  # nm from the rim
    step = rng.uniform(0.15, 0.5)  # nm: how fast the patch thickens
    layers = np.minimum(np.ceil(depth / step), rng.integers(2, 6)) * patch
    return Sample(atoms[kept], grains[kept], amorphous_carbon(rng, layers, side), side)
