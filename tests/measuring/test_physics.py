"""Rulers of nature on images of known scale: the right scale agrees, a wrong one is caught."""

import math

import numpy as np
import pytest

import mchelpers
from mchelpers.measuring import physics
from mchelpers.measuring.ruler import read_ruler
from mchelpers.tmd_optical.optics import Camera, develop, illuminant, wafer_reflectance


def particles(spacing_px, seed=0):
    """Four disks of fringes of one spacing, each turned another way; and their labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:400, :400]
    image, labels = rng.normal(size=(400, 400)), np.zeros((400, 400), np.int32)
    for number, (row, column) in enumerate(((90, 90), (90, 290), (290, 90), (290, 290)), 1):
        inside = np.hypot(rows - row, columns - column) < 40 + 5 * number
        turn = rng.uniform(0, math.pi)
        wave = (rows * math.sin(turn) + columns * math.cos(turn)) / spacing_px
        image += np.cos(2 * math.pi * wave) * inside
        labels[inside] = number
    return image, labels


@pytest.mark.parametrize("spacing", [3.0, 11.78, 20.0])
def test_fringes_are_measured_to_a_hundredth(spacing):
    assert 1 / physics.fringe_radius(*particles(spacing)) == pytest.approx(spacing, rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_fringes(seed):
    noise = np.random.default_rng(seed).normal(size=(400, 400))
    assert math.isnan(physics.fringe_radius(noise, particles(12)[1]))
    assert math.isnan(physics.fringe_radius(noise, np.zeros((400, 400), np.int32)))


@pytest.mark.parametrize(("pixel_nm", "agrees"), [(0.02, True), (0.022, False), (0.04, False)])
def test_gold_tells_whether_the_pixel_size_can_be(pixel_nm, agrees):
    image = particles(0.2355 / 0.02)[0]
    answer = mchelpers.measure(image, "nanoparticles", pixel_nm)
    assert ("the fringes agree with gold's {111} planes" in answer.ruler.line) == agrees
    if not agrees:
        said = next(words for words in answer.warnings if "fringes are" in words)
        spacing = float(said.split("the fringes are ")[1].split()[0])
        assert spacing == pytest.approx(0.2355 * pixel_nm / 0.02, rel=0.01)
        assert answer.ruler.lattice_nm == pytest.approx(0.02, rel=0.01)
        assert answer.ruler.nm == pixel_nm  # its user is believed


def test_a_particle_without_fringes_confirms_nothing():
    found = physics.with_fringes(read_ruler("nanoparticles", 0.02, None), math.nan)
    assert found.line.endswith("as the file says, which no fringes in the image confirm.")


@pytest.mark.parametrize(
    ("step", "said"),
    [(0.68, "0.68 nm is one layer"), (1.4, "1.4 nm is 2 layers")]
    + [(wrong, "") for wrong in (0.2, 1.05, 0.7e-3, 700.0)],
)
def test_a_step_is_a_whole_number_of_layers(step, said):
    found = physics.with_step(read_ruler("afm_coverage", 10.0, None), step)
    assert (said in found.line) if said else "no whole number" in found.warnings[0]


def wafer(oxide_nm, **camera):
    """Colour of a bare wafer, (3,)."""
    camera = Camera(**camera)
    return develop(camera.raw(wafer_reflectance((), oxide_nm, na=0.4), illuminant()), camera)


@pytest.mark.parametrize("oxide_nm", [90.0, 285.0, 300.0])
@pytest.mark.parametrize("exposure", [1.5, 2.5])
def test_the_wafer_s_colour_tells_its_oxide(oxide_nm, exposure):
    colour = wafer(oxide_nm, exposure=exposure)
    found = physics.with_oxide(read_ruler("tmd_optical", 100.0, None), colour)
    said = float(found.line.split("colour of ")[1].split(" nm")[0])
    assert said == pytest.approx(oxide_nm, abs=15) and not found.warnings


def test_colours_that_no_oxide_has_are_warned_of():
    ruler = read_ruler("tmd_optical", 100.0, None)
    for colour in (wafer(90.0, balance=(0.4, 1.0, 0.4)), np.array([20, 160, 30])):
        found = physics.with_oxide(ruler, colour)
        assert "colour of no oxide" in found.warnings[0]


def test_flakes_are_told_with_their_wafer_s_oxide():
    rows, columns = np.mgrid[:128, :128]
    frame = np.where((np.hypot(rows - 60, columns - 60) < 20)[..., None], 0.6, 1.0) * wafer(285.0)
    answer = mchelpers.measure(frame.astype(np.uint8), "tmd_optical", 100.0)
    assert "the wafer has the colour of 2" in answer.ruler.line
