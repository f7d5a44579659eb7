"""Helpers of the book *Micrographs, Measured*.

What every study uses is at the top; what one study uses is in the room named like its
chapters; what makes the book is in ``book``. ``import mchelpers`` is cheap: a module is
imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from . import _moved as _moved  # old names of recorded chapters

if TYPE_CHECKING:
    from .run import Run

__version__ = "0.1.0"


def __getattr__(name: str):
    if name == "measure":  # the one function that readers call on images of their own
        return importlib.import_module(".measuring.one", __name__).measure
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise  # the module is there, but not what it needs
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def start(chapter: str, seed: int = 0) -> Run:
    """Begin a chapter; see :class:`mchelpers.run.Run`."""
    from .run import Run

    return Run.begin(chapter, seed)


def need(*extras: str) -> None:
    """Raise ImportError if a package of these extras is missing; see :mod:`mchelpers.install`."""
    from .install import need

    need(*extras)
