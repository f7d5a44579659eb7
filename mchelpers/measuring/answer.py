"""What a measurement answers, and what every study's answer has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks import check_image
from ..inputs.pictures import is_grey
from .ruler import Ruler

__all__ = ["Answer", "answer_of", "as_grey", "corrected", "overlap"]

LARGEST = 2**28  # px; tile by tile a network would take an hour on it
SMALLEST = 64  # px
SHAPES = ("aspect", "circularity", "solidity")
SHAPED = ("nanoparticles", "tmd_optical")  # studies whose objects have a shape to tell


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


def answer_of(
    study: str,
    ruler: Ruler,
    pixels: np.ndarray,
    labels: np.ndarray,
    method: str,
    columns: Mapping | None = None,
    second: np.ndarray | None = None,
    warnings: Sequence[str] = (),
    settings: Mapping | None = None,
) -> Answer:
    """Measure the objects of a label image; attributes as of :class:`Answer`.

    Parameters
    ----------
    columns
        What else stands in the row of the image.
    warnings
        Besides those of the ruler.
    """
    labels = np.asarray(labels, np.int32)
    objects = _object_rows(labels, ruler, SHAPES if study in SHAPED else ())
    image = {
        "objects": len(objects),
        "covered_share": float((labels > 0).mean()),
        "covered_nm2": float((labels > 0).sum() * ruler.nm**2),
    }
    if study == "nanoparticles":
        whole = [row["diameter_nm"] for row in objects if not row["touches_border"]]
        image["border_objects"] = len(objects) - len(whole)
        image["density_per_um2"] = len(objects) / (labels.size * ruler.nm**2) * 1e6
        for share in (10, 50, 90):
            image[f"d{share}_nm"] = float(np.percentile(whole, share)) if whole else math.nan
    return Answer(
        study,
        ruler,
        np.asarray(pixels),
        labels,
        method,
        image | dict(columns or {}),
        objects,
        second,
        (*ruler.warnings, *warnings),
        dict(settings or {}),
    )


def corrected(answer: Answer, mask: np.ndarray) -> Answer:
    """Take a mask drawn by hand in place of an answer's, which becomes the second opinion.

    Parameters
    ----------
    mask
        (H, W): 0 is background. Pieces that are apart are objects of their own, and so are
        touching ones of different values.

    Raises
    ------
    ValueError
        If it has another size than the image.
    """
    from skimage.measure import label

    mask = np.asarray(mask)
    if mask.shape != answer.labels.shape:
        raise ValueError(f"the mask has {mask.shape} px, its image {answer.labels.shape} px")
    if (mask == answer.labels).all():  # as the program drew it
        return answer
    return answer_of(
        answer.study,
        answer.ruler,
        answer.pixels,
        label(mask.astype(np.int32), connectivity=2),
        f"your mask, in place of {answer.method}",
        {"agreement_iou": overlap(mask > 0, answer.mask)},
        answer.mask,
        settings=answer.settings,
    )


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    union = int((one | other).sum())
    return float((one & other).sum() / union) if union else 1.0


def _object_rows(labels: np.ndarray, ruler: Ruler, shapes: Sequence[str]) -> list[dict]:
    """Measure the objects of a label image: one row each, in nm where the ruler knows.

    Parameters
    ----------
    shapes
        Columns of :data:`mchelpers.nanoparticles.populations.COLUMNS` to add.
    """
    from ..nanoparticles.populations import measure

    rows, columns = np.nonzero(labels)
    inside = labels[rows, columns]
    areas, row_sums, column_sums = (
        np.bincount(inside, weights) for weights in (None, rows, columns)
    )
    border = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]}
    found = [
        {
            "object": int(label),
            "row_px": float(row_sums[label] / areas[label]),
            "column_px": float(column_sums[label] / areas[label]),
            "area_px": int(areas[label]),
            "area_nm2": float(areas[label] * ruler.nm**2),
            "diameter_nm": float(math.sqrt(4 / math.pi * areas[label]) * ruler.nm),
            "touches_border": int(label) in border,
        }
        for label in np.flatnonzero(areas)
    ]
    if shapes:  # hulls and perimeters cost more than all the rest
        for row, shape in zip(found, measure(labels, 1.0)):
            row |= {name: float(shape[name]) for name in shapes}
    return found
