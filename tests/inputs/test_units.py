"""Units of length, and pixel sizes that can be a micrograph's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mchelpers.inputs.units import length_unit, pixel_size_in_nm


@pytest.mark.parametrize(
    ("spelled", "unit", "nm"),
    [
        ("nm", "nm", 1),
        ("µm", "um", 1e3),
        ("μm", "um", 1e3),
        ("\\u00B5m", "um", 1e3),
        ("microns", "um", 1e3),
        ("Å", "angstrom", 0.1),
        ("\u212b", "angstrom", 0.1),
        ("pm", "pm", 1e-3),
        (" Meters ", "m", 1e9),
        ("", None, None),
        ("px", None, None),
        ("1/nm", None, None),
        ("eV", None, None),
        (None, None, None),
    ],
)
def test_spellings(spelled, unit, nm):
    assert length_unit(spelled) == unit
    if unit is None:
        with pytest.raises(ValueError, match="no length"):
            pixel_size_in_nm(1, spelled)
    else:
        assert pixel_size_in_nm(50 / nm, spelled) == pytest.approx(50)


@pytest.mark.parametrize("size", [0, -0.1, math.nan, "x", None])
def test_what_is_no_length_is_refused(size):
    with pytest.raises(ValueError, match="pixel_size_nm must be"):
        pixel_size_in_nm(size)


@pytest.mark.parametrize(("size", "unit"), [(2e-11, "nm"), (0.02, "m"), (math.inf, "nm")])
def test_a_size_in_another_unit_is_refused(size, unit):
    with pytest.raises(ValueError, match="another unit"):
        pixel_size_in_nm(size, unit)


@given(st.floats(1e-4, 1e5))
def test_any_size_that_can_be_is_taken_with_all_its_digits(size):
    assert pixel_size_in_nm(size) == size
    assert pixel_size_in_nm(np.float32(0.25), "nm") == 0.25
