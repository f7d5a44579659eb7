"""What lies under the microscope: a film of carbon, and particles of gold or CdSe on it.

Every atom is placed; how they become a micrograph is in :mod:`mchelpers.nanoparticles.images`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..simulate.electrons import amorphous_carbon, projected_mask
from ..simulate.fields import rough_surface
from .particles import AU_SHAPES, CDSE_SHAPES, Particle, build_au, build_cdse

__all__ = ["AU", "CDSE", "MARGIN", "Sample", "draw_sample", "project"]

MARGIN = 64
"""Pixels cropped on each side: the cell is periodic, and particles reach over the border."""

_FILM_LAYER_NM = 0.3  # what amorphous_carbon counts thickness in
_FIELD_NM = 0.1  # step at which the film's thickness is drawn
_CONTACT_NM = 0.2  # no carbon nearer to an atom of a particle


@dataclass(frozen=True)
class Sample:
    """How the micrographs of one material are made; lengths in nm.

    Both materials stand on one film, under one microscope, at one dose. Film, focus, aperture
    and detector are frozen against experiment in the chapter *Without a network*.

    Attributes
    ----------
    material
        ``"Au"`` or ``"CdSe"``.
    pixel_size
        Edge of a pixel: 0.02 for gold, 0.03 for CdSe.
    side, count
        Pixels along each side, and micrographs of a whole set.
    per_square_um
        Particles per square micrometre of film, on average.
    diameters
        Smallest and largest diameter.
    viewable
        Share of particles that stand on a zone axis.
    alone
        Share of particles that start a new place rather than lean on a neighbour or fuse with it.
    shell
        Thickness of the ligands and the contamination around each particle.
    dose
        Electrons per square angstrom.
    film, film_density
        Smallest and largest thickness of the carbon, one for each micrograph; atoms of carbon
        tried per nm^3, of which 130 leave about 69: 1.4 g/cm^3.
    roughness, grain
        Standard deviation of the film's projected mass over its mean, and its correlation
        length: surfaces, voids and clusters in one number, so that grain grows with thickness.
    defocus
        Smallest and largest underfocus; negative is overfocus.
    focal_spread, vibration, thermal
        Standard deviations of the defocus, of the image's shaking during the
        exposure, and of each atom's thermal displacement along each axis.
    apertures_mrad
        Half angles of the objective apertures, of which each micrograph has one; the largest
        is none at all.
    elastic
        Share of the contrast that is left beside the haze of electrons that lost energy: images
        show two to three times less contrast than simulations without such losses (the Stobbs
        factor).
    blur_px, tail
        Standard deviation of the detector's point spread, and the share of each electron that
        is smeared over three pixels instead: what makes noise clumpy.
    light
        Spread of the uneven illumination.
    spikes_per_mpx
        X-ray hits per million pixels.
    """

    material: str
    pixel_size: float
    side: int
    count: int
    per_square_um: float
    diameters: tuple[float, float]
    viewable: float
    alone: float
    shell: float
    dose: float = 420.0
    film: tuple[float, float] = (4.0, 10.0)
    film_density: float = 130.0
    roughness: float = 0.5
    grain: float = 0.4
    defocus: tuple[float, float] = (-30.0, 30.0)
    focal_spread: float = 3.0
    vibration: float = 0.04
    thermal: float = 0.011
    apertures_mrad: tuple[float, ...] = (22.0, 33.0)
    elastic: float = 0.5
    blur_px: float = 0.7
    tail: float = 0.3
    light: float = 0.04
    spikes_per_mpx: float = 20.0


AU = Sample(
    "Au",
    pixel_size=0.02,
    side=1536,
    count=13,
    per_square_um=14000.0,
    diameters=(2.0, 7.0),
    viewable=0.75,
    alone=0.75,
    shell=0.6,
)
CDSE = Sample(
    "CdSe",
    pixel_size=0.03,
    side=1024,
    count=46,
    per_square_um=14000.0,
    diameters=(2.6, 5.0),
    viewable=0.7,
    alone=0.72,
    shell=1.0,
)


@dataclass
class _Placed:
    """One particle in its place: atoms in nm from the cell's corner."""

    truth: Particle
    positions: np.ndarray
    numbers: np.ndarray
    radius: float
    centre: np.ndarray


