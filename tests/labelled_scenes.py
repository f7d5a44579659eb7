"""Drawn images with labelled objects, for the tests of what reads and writes them."""

import numpy as np

from mchelpers.inputs.objects import Instance, LabelledImage

CLASSES = ["thin", "thick disc"]
SPLIT = {"train": [0, 1, 2, 3], "val": [4, 5]}


def disc(shape, row, column, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def scene(name, group, seed=0, shape=(60, 80)):
    rng = np.random.default_rng(seed)
    ring = disc(shape, 30, 22, 15) & ~disc(shape, 30, 22, 7)
    two = disc(shape, 12, 60, 8) | disc(shape, 45, 58, 10)
    corner = np.zeros(shape, bool)
    corner[-5:, -9:] = True
    things = [
        Instance.of("thick disc", ring, 0.1, layers=7),
        Instance.of("thin", two, 0.1, layers=1),
        Instance.of("thin", corner, 0.1, layers=2),
    ]
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    return LabelledImage(name, image, things, group, 0.1)


def scenes():
    """Give six images of three growth runs."""
    return [scene(f"image{n}", f"run{n // 2}", n) for n in range(6)]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()
