"""What a shipped network knows: properties of its training images, and who is outside.

``STUDY_ranges.json`` is made by ``python -m mchelpers.measuring.ranges STUDY`` from the images
that the network was trained on.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from .ruler import graphene_radius, middle

__all__ = ["Ranges", "lattice_properties", "outside", "properties", "ranges_of", "trained_ranges"]

Ranges = Mapping[str, Sequence[float]]

WORDS = {  # property -> what is said of an image below, and above what was trained on
    "pixel_nm": (
        "the pixels are smaller than in training",
        "the pixels are larger than in training",
    ),
    "lattice_px": (
        "the lattice is sampled more coarsely than in training",
        "the lattice is sampled more finely than in training",
    ),
    "lattice_prominence": ("the lattice stands out less clearly than in training", ""),
    "grey_steps": ("the contrast is lower than in training: few grey levels are used", ""),
    "clipped_share": ("", "the contrast is higher than in training: pixels are black or white"),
    "unevenness": ("", "the light is less even than in training"),
    "noise": ("", "the image is noisier than in training"),
    "sharpness": ("the image is less sharp than in training", ""),
    "side_px": ("the image is smaller than in training", ""),
    "covered_share": ("", "more is covered than in training"),
}
FORGIVEN = 0.05  # beyond each end, as a share of it


def properties(image: np.ndarray, raw: np.ndarray) -> dict[str, float]:
    """Compute what can be out of range of any network before anything is segmented.

    Parameters
    ----------
    image
        (H, W) float, evenly lit, as finely sampled as the network knows.
    raw
        (H', W'), as the file had it.
    """
    from ..data import bezier_background
    from ..metrics import windowed_amplitude

    amplitude, q = windowed_amplitude(middle(image))
    power = np.square(amplitude, dtype=float)
    fine, most = (q > 0.42) & (q < 0.5), (q > 0.02) & (q < 0.5)
    values = np.unique(raw)
    spread = float(raw.std(dtype=float))
    return {
        "grey_steps": spread / float(np.diff(values).min()),
        "clipped_share": float(np.mean((raw == values[0]) | (raw == values[-1]))),
        "unevenness": float(bezier_background(raw).std() / spread),
        "noise": float(np.median(power[fine]) / power[most].mean()),  # the median sees no spots
        "sharpness": float((q * amplitude)[most].sum() / amplitude[most].sum()),
        "side_px": min(image.shape),
    }


def lattice_properties(image: np.ndarray, radius: float) -> dict[str, float]:
    """Compute what can be out of range of a network that sees one lattice.

    Parameters
    ----------
    image
        As for :func:`properties`.
    radius
        Of the innermost ring of spots in the file's image, px^-1, or NaN.
    """
    from ..graphene_hrtem.lattice import ring_prominence

    prominence = float(ring_prominence(middle(image))[1].max())
    return {"lattice_px": 1 / radius, "lattice_prominence": prominence}


def ranges_of(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Take the least and the largest of each property over images, a little forgiving."""
    ranges = {}
    for name in rows[0]:
        values = [row[name] for row in rows if not math.isnan(row[name])]
        ranges[name] = (min(values) * (1 - FORGIVEN), max(values) * (1 + FORGIVEN))
    low, high = ranges["grey_steps"]
    ranges["grey_steps"] = (min(low, 10.0), high)  # finer steps than these are below any noise
    ranges["side_px"] = (ranges["side_px"][0] / 2, ranges["side_px"][1])  # it is convolutional
    ranges["clipped_share"] = (0.0, max(0.01, ranges["clipped_share"][1]))  # two pixels at least
    return ranges


@cache
def trained_ranges(study: str) -> Ranges:
    """Read the ranges of a shipped network's training images."""
    return json.loads(_file(study).read_text(encoding="utf-8"))["ranges"]


def _file(study: str) -> Path:
    return Path(__file__).with_name(f"{study}_ranges.json")


def outside(found: Mapping[str, float], ranges: Ranges) -> list[str]:
    """Say in words which properties are outside the ranges.

    Parameters
    ----------
    found
        From :func:`properties`, and ``covered_share``.
    ranges
        From :func:`ranges_of`. A lattice or a pixel within half and twice of what they say is no
        fault: its image was brought to the network's scale.
    """
    said = []
    for name, value in found.items():
        low, high = ranges[name]
        if name in ("lattice_px", "pixel_nm"):
            low, high = low / 2, high * 2
            if math.isnan(value):
                said.append("no lattice is seen, so the scale is not known to the network")
        word = WORDS[name][0] if value < low else WORDS[name][1] if value > high else ""
        if word:
            said.append(f"{word} ({name} {value:.3g}; known: {low:.3g} to {high:.3g})")
    return said


def _of_graphene() -> tuple[str, list[dict]]:
    from ..graphene_hrtem.images import load_graphene

    images, rows = load_graphene(), []
    for image, mask in zip(images.images, images.masks):
        found = properties(image, image) | lattice_properties(image, graphene_radius(image))
        rows.append(found | {"covered_share": float(mask.mean())})
    return images.sha256, rows


def main() -> None:
    """Write the ranges of a study's images."""
    from ..record.files import write_atomically

    [study] = sys.argv[1:]
    data, rows = {"graphene_hrtem": _of_graphene}[study]()
    rounded = {k: [float(f"{v:.4g}") for v in pair] for k, pair in ranges_of(rows).items()}
    content = {"images": len(rows), "data": data, "ranges": rounded}
    write_atomically(_file(study), json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
