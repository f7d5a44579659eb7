"""Growth of a WSe2 monolayer on a stepped substrate: who covers what, and how high it stands.

Nuclei appear where the substrate is still bare, grow as (truncated) triangles
and coalesce; second-layer islands and particles come on top. Temperature,
pressure and time set how many domains there are and how far they get. Taken
apart in the chapter *From export to label*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..simulate.fields import rough_surface

__all__ = [
    "Film",
    "FilmSample",
    "TEMPERATURES_C",
    "PRESSURES_TORR",
    "TIMES_S",
    "draw_film_sample",
    "domain_distance",
    "grow",
]

TEMPERATURES_C = (750, 850, 1050)
PRESSURES_TORR = (200, 450, 700)
TIMES_S = (0, 300, 600, 1200, 1800, 2100, 2400, 3600)
"""The growth space of Moses et al. (2024)."""

LAYER_NM = 0.7  # height of a layer of WSe2
SAPPHIRE_STEP_NM = 0.22  # between c planes that look alike

# Time in seconds of one sample after the other, over and over: four of 52 stop
# after nucleation, as in the study.
_TIMES = (1800, 600, 2400, 1200, 300, 3600, 1800, 2100, 0, 1200, 600, 3600, 1800)
_DENSITY = {750: 55.0, 850: 18.0, 1050: 4.0}  # nuclei per um^2: adatoms reach farther when hot
_RATE = {750: 0.8, 850: 1.0, 1050: 1.15}  # growth in area, relative
_GOLDEN = 0.6180339887


@dataclass(frozen=True)
class FilmSample:
    """One growth run: its conditions, and what they led to.

    Attributes
    ----------
    name
        Sample identifier.
    temperature_c, pressure_torr, time_s
        Conditions, from the study's growth space.
    density
        Nuclei per um^2.
    extended
        Area of all domains as if none met another, per area of substrate; the
        expected coverage is ``1 - exp(-extended)`` (Johnson, Mehl, Avrami,
        Kolmogorov).
    edge_factor
        ``extended`` at the wafer's edge over that at its centre.
    truncation
        How far the slow edges stand from the centre, in units of the fast
        ones: 2 is a triangle, 1 a hexagon.
    concavity
        Above 0 the edges bend inwards, below 0 outwards.
    raggedness
        Waviness of the edges, in units of the domain's size.
    alignment
        Scatter (sd) of the domains about 0 and 60 degrees, rad; infinite if at random.
    orientation, step_angle
        Of the domains and of the steps' normal, rad.
    terrace_nm, step_nm
        Width of the terraces and height of the steps between them.
    at_steps
        Share of nuclei that sit on a step.
    boundary_nm
        Depth of the grooves where domains meet.
    substrate_nm, film_nm, grain_nm
        Roughness (sd) of substrate and film; correlation length of the substrate's.
    bilayer
        Extended coverage of the second layer, per extended coverage of the first.
    particles
        Per um^2.
    """

    name: str
    temperature_c: int
    pressure_torr: int
    time_s: int
    density: float
    extended: float
    edge_factor: float
    truncation: float
    concavity: float
    raggedness: float
    alignment: float
    orientation: float
    step_angle: float
    terrace_nm: float
    step_nm: float
    at_steps: float
    boundary_nm: float
    substrate_nm: float
    film_nm: float
    grain_nm: float
    bilayer: float
    particles: float


@dataclass
class Film:
    """A piece of a film, before any microscope."""

    height: np.ndarray  # (H, W) float32, nm
    mask: np.ndarray  # (H, W) bool, True where WSe2 covers the substrate
    domains: int  # of the first layer, that reach into the frame


def draw_film_sample(seed: int, number: int) -> FilmSample:
    """Draw a growth run.

    The sample depends on the two arguments only.

    Notes
    -----
    Density and rate follow temperature and pressure as MOCVD does in outline
    (Eichfeld et al., ACS Nano 9, 2080 (2015)): hot and at high pressure, few
    large domains. The numbers are chosen, not measured.
    """
    from scipy.special import ndtri

    rng = np.random.default_rng([seed, number, 0])
    temperature = int(rng.choice(TEMPERATURES_C, p=(0.2, 0.35, 0.45)))
    pressure = int(rng.choice(PRESSURES_TORR, p=(0.35, 0.25, 0.4)))
    time = _TIMES[number % len(_TIMES)]
    # What conditions do not tell (flux, wafer, day) spreads evenly even over a few samples.
    luck = ndtri((0.37 + _GOLDEN * (number + 7 * seed)) % 0.998 + 0.001)
    rate = _RATE[temperature] * (pressure / 450) ** 0.25 * np.exp(0.7 * luck)
    density = _DENSITY[temperature] * (pressure / 450) ** -0.6 * np.exp(0.35 * rng.normal())
    bunched = rng.random() < 0.1  # steps that ran together: wide terraces, high steps
    layers = rng.integers(2, 5) if bunched else 1
    random = rng.random() < {750: 0.7, 850: 0.35, 1050: 0.1}[temperature]
    return FilmSample(
        name=f"sample{number:02d}",
        temperature_c=temperature,
        pressure_torr=pressure,
        time_s=time,
        density=float(density),
        extended=float(0.85 * (time + 30) / 1800 * rate),
        edge_factor=float(np.exp(rng.normal(-0.1, 0.2))),
        truncation=float(rng.choice([2.0, rng.uniform(1.5, 2.0), rng.uniform(1.1, 1.5)])),
        concavity=float(rng.uniform(-0.08, 0.16)),
        raggedness=float(rng.uniform(0.02, 0.14)),
        alignment=np.inf if random else float(rng.uniform(0.01, 0.12)),
        orientation=float(rng.uniform(0, 2 * np.pi)),
        step_angle=float(rng.uniform(0, np.pi)),
        terrace_nm=float(np.exp(rng.uniform(np.log(60), np.log(250))) * (2 if bunched else 1)),
        step_nm=float(SAPPHIRE_STEP_NM * layers),
        at_steps=float(rng.choice([0.0, 0.5, 0.9])),
        boundary_nm=float(rng.uniform(0, 0.25)),
        substrate_nm=float(np.exp(rng.uniform(np.log(0.03), np.log(0.16)))),
        film_nm=float(rng.uniform(0.03, 0.09)),
        grain_nm=float(np.exp(rng.uniform(np.log(8), np.log(40)))),
        bilayer=float(rng.choice([0.0, rng.uniform(0.02, 0.12), rng.uniform(0.1, 0.3)])),
        particles=float(np.exp(rng.normal(np.log(1.0), 1.2))),
    )


def domain_distance(
    x: np.ndarray, y: np.ndarray, angle: float, truncation: float = 2.0, concavity: float = 0.0
) -> np.ndarray:
    """Distance of points from a domain's centre, in the measure in which its edge is a circle.

    Three fast edges stand at distance 1 from the centre, three slow ones,
    between them, at ``truncation``.

    Parameters
    ----------
    x, y
        Coordinates from the centre; arrays of one shape, or that broadcast.
    angle
        Orientation, rad.
    truncation
        2 is a triangle, 1 a hexagon.
    concavity
        Above 0 the fast edges bend inwards.

    Returns
    -------
    float array
        A domain of inradius ``r`` covers the points whose value is below ``r``.
    """
    c, s = np.cos(angle), np.sin(angle)
    a = x * c + y * s
    b = (y * c - x * s) * (np.sqrt(3) / 2)
    first, second = b - 0.5 * a, -b - 0.5 * a
    fast = np.maximum(np.maximum(a, first), second)
    if truncation < 2:
        slow = np.minimum(np.minimum(a, first), second)
        fast = np.maximum(fast, slow / -truncation)
    if concavity:
        square = x * x + y * y + 1e-6
        turns = (4 * a * a - 3 * square) * a / (square * np.sqrt(square))  # cos 3 theta
        fast = fast * (1 + concavity * turns)
    return fast


def _nucleate(
    rng: np.random.Generator, sample: FilmSample, extended: float, extent: tuple, step_phase
) -> np.ndarray:
    """Draw the first-layer domains: rows of (x, y, angle, inradius), nm and rad."""
    area = 3**1.5 - 3**0.5 * (2 - sample.truncation) ** 2  # of a domain of inradius 1
    mean = np.sqrt(extended / (sample.density * 1e-6 * area))  # inradius, nm
    margin = 3 * mean
    height, width = extent
    count = rng.poisson(sample.density * 1e-6 * (height + 2 * margin) * (width + 2 * margin))
    # Half of the nuclei are there from the start, the others come one by one.
    born = np.sort(np.maximum(0, rng.uniform(-1, 0.95, count)))
    x, y = rng.uniform(-margin, width + margin, count), rng.uniform(-margin, height + margin, count)
    moved = rng.random(count) < sample.at_steps
    phase = step_phase(x, y)
    shift = np.where(moved, (np.round(phase) - phase) * sample.terrace_nm, 0)
    x, y = x + shift * np.cos(sample.step_angle), y + shift * np.sin(sample.step_angle)
    if np.isinf(sample.alignment):
        angle = rng.uniform(0, 2 * np.pi, count)
    else:  # a triangle and its mirror fit the substrate equally well
        angle = sample.orientation + np.pi / 3 * rng.integers(0, 2, count)
        angle = angle + sample.alignment * rng.normal(size=count)
    share = np.exp(0.25 * rng.normal(size=count))  # of the precursor
    reach = mean * np.sqrt(share / 0.77)  # at the end, if born at the start
    kept: list[int] = []
    for n in range(count):
        if born[n] > 0 and kept:
            near = [x[n] - x[kept], y[n] - y[kept]]
            grown = reach[kept] * np.sqrt(np.maximum(born[n] - born[kept], 0))
            if (domain_distance(*near, angle[kept], sample.truncation) < grown).any():
                continue  # no bare substrate was left there
        kept.append(n)
    return np.stack([x, y, angle, reach * np.sqrt(1 - born)], axis=1)[kept]


def _stamp(domains: np.ndarray, sample: FilmSample, ragged: np.ndarray, pixel: float):
    """Draw domains: how deep each pixel lies inside one (nm), and inside which."""
    rows, columns = ragged.shape
    depth = np.full((rows, columns), -1e3, np.float32)
    owner = np.full((rows, columns), -1, np.int32)
    for n, (x, y, angle, radius) in enumerate(domains):
        far = 2.3 * radius
        top, left = max(0, int((y - far) / pixel)), max(0, int((x - far) / pixel))
        bottom, right = int((y + far) / pixel) + 2, int((x + far) / pixel) + 2
        if bottom <= 0 or right <= 0 or top >= rows or left >= columns:
            continue
        box = np.s_[top:bottom, left:right]
        dx = ((np.arange(left, min(right, columns)) + 0.5) * pixel - x).astype(np.float32)
        dy = ((np.arange(top, min(bottom, rows)) + 0.5) * pixel - y).astype(np.float32)
        away = domain_distance(dx[None], dy[:, None], angle, sample.truncation, sample.concavity)
        inside = radius * (1 + sample.raggedness * ragged[box]) - away
        deeper = inside > depth[box]
        depth[box][deeper] = inside[deeper]
        owner[box][deeper] = n
    return depth, owner


def _add_particles(rng: np.random.Generator, height: np.ndarray, spots: np.ndarray, pixel: float):
    """Set round caps on a surface; spots are (x, y) in nm."""
    rows, columns = height.shape
    for x, y in spots / pixel:
        tall = min(1.0 + rng.exponential(3.0), 25.0)
        radius = max(rng.uniform(1.0, 2.5) * tall + 3, 1.2 * pixel) / pixel
        top, bottom = max(0, int(y - radius)), min(rows, int(y + radius) + 2)
        left, right = max(0, int(x - radius)), min(columns, int(x + radius) + 2)
        if top >= bottom or left >= right:
            continue
        box = np.s_[top:bottom, left:right]
        j, i = np.mgrid[box]
        cap = tall * (1 - ((i + 0.5 - x) ** 2 + (j + 0.5 - y) ** 2) / radius**2)
        height[box] += np.maximum(cap, 0).astype(np.float32)


def grow(
    rng: np.random.Generator,
    sample: FilmSample,
    shape: tuple[int, int],
    pixel_nm: float,
    position: str = "centre",
) -> Film:
    """Grow a piece of film.

    Parameters
    ----------
    rng
        Source of everything that differs between two places of one sample.
    sample
        The growth run.
    shape
        Rows and columns of the frame.
    pixel_nm
        Edge of a pixel.
    position
        ``"centre"`` or ``"edge"`` of the wafer.

    Returns
    -------
    Film

    Raises
    ------
    ValueError
        If the position is neither, or shape or pixel size are not positive.
    """
    if position not in ("centre", "edge"):
        raise ValueError(f"position must be 'centre' or 'edge', got {position!r}")
    if min(shape) < 1 or pixel_nm <= 0:
        raise ValueError(f"need a positive shape and pixel size, got {shape} and {pixel_nm}")
    at_edge = position == "edge"
    extended = sample.extended * np.exp(0.1 * rng.normal())
    extended *= sample.edge_factor if at_edge else 1.0

    # Terraces: the phase counts steps along their normal; they meander.
    along = np.array([np.cos(sample.step_angle), np.sin(sample.step_angle)]) * pixel_nm
    plane = np.add.outer(np.arange(shape[0]) * along[1], np.arange(shape[1]) * along[0])
    plane = (plane / sample.terrace_nm + rng.uniform()).astype(np.float32)
    meander = rough_surface(rng, shape, 1.5 * sample.terrace_nm / pixel_nm, 5)
    phase = plane + 0.35 * meander

    def step_phase(x, y):
        i, j = np.clip(y / pixel_nm, 0, shape[0] - 1), np.clip(x / pixel_nm, 0, shape[1] - 1)
        return phase[i.astype(int), j.astype(int)]

    height = sample.step_nm * (np.floor(phase) - plane)
    height += sample.substrate_nm * rough_surface(rng, shape, sample.grain_nm / pixel_nm)

    extent = (shape[0] * pixel_nm, shape[1] * pixel_nm)
    domains = _nucleate(rng, sample, extended, extent, step_phase)
    size = np.median(domains[:, 3]) if len(domains) else pixel_nm
    ragged = rough_surface(rng, shape, max(0.4 * size / pixel_nm, 1.0), 3.5)
    depth, owner = _stamp(domains, sample, ragged, pixel_nm)
    mask = depth > 0
    film = np.clip(depth / pixel_nm + 0.5, 0, 1)  # edges are not stairs of pixels
    texture = rough_surface(rng, shape, 6 / pixel_nm + 0.5)
    height += film * (LAYER_NM + sample.film_nm * texture)

    meeting = np.zeros(shape, bool)
    meeting[:-1] |= owner[:-1] != owner[1:]
    meeting[:, :-1] |= owner[:, :-1] != owner[:, 1:]
    height -= sample.boundary_nm * (meeting & (depth > pixel_nm))

    second = domains[rng.random(len(domains)) < min(1.0, 2.5 * sample.bilayer * extended)].copy()
    second[:, 3] *= rng.uniform(0.15, 0.55, len(second))
    second[:, 2] += np.pi / 3 * rng.integers(0, 2, len(second))
    above, _ = _stamp(second, sample, ragged, pixel_nm)
    height += LAYER_NM * np.clip(above / pixel_nm + 0.5, 0, 1) * mask

    count = rng.poisson(sample.particles * (3 if at_edge else 1) * extent[0] * extent[1] * 1e-6)
    spots = rng.uniform(0, 1, (count, 2)) * extent[::-1]
    if len(domains):  # some sit where a domain began
        seeds = rng.integers(0, len(domains), count)
        spots = np.where(rng.random((count, 1)) < 0.4, domains[seeds, :2], spots)
    _add_particles(rng, height, spots, pixel_nm)
    return Film(height.astype(np.float32), mask, len(np.unique(owner[mask])))
