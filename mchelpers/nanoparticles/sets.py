"""The simulated sets of the nanoparticle study, and which micrographs teach, choose and test.

Taken apart in the chapters *Gold and cadmium selenide on carbon* and *A U-Net of 65,000 weights*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .images import AU, CDSE, Sample, at_dose, particle_micrographs
from .particles import ParticleMicrograph
from .tiles import Tiles, cut, join

__all__ = ["DOSES", "Part", "Sets", "learning_tiles", "load_sets", "split"]

DOSES = (80.0, 900.0)
"""Between these, in electrons per square angstrom, our network sees every micrograph once more."""

_KEYS = {"au": AU, "cdse": CDSE}


@dataclass(frozen=True)
class Part:
    """Micrographs that serve one purpose: of each material, and bare film of each."""

    au: list[ParticleMicrograph]
    cdse: list[ParticleMicrograph]
    bare_au: list[ParticleMicrograph]
    bare_cdse: list[ParticleMicrograph]


@dataclass(frozen=True)
class Sets:
    """All micrographs, in three parts that share none."""

    learn: Part
    choose: Part
    test: Part


def split(micrographs: list) -> tuple[list, list, list]:
    """Cut a set in three: the last three in ten test, one in ten before them chooses."""
    test = int(np.ceil(0.3 * len(micrographs)))
    choose = max(1, round(0.09 * len(micrographs)))
    learn = len(micrographs) - test - choose
    return micrographs[:learn], micrographs[learn : learn + choose], micrographs[-test:]


def load_sets(smoke: bool = False, workers: int = 1) -> Sets:
    """Simulate all sets of the study, or read them.

    Parameters
    ----------
    smoke
        A few small and crowded micrographs instead, for a quick check.
    workers
        As for :func:`mchelpers.nanoparticles.images.particle_micrographs`.
    """
    parts: dict[str, tuple] = {}
    for name, sample in _KEYS.items():
        bare = replace(sample, per_square_um=0.0)
        count, side = (8, 1024) if not smoke else (4, 256)
        parts[f"bare_{name}"] = split(particle_micrographs(bare, count, side, workers=workers))
        parts[name] = split(_particles(sample, smoke, workers))
    return Sets(*(Part(**{name: part[n] for name, part in parts.items()}) for n in range(3)))


def _particles(sample: Sample, smoke: bool, workers: int) -> list[ParticleMicrograph]:
    if not smoke:
        return particle_micrographs(sample, workers=workers)
    thin = replace(sample, film=(1.0, 2.0), diameters=(2.0, 4.0))
    return particle_micrographs(thin, 4, 512, workers=workers)


def learning_tiles(part: Part, size: int = 512, seed: int = 0) -> Tiles:
    """What our network learns from: tiles as they are, once more at another dose, and bare film.

    Parameters
    ----------
    part
        Of the sets.
    size
        Edge of a tile, px.
    seed
        Of the second exposures; each micrograph has its own dose between :data:`DOSES`.
    """
    rng = np.random.default_rng(seed)
    sets = []
    for name, sample in _KEYS.items():
        sets.append(cut(getattr(part, name), size))
        again = [
            replace(at_dose([m], sample, dose, seed=n)[0], name=f"{m.name} again")
            for n, m in enumerate(getattr(part, name))
            for dose in [np.exp(rng.uniform(*np.log(DOSES)))]
        ]
        sets.append(cut(again, size))
        bare = [replace(m, name=f"{m.name} bare") for m in getattr(part, f"bare_{name}")]
        sets.append(cut(bare, size, keep="empty"))
    return join(*sets)
