"""What lies on a wafer: crystals placed, overlapped, cored, topped and soiled, with their truth.

A scene is drawn on a grid three times finer than the image. Each fine pixel
knows the stack of crystals on it, which decides its colour, and the crystal it
belongs to, which is the truth; the middle one of nine is a pixel's centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import crystals
from .runs import CLASSES, GrowthRun

__all__ = ["FINE", "Body", "Scene", "compose", "draw_body"]

FINE = 3
"""Fine pixels along the edge of a pixel."""

_RIM_UM = 0.3  # width of the dark edge of a thick crystal
_MOST_HIDDEN = 0.35  # share of a crystal that others lie on
_MOST_CUT = 0.12  # share of a crystal that is missing where it met others


@dataclass
class Body:
    """A crystal, before it is laid down.

    Attributes
    ----------
    category
        Its class.
    rings
        Outlines that it is the union of, (N, 2) um each, about its centre.
    films
        (material, layers) from above to below.
    inner
        (ring, films) of parts that differ: cores, second layers, nuclei; later
        ones lie over earlier ones.
    rim
        Signal of its edge against its face: slopes of thick crystals throw
        light out of the aperture.
    """

    category: str
    rings: list[np.ndarray]
    films: tuple[tuple[str, int], ...]
    inner: list[tuple[np.ndarray, tuple[tuple[str, int], ...]]] = field(default_factory=list)
    rim: float = 1.0


@dataclass
class Scene:
    """A piece of wafer on the fine grid.

    Attributes
    ----------
    stacks
        (films, signal): crystals from above to below, and a factor for light
        that is lost; number 0 is the bare wafer.
    surface
        (3 H, 3 W) int16, number of the stack at each fine pixel.
    owner
        (3 H, 3 W) int16, number of the crystal at each fine pixel; 0 is none.
    bodies
        The crystals; number 1 is the first.
    grown, visible
        Fine pixels of each crystal: when it was laid down, and now.
    """

    stacks: list[tuple[tuple[tuple[str, int], ...], float]]
    surface: np.ndarray
    owner: np.ndarray
    bodies: list[Body] = field(default_factory=list)
    grown: list[int] = field(default_factory=list)
    visible: list[int] = field(default_factory=list)

    def number(self, films: tuple[tuple[str, int], ...], signal: float = 1.0) -> int:
        """Look a stack up, and list it if it is new."""
        if (films, signal) not in self.stacks:
            self.stacks.append((films, signal))
        return self.stacks.index((films, signal))


def _layer_number(rng: np.random.Generator, category: str) -> int:
    """Draw a number of layers: thin is 1 to 3, thick 4 to 15 (10 nm), bulk 25 to 400."""
    if category == "thin":
        return int(rng.choice([1, 2, 3], p=(0.6, 0.25, 0.15)))
    low, high = (4, 15) if category == "thick" else (25, 400)
    return round(np.exp(rng.uniform(np.log(low), np.log(high))))


def _island(rng: np.random.Generator, run: GrowthRun, side: float, category: str) -> np.ndarray:
    """Draw the outline of one grown island, turned as the run turns them."""
    bend = max(run.bend + rng.normal(0, 0.01), -0.012)  # bowed in further, edges make a star
    if category == "hexagon":
        ring = crystals.outline(side, rng.uniform(0.88, 1.0), bend)
    elif category == "truncated triangle":
        ring = crystals.outline(side, rng.uniform(0.28, 0.65), bend)
    elif category == "star":
        arms = int(rng.choice([3, 4, 6], p=(0.25, 0.1, 0.65)))
        # Of three arms with shallower notches the outline is a triangle, or convex.
        ring = crystals.star(side, arms, rng.uniform(*((0.62, 0.72) if arms == 3 else (0.45, 0.6))))
    elif category == "triangle":
        ring = crystals.outline(side, rng.uniform(0, 0.06), bend)
    else:
        ring = crystals.outline(
            side, float(np.clip(run.truncation + rng.normal(0, 0.05), 0, 1)), bend
        )
    if run.aligned:  # a triangle and its mirror fit the substrate equally well
        angle = run.orientation + np.pi / 3 * rng.integers(0, 2) + rng.normal(0, 0.03)
    else:
        angle = rng.uniform(0, 2 * np.pi)
    return crystals.turn(ring, angle)


def _add_tops(rng: np.random.Generator, run: GrowthRun, body: Body, ring: np.ndarray, side: float):
    """Add second layers and the nucleus to a grown crystal."""
    material, layers = body.films[0]
    if rng.random() < run.second_layer:
        top = crystals.turn(ring * rng.uniform(0.15, 0.5), np.pi / 3 * rng.integers(0, 2))
        body.inner.append((top, ((material, layers + 1),)))
    if rng.random() < run.nucleus:
        dot = crystals.outline(max(0.05 * side, 0.25) * rng.uniform(0.7, 1.5), 1.0)
        body.inner.append((dot, ((material, int(rng.integers(6, 60))),)))


def draw_body(rng: np.random.Generator, run: GrowthRun, category: str) -> Body:
    """Draw a crystal of a class.

    Parameters
    ----------
    rng
        Source of randomness.
    run
        Its growth run.
    category
        One of the classes of the run's kind.

    Returns
    -------
    Body

    Raises
    ------
    ValueError
        If the category is not one of the run's kind.
    """
    if category not in CLASSES[run.kind]:
        raise ValueError(f"{run.kind} has the classes {CLASSES[run.kind]}, not {category!r}")
    side = run.side_um * np.exp(run.side_spread * rng.normal())
    if category in ("thin", "thick", "bulk"):
        layers = _layer_number(rng, category)
        if run.material == "WTe2" and rng.random() < 0.75:
            ring = crystals.lath(side * rng.uniform(1.0, 2.2), side * rng.uniform(0.15, 0.5))
            turned = run.orientation if run.aligned else rng.uniform(0, np.pi)
            ring = crystals.turn(ring, turned + rng.normal(0, 0.05))
        elif category == "thin" and rng.random() < 0.5:
            ring = _island(rng, run, side, "")
        else:
            ring = crystals.turn(crystals.flake(rng, side), rng.uniform(0, 2 * np.pi))
        if rng.random() < 0.3:
            ring = crystals.break_off(rng, ring, rng.uniform(0.1, 0.4))
        ring = crystals.roughen(rng, ring, 0.5 * run.roughness)
        nm = 0.65 * layers
        rim = 1.0 if nm < 8 else float(np.clip(0.9 - nm / 120, 0.3, 0.8))
        body = Body(category, [ring], ((run.material, layers),), rim=rim)
        for _ in range(int(rng.integers(0, 3)) if category != "thin" else 0):  # terraces
            step = crystals.break_off(rng, ring, rng.uniform(0.2, 0.6))
            body.inner.append((step, ((run.material, _layer_number(rng, category)),)))
        return body

    if category == "irregular" and rng.random() < 0.6:  # several islands that grew into one
        rings = []
        for k in range(int(rng.integers(2, 5))):
            # Nearer than the sum of two inradii, so that they touch.
            away = crystals.turn(np.array([[0.28 * side, 0]]), rng.uniform(0, 2 * np.pi)) * (k > 0)
            part = _island(rng, run, side * rng.uniform(0.5, 0.8), "")
            rings.append(crystals.roughen(rng, part, run.roughness) + away)
        return Body(category, rings, ((run.material, 1),))
    ring = _island(rng, run, side, category)
    if category == "irregular":
        ring = crystals.break_off(rng, ring, rng.uniform(0.3, 0.55))
    if category == "irregular" or (run.kind == "heterostructure" and rng.random() < 0.12):
        ring = crystals.break_off(rng, ring, rng.uniform(0.12, 0.35))
    ring = crystals.roughen(rng, ring, run.roughness)
    if category == "heterostructure":
        shell = "MoS2" if run.core == "MoSe2" else "MoSe2"
        body = Body(category, [ring], ((shell, 1),))
        core = crystals.roughen(rng, ring * rng.uniform(0.3, 0.75), run.roughness)
        body.inner.append((core, ((run.core, 1),)))
        return body
    material = category if category in ("MoS2", "MoSe2") else run.material
    body = Body(category, [ring], ((material, 1),))
    _add_tops(rng, run, body, ring, side)
    return body


def _united(rings: list[np.ndarray], shape: tuple[int, int], scale: float):
    """Fill a union of rings: (box, inside)."""
    parts = [crystals.fill(ring, shape, scale) for ring in rings]
    parts = [(box, inside) for box, inside in parts if inside.size]
    if len(parts) < 2:
        return parts[0] if parts else (np.s_[0:0, 0:0], np.zeros((0, 0), bool))
    top, left = (min(box[k].start for box, _ in parts) for k in (0, 1))
    bottom, right = (max(box[k].stop for box, _ in parts) for k in (0, 1))
    united = np.zeros((bottom - top, right - left), bool)
    for (rows, columns), inside in parts:
        united[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= (
            inside
        )
    return np.s_[top:bottom, left:right], united


def _lay(scene: Scene, box, inside: np.ndarray, films, signal: float, below: np.ndarray) -> None:
    """Set a film down where ``inside``, on top of the stacks ``below``; all of the box's shape."""
    for under in np.flatnonzero(np.bincount(below[inside])):
        number = scene.number(films + scene.stacks[under][0], signal)
        where = inside if under == 0 and not below.any() else inside & (below == under)
        scene.surface[box][where] = number


