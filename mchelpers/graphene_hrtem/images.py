"""HRTEM images of graphene, made by code: exact masks, known atoms.

:func:`graphene_micrographs` places atoms, lets abTEM scatter electrons from
them, and counts the electrons with a camera that blurs.
:func:`lattice_micrographs` is a stand-in that needs no abTEM and no time.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..data import Micrographs, fetch_all, read_mask, read_micrograph, registry
from ..simulate.cache import finished_files, save_arrays
from ..simulate.electrons import detect, import_abtem, projected_mask
from ..simulate.fields import illumination
from .samples import PLANE_SPACING_NM, Sample, draw_sample
from .scenes import labels, series_length, series_of, stretch
from .stand_in import lattice_micrographs

__all__ = [
    "Conditions",
    "GrapheneMicrographs",
    "draw_conditions",
    "exit_wave",
    "form_image",
    "graphene_micrographs",
    "lattice_micrographs",
    "load_graphene",
]

BINNING = 2
"""Native pixels of the detector per pixel of the final image, along each side."""

_DRIFT = 8  # px, the farthest that a sample drifts within a series
_MARGIN = 16  # px of the final image, cropped on each side: drift, and the cell's edges
_QUIET = {"diagnostics.progress_bar": False, "fftw.planning_effort": "FFTW_ESTIMATE"}


@dataclass(frozen=True)
class Conditions:
    """How one image is taken; lengths in nm, angles in rad.

    Attributes
    ----------
    defocus
        Positive is underfocus, as in abTEM.
    spherical
        Third-order spherical aberration.
    astigmatism, coma
        Amplitude and azimuth of the residual aberration.
    focal_spread
        Standard deviation of the defocus (energy spread and lens currents).
    vibration
        Standard deviation of the image's shaking during the exposure.
    dose
        Electrons per square angstrom.
    light
        Spread of the uneven illumination.
    """

    defocus: float
    spherical: float = -10e3
    astigmatism: tuple[float, float] = (0.0, 0.0)
    coma: tuple[float, float] = (0.0, 0.0)
    focal_spread: float = 1.2
    vibration: float = 0.03
    dose: float = 5e3
    light: float = 0.02


@dataclass
class GrapheneMicrographs(Micrographs):
    """Simulated micrographs that know where their atoms are.

    Attributes
    ----------
    atoms
        One (M, 2) float array per image: row and column in px of the carbon
        atoms of the sheet, those below the contaminant too; (0, 0) is the
        centre of the first pixel.
    grains
        One (M,) int8 array per image: grain of each atom, 0 or 1.
    white
        (N,) bool: atoms look brighter than their surroundings.
    conditions
        How each image was taken.
    """

    atoms: list[np.ndarray] = field(default_factory=list)
    grains: list[np.ndarray] = field(default_factory=list)
    white: np.ndarray = field(default=None)
    conditions: list[Conditions] = field(default_factory=list)


def load_graphene() -> Micrographs:
    """Load the 131 labelled HRTEM images of graphene of Sadre et al. (2021).

    Returns
    -------
    Micrographs
        Images (131, 256, 256) float32 in 0..255, masks of the contaminant,
        groups ``series`` (images of one focal or time series) and ``date``
        (day of acquisition), sorted by name.
    """
    stem = "graphene_hrtem/training_images/"
    label_paths = sorted(p for p in registry() if p.startswith(stem) and p.endswith("_LABEL.png"))
    image_paths = [p.replace("_LABEL", "") for p in label_paths]
    files = fetch_all(image_paths + label_paths)
    image_files, label_files = files[: len(image_paths)], files[len(image_paths) :]
    images = np.stack([read_micrograph(f) for f in image_files])
    masks = np.stack([read_mask(f, images.shape[1:]) for f in label_files])
    names = [f.stem for f in image_files]
    digest = hashlib.sha256("".join(registry()[p][0] for p in image_paths + label_paths).encode())
    return Micrographs(
        images=images,
        masks=masks,
        names=names,
        groups={
            "series": np.array([re.sub(r"_layer_\d+$", "", n) for n in names]),
            "date": np.array([n[:9] for n in names]),
        },
        kind="real",
        sha256=digest.hexdigest(),
    )


def draw_conditions(rng: np.random.Generator) -> Conditions:
    """Draw imaging conditions of an aberration-corrected, monochromated microscope at 80 kV.

    Doses as Sadre et al. (2021) name them; aberrations of a corrected
    instrument, defocus of both signs, so that atoms come out white or black.
    """
    return Conditions(
        defocus=rng.choice([-1, 1]) * rng.uniform(3, 9),
        spherical=rng.uniform(-15e3, 5e3),
        astigmatism=(rng.uniform(0, 1.5), rng.uniform(0, np.pi)),
        coma=(rng.uniform(0, 200), rng.uniform(0, 2 * np.pi)),
        vibration=rng.uniform(0.01, 0.035),
        dose=float(1e4 * np.exp(-np.log(10) * rng.uniform() ** 1.3)),
    )


def exit_wave(sample: Sample, grid: int):
    """Send 80 keV electrons through a sample: abTEM's multislice algorithm.

    Parameters
    ----------
    sample
        Atoms in nm.
    grid
        Points along the edge of the cell.

    Returns
    -------
    abtem.Waves
        The wave behind the sample, (grid, grid) complex64.
    """
    abtem, ase = import_abtem()
    depth = 10 * sample.thickness()
    positions = 10 * sample.positions()  # nm -> angstrom
    atoms = ase.Atoms(
        f"C{len(positions)}", positions, cell=[10 * sample.side] * 2 + [depth], pbc=True
    )
    with abtem.config.set(_QUIET):  # a measured FFT plan would not repeat to the last bit
        potential = abtem.Potential(atoms, gpts=grid, slice_thickness=4, projection="infinite")
        return abtem.PlaneWave(energy=80e3).multislice(potential, lazy=False)


def form_image(wave, conditions: Conditions) -> np.ndarray:
    """Let the lenses make an image of the exit wave: no noise yet.

    Parameters
    ----------
    wave
        As from :func:`exit_wave`.
    conditions
        Defocus and aberrations.

    Returns
    -------
    (H, W) float32
        Intensity, 1 where there is no sample.
    """
    from scipy.ndimage import gaussian_filter

    abtem, _ = import_abtem()
    lens = abtem.CTF(
        energy=80e3,
        semiangle_cutoff=50,  # mrad: lets the spots down to 0.09 nm pass
        defocus=10 * conditions.defocus,
        Cs=10 * conditions.spherical,
        C12=10 * conditions.astigmatism[0],
        phi12=conditions.astigmatism[1],
        C21=10 * conditions.coma[0],
        phi21=conditions.coma[1],
        focal_spread=10 * conditions.focal_spread,
        angular_spread=0.1,  # mrad
    )
    with abtem.config.set(_QUIET):
        sharp = wave.apply_ctf(lens).intensity()
    shaking = 10 * conditions.vibration / np.array(sharp.sampling)  # nm -> pixels
    return gaussian_filter(np.asarray(sharp.array, np.float32), shaking, mode="wrap")


def _photograph(
    wave, sample: Sample, mask: np.ndarray, seed: tuple[int, ...], drifts: bool, pixel_nm: float
) -> dict[str, np.ndarray]:
    """Take one image of a sample: the arrays that are cached."""
    rng = np.random.default_rng(seed)
    size = len(mask) - 2 * _MARGIN
    row, column = rng.integers(-_DRIFT, _DRIFT + 1, 2) + _MARGIN if drifts else (_MARGIN, _MARGIN)
    conditions = draw_conditions(rng)
    whole = form_image(wave, conditions)
    start = BINNING * np.array([row, column])
    frame = tuple(slice(s, s + BINNING * size) for s in start)
    native = whole[frame] * illumination(rng, BINNING * size, conditions.light)
    counts = detect(native, conditions.dose, pixel_nm / BINNING, rng)
    image = counts.reshape(size, BINNING, size, BINNING).mean((1, 3))  # (H, W)
    # Native pixel n has its centre at n * pixel_nm / 2; a final pixel averages two by two.
    atoms = sample.atoms / pixel_nm - (start + (BINNING - 1) / 2) / BINNING
    inside = ((atoms > -0.5) & (atoms < size - 0.5)).all(1)
    clear = inside & ~mask[tuple((sample.atoms / pixel_nm).astype(int).T)]
    at_atoms = whole[tuple(np.rint(sample.atoms[clear] * BINNING / pixel_nm).astype(int).T)]
    return {
        "image": stretch(image).astype(np.uint8),
        "mask": mask[row : row + size, column : column + size],
        "atoms": atoms[inside].astype(np.float32),
        "grains": sample.grains[inside],
        "white": np.array(at_atoms.mean() > whole[frame].mean() if clear.any() else False),
        "conditions": np.array(json.dumps(asdict(conditions))),
    }


def _photograph_series(
    seed: int, size: int, spacing_px: tuple[float, float], series: int, layers: int, file: Path
) -> None:
    """Simulate one sample and all images of it, and save them in one step."""
    rng = np.random.default_rng([seed, series, 2])
    low, high = np.log(spacing_px)
    pixel_nm = PLANE_SPACING_NM / float(np.exp(rng.uniform(low, high)))
    grid = size + 2 * _MARGIN
    sample = draw_sample(rng, grid * pixel_nm, grid)
    mask = projected_mask(sample.adatoms, sample.side, grid)
    wave = exit_wave(sample, BINNING * grid)
    images = [
        _photograph(wave, sample, mask, (seed, series, 3, layer), layer > 0, pixel_nm)
        for layer in range(layers)
    ]
    arrays = {f"{layer}/{k}": v for layer, image in enumerate(images) for k, v in image.items()}
    save_arrays(file, pixel_nm=pixel_nm, **arrays)


def graphene_micrographs(
    count: int,
    size: int = 256,
    seed: int = 0,
    spacing_px: tuple[float, float] = (4.0, 7.0),
    workers: int = 1,
    folder: Path | None = None,
) -> GrapheneMicrographs:
    """Simulate HRTEM images of graphene at 80 kV with abTEM.

    Sample (:func:`~mchelpers.graphene_hrtem.samples.draw_sample`), exit wave and
    lenses, uneven light, electron counting, detector blur of 0.7 px at twice
    the final sampling, average of 2 x 2 pixels, stretch to 0..255: in this
    order. The images of one series share their sample and its exit wave, and
    differ in focus, aberrations, dose and drift.

    Parameters
    ----------
    count
        Number of images.
    size
        Pixels along each side.
    seed
        Image ``i`` depends on ``(seed, i)`` and the other parameters, not on
        the count.
    spacing_px
        Range of the {100} plane spacing (0.213 nm) in px; sets the pixel size.
    workers
        Processes that simulate at a time.
    folder
        Where finished series are kept, so that an interrupted run goes on and a
        repeated one reads. By default ``simulated`` in the run folder.

    Returns
    -------
    GrapheneMicrographs
        Images (count, size, size) float32 in 0..255; masks of the projected
        amorphous carbon; atoms, grains, contrast and conditions.

    Raises
    ------
    ValueError
        If the count, the size or the spacing cannot be simulated.
    ImportError
        If abTEM or ASE is not installed.
    """
    if count < 1 or size < 32 or not 2.2 <= spacing_px[0] <= spacing_px[1]:
        raise ValueError(
            f"need count >= 1, size >= 32 and 2.2 <= spacing_px in order, got {count}, {size} "
            f"and {spacing_px}"
        )
    import_abtem()
    places = [series_of(i) for i in range(count)]
    series = sorted({s for s, _ in places})
    made = finished_files(
        "graphene",
        partial(_photograph_series, seed, size, tuple(map(float, spacing_px))),
        [(s, series_length(s)) for s in series],
        [f"series_{s:04d}" for s in series],
        workers,
        folder,
        libraries=["abtem"],
    )
    files = dict(zip(series, made))
    return _collect(places, files)


def _collect(places: list[tuple[int, int]], files: dict[int, Path]) -> GrapheneMicrographs:
    """Read simulated images in order."""
    read = {series: np.load(file) for series, file in files.items()}

    def gather(name: str) -> list[np.ndarray]:
        return [read[series][f"{layer}/{name}"] for series, layer in places]

    images = np.stack(gather("image")).astype(np.float32)
    masks = np.stack(gather("mask"))
    settings = [json.loads(str(text)) for text in gather("conditions")]
    return GrapheneMicrographs(
        images=images,
        masks=masks,
        kind="simulated",
        sha256=hashlib.sha256(images.tobytes() + masks.tobytes()).hexdigest(),
        pixel_size_nm=np.array([float(read[series]["pixel_nm"]) for series, _ in places]),
        atoms=gather("atoms"),
        grains=gather("grains"),
        white=np.array(gather("white")),
        conditions=[
            Conditions(**{k: tuple(v) if isinstance(v, list) else v for k, v in s.items()})
            for s in settings
        ],
        **labels("graphene", places),
    )
