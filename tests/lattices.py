"""Lattices of plane waves, of a known period."""

import math

import numpy as np


def honeycomb(size, radius, noise=0.3):
    """Draw plane waves whose first ring of spots lies at ``radius`` (px^-1), and a second."""
    rows, columns = np.mgrid[:size, :size]
    image = noise * np.random.default_rng(0).normal(size=(size, size))
    for k in range(3):
        for order, turn, weight in ((1, 0.1, 1), (math.sqrt(3), 0.1 + math.pi / 6, 0.5)):
            angle, q = turn + k * math.pi / 3, order * radius
            wave = q * (rows * math.sin(angle) + columns * math.cos(angle))
            image += weight * np.cos(2 * math.pi * wave) * (q < 0.5)
    return image.astype(np.float32)