def _fault_probability(diameter: float) -> float:
    """Chance that a CdSe particle holds a fault: it grows with size, 0.48 on average.

    The correlation is put in, so that a chapter can look for it.
    """
    return float(np.clip(0.48 + 0.16 * (diameter - 4.5), 0.1, 0.9))


def _build(rng: np.random.Generator, sample: Sample, diameter: float) -> tuple:
    """Draw and build one particle: shape, viewable, fault, positions, numbers."""
    viewable = bool(rng.random() < sample.viewable)
    if sample.material == "Au":
        shape = str(rng.choice(AU_SHAPES, p=(0.5, 0.25, 0.25)))
        fault = shape != "truncated octahedron"  # multiply twinned
        return shape, viewable, fault, *build_au(rng, diameter, shape, viewable)
    shape = str(rng.choice(CDSE_SHAPES, p=(0.7, 0.3)))
    fault = bool(rng.random() < _fault_probability(diameter))
    return shape, viewable, fault, *build_cdse(rng, diameter, shape, viewable, fault)


def _spot(rng: np.random.Generator, placed: list[_Placed], radius: float, cell: float, alone: bool):
    """Find a centre (x, y): clear of all others, or leaning on one of them; None if none fits."""
    centres = np.array([p.centre[:2] for p in placed]).reshape(-1, 2)
    radii = np.array([p.radius for p in placed])
    for _ in range(200):
        if alone or not placed:
            spot, wanted = rng.uniform(0, cell, 2), radii + radius + 0.8
        else:
            k = rng.integers(len(placed))
            # Touching, or overlapping by up to a third of the smaller one.
            near = radii[k] + radius + rng.choice([0.05, -0.6 * min(radii[k], radius)])
            turn = rng.uniform(0, 2 * np.pi)
            spot = centres[k] + near * np.array([np.cos(turn), np.sin(turn)])
            wanted = np.where(np.arange(len(radii)) == k, 0, 0.6 * (radii + radius))
        if not placed or (np.hypot(*(centres - spot).T) > wanted).all():
            return spot
    return None


def _film(rng: np.random.Generator, sample: Sample, cell: float) -> np.ndarray:
    """Carbon whose thickness varies from place to place in proportion to its mean: (K, 3) nm."""
    points = int(np.ceil(cell / _FIELD_NM))
    bumps = rough_surface(rng, (points, points), sample.grain / _FIELD_NM)
    thickness = rng.uniform(*sample.film) * np.clip(1 + sample.roughness * bumps, 0.1, 2)
    return amorphous_carbon(rng, thickness / _FILM_LAYER_NM, cell, sample.film_density)


def _clear_of(atoms: np.ndarray, others: list[np.ndarray], distance: float) -> np.ndarray:
    """Which atoms keep a distance from all others: (K,) bool."""
    from scipy.spatial import cKDTree

    if not others or not len(atoms):
        return np.ones(len(atoms), bool)
    nearest, _ = cKDTree(np.concatenate(others)).query(atoms, distance_upper_bound=distance)
    return np.isinf(nearest)


def _ligands(rng: np.random.Generator, sample: Sample, item: _Placed) -> np.ndarray:
    """Loose carbon within the shell's thickness around one particle: (K, 3) nm."""
    low, high = item.positions.min(0) - sample.shell, item.positions.max(0) + sample.shell
    tries = rng.uniform(low, high, (rng.poisson(45 * np.prod(high - low)), 3))
    return tries[~_clear_of(tries, [item.positions], sample.shell)]


