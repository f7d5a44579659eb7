"""Letters that were drawn are read again, and a fault is told from none."""

import numpy as np
import pytest
from drawn_crystals import PIXEL, ROW, SIZE, drawn, particle_mask, sequence

from mchelpers.nanoparticles import stacking


def surroundings(letters):
    """Tell for each inner layer whether both neighbours stand alike: hexagonal, else cubic."""
    letters = np.asarray(letters)
    return letters[:-2] == letters[2:]


def spectrum(image):
    return stacking.bragg_spectrum(image, particle_mask(), PIXEL)


@pytest.mark.parametrize("shape", ["wurtzite", "zinc blende"])
@pytest.mark.parametrize("angle", [0.3, 2.0])
def test_a_fault_needs_two_crystals(shape, angle):
    perfect, faulty = (
        stacking.read_stacking(spectrum(drawn(sequence(shape, plane), angle, noise=2.0)))
        for plane in (None, 7)
    )
    assert perfect.two_crystals < 0.15
    assert faulty.two_crystals > 0.25
    for read in (perfect, faulty):
        assert read.explained > 0.7
        assert read.signal > 10
        assert read.fringe > 5
        assert read.layer_nm == pytest.approx(stacking.LAYER_NM, rel=0.03)


@pytest.mark.parametrize("plane", [None, 6, 8])
@pytest.mark.parametrize("shape", ["wurtzite", "zinc blende"])
def test_the_letters_are_read(shape, plane):
    true = sequence(shape, plane)
    waves = stacking.layer_waves(spectrum(drawn(true)), 0.0, stacking.LAYER_NM, ROW)
    layers, positions = stacking.layer_positions(waves)
    letters = np.rint(positions).astype(int) % 3
    assert np.abs(positions - np.rint(positions)).max() < 0.25
    assert np.array_equal(np.diff(layers), np.ones(len(layers) - 1))
    read, known = surroundings(letters), surroundings(true)
    windows = [known[i : i + len(read)] for i in range(len(known) - len(read) + 1)]
    assert any(np.array_equal(read, window) for window in windows)


def test_noise_has_no_stacking():
    image = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    read = stacking.read_stacking(spectrum(image))
    assert read.fringe < 4
    assert read.signal < 10


def test_contrast_is_about_one_on_noise():
    image = np.random.default_rng(1).normal(size=(SIZE, SIZE))
    result = spectrum(image)
    assert np.median(result.contrast) == pytest.approx(1, abs=0.3)
    middle = len(result.power) // 2
    assert result.power.shape == result.frequency.shape
    assert result.frequency[middle, middle] == 0
    assert result.frequency[middle, middle + 1] == pytest.approx(result.step)
    assert np.allclose(result.power, result.power[::-1, ::-1], rtol=1e-3, atol=1e-3)


def test_a_constant_image_does_not_divide_by_zero():
    with np.errstate(all="raise"):
        read = stacking.read_stacking(spectrum(np.zeros((SIZE, SIZE))))
    assert read.two_crystals == 0
    assert read.explained == 0


def test_two_layers_are_one_crystal():
    waves = np.ones((2, 8), complex)
    assert stacking.two_crystals(waves) == (16.0, 16.0, 16.0)


def test_one_never_explains_more_than_two():
    rng = np.random.default_rng(2)
    for _ in range(10):
        waves = rng.normal(size=(12, 8)) + 1j * rng.normal(size=(12, 8))
        one, two, total = stacking.two_crystals(waves)
        assert 0 < one <= two <= total
