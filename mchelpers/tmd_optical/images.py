"""Optical micrographs of dichalcogenide crystals on oxidised silicon, with exact truth.

A growth run (:mod:`mchelpers.tmd_optical.runs`) makes scenes of crystals
(:mod:`mchelpers.tmd_optical.scenes`); thin-film interference gives each stack of
crystals its colour (:mod:`mchelpers.tmd_optical.optics`); an objective blurs them,
a lamp lights them unevenly, a camera adds noise. Taken apart in the chapter
*Data and annotation*.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..data import Split, split_samples
from ..inputs.objects import Instance, LabelledImage
from ..simulate import fields
from ..simulate.cache import finished_files, save_arrays
from . import optics, runs, scenes
from .runs import CLASSES, IMAGES_PER_RUN, GrowthRun, Objective

__all__ = ["OpticalMicrograph", "OpticalSet", "expose", "optical_micrographs", "split_runs"]

_COUNTS = {"heterostructure": 180, "shapes": 50, "thickness MoS2": 50, "thickness WTe2": 50}
_CHANNEL_UM = (0.61, 0.54, 0.46)  # wavelength of the red, green and blue channel


@dataclass
class OpticalMicrograph(LabelledImage):
    """A simulated micrograph, the truth in it, and how it was taken.

    Attributes
    ----------
    magnification, na
        Of the objective.
    defocus_um
        Distance of the wafer from the plane of focus.
    oxide_nm, lamp, temperature_k
        Wafer and lamp, shared by the run; ``group`` is the run's name.
    """

    magnification: int = 0
    na: float = float("nan")
    defocus_um: float = 0.0
    oxide_nm: float = float("nan")
    lamp: str = ""
    temperature_k: float = float("nan")

    @property
    def area_um2(self) -> float:
        """Of the whole frame."""
        return float(np.prod(self.shape) * self.pixel_um**2)

    def area_shares(self) -> dict[str, float]:
        """Class -> share of the frame that its crystals cover, exact."""
        shares: dict[str, float] = {}
        for i in self.instances:
            shares[i.category] = shares.get(i.category, 0.0) + i.area_um2 / self.area_um2
        return shares


class OpticalSet(list):
    """A list of micrographs that a run can write down; a slice of it is a plain list.

    Attributes
    ----------
    classes
        Names of all classes, in the order of their numbers.
    """

    kind = "simulated"

    def __init__(self, micrographs, classes: tuple[str, ...]):
        super().__init__(micrographs)
        self.classes = classes

    @property
    def sha256(self) -> str:
        """Hash of all images and masks."""
        digest = hashlib.sha256()
        for micrograph in self:
            digest.update(micrograph.image.tobytes())
            for i in micrograph.instances:
                digest.update(f"{i.category} {i.top} {i.left}".encode() + i.crop.tobytes())
        return digest.hexdigest()


def expose(
    rng: np.random.Generator,
    scene: scenes.Scene,
    run: GrowthRun,
    objective: Objective,
    defocus_um: float = 0.0,
    exposure: float = 1.0,
) -> np.ndarray:
    """Take a picture of a scene.

    Parameters
    ----------
    rng
        Source of residue, uneven light and noise.
    scene
        What lies on the wafer.
    run
        Wafer, lamp and camera.
    objective
        Decides which angles are averaged, and how sharp the image is.
    defocus_um
        Distance from the plane of focus.
    exposure
        In units of the run's.

    Returns
    -------
    (H, W, 3) uint8
    """
    from scipy.ndimage import gaussian_filter

    lamp = optics.illuminant(run.lamp, run.temperature_k)
    films, signal = zip(*scene.stacks)
    na = run.filling * objective.na

    def colours(residue_nm: float) -> np.ndarray:
        table = optics.wafer_table(films, run.oxide_nm, na, residue_nm, run.density)
        return (run.camera.raw(table, lamp) * np.array(signal)[:, None]).astype(np.float32)

    fine = scene.surface
    shape = (fine.shape[0] // scenes.FINE, fine.shape[1] // scenes.FINE)
    sub = fine.reshape(shape[0], scenes.FINE, shape[1], scenes.FINE).swapaxes(1, 2)
    sub = sub.reshape(*shape, -1)  # (H, W, 9)
    mixed = (sub != sub[..., :1]).any(-1)  # pixels on an edge

    def paint(table: np.ndarray) -> np.ndarray:
        image = table[sub[..., 0]]  # (H, W, 3)
        image[mixed] = table[sub[mixed]].mean(1)
        return image

    raw = paint(colours(0.0))
    if run.residue_nm > 0:  # a film so thin that colours change in proportion to it
        patches = fields.rough_surface(rng, shape, 60, 4) + 0.4 * fields.rough_surface(
            rng, shape, 9
        )
        share = np.clip(patches + rng.uniform(-1.5, 0.5), 0, 1)[..., None]
        raw += share * (paint(colours(run.residue_nm)) - raw)
    for k, wavelength in enumerate(_CHANNEL_UM):
        airy = 0.21 * wavelength / objective.na  # um, the Gaussian most like the Airy disc
        # Half the radius of geometric optics, and half of that: diffraction keeps foci narrow.
        disc = 0.25 * abs(defocus_um) * objective.na / np.sqrt(1 - objective.na**2)
        raw[..., k] = gaussian_filter(raw[..., k], np.hypot(airy, disc) / objective.pixel_um)
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    x, y = x - np.float32(rng.normal(0, 0.2)), y[:, None] - np.float32(rng.normal(0, 0.2))
    light = 1 - rng.uniform(0.0, 0.16) * (x**2 + y**2) / 2 + rng.normal(0, 0.015) * x
    camera = dataclasses.replace(run.camera, exposure=run.camera.exposure * exposure)
    return optics.develop(raw * light[..., None], camera, rng)


def read_scene(scene: scenes.Scene, pixel_um: float) -> tuple[np.ndarray, list[dict]]:
    """Read off a scene whose each pixel is: (H, W) int16, and each crystal's facts."""
    middle = scenes.FINE // 2
    labels = scene.owner[middle :: scenes.FINE, middle :: scenes.FINE]
    areas = np.bincount(scene.owner.ravel(), minlength=len(scene.bodies) + 1)
    areas = areas * (pixel_um / scenes.FINE) ** 2
    facts = [
        {"category": b.category, "layers": b.films[0][1], "area_um2": float(areas[n])}
        for n, b in enumerate(scene.bodies, 1)
    ]
    return labels, facts


