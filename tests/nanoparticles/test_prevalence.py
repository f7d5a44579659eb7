"""Shares and errors that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mchelpers.nanoparticles import prevalence


def test_two_classes_are_rogan_and_gladen():
    sensitivity, specificity, share = 0.8, 0.9, 0.35
    confusion = np.array([[80, 20], [10, 90]])
    positive = share * sensitivity + (1 - share) * (1 - specificity)
    shares = prevalence.correct_prevalence(confusion, [positive, 1 - positive], smooth=0)
    assert shares == pytest.approx([share, 1 - share], abs=1e-6)


def test_shares_stay_shares():
    """Fewer positives than false ones alone would give: none, not less than none."""
    shares = prevalence.correct_prevalence([[80, 20], [10, 90]], [1, 99])
    assert shares == pytest.approx([0, 1], abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(float, 4, elements=st.floats(0.01, 1)), st.floats(0, 0.6))
def test_known_errors_are_undone(weights, confused):
    true = weights / weights.sum()
    rates = (1 - confused) * np.eye(4) + confused / 4
    shares = prevalence.correct_prevalence(1e6 * rates, 1e4 * true @ rates, smooth=0)
    np.testing.assert_allclose(shares, true, atol=1e-4)


@pytest.mark.parametrize(
    "confusion, counts, words",
    [
        (np.eye(3), [1, 2], "do not fit"),
        (np.eye(2), [0, 0], "counted"),
        (np.eye(2), [-1, 2], "counted"),
        ([[1, np.nan], [0, 1]], [1, 1], "NaN"),
        ([[1, 1], [0, 0]], [1, 1], "no example"),
    ],
)
def test_what_cannot_be_corrected(confusion, counts, words):
    with pytest.raises(ValueError, match=words):
        prevalence.correct_prevalence(confusion, counts, smooth=0)


def test_the_interval_covers_and_says_what_it_does_not_know():
    rng = np.random.default_rng(0)

    def micrographs(count, share, rates):
        fault = rng.binomial(10, share, count)
        said = [[rng.multinomial(f, rates[0]), rng.multinomial(10 - f, rates[1])] for f in fault]
        return np.array(said)  # (count, 2, 2)

    def width(rates):
        known, new = micrographs(40, 0.5, rates), micrographs(40, 0.3, rates)
        return prevalence.prevalence_interval(known, new.sum(1), lambda s: s[0], draws=300)

    good, poor = width([[0.95, 0.05], [0.05, 0.95]]), width([[0.6, 0.4], [0.4, 0.6]])
    assert good[0] < 0.3 < good[1]
    assert poor[1] - poor[0] > 2 * (good[1] - good[0])


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        ([[[18, 2], [2, 18]], [[12, 8], [8, 12]]], [[14, 6]] * 2),  # the errors are uncertain
        ([[[18, 2], [2, 18]]] * 2, [[18, 2], [10, 10]]),  # what was counted is
    ],
)
def test_either_side_alone_makes_an_interval(known, counts):
    low, high = prevalence.prevalence_interval(known, counts, lambda s: s[0], draws=100)
    assert high - low > 0.05


def test_an_interval_needs_micrographs_and_particles():
    with pytest.raises(ValueError, match="two micrographs"):
        prevalence.prevalence_interval(np.ones((1, 2, 2)), np.ones((3, 2)), lambda s: s[0])
    with pytest.raises(ValueError, match="no resampling"):
        prevalence.prevalence_interval(
            np.ones((3, 2, 2)), np.zeros((3, 2)), lambda s: s[0], draws=5
        )


# ---- size and fault
