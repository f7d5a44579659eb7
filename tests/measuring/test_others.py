"""Studies without a network: a known disk, a known step, known colours."""

import math

import numpy as np
import pytest

import mchelpers
from mchelpers.inputs.pictures import read_picture
from mchelpers.measuring.others import measure_film
from mchelpers.measuring.ruler import read_ruler


def disk(size, row, column, radius):
    rows, columns = np.mgrid[:size, :size]
    return np.hypot(rows - row, columns - column) < radius


def film(step):
    rng = np.random.default_rng(1)
    mask = disk(200, 90, 100, 60)
    tilt = np.linspace(0, 5, 200) + rng.normal(0, 0.3, (200, 1))  # each line has its own offset
    return mask, (step * mask + tilt + rng.normal(0, 0.05, (200, 200))).astype(np.float32)


@pytest.mark.parametrize(("step", "warned"), [(0.7, False), (1.4, False), (1.05, True)])
def test_a_film_is_levelled_and_its_step_checked(step, warned):
    mask, height = film(step)
    answer = measure_film(height, read_ruler("afm_coverage", 10.0, None), "nm")
    assert answer.image["covered_share"] == pytest.approx(mask.mean(), abs=0.03)
    assert answer.image["step_nm"] == pytest.approx(step, rel=0.15)
    assert any("no whole number of layers" in words for words in answer.warnings) == warned


def test_a_picture_of_a_film_has_no_step_and_needs_no_pixel_size():
    mask = disk(200, 90, 100, 60)
    answer = mchelpers.measure((40 + 160 * mask).astype(np.uint8), study="afm_coverage")
    assert answer.image["covered_share"] == pytest.approx(mask.mean(), abs=0.001)
    assert math.isnan(answer.image["step_nm"]) and math.isnan(answer.image["covered_nm2"])
    assert str(answer).startswith("Pixel size: unknown")
    assert any("no heights in nm" in words for words in answer.warnings)


def flakes():
    image = np.full((300, 300, 3), (150, 120, 140), np.float32)
    image[disk(300, 100, 110, 40)] = (110, 90, 150)
    image += np.random.default_rng(0).normal(0, 1.5, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def test_a_flake_is_outlined_by_its_colour():
    answer = mchelpers.measure(flakes(), study="tmd_optical", pixel_size_nm=100)
    assert answer.image["objects"] == 1
    assert answer.objects[0]["diameter_nm"] == pytest.approx(8000, rel=0.05)


def test_a_bare_wafer_has_no_flake():
    bare = np.full((200, 200, 3), 120, np.uint8)
    bare[::2, ::2] += 1
    assert mchelpers.measure(bare, study="tmd_optical", pixel_size_nm=100).objects == []


def test_an_instrument_s_file_brings_its_pixel_size_and_its_unit(tmp_path):
    import microscope_files

    mask, height = film(0.7)
    path = tmp_path / "film.ibw"
    microscope_files.ibw(path, height[None] * 1e-9, ["HeightTrace"], 1e-8)
    assert read_picture(path).pixel_size_nm == pytest.approx(10)
    answer = mchelpers.measure(path, study="afm_coverage")
    said = "as the file says; the step of 0.7 nm is one layer of WSe2."
    assert answer.ruler.line == f"Pixel size: 10 nm, {said}"
    assert answer.image["step_nm"] == pytest.approx(0.7, rel=0.15)
