"""The simulated sets of the nanoparticle study, and which micrographs teach, choose and test.

Taken apart in the chapters *Gold and cadmium selenide on carbon* and *A U-Net of 65,000 weights*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .images import at_dose, particle_micrographs
from .particles import ParticleMicrograph
from .scenes import AU, CDSE, Sample
from .tiles import Tiles, cut, join

__all__ = ["DOSES", "Part", "Sets", "learning_tiles", "load_sets", "split", "study_tiles"]

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
        count, side = (7, 1024) if not smoke else (3, 256)
        parts[f"bare_{name}"] = split(particle_micrographs(bare, count, side, workers=workers))
        parts[name] = split(_particles(sample, smoke, workers))
    return Sets(*(Part(**{name: part[n] for name, part in parts.items()}) for n in range(3)))


def _particles(sample: Sample, smoke: bool, workers: int) -> list[ParticleMicrograph]:
    if not smoke:
        return particle_micrographs(sample, workers=workers)
    crowd = replace(sample, film=(1.0, 2.0), diameters=(2.4, 3.6), per_square_um=45000.0)
    return particle_micrographs(crowd, 6 if sample is CDSE else 3, 384, workers=workers)


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
        bare = [replace(m, name=f"{m.name} bare") for m in getattr(part, f"bare_{name}")]
        for micrographs, keep in ((getattr(part, name), "particles"), (bare, "empty")):
            again = []
            for n, m in enumerate(micrographs):
                dose = np.exp(rng.uniform(*np.log(DOSES)))
                again.append(replace(at_dose([m], sample, dose, n)[0], name=f"{m.name} again"))
            sets += [cut(micrographs, size, keep), cut(again, size, keep)]
    return join(*sets)


def study_tiles(
    sets: Sets, size: int = 512
) -> tuple[Tiles, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the study's networks learn from, gold, CdSe or both: as many tiles each.

    Parameters
    ----------
    sets, size
        As for :func:`learning_tiles`, all parts.

    Returns
    -------
    tiles : Tiles
        Those to learn from, then those to test on.
    learn, test : dict
        ``"au"``, ``"cdse"`` and ``"combined"``: numbers of tiles.
    """
    parts = [cut(getattr(p, name), size) for p in (sets.learn, sets.test) for name in _KEYS]
    tiles = join(*parts)
    ends = np.cumsum([len(part) for part in parts])
    own = np.split(np.arange(len(tiles)), ends[:-1])  # gold, CdSe to learn from; to test on
    count = min(len(own[0]), len(own[1]))

    def spread(numbers: np.ndarray, of: int) -> np.ndarray:
        return numbers[np.linspace(0, len(numbers) - 1, of).astype(int)]

    halves = [spread(numbers, max(1, count // 2)) for numbers in own[:2]]
    learn = {"au": spread(own[0], count), "cdse": spread(own[1], count)}
    learn["combined"] = np.concatenate(halves)
    test = {"au": own[2], "cdse": own[3], "combined": np.concatenate(own[2:])}
    return tiles, learn, test
