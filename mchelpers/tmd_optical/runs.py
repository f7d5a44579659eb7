"""Growth runs of the optical study, and the microscope that looked at each.

Images of one run share the wafer (oxide), the lamp, the camera, how crystals
are turned, how many there are and how large they got. That is what a network
could learn in place of the crystals, and why a run must stay on one side of a split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .optics import Camera, illuminant, wafer_reflectance

__all__ = [
    "CLASSES",
    "IMAGES_PER_RUN",
    "OBJECTIVES",
    "GrowthRun",
    "Objective",
    "choose_objective",
    "draw_run",
]

CLASSES = {
    "heterostructure": ("MoS2", "MoSe2", "heterostructure"),
    "shapes": ("triangle", "truncated triangle", "hexagon", "star", "irregular"),
    "thickness MoS2": ("thin", "thick", "bulk"),
    "thickness WTe2": ("thin", "thick", "bulk"),
}
"""Kind of data set -> its classes; the study names only some of them.

Thickness goes by layers: thin is 1 to 3, thick 4 to 15, bulk 25 and more. Shapes go by the outline
as it grew, before others cut it; *solidity* is the area over that of the convex hull:

- triangle: solidity .86 or more, and .76 or more of the smallest triangle around it;
- truncated triangle: likewise, but its tips are missing: .70 to .94 of that triangle, where
  a hexagon, whose six sides are about equal, has less than .74;
- star: three, four or six arms with notches between, solidity .82 or less;
- irregular: several islands grown into one, or an island that broke.
"""

IMAGES_PER_RUN = {"heterostructure": 6, "shapes": 5, "thickness MoS2": 5, "thickness WTe2": 5}


@dataclass(frozen=True)
class Objective:
    """A microscope objective: its magnification, aperture, and a pixel's edge on the sample."""

    magnification: int
    na: float
    pixel_um: float


OBJECTIVES = {m: Objective(m, na, 6.45 / m) for m, na in ((20, 0.45), (50, 0.80), (100, 0.90))}
"""Magnification -> objective, before a camera of 6.45 um pixels."""


@dataclass(frozen=True)
class GrowthRun:
    """One growth run and the microscope that it was looked at with.

    Attributes
    ----------
    name, kind
        Identifier; kind of data set, a key of :data:`CLASSES`.
    oxide_nm
        Thickness of the SiO2.
    lamp, temperature_k
        Arguments of :func:`mchelpers.tmd_optical.optics.illuminant`.
    filling
        Share of the objective's aperture that the illumination fills.
    camera
        Colour camera; its exposure is that of an average image of the run.
    material
        Of all crystals that are not named by their class.
    core
        Material in the middle of heterostructures; the other one is around it.
    mixture
        Share of each class.
    side_um, side_spread
        Side of the triangle of a typical crystal's area, and the standard
        deviation of its logarithm.
    coverage
        Of the wafer, expected.
    aligned, orientation
        Whether crystals have two preferred orientations, and the first, rad.
    truncation, bend, roughness
        Of the outlines: see :mod:`mchelpers.tmd_optical.crystals`.
    overlap
        Share of crystals that grow over their neighbours; others stop there.
    second_layer, nucleus
        Share of crystals with a second layer, and with a thick nucleus.
    particles
        Per um^2.
    residue_nm
        Thickness of the transparent residue where there is some; 0 is clean.
    density
        Of films of few layers: see :func:`mchelpers.tmd_optical.optics.refractive_index`.
    """

    name: str
    kind: str
    oxide_nm: float
    lamp: str
    temperature_k: float
    filling: float
    camera: Camera
    material: str
    core: str
    mixture: tuple[float, ...]
    side_um: float
    side_spread: float
    coverage: float
    aligned: bool
    orientation: float
    truncation: float
    bend: float
    roughness: float
    overlap: float
    second_layer: float
    nucleus: float
    particles: float
    residue_nm: float
    density: float


def _draw_camera(rng: np.random.Generator, oxide_nm: float, lamp: np.ndarray, na: float) -> Camera:
    """Draw a camera and set it up on the bare wafer, as its owner would."""
    bare = Camera().raw(wafer_reflectance((), oxide_nm, na), lamp)  # (3,); a mirror is 1
    grey = rng.choice([0.0, rng.uniform(0.1, 0.45), rng.uniform(0.45, 0.8)], p=(0.25, 0.5, 0.25))
    balance = (bare.mean() / bare) ** grey * np.exp(rng.normal(0, 0.02, 3))
    level = rng.uniform(0.16, 0.42)  # of the full well, on the bare wafer
    glare = bare.mean() * rng.uniform(0, 1)
    return Camera(
        balance=tuple(float(b) for b in balance / balance[1]),
        exposure=float(level / (bare.mean() + glare)),
        glare=float(glare),
        saturation=float(rng.uniform(0.2, 0.85)),
        gamma=float(rng.uniform(1.1, 2.2)),
        full_well=float(np.exp(rng.uniform(np.log(4000), np.log(20_000)))),
    )


