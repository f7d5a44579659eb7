"""Figures, tables, sliders and code as the book shows them.

Every figure is drawn on white, with colour maps that stay readable for
colour-blind readers and in print. Functions that take an ``ax`` draw into it;
the others make one figure and return it, or display their output at once.
"""

from .figures import COLOURS, ERRORS, curves, error_colours, error_map, image, montage, steps, style
from .frames import slider
from .page import source, table

__all__ = [
    "COLOURS",
    "ERRORS",
    "curves",
    "error_colours",
    "error_map",
    "image",
    "montage",
    "slider",
    "source",
    "steps",
    "style",
    "table",
]
