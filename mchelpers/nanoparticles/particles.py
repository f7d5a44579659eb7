"""Nanoparticles atom by atom: gold and cadmium selenide, with and without stacking faults.

Lengths in nm. Every builder returns atoms around the origin with the beam along z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

__all__ = [
    "AU_SHAPES",
    "CDSE_SHAPES",
    "Particle",
    "ParticleMicrograph",
    "build_au",
    "build_cdse",
    "stacking_fault_layers",
]

AU_LATTICE_NM = 0.408
CDSE_A_NM, CDSE_LAYER_NM = 0.430, 0.3505
"""Wurtzite CdSe: basal lattice constant, and spacing of its close-packed bilayers (c / 2)."""

AU_SHAPES = ("truncated octahedron", "icosahedron", "decahedron")
CDSE_SHAPES = ("wurtzite", "zinc blende")
_CADMIUM, _SELENIUM, _GOLD = 48, 34, 79
_CDSE_PLANES = (  # (h, k, l) of wurtzite with spacings above 0.2 nm: their fringes would be seen
    (1, 0, 0),
    (0, 1, 0),
    (1, -1, 0),
    (0, 0, 2),
    *((h, k, s) for s in (1, -1) for h, k in ((1, 0), (0, 1), (1, -1))),
    *((h, k, s) for s in (2, -2) for h, k in ((1, 0), (0, 1), (1, -1))),
    (1, 1, 0),
    (2, -1, 0),
    (1, -2, 0),
)


@dataclass(frozen=True)
class Particle:
    """What is true of one simulated particle.

    Attributes
    ----------
    shape
        One of :data:`AU_SHAPES` or :data:`CDSE_SHAPES` (its crystal structure).
    diameter_nm
        Diameter of the circle that has the area of the whole projection.
    aspect
        Long over short axis of the projection, 1 or more.
    row, column
        Centre of the projection in px of the micrograph; may lie outside it.
    viewable
        The beam runs along a zone axis in which a stacking fault would be seen.
    fault
        The particle holds a stacking fault or a twin plane.
    """

    shape: str
    diameter_nm: float
    aspect: float
    row: float
    column: float
    viewable: bool
    fault: bool


@dataclass
class ParticleMicrograph:
    """One simulated micrograph of nanoparticles, and the truth about it.

    Attributes
    ----------
    name, material
        ``"Au"`` or ``"CdSe"``.
    image
        (H, W) uint16 detector counts, X-ray spikes included.
    instances
        (H, W) uint8: 0 is background, k the k-th of ``particles``; where two
        overlap, the one nearer to the lens.
    particles
        Those of which at least one pixel lies in the frame, in the order of
        the numbers.
    pixel_size_nm
        Edge of a pixel.
    intensity
        (H, W) float32 before any electron was counted, 1 for the full beam; None for a real one.
    """

    name: str
    material: str
    image: np.ndarray
    instances: np.ndarray
    particles: list[Particle]
    pixel_size_nm: float
    kind: str = "simulated"
    intensity: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: a particle projects onto the pixel."""
        return self.instances > 0


def _turn(angle: float) -> np.ndarray:
    """Turn about the beam by an angle in rad: (3, 3)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _tip(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """Tip the beam's axis by an angle towards a random direction: (3, 3)."""
    from scipy.spatial.transform import Rotation

    azimuth = rng.uniform(0, 2 * np.pi)
    axis = np.radians(degrees) * np.array([np.cos(azimuth), np.sin(azimuth), 0])
    return Rotation.from_rotvec(axis).as_matrix()


