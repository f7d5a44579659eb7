"""Micrographs of nanoparticles on amorphous carbon, simulated with abTEM: exact truth.

Atoms, multislice, lenses, uneven light, counted electrons, detector blur and
X-ray spikes, in this order. Taken apart in the chapter *Gold and cadmium
selenide on carbon*.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..simulate.cache import finished_files, save_arrays
from ..simulate.electrons import detect, import_abtem
from ..simulate.fields import illumination
from .particles import Particle, ParticleMicrograph
from .scenes import MARGIN, Sample, draw_sample, project

__all__ = ["at_dose", "expose", "image_sample", "particle_micrographs"]

GAIN = 50
"""Detector counts per electron."""

_QUIET = {"diagnostics.progress_bar": False, "fftw.planning_effort": "FFTW_ESTIMATE"}


def image_sample(
    rng: np.random.Generator, sample: Sample, film: np.ndarray, placed: list, side: int
) -> np.ndarray:
    """Send 300 keV electrons through film and particles and let the lenses make an image.

    abTEM's multislice in slices of about 1 nm; every atom is displaced once by
    its thermal motion; the film faces the beam.

    Parameters
    ----------
    rng
        Source of thermal motion, focus and aberrations.
    sample
        Conditions.
    film, placed
        As from :func:`draw_sample`.
    side
        Pixels along the edge.

    Returns
    -------
    (side, side) float32
        Intensity, 1 for the full beam; no noise yet.
    """
    from scipy.ndimage import gaussian_filter

    abtem, ase = import_abtem()
    grid = side + 2 * MARGIN
    cell = 10 * grid * sample.pixel_size  # angstrom, as all that follows
    positions = 10 * np.concatenate([film, *(p.positions for p in placed)])
    numbers = np.concatenate([np.full(len(film), 6), *(p.numbers for p in placed)])
    positions += rng.normal(0, 10 * sample.thermal, positions.shape)
    # A particle is cut off at the edge of the cell, outside the frame: it must not come in again
    # on the other side.
    kept = ((positions[:, :2] >= 0) & (positions[:, :2] < cell)).all(1) & (positions[:, 2] > 0)
    depth = positions[:, 2].max() + 3
    atoms = ase.Atoms(numbers[kept], positions[kept], cell=[cell, cell, depth], pbc=True)
    lens = dict(
        semiangle_cutoff=rng.choice(sample.apertures_mrad),
        defocus=10 * rng.uniform(*sample.defocus),
        Cs=10 * rng.uniform(-5e3, 5e3),  # corrected: within 5 um
        C12=10 * rng.uniform(0, 2),
        phi12=rng.uniform(0, np.pi),
        focal_spread=10 * sample.focal_spread,
        angular_spread=0.1,
    )
    with abtem.config.set(_QUIET):
        potential = abtem.Potential(atoms, gpts=grid, slice_thickness=10, projection="infinite")
        wave = abtem.PlaneWave(energy=300e3).multislice(potential, lazy=False)
        sharp = wave.apply_ctf(abtem.CTF(energy=300e3, **lens)).intensity()
    shaken = gaussian_filter(
        np.asarray(sharp.array, np.float32), sample.vibration / sample.pixel_size, mode="wrap"
    )
    hazy = 1 + sample.elastic * (shaken - 1)
    return hazy[MARGIN:-MARGIN, MARGIN:-MARGIN]


def expose(rng: np.random.Generator, sample: Sample, intensity: np.ndarray) -> np.ndarray:
    """Count electrons under uneven light, blur as the detector does, add X-ray spikes.

    Parameters
    ----------
    rng
        Source of randomness.
    sample
        Dose, light and spikes.
    intensity
        (H, H) float, 1 for the full beam.

    Returns
    -------
    (H, H) uint16
        Detector counts, 50 per electron.
    """
    from scipy.ndimage import gaussian_filter

    light = illumination(rng, len(intensity), sample.light).astype(np.float32)
    pixel, blur = sample.pixel_size, sample.blur_px
    electrons = detect(intensity * light, sample.dose, pixel, rng, blur)
    # A scintillator throws part of each electron's light farther: noise and lattice are smeared.
    far = gaussian_filter(electrons, 3.0)
    counts = GAIN * ((1 - sample.tail) * electrons + sample.tail * far)
    spikes = rng.poisson(sample.spikes_per_mpx * intensity.size / 1e6)
    rows, columns = rng.integers(0, len(intensity), (2, spikes))
    height = counts.mean() * rng.uniform(5, 30, spikes)
    np.add.at(counts, (rows, columns), height)  # += would forget the second spike in a pixel
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def _make(sample: Sample, side: int, seed: int, number: int, file: Path) -> None:
    """Simulate one micrograph and save it in one step."""
    rng = np.random.default_rng([seed, number, sample.material == "Au"])
    film, placed = draw_sample(rng, sample, side)
    instances, particles = project(sample, placed, side)
    intensity = image_sample(rng, sample, film, placed, side)
    image = expose(rng, sample, intensity)
    facts = json.dumps([asdict(p) for p in particles])
    kept = intensity.astype(np.float16)  # to be exposed again at another dose
    save_arrays(file, image=image, instances=instances, particles=facts, intensity=kept)


def at_dose(
    micrographs: list[ParticleMicrograph], sample: Sample, dose: float, seed: int = 0
) -> list[ParticleMicrograph]:
    """Expose simulated micrographs again, at another dose: same atoms, same lens, new electrons.

    Parameters
    ----------
    micrographs
        As :func:`particle_micrographs` returns them.
    sample
        Conditions of the exposure, but for its dose.
    dose
        Electrons per square angstrom.
    seed
        Of light, electrons and X-rays.
    """
    exposed = replace(sample, dose=dose)
    return [
        replace(m, image=expose(np.random.default_rng([seed, n]), exposed, m.intensity))
        for n, m in enumerate(micrographs)
    ]


def particle_micrographs(
    sample: Sample,
    count: int | None = None,
    side: int | None = None,
    seed: int = 0,
    workers: int = 1,
    folder: Path | None = None,
) -> list[ParticleMicrograph]:
    """Simulate micrographs of nanoparticles, or read those that are there.

    Parameters
    ----------
    sample
        :data:`AU`, :data:`CDSE` or a variation of them.
    count, side
        Micrographs, and pixels along each side; by default those of the sample.
    seed
        Micrograph ``i`` depends on ``(seed, i)`` and the sample, not on the count.
    workers
        Processes that simulate at a time.
    folder
        Where finished micrographs are kept, so that an interrupted run goes on
        and a repeated one reads. By default ``simulated`` in the run folder.

    Returns
    -------
    list of ParticleMicrograph

    Raises
    ------
    ValueError
        If count or side cannot be simulated.
    ImportError
        If abTEM or ASE is not installed.
    """
    count = sample.count if count is None else count
    side = sample.side if side is None else side
    if count < 1 or side < 128:
        raise ValueError(f"need count >= 1 and side >= 128, got {count} and {side}")
    import_abtem()
    files = finished_files(
        sample.material.lower(),
        partial(_make, sample, side, seed),
        [(number,) for number in range(count)],
        [f"micrograph_{number:03d}" for number in range(count)],
        workers,
        folder,
        libraries=["abtem"],
    )
    return [_read(file, sample, number) for number, file in enumerate(files)]


def _read(file: Path, sample: Sample, number: int) -> ParticleMicrograph:
    with np.load(file) as arrays:
        return ParticleMicrograph(
            name=f"{sample.material}_{number:03d}",
            material=sample.material,
            image=arrays["image"],
            instances=arrays["instances"],
            particles=[Particle(**p) for p in json.loads(str(arrays["particles"]))],
            pixel_size_nm=sample.pixel_size,
            intensity=arrays["intensity"].astype(np.float32),
        )
