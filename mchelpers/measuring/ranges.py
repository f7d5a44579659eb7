"""What the graphene network knows: properties of its training images, and who is outside.

``graphene_ranges.json`` is made by ``python -m mchelpers.measuring.ranges`` from the study's
images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from .ruler import graphene_radius, middle

__all__ = ["Ranges", "outside", "properties", "ranges_of", "trained_ranges"]

FILE = Path(__file__).with_name("graphene_ranges.json")
Ranges = Mapping[str, Sequence[float]]

WORDS = {  # property -> what is said of an image below, and above what was trained on
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


def properties(image: np.ndarray, raw: np.ndarray, radius: float) -> dict[str, float]:
    """Compute what can be out of range before anything is segmented.

    Parameters
    ----------
    image
        (H, W) float, evenly lit, as finely sampled as the network knows.
    raw
        (H', W'), as the file had it.
    radius
        Of the innermost ring of spots in ``raw``, px^-1, or NaN.
    """
    from ..data import bezier_background
    from ..graphene_hrtem.lattice import ring_prominence
    from ..metrics import windowed_amplitude

    part = middle(image)
    amplitude, q = windowed_amplitude(part)
    power = np.square(amplitude, dtype=float)
    fine, most = (q > 0.42) & (q < 0.5), (q > 0.02) & (q < 0.5)
    values = np.unique(raw)
    spread = float(raw.std(dtype=float))
    return {
        "lattice_px": 1 / radius,
        "lattice_prominence": float(ring_prominence(part)[1].max()),
        "grey_steps": spread / float(np.diff(values).min()),
        "clipped_share": float(np.mean((raw == values[0]) | (raw == values[-1]))),
        "unevenness": float(bezier_background(raw).std() / spread),
        "noise": float(np.median(power[fine]) / power[most].mean()),  # the median sees no spots
        "sharpness": float((q * amplitude)[most].sum() / amplitude[most].sum()),
        "side_px": min(image.shape),
    }


def ranges_of(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Take the least and the largest of each property over images, a little forgiving."""
    ranges = {}
    for name in rows[0]:
        values = [row[name] for row in rows if not math.isnan(row[name])]
        ranges[name] = (min(values) * (1 - FORGIVEN), max(values) * (1 + FORGIVEN))
    ranges["side_px"] = (ranges["side_px"][0] / 2, ranges["side_px"][1])  # it is convolutional
    ranges["clipped_share"] = (0.0, max(0.01, ranges["clipped_share"][1]))  # two pixels at least
    return ranges


@cache
def trained_ranges() -> Ranges:
    """Read the ranges of the shipped network's training images."""
    return json.loads(FILE.read_text(encoding="utf-8"))["ranges"]


def outside(found: Mapping[str, float], ranges: Ranges) -> list[str]:
    """Say in words which properties are outside the ranges.

    Parameters
    ----------
    found
        From :func:`properties`, and ``covered_share``.
    ranges
        From :func:`ranges_of`. A lattice within half and twice of what they say is no fault:
        its image was brought to the network's scale.
    """
    said = []
    for name, value in found.items():
        low, high = ranges[name]
        if name == "lattice_px":
            low, high = low / 2, high * 2
            if math.isnan(value):
                said.append("no lattice is seen, so the scale is not known to the network")
        word = WORDS[name][0] if value < low else WORDS[name][1] if value > high else ""
        if word:
            said.append(f"{word} ({name} {value:.3g}; known: {low:.3g} to {high:.3g})")
    return said


def main() -> None:
    """Write the ranges of the study's images."""
    from ..graphene_hrtem.images import load_graphene
    from ..record.files import write_atomically

    images = load_graphene()
    rows = []
    for image, mask in zip(images.images, images.masks):
        found = properties(image, image, graphene_radius(image))
        rows.append(found | {"covered_share": float(mask.mean())})
    rounded = {k: [float(f"{v:.4g}") for v in pair] for k, pair in ranges_of(rows).items()}
    content = {"images": len(rows), "sha256": images.sha256, "ranges": rounded}
    write_atomically(FILE, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