@cache
def _cluster(shape: str, size: int) -> np.ndarray:
    """Build a multiply twinned gold cluster of a magic number with ASE: (M, 3) nm."""
    from ase.cluster import Decahedron, Icosahedron

    a = 10 * AU_LATTICE_NM
    if shape == "icosahedron":
        atoms = Icosahedron("Au", size, a)
    else:
        atoms = Decahedron("Au", size, size, max(0, size // 4), a)  # Marks decahedron
    positions = atoms.get_positions() / 10
    return positions - positions.mean(0)


def build_au(
    rng: np.random.Generator, diameter: float, shape: str, viewable: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Build one gold particle.

    Parameters
    ----------
    rng
        Source of the orientation.
    diameter
        Aimed at, nm; multiply twinned clusters come in steps of about 0.5 nm.
    shape
        One of :data:`AU_SHAPES`.
    viewable
        Beam along <110> of fcc or the fivefold (decahedron) or twofold
        (icosahedron) axis, give or take 5 degrees; else turned at random.

    Returns
    -------
    positions : (M, 3) float, nm
    numbers : (M,) int, atomic numbers
    """
    from scipy.spatial.transform import Rotation

    if shape == "truncated octahedron":
        reach = int(np.ceil(diameter / AU_LATTICE_NM)) + 1
        cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3), -1).reshape(-1, 1, 3)
        basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        positions = ((cells + basis).reshape(-1, 3) + rng.uniform(-0.5, 0.5, 3)) * AU_LATTICE_NM
        # Wulff shape: {100} facets a little farther out than {111}.
        radius = diameter / 2
        near = np.abs(positions)
        inside = (near.max(1) < 1.08 * radius) & (near.sum(1) / np.sqrt(3) < 0.95 * radius)
        positions = positions[inside]
        axis = np.array([1.0, 1.0, 0.0])
    else:
        step = 0.52 if shape == "icosahedron" else 0.60  # nm a shell
        positions = _cluster(shape, max(2, round(diameter / step)))
        # ASE builds the icosahedron with twofold, the decahedron with its fivefold axis along z.
        axis = np.array([0.0, 0.0, 1.0])
    if viewable:
        onto = Rotation.align_vectors([[0, 0, 1]], [axis])[0].as_matrix()
        turn = _tip(rng, rng.uniform(0, 5)) @ _turn(rng.uniform(0, 2 * np.pi)) @ onto
    else:
        turn = Rotation.random(random_state=rng).as_matrix()
    positions = _worn(rng, positions)
    return positions @ turn.T, np.full(len(positions), _GOLD)


def _worn(rng: np.random.Generator, positions: np.ndarray) -> np.ndarray:
    """Cut the corners of a faceted particle, and take some atoms off its rim: no edge is sharp."""
    radius = np.linalg.norm(positions, axis=1)
    radius = radius / radius.max()
    loose = (radius > 0.85) & (rng.random(len(radius)) < 0.3)
    return positions[(radius < 0.95) & ~loose]


def stacking_fault_layers(shape: str, layers: int, plane: int | None) -> np.ndarray:
    """Return which of the positions A, B, C (0, 1, 2) each close-packed layer takes.

    Wurtzite alternates A B A B, zinc blende cycles A B C. At the fault, wurtzite
    goes on with the other pair (A B A B C B C B: intrinsic fault I1, one
    layer of cubic surroundings), zinc blende cycles backwards (a twin).

    Parameters
    ----------
    shape
        One of :data:`CDSE_SHAPES`.
    layers
        Number of layers.
    plane
        The layer at which the sequence changes; None for a perfect crystal.
    """
    index = np.arange(layers)
    cut = layers if plane is None else plane
    if shape == "wurtzite":
        even = (index - cut) % 2 == 0
        after = np.where(even, 2, 1 if cut % 2 == 0 else 0)  # C, then what stood before the fault
        return np.where(index < cut, index % 2, after)
    return np.where(index < cut, index % 3, (2 * cut - index) % 3)


def build_cdse(
    rng: np.random.Generator, diameter: float, shape: str, viewable: bool, fault: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Build one CdSe particle from close-packed bilayers.

    Parameters
    ----------
    rng
        Source of elongation, orientation and place of the fault.
    diameter
        Of the sphere of equal volume, nm.
    shape
        ``"wurtzite"`` or ``"zinc blende"``.
    viewable
        Beam along the close-packed rows ([11-20], or <110>), give or take
        2 degrees, so that the stacking is seen edge on. Else turned so that no
        planes of more than 0.2 nm spacing stand edge on.
    fault
        One stacking fault (wurtzite) or twin plane (zinc blende), within the
        middle half of the particle.

    Returns
    -------
    positions : (M, 3) float, nm
    numbers : (M,) int, atomic numbers
    """
    long = diameter * rng.uniform(1.0, 1.35)  # along the stacking direction
    wide = diameter * np.sqrt(diameter / long)
    layers = int(np.ceil(long / CDSE_LAYER_NM)) + 3
    plane = int(round(layers * rng.uniform(0.35, 0.65))) if fault else None
    sequence = stacking_fault_layers(shape, layers, plane)
    reach = int(np.ceil(0.7 * wide / CDSE_A_NM)) + 2
    i, j = np.meshgrid(*[np.arange(-2 * reach, 2 * reach + 1)] * 2)
    rows = CDSE_A_NM * (i + j / 2).ravel()  # along the close-packed rows: the beam
    across = CDSE_A_NM * np.sqrt(3) / 2 * j.ravel()
    shift = rng.uniform(-0.5, 0.5, 3) * [CDSE_LAYER_NM, CDSE_A_NM, CDSE_A_NM]
    positions, numbers = [], []
    for layer, place in enumerate(sequence):
        height = (layer - (layers - 1) / 2) * CDSE_LAYER_NM
        # B and C stand off A by one and two thirds of the cell's long diagonal.
        y = across + place * CDSE_A_NM / np.sqrt(3)
        for number, rise in ((_CADMIUM, 0.0), (_SELENIUM, 0.75 * CDSE_LAYER_NM)):
            positions.append(np.column_stack([np.full(len(y), height + rise), y, rows]) + shift)
            numbers.append(np.full(len(y), number))
    positions, numbers = np.concatenate(positions), np.concatenate(numbers)
    inside = (2 * positions[:, 0] / long) ** 2 + ((2 * positions[:, 1:] / wide) ** 2).sum(1) < 1
    positions, numbers = positions[inside], numbers[inside]
    tilt = _tip(rng, rng.uniform(0, 2)) if viewable else _off_axis(rng)
    return positions @ (_turn(rng.uniform(0, 2 * np.pi)) @ tilt).T, numbers


def _off_axis(rng: np.random.Generator, tries: int = 60) -> np.ndarray:
    """Find an orientation in which no widely spaced planes stand edge on: (3, 3)."""
    from scipy.spatial.transform import Rotation

    c = 2 * CDSE_LAYER_NM
    # Reciprocal lattice in the frame of build_cdse: c along x, a along z.
    b1 = np.array([0, -1 / np.sqrt(3), 1]) / CDSE_A_NM
    b2 = np.array([0, 2 / np.sqrt(3), 0]) / CDSE_A_NM
    b3 = np.array([1, 0, 0]) / c
    normals = np.array(_CDSE_PLANES) @ np.stack([b1, b2, b3])
    turns = Rotation.random(tries, random_state=rng).as_matrix()
    # Distance of each reciprocal point from the plane across the beam, 1/nm.
    off = np.abs(turns[:, 2] @ normals.T).min(1)
    return turns[int(off.argmax())]