def draw_sample(rng: np.random.Generator, sample: Sample, side: int) -> tuple[np.ndarray, list]:
    """Draw a carbon film and the particles on it.

    Parameters
    ----------
    rng
        Source of randomness.
    sample
        What to draw.
    side
        Pixels along the edge of the final image; the cell is 64 px larger on
        each side.

    Returns
    -------
    film : (K, 3) float, nm
        All carbon: the film, and the shells of the particles.
    placed : list
        Particles with their atoms, from the film towards the lens.
    """
    cell = (side + 2 * MARGIN) * sample.pixel_size
    film = _film(rng.spawn(1)[0], sample, cell)  # a stream of its own: particles stay as they are
    top = np.quantile(film[:, 2], 0.9) if len(film) else 0.5
    wanted = rng.poisson(sample.per_square_um * (cell / 1000) ** 2)
    placed: list[_Placed] = []
    for _ in range(wanted):
        middle, spread = np.mean(sample.diameters), np.ptp(sample.diameters) / 5
        diameter = float(np.clip(rng.normal(middle, spread), *sample.diameters))
        shape, viewable, fault, positions, numbers = _build(rng, sample, diameter)
        radius = float(np.hypot(*positions[:, :2].T).max())
        spot = _spot(rng, placed, radius, cell, rng.random() < sample.alone)
        if spot is None:
            continue
        near = [p for p in placed if np.hypot(*(p.centre[:2] - spot)) < p.radius + radius]
        height = top + 0.15 - positions[:, 2].min()
        fused = rng.random() < 0.5
        for other in near:  # climb over what it leans on, unless they grew together
            if not fused:
                reach = (other.radius + radius) ** 2 - np.sum((other.centre[:2] - spot) ** 2)
                height = max(height, other.centre[2] + np.sqrt(reach))
        centre = np.array([*spot, height])
        positions = positions + centre
        if fused and near:
            own = _clear_of(positions, [p.positions for p in near], 0.25)
            positions, numbers = positions[own], numbers[own]
        if len(positions):
            truth = Particle(shape, 0.0, 1.0, 0.0, 0.0, viewable, fault)  # measured on the mask
            placed.append(_Placed(truth, positions, numbers, radius, centre))
    carbon = np.concatenate([film, *(_ligands(rng, sample, p) for p in placed)])
    carbon = carbon[_clear_of(carbon, [p.positions for p in placed], _CONTACT_NM)]
    return carbon, sorted(placed, key=lambda p: p.centre[2])


def project(sample: Sample, placed: list[_Placed], side: int) -> tuple[np.ndarray, list[Particle]]:
    """Mark every particle's pixels, seen along the beam, and measure it.

    Parameters
    ----------
    sample, placed, side
        As for :func:`draw_sample`, and what it returns.

    Returns
    -------
    instances : (side, side) uint8
        0 is background, k the k-th particle.
    particles : list of Particle
        Those that are seen in the frame.
    """
    from skimage.measure import regionprops

    instances = np.zeros((side, side), np.uint8)
    particles = []
    for item in placed:
        first = np.floor(item.positions[:, :2].min(0) / sample.pixel_size).astype(int) - 16
        window = int(np.ptp(item.positions[:, :2], axis=0).max() / sample.pixel_size) + 32
        local = item.positions[:, :2] - first * sample.pixel_size
        mask = projected_mask(local, window * sample.pixel_size, window)
        (whole,) = regionprops(mask.astype(np.uint8))
        corner = first - MARGIN  # px of the final image
        inside = [slice(*np.clip([c, c + window], 0, side)) for c in corner]
        own = tuple(slice(s.start - c, s.stop - c) for s, c in zip(inside, corner))
        if not mask[own].any():
            continue
        row, column = corner + np.array(whole.centroid)
        particles.append(
            replace(
                item.truth,
                diameter_nm=float(whole.equivalent_diameter_area * sample.pixel_size),
                aspect=float(whole.axis_major_length / whole.axis_minor_length),
                row=float(row),
                column=float(column),
            )
        )
        instances[tuple(inside)][mask[own]] = min(len(particles), 255)
    if len(particles) > 255:
        raise ValueError(
            f"{len(particles)} particles in a frame: make it smaller, 255 have numbers"
        )
    seen = np.unique(instances[instances > 0])
    if len(seen) < len(particles):  # one that is hidden wholly below another
        order = np.zeros(len(particles) + 1, np.uint8)
        order[seen] = np.arange(1, len(seen) + 1)
        instances, particles = order[instances], [particles[k - 1] for k in seen]
    return instances, particles