def _make(kind: str, seed: int, size: tuple[int, int], lab: str, number: int, file: Path) -> None:
    """Simulate one micrograph and save it in one step."""
    run = runs.draw_run(kind, seed, number // IMAGES_PER_RUN[kind], lab)
    rng = np.random.default_rng([seed, list(CLASSES).index(kind), number, 1])
    objective = runs.choose_objective(rng, run)
    depth = 0.55 / objective.na**2  # um: one depth of field
    defocus = float(abs(rng.normal(0, 0.35)) * depth)
    exposure = float(np.exp(rng.normal(0, 0.06)))
    scene = scenes.compose(rng, run, size, objective.pixel_um)
    image = expose(rng, scene, run, objective, defocus, exposure)
    labels, facts = read_scene(scene, objective.pixel_um)
    about = {
        "name": f"{kind.replace(' ', '_')}_{number:03d}",
        "group": run.name,
        "pixel_um": objective.pixel_um,
        "magnification": objective.magnification,
        "na": objective.na,
        "defocus_um": defocus,
        **{k: getattr(run, k) for k in ("oxide_nm", "lamp", "temperature_k")},
    }
    text = json.dumps({"about": about, "instances": facts})
    save_arrays(file, image=image, labels=labels, text=text)


def cut_instances(labels: np.ndarray, facts: list[dict]) -> list[Instance]:
    """Cut crystals out of what :func:`read_scene` returns; those without a pixel are left out."""
    from scipy.ndimage import find_objects

    return [
        Instance(top=b[0].start, left=b[1].start, crop=labels[b] == number, **about)
        for number, (b, about) in enumerate(zip(find_objects(labels, len(facts)), facts), 1)
        if b is not None
    ]


def read_file(file: Path) -> OpticalMicrograph:
    """Read a simulated micrograph that was kept."""
    with np.load(file) as arrays:
        image, labels = arrays["image"], arrays["labels"]
        text = json.loads(str(arrays["text"]))
    instances = cut_instances(labels, text["instances"])
    return OpticalMicrograph(image=image, instances=instances, kind="simulated", **text["about"])


def taken_by(run: GrowthRun, objective: Objective) -> dict:
    """Facts of a micrograph that its growth run and its objective decide."""
    about = {"group": run.name, "pixel_um": objective.pixel_um, "na": objective.na}
    about |= {k: getattr(run, k) for k in ("oxide_nm", "lamp", "temperature_k")}
    return about | {"magnification": objective.magnification}


def save_view(
    file: Path,
    rng: np.random.Generator,
    run: GrowthRun,
    objective: Objective,
    size: tuple[int, int],
    name: str,
) -> None:
    """Compose a place of a run, take it in focus, and save image, masks and facts."""
    scene = scenes.compose(rng, run, size, objective.pixel_um)
    labels, facts = read_scene(scene, objective.pixel_um)
    about = {"name": name, **taken_by(run, objective)}
    text = json.dumps({"about": about, "instances": facts})
    save_arrays(file, image=expose(rng, scene, run, objective), labels=labels, text=text)


def optical_micrographs(
    kind: str = "heterostructure",
    count: int | None = None,
    seed: int = 0,
    size: tuple[int, int] = (640, 640),
    workers: int = 1,
    folder: Path | None = None,
    lab: str = "many",
) -> OpticalSet:
    """Simulate optical micrographs, or read those that are there.

    Parameters
    ----------
    kind
        ``"heterostructure"``: MoS2, MoSe2 and lateral core-shell crystals of
        both. ``"shapes"``: outlines of MoS2. ``"thickness MoS2"`` and
        ``"thickness WTe2"``: thin (1 to 3 layers), thick (4 to 15), bulk (25 to 400).
    count
        Images; by default as many as in the study, 180 and 50. Several of each
        growth run, one run after the other.
    seed
        Image ``i`` depends on ``(seed, i)``, the kind and the size only.
    size
        Rows and columns, 64 at least.
    workers
        Processes that simulate at a time.
    folder
        Where finished micrographs are kept, so that an interrupted run goes on
        and a repeated one reads. By default ``simulated`` in the run folder.
    lab
        ``"many"`` or ``"one"``: as for :func:`mchelpers.tmd_optical.runs.draw_run`.

    Returns
    -------
    OpticalSet
        A list of :class:`OpticalMicrograph`. Masks hold the visible part of
        each crystal: no pixel belongs to two.

    Raises
    ------
    ValueError
        If the kind is unknown, there is no image, or the size is below 64.
    """
    if kind not in CLASSES:
        raise ValueError(f"no data set {kind!r}; there are {', '.join(CLASSES)}")
    count = _COUNTS[kind] if count is None else count
    if count < 1 or min(size) < 64:
        raise ValueError(f"need count >= 1 and a size of 64 or more, got {count} and {size}")
    files = finished_files(
        f"optical-{lab}-{kind.replace(' ', '-')}",
        partial(_make, kind, seed, tuple(size), lab),
        [(n,) for n in range(count)],
        [f"image{n:03d}" for n in range(count)],
        workers,
        folder,
    )
    return OpticalSet([read_file(file) for file in files], CLASSES[kind])


def split_runs(
    micrographs: list[LabelledImage], validation: int = 2, test: int = 2, seed: int = 0
) -> Split:
    """Split micrographs so that no growth run is on two sides.

    Augmented copies have the run of their parent, and so stay on its side.

    Parameters
    ----------
    micrographs
        Of a set, copies included or not.
    validation, test
        Growth runs put aside.
    seed
        Of the shuffle.

    Returns
    -------
    Split
        Numbers of the micrographs on each side.

    Raises
    ------
    ValueError
        If no run is left to train on.
    """
    return split_samples(np.array([m.group for m in micrographs]), validation, test, seed)
