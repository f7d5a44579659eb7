"""Flat field and normalisation against surfaces and moments known exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import data as preprocess


def surface(shape, degree, seed=0):
    """Draw a random polynomial of one degree along each axis."""
    coefficients = np.random.default_rng(seed).normal(size=(degree + 1, degree + 1))
    v, u = (np.linspace(0, 1, n) for n in shape)
    return np.polynomial.polynomial.polygrid2d(v, u, coefficients)


@settings(max_examples=15, deadline=None)
@given(degree=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_polynomial_surface_is_recovered_exactly(degree, seed):
    truth = surface((40, 56), degree, seed)
    fit = preprocess.bezier_background(truth, degree)
    np.testing.assert_allclose(fit, truth, atol=1e-9)


def test_bilinear_cannot_follow_a_biquadratic():
    truth = surface((40, 40), 2)
    rest = [np.std(truth - preprocess.bezier_background(truth, degree)) for degree in (1, 2)]
    assert rest[0] > 100 * rest[1]


def test_masked_fit_ignores_what_is_masked():
    truth = surface((40, 48), 2)
    spoilt, counted = truth.copy(), np.ones(truth.shape, bool)
    spoilt[5:20, 10:30] += 50
    counted[5:20, 10:30] = False
    fit = preprocess.bezier_background(spoilt, 2, counted)
    np.testing.assert_allclose(fit, truth, atol=1e-8)


def test_full_mask_gives_the_separable_solution():
    image = np.random.default_rng(0).normal(size=(24, 36))
    masked = preprocess.bezier_background(image, 2, np.ones(image.shape, bool))
    np.testing.assert_allclose(masked, preprocess.bezier_background(image, 2), atol=1e-9)


def test_too_few_pixels_are_refused():
    counted = np.zeros((20, 20), bool)
    counted[0, :8] = True
    with pytest.raises(ValueError, match="8 pixels cannot fix 9 coefficients"):
        preprocess.bezier_background(np.ones((20, 20)), 2, counted)


@given(count=st.integers(2, 50), degree=st.integers(0, 4))
def test_bernstein_polynomials_are_a_partition_of_one(count, degree):
    basis = preprocess.bernstein(count, degree)
    assert basis.shape == (count, degree + 1)
    np.testing.assert_allclose(basis.sum(1), 1)
    assert (basis >= 0).all()


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e4), offset=st.floats(-1e3, 1e3))
def test_zscore_forgets_gain_and_offset(scale, offset):
    image = np.random.default_rng(0).normal(size=(32, 32))
    z = preprocess.zscore(scale * image + offset)
    assert z.dtype == np.float32
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-5)
    np.testing.assert_allclose(z, preprocess.zscore(image), atol=2e-4)


def test_zscore_works_image_by_image():
    stack = np.random.default_rng(0).integers(0, 255, (3, 16, 20)).astype(np.uint8)
    z = preprocess.zscore(stack)
    for image, alone in zip(z, stack, strict=True):
        np.testing.assert_array_equal(image, preprocess.zscore(alone))


@pytest.mark.parametrize(
    ("value", "match"), [(7.0, "constant"), (np.nan, "NaN"), (np.inf, "NaN or infinity")]
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_zscore_refuses_what_has_no_spread(value, match):
    stack = np.random.default_rng(0).normal(size=(2, 8, 8))
    stack[1] = value
    with pytest.raises(ValueError, match=match):
        preprocess.zscore(stack)
