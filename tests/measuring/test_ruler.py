"""The ruler: who says how long a pixel is, and a lattice of known period that checks it."""

import math

import numpy as np
import pytest
from lattices import honeycomb

from mchelpers.measuring import ruler


@pytest.mark.parametrize("radius", [0.35, 0.2, 0.1, 0.06, 0.035])
def test_the_ring_is_measured_however_finely_it_is_sampled(radius):
    assert ruler.graphene_radius(honeycomb(512, radius)) == pytest.approx(radius, rel=0.02)


def test_noise_has_no_ring():
    noise = np.random.default_rng(1).normal(size=(256, 256)).astype(np.float32)
    assert math.isnan(ruler.graphene_radius(noise))


def test_fringes_and_squares_are_no_graphene():
    rows, columns = np.mgrid[:256, :256]
    noise = 0.3 * np.random.default_rng(0).normal(size=(256, 256))
    fringes, across = (np.cos(2 * np.pi * 0.2 * n) for n in (rows, columns))
    assert math.isnan(ruler.graphene_radius(fringes + noise))
    assert math.isnan(ruler.graphene_radius(fringes + across + noise))


def test_without_a_pixel_size_the_lattice_gives_it():
    found = ruler.with_lattice(ruler.read_ruler("graphene_hrtem", math.nan, None), 0.2)
    assert found.nm == pytest.approx(0.0426)
    assert found.line.startswith("Pixel size: 0.0426 nm, from the lattice in the image")


def test_without_pixel_size_and_lattice_it_is_refused():
    unknown = ruler.read_ruler("graphene_hrtem", math.nan, None)
    with pytest.raises(ValueError, match="shows no lattice to measure one by; give pixel_size_nm"):
        ruler.with_lattice(unknown, math.nan)


def test_a_lattice_that_agrees_is_said_and_warns_of_nothing():
    found = ruler.with_lattice(ruler.read_ruler("graphene_hrtem", 0.043, None), 0.2)
    assert found.nm == 0.043 and not found.warnings
    assert "as the file says; the lattice in the image agrees (0.0426 nm)" in found.line


def test_a_lattice_that_disagrees_is_offered_and_not_taken():
    found = ruler.with_lattice(ruler.read_ruler("graphene_hrtem", 0.0852, None), 0.2)
    assert found.nm == 0.0852
    assert "the lattice says 0.0426 nm a pixel" in found.warnings[0]
    assert "multiply them by 0.5" in found.warnings[0]


@pytest.mark.parametrize("ring", [math.sqrt(3), 1 / math.sqrt(3)])
def test_one_ring_taken_for_the_other_is_no_disagreement(ring):
    found = ruler.with_lattice(ruler.read_ruler("graphene_hrtem", 0.0426, None), 0.2 * ring)
    assert not found.warnings
    assert found.lattice_nm == pytest.approx(0.0426)


def test_a_ruler_that_no_lattice_confirms_says_so():
    found = ruler.with_lattice(ruler.read_ruler("graphene_hrtem", 0.043, None), math.nan)
    assert "which no lattice in the image confirms" in found.line and not found.warnings


def test_the_user_is_believed_before_the_file_and_told():
    found = ruler.read_ruler("afm_coverage", 2.0, 4.0)
    assert found.line == "Pixel size: 4 nm, as you gave it."
    assert found.warnings == ("the file says 2 nm a pixel, you gave 4 nm",)
    assert not ruler.read_ruler("afm_coverage", 2.0, 2.01).warnings


def test_an_unknown_pixel_size_is_never_one():
    unknown = ruler.read_ruler("afm_coverage", math.nan, None)
    assert math.isnan(unknown.nm)
    assert unknown.line == "Pixel size: unknown; the file says none and none was given."


@pytest.mark.parametrize("given", [0, -0.04, math.nan, math.inf, "a"])
def test_what_is_no_length_is_refused(given):
    with pytest.raises(ValueError, match="pixel_size_nm must be"):
        ruler.read_ruler("graphene_hrtem", math.nan, given)


@pytest.mark.parametrize(
    ("study", "nm"),
    [("graphene_hrtem", 0.5), ("graphene_hrtem", 40), ("nanoparticles", 0.2)]
    + [("afm_coverage", 0.01), ("tmd_optical", 0.1)],
)
def test_what_cannot_be_right_for_a_study_is_refused(study, nm):
    with pytest.raises(ValueError, match="cannot be right"):
        ruler.read_ruler(study, nm, None)
