"""Lengths: names of their units, and pixel sizes that can be a micrograph's."""

from __future__ import annotations

import re

import numpy as np

from ..checks import check_pixel_size_nm

__all__ = ["length_unit", "pixel_size_in_nm"]

_NM = {"m": 1e9, "cm": 1e7, "mm": 1e6, "um": 1e3, "nm": 1.0, "angstrom": 0.1, "pm": 1e-3}
_SPELLINGS = {
    "m": "m|met(er|re)s?",
    "cm": "cm|centimet(er|re)s?",
    "mm": "mm|millimet(er|re)s?",
    "um": "[uµμ]m|microns?|micromet(er|re)s?",
    "nm": "nm|nanomet(er|re)s?",
    "angstrom": "a|å|ang|[aå]ngstr[oö]ms?",
    "pm": "pm|picomet(er|re)s?",
}


def length_unit(name: object) -> str | None:
    """Spell a unit of length as this package does: ``"um"`` for ``"µm"`` or ``"micron"``.

    Returns
    -------
    str or None
        None for what is no length: ``""``, ``"px"``, ``"1/nm"``.
    """
    text = str(name).strip().replace("\\u00B5", "µ").replace("\u212b", "Å").lower()
    return next((u for u, known in _SPELLINGS.items() if re.fullmatch(known, text)), None)


def pixel_size_in_nm(size: float, unit: str = "nm") -> float:
    """Convert the edge of a pixel to nm, if it can be a micrograph's.

    Raises
    ------
    ValueError
        If its unit is no length, or it is nothing that
        :func:`mchelpers.checks.check_pixel_size_nm` takes.
    """
    known = length_unit(unit)
    if known is None:
        raise ValueError(f"a pixel size in {unit!r} is no length; give it in nm or um, say")
    number = isinstance(size, (int, float, np.number))  # else the check says that it is none
    return check_pixel_size_nm(size * _NM[known] if number else size)
