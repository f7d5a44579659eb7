"""Nanoparticles: known disks of fringes, with a network and without."""

import numpy as np
import pytest

import mchelpers
from mchelpers.measuring import one
from mchelpers.measuring.shipped import NO_NETWORK


def disk(size, row, column, radius):
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - row, columns - column) < radius


@pytest.fixture
def without_network(monkeypatch):
    monkeypatch.setattr(one, "find_network", lambda study, weights: None)


def test_particles_are_sized_in_nanometres_and_those_at_the_border_left_out(without_network):
    inside, cut = disk(400, 170, 180, 60), disk(400, 390, 60, 60)
    noise = np.random.default_rng(0).normal(size=(400, 400))
    fringes = np.cos(2 * np.pi * 0.085 * np.mgrid[:400, :400][0])
    image = noise + 3 * fringes * (inside | cut)
    answer = mchelpers.measure(image, study="nanoparticles", pixel_size_nm=0.02)
    assert answer.image["objects"] == 2 and answer.image["border_objects"] == 1
    assert answer.image["d50_nm"] == pytest.approx(2.4, rel=0.15)
    assert answer.image["density_per_um2"] == pytest.approx(2 / 64e-6)
    assert answer.warnings[-1] == NO_NETWORK


def test_particles_without_a_pixel_size_are_refused():
    noise = np.random.default_rng(0).normal(size=(100, 100))
    with pytest.raises(ValueError, match="diameters need one; give pixel_size_nm"):
        mchelpers.measure(noise, study="nanoparticles")
