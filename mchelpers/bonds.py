"""Bonds between atoms, and how many of the found atoms and bonds are true.

Source of the task: Sadre et al., Microsc. Microanal. 27, 804 (2021), section
*Segmentation in Atomic Position Workflows* and Fig. 5, which shows bonds but
does not count them. Used in the chapter *Atoms, bonds and sorting*.

Positions are (row, column) in pixels, as in :mod:`mchelpers.atoms`.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "bond_angles",
    "find_bonds",
    "match",
    "precision_recall",
    "score_atoms",
    "score_bonds",
]
