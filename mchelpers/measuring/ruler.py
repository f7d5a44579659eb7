"""The ruler of an answer: how long a pixel is, who says so, and whether the lattice agrees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..checks import check_pixel_size_nm

__all__ = ["Ruler", "graphene_radius", "middle", "need_pixel_size", "read_ruler", "with_lattice"]

PLANES_NM = 0.213  # between {100} planes of graphene: the innermost ring of its spots
TOLERATED = 0.03  # two pixel sizes that differ by more are not the same
PLAUSIBLE_NM = {  # finer: no instrument; coarser: what the study measures is not resolved
    "graphene_hrtem": (0.002, 0.106),
    "nanoparticles": (0.005, 0.117),
    "afm_coverage": (0.05, 1000.0),
    "tmd_optical": (5.0, 5000.0),
}
_LEVELS = (1, 2, 4, 8)  # px of the image for one px that is looked at
_SECOND = math.sqrt(3)  # radius of the second ring over that of the first
_REPEATS = 0.1  # least correlation of a ring with itself, turned by 60 degrees
_IN_SIGHT = 0.1  # px^-1: nearer to the middle of a spectrum, contaminants outshine a ring
_WINDOW = 512  # px that are looked at, along each side


@dataclass(frozen=True)
class Ruler:
    """The edge of a pixel.

    Attributes
    ----------
    nm
        NaN where nobody knows.
    source
        Who says so: words that go on after the number.
    lattice_nm
        What the lattice in the image says; NaN without one.
    warnings
        Why not to trust it, a sentence each.
    """

    nm: float
    source: str
    lattice_nm: float = math.nan
    warnings: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The first line of every answer."""
        if math.isnan(self.nm):
            return "Pixel size: unknown; the file says none and none was given."
        return f"Pixel size: {self.nm:.4g} nm, {self.source}."


def read_ruler(study: str, stated_nm: float, given_nm: float | None) -> Ruler:
    """Choose between what a file states and what its user gives; the user is believed.

    Parameters
    ----------
    study
        Whose sizes are plausible.
    stated_nm
        NaN where the file says none.
    given_nm
        None where the user says none.

    Raises
    ------
    ValueError
        If it is no length, or cannot be the pixel size of such an image.
    """
    warnings = ()
    if given_nm is None:
        nm, source = stated_nm, "as the file says"
    else:
        nm, source = check_pixel_size_nm(given_nm), "as you gave it"
        if abs(stated_nm / nm - 1) > TOLERATED:
            warnings = (f"the file says {stated_nm:.4g} nm a pixel, you gave {nm:.4g} nm",)
    low, high = PLAUSIBLE_NM[study]
    if not (math.isnan(nm) or low <= nm <= high):
        raise ValueError(
            f"a pixel of {nm:.4g} nm, {source}, cannot be right: {study} needs {low:g} to "
            f"{high:g} nm; give the right one as pixel_size_nm (--pixel-size-nm)"
        )
    return Ruler(nm, source, warnings=warnings)