def _place(scene: Scene, body: Body, centre: np.ndarray, scale: float, on_top: bool) -> bool:
    """Lay a crystal down unless it is hidden, or hides another, too much; tell whether it lies."""
    from scipy.ndimage import binary_erosion

    shape = scene.surface.shape
    box, inside = _united([ring + centre for ring in body.rings], shape, scale)
    whole = np.count_nonzero(inside)
    owner = scene.owner[box]
    if not on_top:  # it stopped growing where it met the others
        inside = inside & (owner == 0)
    if np.count_nonzero(inside) < max(40 * FINE**2, (1 - _MOST_CUT) * whole):
        return False
    hidden = np.bincount(owner[inside], minlength=len(scene.bodies) + 1)[1:]
    left = np.array(scene.visible, int) - hidden
    if (left < (1 - _MOST_HIDDEN) * np.array(scene.grown))[hidden > 0].any():
        return False
    scene.visible = left.tolist()
    below = scene.surface[box].copy()
    _lay(scene, box, inside, body.films, 1.0, below)
    for ring, films in body.inner:
        part, filled = crystals.fill(ring + centre, shape, scale)
        (rows, columns), (top, left) = part, (box[0].start, box[1].start)
        within = (
            np.s_[max(rows.start, top) : min(rows.stop, box[0].stop)],
            np.s_[max(columns.start, left) : min(columns.stop, box[1].stop)],
        )
        if within[0].start >= within[0].stop or within[1].start >= within[1].stop:
            continue
        here = tuple(slice(w.start - p.start, w.stop - p.start) for w, p in zip(within, part))
        there = tuple(slice(w.start - p.start, w.stop - p.start) for w, p in zip(within, box))
        _lay(scene, within, filled[here] & inside[there], films, 1.0, below[there])
    if body.rim < 1:
        width = int(np.clip(_RIM_UM * scale, FINE - 1, 3 * FINE))
        edge = inside & ~binary_erosion(inside, iterations=width)
        _lay(scene, box, edge, body.films, body.rim, below)
    scene.bodies.append(body)
    scene.grown.append(np.count_nonzero(inside))
    scene.visible.append(scene.grown[-1])
    owner[inside] = len(scene.bodies)
    return True


