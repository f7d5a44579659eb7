"""Damage to micrographs, by the dose: to ask how much a network bears.

Some damage can be done to a finished picture (:data:`KINDS`). Another focus,
magnification or oxide cannot; for those, :func:`retakes` simulates a micrograph
again. Dose 0 is always the picture as it was. Used in the chapter *Robustness*.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..inputs.objects import LabelledImage
from ..metrics import redraw
from . import images as optical
from . import optics, runs, scenes
from .contrast import check_frame
from .detections import Matches, summary

__all__ = [
    "KINDS",
    "Change",
    "blur",
    "corrupted_copies",
    "dose_at",
    "gaussian",
    "jpeg",
    "redrawn_scores",
    "relative_drop",
    "retakes",
    "salt_and_pepper",
    "white_balance",
]


def _check(image: np.ndarray, dose: float, most: float = np.inf) -> np.ndarray:
    image = check_frame(image)
    if not 0 <= dose <= most:
        raise ValueError(f"need a dose from 0 to {most:g}, got {dose}")
    return image


def _levels(values: np.ndarray) -> np.ndarray:
    """Round to grey levels; what leaves the range stays at its end."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def gaussian(image: np.ndarray, sd: float, seed: int = 0) -> np.ndarray:
    """Add a normal number of standard deviation ``sd`` x 255 to every value.

    Parameters
    ----------
    image
        (H, W, 3) uint8. Each of the three channels gets noise of its own.
    sd
        Standard deviation in units of the full range; 0.2 is "20 %" here.
    seed
        Of the noise.

    Returns
    -------
    (H, W, 3) uint8
        Values that leave the range are clipped, as in a file.

    Raises
    ------
    ValueError
        If the image is of another shape or type, or the dose is negative.
    """
    image = _check(image, sd)
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    return _levels(image + np.float32(255 * sd) * noise)


