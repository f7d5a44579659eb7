"""Particles drawn from layers of known stacking, for two test files."""

import numpy as np

from mchelpers.nanoparticles import stacking
from mchelpers.nanoparticles.particles import stacking_fault_layers

PIXEL, SIZE = 0.03, 150
ROW = stacking.LAYER_NM * np.sqrt(9 / 8)


def drawn(sequence, angle=0.0, noise=0.0, seed=0):
    """Draw a round particle from layers of atom columns: dark dots, (SIZE, SIZE)."""
    axis = PIXEL * (np.arange(SIZE) - (SIZE - 1) / 2)
    along = np.sin(angle) * axis[:, None] + np.cos(angle) * axis
    across = np.cos(angle) * axis[:, None] - np.sin(angle) * axis
    image = np.zeros((SIZE, SIZE))
    for n, place in enumerate(sequence):
        height = (n - (len(sequence) - 1) / 2) * stacking.LAYER_NM
        columns = np.exp(4 * np.cos(2 * np.pi * (across / ROW - place / 3)))
        image -= columns * np.exp(-(((along - height) / 0.06) ** 2))
    image *= np.hypot(along, across) < 2.1
    image /= image.std()
    return image + noise * np.random.default_rng(seed).normal(size=image.shape)


def particle_mask():
    axis = PIXEL * (np.arange(SIZE) - (SIZE - 1) / 2)
    return np.hypot(axis[:, None], axis) < 2.1


def sequence(shape, plane):
    return stacking_fault_layers(shape, 15, plane)