def graphene_radius(image: np.ndarray) -> float:
    """Measure the innermost ring of graphene's spots, however finely the image is sampled.

    The image's middle is looked at in its own pixels and in ones of 2, 4 and 8. The coarsest
    that shows spots nearly as clearly as any shows the innermost ring; which of two rings it is,
    the finest that has it in sight tells best. Spots that do not repeat every 60 degrees are no
    graphene's.

    Parameters
    ----------
    image
        (H, W) float, evenly lit.

    Returns
    -------
    float
        px^-1 of the image itself; NaN without a lattice.
    """
    from ..afm_coverage.whole import rescale
    from ..graphene_hrtem.lattice import bragg_radius, ring_prominence

    # A floor: where interpolation left no noise, anything would stand out of it.
    floor = 0.2 * image.std() * np.random.default_rng(0).standard_normal(image.shape, np.float32)
    seen, parts = {}, {}  # level -> (prominence, radius in the image's own px^-1), what was seen
    for level in _LEVELS:
        part = middle(image + floor, _WINDOW * level)
        if min(part.shape) < 64 * level:
            break
        small = rescale(part, tuple(n // level for n in part.shape))
        radius = bragg_radius(small)
        if radius < 0.42:  # beyond, aliases; NaN is not below
            seen[level] = (ring_prominence(small)[1].max(), float(radius) / level)
            parts[level] = small
    clear = 0.7 * max((p for p, _ in seen.values()), default=0)
    ring = next((r for _, (p, r) in sorted(seen.items(), reverse=True) if p >= clear), math.nan)
    best = next((r for level, (_, r) in seen.items() if ring * level >= _IN_SIGHT), ring)
    same = any(abs(best / (ring * k) - 1) <= TOLERATED for k in (_SECOND, 1 / _SECOND))
    found = best if same else ring
    level = next((level for level, (_, r) in seen.items() if r == found), None)
    is_graphene = level is not None and _sixfold(parts[level], found * level)
    return found if is_graphene else math.nan


def _sixfold(image: np.ndarray, radius: float) -> bool:
    """Tell whether the spots of a ring repeat every 60 degrees, as those of one grain or more do.

    Of the 131 training images 130 correlate with themselves, turned so, by more than 0.1; most
    other pictures that have a ring do not.
    """
    from ..metrics import windowed_amplitude

    amplitude, q = windowed_amplitude(image)
    ring = np.abs(q - radius) < 2.5 / min(image.shape)
    rows, columns = (np.fft.fftfreq(n) for n in image.shape)
    angles = np.arctan2(rows[:, None], columns[None])[ring] % np.pi
    profile = np.zeros(36)  # of 5 degrees each: half a turn, for q and -q are one spot
    np.maximum.at(profile, (angles / np.pi * 36).astype(int) % 36, amplitude[ring])
    profile = np.max([np.roll(profile, k) for k in (-1, 0, 1)], axis=0)
    profile -= profile.mean()
    return (profile * np.roll(profile, 12)).mean() > _REPEATS * (profile**2).mean()


def middle(image: np.ndarray, side: int = _WINDOW) -> np.ndarray:
    """Cut the middle of an image: a spectrum needs no more, and a large one is slow."""
    top, left = ((n - min(n, side)) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def with_lattice(ruler: Ruler, radius: float) -> Ruler:
    """Hold a ruler against the lattice: 0.213 nm in the image; take its scale where none is known.

    Parameters
    ----------
    radius
        From :func:`graphene_radius`. The second ring is the first times the square root of 3:
        where one taken for the other explains the ruler, it is.

    Raises
    ------
    ValueError
        If neither is known.
    """
    lattice_nm = PLANES_NM * radius
    if math.isnan(ruler.nm):
        if math.isnan(radius):
            raise ValueError(
                "the file says no pixel size and the image shows no lattice to measure one by; "
                "give pixel_size_nm (--pixel-size-nm)"
            )
        source = f"from the lattice in the image ({PLANES_NM} nm); the file says none"
        return Ruler(lattice_nm, source, lattice_nm)
    for ring in (_SECOND, 1 / _SECOND):
        if abs(ruler.nm / (ring * lattice_nm) - 1) <= TOLERATED:
            lattice_nm *= ring
    warnings = ruler.warnings
    if abs(ruler.nm / lattice_nm - 1) > TOLERATED:
        warnings += (
            f"the lattice says {lattice_nm:.4g} nm a pixel, not {ruler.nm:.4g} nm; lengths below "
            f"are {ruler.source}: by the lattice, multiply them by {lattice_nm / ruler.nm:.3g}",
        )
    source = ruler.source
    if math.isnan(radius):
        source += ", which no lattice in the image confirms"
    elif warnings == ruler.warnings:
        source += f"; the lattice in the image agrees ({lattice_nm:.4g} nm)"
    return replace(ruler, source=source, lattice_nm=lattice_nm, warnings=warnings)


def need_pixel_size(ruler: Ruler, what: str) -> None:
    """Refuse an image whose pixel size nobody says (ValueError)."""
    if math.isnan(ruler.nm):
        raise ValueError(
            f"the file says no pixel size, and {what} need one; give pixel_size_nm "
            "(--pixel-size-nm)"
        )