def salt_and_pepper(image: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Replace a share of the pixels, each by black or white with equal chance.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    share
        Of the pixels, 0 to 1; 0.2 is "20 %" here. All three channels of a pixel
        are replaced together. Pixels hit at a small share are hit at a larger
        one too, under the same seed.
    seed
        Of the choice.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the image is of another shape or type, or the share is not in 0..1.
    """
    image = _check(image, share, 1)
    draw, white = np.random.default_rng(seed).random((2, *image.shape[:2]), np.float32)
    hit, noisy = draw < share, image.copy()
    noisy[hit] = np.where(white[hit] < 0.5, 0, 255)[:, None]
    return noisy


def blur(image: np.ndarray, sd_px: float, seed: int = 0) -> np.ndarray:
    """Blur a finished picture with a Gaussian of ``sd_px`` pixels; ``seed`` is not used.

    Unlike defocus, it also blurs the noise and knows nothing of the wavelength.
    """
    from scipy.ndimage import gaussian_filter

    image = _check(image, sd_px)
    return _levels(gaussian_filter(image.astype(np.float32), (sd_px, sd_px, 0)))


def jpeg(image: np.ndarray, loss: float, seed: int = 0) -> np.ndarray:
    """Write as JPEG of quality 100 - ``loss`` and read again; ``seed`` is not used.

    ``loss`` is 0 to 99; 0 writes no JPEG. Colour is kept at half the resolution
    (4:2:0), as most programs do.
    """
    from PIL import Image

    image = _check(image, loss, 99)
    if loss == 0:
        return image.copy()
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "jpeg", quality=round(100 - loss), subsampling=2)
    return np.array(Image.open(stream))


def white_balance(image: np.ndarray, stops: float, seed: int = 0) -> np.ndarray:
    """Shift the balance of red and blue by so many stops (factors of two) of their values.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    stops
        Between red and blue; green stays.
    seed
        Even: warmer, red rises and blue falls. Odd: colder.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the image is of another shape or type, or the dose is negative.
    """
    image = _check(image, stops)
    half = (stops if seed % 2 == 0 else -stops) / 2
    return _levels(image * np.array([2**half, 1, 2**-half], np.float32))


KINDS: dict[str, Callable[[np.ndarray, float, int], np.ndarray]] = {
    "gaussian": gaussian,
    "saltpepper": salt_and_pepper,
    "blur": blur,
    "jpeg": jpeg,
    "white_balance": white_balance,
}
"""Name -> ``function(image, dose, seed)``; dose 0 changes nothing, and more does more."""


def corrupted_copies(
    images: Sequence[LabelledImage], most: Mapping[str, float], copies: int = 1, seed: int = 0
) -> list[LabelledImage]:
    """Make damaged copies to train on; each remembers its parent and its group.

    Parameters
    ----------
    images
        Originals; they are not part of the result.
    most
        Kind of damage, of :data:`KINDS` -> largest dose. Kinds take turns;
        doses are drawn evenly from 0 to the largest.
    copies
        Of each image.
    seed
        Of the doses and the damage.

    Returns
    -------
    list of LabelledImage
        Pixels differ, labels do not. :func:`mchelpers.inputs.yolo.find_leaks`
        finds a copy that is not on its parent's side of a split.

    Raises
    ------
    ValueError
        If a kind is unknown, or none is named.
    """
    if unknown := set(most) - set(KINDS):
        raise ValueError(f"no damage called {sorted(unknown)}; there are {sorted(KINDS)}")
    if not most:
        raise ValueError("name at least one kind of damage and its largest dose")
    rng, made, kinds = np.random.default_rng(seed), [], list(most)
    for n, original in enumerate(images):
        for k in range(copies):
            kind = kinds[(n + k) % len(kinds)]
            dose, number = rng.uniform(0, most[kind]), int(rng.integers(2**31))
            image = KINDS[kind](original.image, dose, number)
            name = f"{original.name}_{kind}{k}"
            made.append(replace(original, name=name, image=image, parent=original.name))
    return made


@dataclass(frozen=True)
class Change:
    """What differs when a micrograph is taken again.

    Attributes
    ----------
    defocus
        Added to the distance from focus, in depths of field of the objective
        (wavelength / NA^2 at 0.55 um).
    zoom
        Factor of the magnification, aperture unchanged: another camera adapter.
        The picture is then of another place of the same wafer, for one frame
        does not hold what a wider one shows.
    oxide_nm
        Added to the thickness of the oxide. The exposure is set again, so that
        the bare wafer is as bright as before; the white balance is not.
    """

    defocus: float = 0.0
    zoom: float = 1.0
    oxide_nm: float = 0.0


def retakes(
    kind: str, seed: int, number: int, size: tuple[int, int], changes: Sequence[Change]
) -> Iterator[optical.OpticalMicrograph]:
    """Simulate a micrograph of a set again, once for each change.

    Parameters
    ----------
    kind, seed, size
        Of the set: see :func:`mchelpers.tmd_optical.images.optical_micrographs`.
    number
        Of the micrograph in it.
    changes
        What to change. ``Change()`` gives the micrograph of the set, bit by bit;
        crystals, residue, uneven light and noise stay with it unless ``zoom`` changes.

    Yields
    ------
    OpticalMicrograph

    Raises
    ------
    ValueError
        If a zoom is not positive, or no oxide would be left.
    """
    run = runs.draw_run(kind, seed, number // runs.IMAGES_PER_RUN[kind])
    rng = np.random.default_rng([seed, list(runs.CLASSES).index(kind), number, 1])
    objective = runs.choose_objective(rng, run)  # as optical._make draws them, in this order
    depth = 0.55 / objective.na**2  # um: one depth of field
    defocus = float(abs(rng.normal(0, 0.35)) * depth)
    exposure = float(np.exp(rng.normal(0, 0.06)))
    composed = None
    for change in changes:
        if change.zoom <= 0 or run.oxide_nm + change.oxide_nm <= 0:
            raise ValueError(f"{change} leaves no image or no oxide ({run.oxide_nm:.0f} nm)")
        lens = replace(objective, pixel_um=objective.pixel_um / change.zoom)
        if composed != change.zoom:
            after, composed = copy.deepcopy(rng), change.zoom
            scene = scenes.compose(after, run, size, lens.pixel_um)
        wafer = replace(run, oxide_nm=run.oxide_nm + change.oxide_nm)
        metered = exposure * (_bare(run, lens) / _bare(wafer, lens) if change.oxide_nm else 1)
        distance = defocus + change.defocus * depth
        image = optical.expose(copy.deepcopy(after), scene, wafer, lens, distance, metered)
        yield optical.OpticalMicrograph(
            name=f"{kind.replace(' ', '_')}_{number:03d}",
            image=image,
            instances=optical.cut_instances(*optical.read_scene(scene, lens.pixel_um)),
            kind="simulated",
            defocus_um=distance,
            **optical.taken_by(wafer, lens),
        )


def _bare(run: runs.GrowthRun, objective: runs.Objective) -> float:
    """Mean signal of the wafer without crystals."""
    lamp = optics.illuminant(run.lamp, run.temperature_k)
    reflectance = optics.wafer_reflectance((), run.oxide_nm, run.filling * objective.na)
    return float(run.camera.raw(reflectance, lamp).mean())


def redrawn_scores(
    matches: Sequence[Sequence[Matches]],
    groups: Sequence[str],
    classes: Sequence[str],
    key: str = "map50_90",
    draws: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """Score each dose on all images, and on growth runs drawn anew.

    Parameters
    ----------
    matches
        One sequence for each dose, with the matches of each image in one order.
    groups
        Growth run of each image.
    classes
        Names, in the order of their numbers.
    key
        Of :func:`mchelpers.tmd_optical.detections.summary`.
    draws, seed
        Resamplings of whole runs, with replacement, the same for every dose; random seed.

    Returns
    -------
    (1 + draws, D) float
        The first row is of all images.

    Raises
    ------
    ValueError
        If a dose has not as many images as there are groups.
    """
    groups = np.asarray(groups)
    if any(len(dose) != len(groups) for dose in matches):
        raise ValueError(f"need matches of {len(groups)} images at each dose, as many as groups")
    rng = np.random.default_rng(seed)
    samples = [np.arange(len(groups)), *redraw(groups, draws, rng)]
    return np.array(
        [[summary([dose[n] for n in rows], classes)[key] for dose in matches] for rows in samples]
    )


def relative_drop(scores: np.ndarray) -> np.ndarray:
    """Share of the score at the first dose that is lost at each: (..., D); NaN if that is 0."""
    scores = np.asarray(scores, float)
    first = scores[..., :1]
    nothing = np.full_like(scores, np.nan)
    return np.divide(first - scores, first, out=nothing, where=first > 0)


def dose_at(doses: Sequence[float], scores: np.ndarray, drop: float = 0.05) -> float:
    """Find the dose at which a score has first fallen by a share, between doses by straight lines.

    Parameters
    ----------
    doses
        (D,) rising from 0.
    scores
        (D,) score at each.
    drop
        Share of the first score.

    Returns
    -------
    float
        NaN if the score never falls so far.

    Raises
    ------
    ValueError
        If doses and scores are not as many, or doses do not rise.
    """
    doses, lost = np.asarray(doses, float), relative_drop(scores)
    if doses.shape != lost.shape or (np.diff(doses) <= 0).any():
        raise ValueError(f"need a score for each of rising doses, got {doses} and {scores}")
    reached = np.flatnonzero(lost >= drop)
    if not len(reached):
        return float("nan")
    n = reached[0]  # at least 1, for nothing is lost at the first dose
    part = (drop - lost[n - 1]) / (lost[n] - lost[n - 1])
    return float(doses[n - 1] + part * (doses[n] - doses[n - 1]))
