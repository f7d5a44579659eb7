"""The lattice as a ruler: known periods, known spectra, known factors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import metrics
from mchelpers.graphene_hrtem import images as hrtem
from mchelpers.graphene_hrtem import lattice


def honeycomb(size, radius, angle, second=0.3, noise=0.0, seed=0):
    """Draw plane waves whose first ring of spots lies at ``radius`` (px^-1)."""
    rows, columns = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for k in range(3):
        for order, turn, weight in ((1, 0, 1), (np.sqrt(3), np.pi / 6, second)):
            if order * radius > 0.5:  # finer than the pixels
                continue
            theta = angle + turn + k * np.pi / 3
            q = order * radius * np.array([np.sin(theta), np.cos(theta)])
            image += weight * np.cos(2 * np.pi * (q[0] * rows + q[1] * columns))
    return image + noise * np.random.default_rng(seed).normal(size=image.shape)


@settings(max_examples=20, deadline=None)
@given(radius=st.floats(0.13, 0.42), angle=st.floats(0, np.pi / 3), noise=st.floats(0.05, 2))
def test_a_lattice_of_known_period_gives_its_bragg_radius(radius, angle, noise):
    image = honeycomb(256, radius, angle, noise=noise)
    assert lattice.bragg_radius(image) == pytest.approx(radius, abs=0.3 / 256)


def test_the_first_ring_is_found_where_the_second_outshines_it():
    image = honeycomb(256, 0.16, 0.2, second=3.0, noise=1.0)
    frequency, prominence = lattice.ring_prominence(image)
    assert frequency[prominence.argmax()] == pytest.approx(0.16 * np.sqrt(3), abs=0.005)
    assert lattice.bragg_radius(image) == pytest.approx(0.16, abs=0.3 / 256)


def test_two_grains_and_contaminant_do_not_mislead():
    micrographs = hrtem.lattice_micrographs(8, seed=3)
    truth = micrographs.pixel_size_nm / hrtem.PLANE_SPACING_NM
    measured = [lattice.bragg_radius(image) for image in micrographs.images]
    np.testing.assert_allclose(measured, truth, atol=0.3 / 256)


def test_contrast_and_brightness_do_not_matter():
    image = honeycomb(128, 0.2, 0.1, noise=0.5)
    assert lattice.bragg_radius(50 - 3 * image) == pytest.approx(lattice.bragg_radius(image))


@pytest.mark.parametrize("size", [64, 256])
def test_noise_has_no_lattice(size):
    image = np.random.default_rng(0).normal(size=(size, size))
    assert np.isnan(lattice.bragg_radius(image))


def test_spectrum_of_white_noise_is_flat_and_counts_its_variance():
    image = np.random.default_rng(0).normal(0, 2, (256, 256))
    frequency, power = metrics.radial_spectrum(image)
    assert frequency[0] == pytest.approx(1 / 256) and frequency[-1] == 0.5
    window = (np.outer(np.hanning(256), np.hanning(256)) ** 2).sum()
    np.testing.assert_allclose(power[20:] / (4 * window), 1, atol=0.35)
    assert power[20:].mean() / (4 * window) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("image", [np.zeros((16, 16)), np.zeros((40, 40, 3))])
def test_small_or_odd_images_are_refused(image):
    with pytest.raises(ValueError, match="at least 32 x 32"):
        lattice.bragg_radius(image)


@pytest.mark.parametrize("level", [0.0, 0.1, 255.0])
def test_a_constant_image_shows_no_lattice(level):
    image = np.full((40, 50), level)
    assert np.isnan(lattice.bragg_radius(image))
    assert np.isfinite(lattice.ring_prominence(image)[1]).all()


def test_nan_is_refused():
    image = np.ones((40, 40))
    image[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        metrics.radial_spectrum(image)