def _soil(rng: np.random.Generator, scene: Scene, run: GrowthRun, scale: float) -> None:
    """Strew particles: thick grains of the material, and dirt that scatters light away."""
    rows, columns = scene.surface.shape
    area = rows * columns / scale**2  # um^2
    grains = [
        crystals.roughen(rng, crystals.outline(1.5, 1.0, points=40), 0.08)
        * [1, rng.uniform(0.6, 1)]
        for _ in range(8)
    ]
    for _ in range(min(rng.poisson(run.particles * area), 250)):
        size = min(0.25 + rng.exponential(0.35), 2.5)
        spot = size * grains[rng.integers(8)] + rng.uniform(0, (columns, rows)) / scale
        box, inside = crystals.fill(spot, scene.surface.shape, scale)
        dirt = rng.random() < 0.5
        films = () if dirt else ((run.material, int(rng.choice([12, 30, 80, 150]))),)
        signal = float(rng.choice([0.15, 0.35, 0.6]) if dirt else rng.choice([0.6, 0.85, 1.0]))
        scene.surface[box][inside] = scene.number(films, signal)


def compose(
    rng: np.random.Generator, run: GrowthRun, shape: tuple[int, int], pixel_um: float
) -> Scene:
    """Compose a piece of wafer.

    Parameters
    ----------
    rng
        Source of everything that differs between two places of one run.
    run
        The growth run.
    shape
        Rows and columns of the image.
    pixel_um
        Edge of a pixel.

    Returns
    -------
    Scene
        Crystals hide at most about a third of another. Particles do not change
        whom a pixel belongs to.
    """
    fine = (shape[0] * FINE, shape[1] * FINE)
    scene = Scene([((), 1.0)], np.zeros(fine, np.int16), np.zeros(fine, np.int16))
    extent = np.array(shape[::-1]) * pixel_um
    one = np.sqrt(3) / 4 * run.side_um**2 * np.exp(2 * run.side_spread**2)
    coverage = run.coverage * np.exp(0.3 * rng.normal())
    count = int(np.clip(round(coverage * extent.prod() / one), 2, 60))
    classes, weights = CLASSES[run.kind], run.mixture
    for _ in range(count):
        body = draw_body(rng, run, str(rng.choice(classes, p=weights)))
        on_top = rng.random() < run.overlap
        for _ in range(4):
            centre = rng.uniform(-0.1 * run.side_um, extent + 0.1 * run.side_um)
            if _place(scene, body, centre, FINE / pixel_um, on_top):
                break
    _soil(rng, scene, run, FINE / pixel_um)
    return scene
