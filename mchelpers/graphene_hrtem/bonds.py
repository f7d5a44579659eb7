"""Bonds between atoms, and how many of the found atoms and bonds are true.

Source of the task: Sadre et al., Microsc. Microanal. 27, 804 (2021), section
*Segmentation in Atomic Position Workflows* and Fig. 5, which shows bonds but
does not count them. Used in the chapter *Atoms, bonds and sorting*.

Positions are (row, column) in pixels, as in :mod:`mchelpers.graphene_hrtem.atoms`.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "bond_angles",
    "find_bonds",
    "match",
    "precision_recall",
    "score_atoms",
    "score_bonds",
]


def find_bonds(atoms: np.ndarray, longest: float) -> np.ndarray:
    """Connect all pairs of atoms within a distance.

    Parameters
    ----------
    atoms
        (N, 2) float.
    longest
        Longest bond in the units of the positions. Second neighbours are 1.73
        bonds away, so 1.3 bonds leaves room on both sides.

    Returns
    -------
    (M, 2) int
        Indices into ``atoms``, the smaller one first, sorted.
    """
    from scipy.spatial import cKDTree

    if len(atoms) < 2:
        return np.empty((0, 2), int)
    pairs = cKDTree(atoms).query_pairs(longest, output_type="ndarray").astype(int)
    pairs = np.sort(pairs.reshape(-1, 2), axis=1)
    return pairs[np.lexsort(pairs.T[::-1])]


def bond_angles(atoms: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Return each bond's angle modulo 60 degrees.

    A bond has no direction, and the three bonds of an atom are 120 degrees
    apart: modulo 60 degrees all bonds of a grain have one angle, which names
    the grain's orientation.

    Parameters
    ----------
    atoms
        (N, 2) float, rows and columns.
    bonds
        (M, 2) int indices into ``atoms``.

    Returns
    -------
    (M,) float
        Degrees in 0..60 (60 excluded), anticlockwise from the row's direction.
    """
    step = atoms[bonds[:, 1]] - atoms[bonds[:, 0]]
    angles = np.degrees(np.arctan2(-step[:, 0], step[:, 1])) % 60
    return np.where(angles >= 60, 0.0, angles)  # -1e-17 % 60 rounds to 60


def match(found: np.ndarray, true: np.ndarray, tolerance: float) -> np.ndarray:
    """Pair found points with true ones, one to one.

    A pair is mutual: each is the other's nearest, and not farther than the
    tolerance.

    Parameters
    ----------
    found, true
        (N, 2) and (M, 2) float.
    tolerance
        Largest distance of a pair; below half a bond the pairing is unique.

    Returns
    -------
    (K, 2) int
        Indices into ``found`` and into ``true``.
    """
    from scipy.spatial import cKDTree

    if len(found) == 0 or len(true) == 0:
        return np.empty((0, 2), int)
    distance, nearest = cKDTree(true).query(found)
    _, back = cKDTree(found).query(true)
    own = np.arange(len(found))
    mutual = (back[nearest] == own) & (distance <= tolerance)
    return np.stack([own[mutual], nearest[mutual]], axis=1)


def precision_recall(hits: int, found: int, true: int) -> tuple[float, float]:
    """Turn counts into precision and recall.

    Nothing found where nothing is scores 1 and 1; nothing found where
    something is scores 0 and 0, so that silence is never precise.
    """
    nothing = float(found == true == 0)
    return (hits / found if found else nothing), (hits / true if true else nothing)


def _counted(points: np.ndarray, shape: tuple[int, int] | None, rim: float) -> np.ndarray:
    if shape is None:
        return np.ones(len(points), bool)
    return ((points >= rim) & (points <= np.array(shape) - 1 - rim)).all(1)


def score_atoms(
    found: np.ndarray,
    true: np.ndarray,
    tolerance: float,
    shape: tuple[int, int] | None = None,
    rim: float = 0.0,
) -> dict[str, float]:
    """Score found atoms against true ones.

    Parameters
    ----------
    found, true
        (N, 2) and (M, 2) float, rows and columns in pixels.
    tolerance
        Largest distance in pixels of a found atom from its true one.
    shape, rim
        Size of the image and width of a rim in pixels, in which atoms are
        matched but not counted. No shape counts all.

    Returns
    -------
    dict
        ``precision``, ``recall``; ``shift``, the length of the pairs' mean
        displacement (coma moves an image as a whole), and ``rmse``, their root
        mean square distance once that is taken out; both in pixels, NaN
        without pairs.
    """
    pairs = match(found, true, tolerance)
    inner_found, inner_true = _counted(found, shape, rim), _counted(true, shape, rim)
    precision, _ = precision_recall(
        int(inner_found[pairs[:, 0]].sum()), int(inner_found.sum()), int(inner_true.sum())
    )
    _, recall = precision_recall(
        int(inner_true[pairs[:, 1]].sum()), int(inner_found.sum()), int(inner_true.sum())
    )
    nothing = {"precision": precision, "recall": recall, "shift": np.nan, "rmse": np.nan}
    if len(pairs) == 0:
        return nothing
    gap = found[pairs[:, 0]] - true[pairs[:, 1]]
    shift = gap.mean(0)
    rmse = np.sqrt(((gap - shift) ** 2).sum(1).mean())
    return {**nothing, "shift": float(np.hypot(*shift)), "rmse": float(rmse)}


def score_bonds(
    found: np.ndarray,
    true: np.ndarray,
    longest: float,
    tolerance: float,
    shape: tuple[int, int] | None = None,
    rim: float = 0.0,
) -> dict[str, float]:
    """Score the bonds between found atoms against those between true atoms.

    A found bond is right if both its ends are matched (as in
    :func:`score_atoms`) and their true atoms are bonded.

    Parameters
    ----------
    found, true
        (N, 2) and (M, 2) float, rows and columns in pixels.
    longest
        Longest bond in pixels, on both sides.
    tolerance, shape, rim
        As for :func:`score_atoms`; a bond counts by its middle.

    Returns
    -------
    dict
        ``precision`` and ``recall``.
    """
    pairs = match(found, true, tolerance)
    name = np.full(len(found), -1)
    name[pairs[:, 0]] = pairs[:, 1]
    found_bonds, true_bonds = find_bonds(found, longest), find_bonds(true, longest)
    inner_found = _counted(found[found_bonds].mean(1), shape, rim)
    inner_true = _counted(true[true_bonds].mean(1), shape, rim)
    named = np.sort(name[found_bonds], axis=1)  # (M, 2); -1 where an end is no atom
    truth = set(map(tuple, true_bonds.tolist()))
    right = np.array([bond in truth for bond in map(tuple, named.tolist())], bool)
    claimed = set(map(tuple, named.tolist()))
    seen = np.array([bond in claimed for bond in map(tuple, true_bonds.tolist())], bool)
    precision, _ = precision_recall(
        int((right & inner_found).sum()), int(inner_found.sum()), int(inner_true.sum())
    )
    _, recall = precision_recall(
        int((seen & inner_true).sum()), int(inner_found.sum()), int(inner_true.sum())
    )
    return {"precision": precision, "recall": recall}
