"""What a measurement answers, and what every study's answer has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks import check_image
from ..inputs.pictures import is_grey
from .ruler import Ruler

__all__ = ["Answer", "as_grey", "object_rows"]

AGREED = 0.6  # intersection over union: below, network and classical method disagree
LARGEST = 2**28  # px; tile by tile a network would take an hour on it
SMALLEST = 64  # px


@dataclass(frozen=True, eq=False)
class Answer:
    """What was measured on one image.

    Attributes
    ----------
    study
        By whose method.
    ruler
        How long a pixel is.
    pixels
        (H, W) or (H, W, 3), what was measured.
    labels
        (H, W) int32: 0 is background, 1.. the objects.
    method
        Who drew ``labels``, in words.
    image
        Row of the table of images, without the file.
    objects
        Rows of the table of objects.
    second
        (H, W) bool by a classical method, where a network drew ``labels``.
    warnings
        Why to doubt it, a sentence each.
    settings
        What it was made with.
    """

    study: str
    ruler: Ruler
    pixels: np.ndarray
    labels: np.ndarray
    method: str
    image: dict
    objects: list[dict]
    second: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool, True on what was found."""
        return self.labels > 0

    def __str__(self) -> str:
        """The ruler first; then what was found, and why to doubt it."""
        found = f"{self.image['objects']} found, {self.image['covered_share']:.1%} of the image"
        return "\n".join([self.ruler.line, f"{found}, by {self.method}.", *self.warnings])


def as_grey(pixels: np.ndarray) -> np.ndarray:
    """Return a micrograph as (H, W) float32, or say why it is none (ValueError)."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[-1] == 3:
        if not is_grey(pixels):
            raise ValueError("the image is in colour; a grey-scale micrograph is needed")
        pixels = pixels[..., 0]
    pixels = check_image(pixels, least=SMALLEST).astype(np.float32)
    if pixels.size > LARGEST:
        raise ValueError(f"the image has {pixels.size:,} px; cut it to at most {LARGEST:,}")
    if pixels.min() == pixels.max():
        raise ValueError(f"the image is constant ({pixels.min():g}); there is nothing to measure")
    return pixels


def object_rows(labels: np.ndarray, ruler: Ruler, shapes: Sequence[str] = ()) -> list[dict]:
    """Measure the objects of a label image: one row each, in nm where the ruler knows.

    Parameters
    ----------
    shapes
        Columns of :data:`mchelpers.nanoparticles.populations.COLUMNS` to add.
    """
    from ..nanoparticles.populations import measure

    table = measure(labels, 1.0)
    areas = np.bincount(labels.ravel(), minlength=1)
    return [
        {
            "object": int(row["label"]),
            "row_px": float(row["row"]),
            "column_px": float(row["column"]),
            "area_px": int(areas[row["label"]]),
            "area_nm2": float(areas[row["label"]] * ruler.nm**2),
            "diameter_nm": float(row["diameter_nm"] * ruler.nm),
            "touches_border": bool(row["touches_border"]),
            **{name: float(row[name]) for name in shapes},
        }
        for row in table
    ]