def draw_run(kind: str, seed: int, number: int, lab: str = "many") -> GrowthRun:
    """Draw a growth run; it depends on the arguments only.

    Parameters
    ----------
    kind
        A key of :data:`CLASSES`.
    seed, number
        Of the set, and of the run in it.
    lab
        ``"many"``: each run has an oxide, a lamp and a camera of its own. ``"one"``: all have the
        same microscope, on 285 nm of oxide within its tolerance of 1.2 %.

    Raises
    ------
    ValueError
        If the kind is not a key of :data:`CLASSES`, or the laboratory is neither.
    """
    if kind not in CLASSES or lab not in ("many", "one"):
        raise ValueError(
            f"no data set {kind!r} of {lab!r}; there are {', '.join(CLASSES)} of 'many' and 'one'"
        )
    rng = np.random.default_rng([seed, list(CLASSES).index(kind), number, 0])
    nominal = float(rng.choice([285.0, 300.0, 90.0], p=(0.5, 0.32, 0.18)))
    oxide = nominal * rng.normal(1, 0.012)
    lamp = str(rng.choice(["halogen", "led"]))
    temperature = rng.uniform(2900, 3400) if lamp == "halogen" else rng.uniform(4500, 6500)
    filling = rng.uniform(0.45, 0.85)
    density = rng.uniform(0.55, 1.05)
    if lab == "one":  # its camera is drawn once for all, from numbers of its own
        lamp, temperature, filling = "halogen", 3200.0, 0.65
        oxide, density = 285 * rng.normal(1, 0.012), rng.normal(0.9, 0.02)
        camera = _draw_camera(np.random.default_rng(2), 285.0, illuminant(lamp, temperature), 0.52)
    else:
        camera = _draw_camera(rng, oxide, illuminant(lamp, temperature), 0.8 * filling)
    thickness = kind.startswith("thickness")
    mixture = rng.dirichlet([4.0] * len(CLASSES[kind]))
    if kind == "heterostructure":  # it is what these runs are grown for
        mixture = 0.45 * mixture + np.array([0, 0, 0.55])
    return GrowthRun(
        name=f"{kind.replace(' ', '_')}_run{number:02d}",
        kind=kind,
        oxide_nm=float(oxide),
        lamp=lamp,
        temperature_k=float(temperature),
        filling=float(filling),
        camera=camera,
        material=kind.split()[-1] if thickness else "MoS2",
        core=str(rng.choice(["MoSe2", "MoS2"], p=(0.7, 0.3))),
        mixture=tuple(float(m) for m in mixture),
        side_um=float(np.exp(rng.uniform(np.log(6), np.log(28)))),
        side_spread=float(rng.uniform(0.15, 0.45)),
        coverage=float(rng.uniform(0.05, 0.22) if thickness else rng.uniform(0.08, 0.4)),
        aligned=bool(rng.random() < 0.4),
        orientation=float(rng.uniform(0, 2 * np.pi)),
        truncation=float(rng.choice([0.0, rng.uniform(0, 0.3), rng.uniform(0.3, 0.9)])),
        bend=float(rng.uniform(-0.07, 0.06)),
        roughness=float(np.exp(rng.uniform(np.log(0.003), np.log(0.02)))),
        overlap=float(rng.uniform(0.1, 0.6)),
        second_layer=float(rng.choice([0.0, rng.uniform(0.05, 0.4)])),
        nucleus=float(rng.choice([0.0, rng.uniform(0.1, 0.7)])),
        particles=float(np.exp(rng.normal(np.log(0.003), 0.7))),
        residue_nm=float(rng.choice([0.0, rng.uniform(1.0, 6.0)])),
        density=float(density),
    )


def choose_objective(rng: np.random.Generator, run: GrowthRun) -> Objective:
    """Choose an objective through which the run's crystals can be seen, as an operator would."""
    side = {m: run.side_um / o.pixel_um for m, o in OBJECTIVES.items()}  # px
    good = [m for m in OBJECTIVES if 42 <= side[m] <= 220]
    return OBJECTIVES[int(rng.choice(good or [min(side, key=lambda m: abs(side[m] - 90))]))]
