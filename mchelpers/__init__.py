"""Helpers of the book *Micrographs, Measured*.

``import mchelpers`` is cheap; each module is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run

__version__ = "0.1.0"
_MODULES = (
    "atoms",
    "augment",
    "bonds",
    "bragg",
    "classical",
    "coco",
    "contrast",
    "corruptions",
    "coverage",
    "crossval",
    "crystallinity",
    "data",
    "detections",
    "encoders",
    "engines",
    "faults",
    "film_network",
    "flakes",
    "instances",
    "labelling",
    "lattice",
    "live",
    "losses",
    "metrics",
    "models",
    "networks",
    "particle_network",
    "patches",
    "polygons",
    "populations",
    "postprocess",
    "preprocess",
    "pretraining",
    "prevalence",
    "reduction",
    "regions",
    "regression",
    "run",
    "screens",
    "segmenters",
    "show",
    "simulate",
    "stacking",
    "stacks",
    "stage",
    "tiles",
    "tiling",
    "tmd",
    "train",
    "transfer",
    "tuning",
    "weights",
    "whole",
    "wse2",
    "yolo",
)
__all__ = ["start", *_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def start(chapter: str, seed: int = 0) -> Run:
    """Begin a chapter; see :class:`mchelpers.run.Run`."""
    from .run import Run

    return Run.begin(chapter, seed)
