"""From an exported page to a label: crop, lightness, thresholds, doubt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.afm_coverage import labels as labelling
from mchelpers.afm_coverage.export import export_page


def two_levels(share=0.4, noise=6.0, shape=(80, 120), seed=0):
    """Film on a substrate, as lightness: (image uint8, mask bool)."""
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    image = np.where(mask, 170, 90) + noise * rng.normal(size=shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask


def test_luminance_of_the_primaries():
    colours = np.eye(3, dtype=np.uint8)[None] * 255
    np.testing.assert_allclose(labelling.luminance(colours)[0], [76.245, 149.685, 29.07], atol=1e-3)


def test_luminance_of_all_depths_agrees():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    light = labelling.luminance(rgb)
    rgba = np.concatenate([rgb, np.full((5, 6, 1), 255, np.uint8)], axis=2)
    np.testing.assert_allclose(labelling.luminance(rgba), light)
    deep = rgb.astype(np.uint16) * 257
    np.testing.assert_allclose(labelling.luminance(deep), light, atol=1e-3)
    np.testing.assert_array_equal(
        labelling.luminance(deep.astype(">u2")), labelling.luminance(deep)
    )
    np.testing.assert_allclose(labelling.luminance(rgb[..., 0]), rgb[..., 0])
    assert labelling.luminance(np.ones((2, 2), bool)).max() == 255


def test_what_is_transparent_has_no_lightness():
    """Under alpha 0 programs leave any colour; here the margin would be taken for substrate."""
    page = np.zeros((20, 30, 4), np.uint8)
    page[4:16, 5:25] = 180, 180, 180, 255
    for read in (labelling.luminance, labelling.crop_export):
        with pytest.raises(ValueError, match="transparent; lay it on a white page"):
            read(page)


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 2), np.uint8), np.zeros(4, np.uint8)])
def test_luminance_refuses_other_shapes(bad):
    with pytest.raises(ValueError, match="shape"):
        labelling.luminance(bad)


def test_luminance_refuses_floats():
    with pytest.raises(ValueError, match="uint8"):
        labelling.luminance(np.zeros((3, 3)))


@pytest.fixture
def page():
    """Return a page, and where on it the micrograph lies."""
    image, _ = two_levels(shape=(180, 260))
    return export_page(np.stack([image] * 3, axis=-1), (-1.0, 2.0), 5.0)


def test_both_rules_find_the_micrograph(page):
    picture, where = page
    assert labelling.crop_export(picture, "study") == where
    assert labelling.crop_export(picture) == where


def test_the_robust_rule_bears_other_formats(page):
    picture, where = page
    alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
    assert labelling.crop_export(np.concatenate([picture, alpha], axis=2)) == where
    assert labelling.crop_export(picture.astype(np.uint16) * 257) == where
    noisy = picture.astype(int) - np.random.default_rng(0).integers(0, 5, picture.shape)
    assert labelling.crop_export(np.clip(noisy, 0, 255).astype(np.uint8)) == where


def test_a_line_round_the_page_is_not_the_micrograph(page):
    picture, (rows, columns) = page
    framed = np.pad(picture, ((9, 9), (9, 9), (0, 0)), constant_values=255)
    framed[3, 3:-3] = framed[-4, 3:-3] = framed[3:-3, 3] = framed[3:-3, -4] = 0
    where = tuple(slice(s.start + 9, s.stop + 9) for s in (rows, columns))
    assert labelling.crop_export(framed) == where


def test_a_wide_margin_defeats_the_studys_rule_only(page):
    picture, where = page
    wide = np.pad(picture, ((0, 0), (0, 600), (0, 0)), constant_values=255)
    with pytest.raises(ValueError, match="robust"):
        labelling.crop_export(wide, "study")
    assert labelling.crop_export(wide) == where


def test_what_is_cropped_already_stays_whole():
    image, _ = two_levels()
    assert labelling.crop_export(image) == (slice(0, 80), slice(0, 120))
    black = np.zeros((10, 12, 3), np.uint8)
    assert labelling.crop_export(black) == (slice(0, 10), slice(0, 12))


def test_an_empty_page_and_an_unknown_rule_are_refused():
    with pytest.raises(ValueError, match="empty"):
        labelling.crop_export(np.full((20, 20, 3), 255, np.uint8))
    with pytest.raises(ValueError, match="rule"):
        labelling.crop_export(np.zeros((20, 20, 3), np.uint8), "guess")


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_all_thresholds_divide_two_clear_levels(share):
    image, mask = two_levels(share)
    for threshold in (
        labelling.otsu(image),
        labelling.li(image),
        labelling.two_gaussians(image).threshold,
        labelling.best_threshold(image, mask),
    ):
        np.testing.assert_array_equal(image > threshold, mask)


def test_two_gaussians_are_found_as_they_were_drawn():
    image, _ = two_levels(0.3, noise=8.0, shape=(200, 300))
    bells = labelling.two_gaussians(image)
    np.testing.assert_allclose(bells.means, [90, 170], atol=1)
    np.testing.assert_allclose(bells.sds, 8, atol=1)
    np.testing.assert_allclose(bells.weights, [0.7, 0.3], atol=0.02)
    dark, light = bells.density(np.array([bells.threshold]))
    assert dark[0] == pytest.approx(light[0], rel=0.2)
    assert bells.density(np.arange(256)).sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("method", [labelling.otsu, labelling.li, labelling.two_gaussians])
def test_thresholds_refuse_what_has_none(method):
    with pytest.raises(ValueError, match="constant"):
        method(np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="NaN"):
        method(np.full((8, 8), np.nan))
    with pytest.raises(ValueError, match="255"):
        method(np.linspace(0, 4000, 64).reshape(8, 8))
    with pytest.raises(ValueError, match="shape"):
        method(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("top", [1, 0.7])
def test_lightness_of_0_to_1_is_refused(top):
    """Rounded to whole levels, a coverage of 0.3 would become 1."""
    image = np.where(np.arange(100).reshape(10, 10) < 70, 0.3, top)
    measures = (labelling.otsu, labelling.li, labelling.two_gaussians, labelling.coverage_curve)
    for measure in measures:
        with pytest.raises(ValueError, match="lightness runs from 0 to 255, this image from 0.3"):
            measure(image)
    assert labelling.coverage_curve(np.zeros((4, 5), np.float32))[0] == 0  # black is black


def test_two_levels_only_are_divided_too():
    image = np.zeros((10, 10), np.uint8)
    image[:3] = 255
    assert 0 <= labelling.two_gaussians(image).threshold <= 255
    assert (image > labelling.otsu(image)).mean() == pytest.approx(0.3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), threshold=st.integers(0, 255), dark=st.booleans())
def test_curves_say_what_the_threshold_would_do(seed, threshold, dark):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (12, 15)).astype(np.uint8)
    truth = rng.random((12, 15)) < rng.random()
    mask = image <= threshold if dark else image > threshold
    assert labelling.coverage_curve(image, dark)[threshold] == pytest.approx(mask.mean())
    union = (mask | truth).sum()
    expected = (mask & truth).sum() / union if union else 1.0
    assert labelling.overlap_curve(image, truth, dark)[threshold] == pytest.approx(expected)


def test_an_empty_truth_is_met_by_an_empty_mask():
    image, _ = two_levels()
    best = labelling.best_threshold(image, np.zeros(image.shape, bool))
    assert not (image > best).any()
    with pytest.raises(ValueError, match="bool"):
        labelling.overlap_curve(image, image)


def test_doubt_is_small_between_two_levels_and_large_on_a_ramp():
    clear, mask = two_levels()
    doubt = labelling.coverage_uncertainty(clear, 130, 5)
    assert doubt.coverage == pytest.approx(mask.mean())
    assert doubt.sd < 1e-4 and doubt.low == doubt.high and doubt.slope == 0
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    doubt = labelling.coverage_uncertainty(ramp, 127, 5)
    assert doubt.coverage == pytest.approx(0.5)
    assert doubt.slope == pytest.approx(-1 / 256)
    assert doubt.sd == pytest.approx(5 / 256, rel=0.02)
    assert doubt.high - doubt.low == pytest.approx(2 * 1.96 * 5 / 256, rel=0.15)
    assert labelling.coverage_uncertainty(ramp, 127, 5, dark=True).slope > 0
    for threshold in (
        127,
        127.5,
        127.9,
    ):  # sure within a level: nothing else could have been chosen
        doubt = labelling.coverage_uncertainty(ramp, threshold, 0.01)
        assert doubt.sd == 0 and doubt.low == doubt.coverage == doubt.high == 0.5
    for threshold, delta in ((300, 5), (100, 0)):
        with pytest.raises(ValueError, match="threshold"):
            labelling.coverage_uncertainty(ramp, threshold, delta)


def steps(*levels, side=64):
    """Columns of even lightness, one beside the other."""
    return np.repeat(np.array(levels, np.uint8), side // len(levels))[None].repeat(side, 0)


def test_an_outline_is_as_sharp_as_the_step_that_it_follows():
    contrast = labelling.outline_contrast(steps(50, 150))
    assert (contrast[:50] == 0).all() and (contrast[150:] == 0).all()
    assert contrast[100] == pytest.approx(40, abs=3)  # 100 levels, smoothed by one pixel
    assert contrast[60] < contrast[100]
    soft = labelling.outline_contrast(np.linspace(50, 150, 64).astype(np.uint8)[None].repeat(64, 0))
    assert 0 < soft[100] < 3
    speck = steps(90, 90, side=256)
    speck[30, 30] = 250  # too short an outline
    assert not labelling.outline_contrast(speck).any()


def test_a_hand_follows_the_edges_of_the_film_where_they_are_in_view():
    picture = steps(60, 110, 160, 160)  # substrate, film, second layer
    film = picture > 100
    assert 60 <= labelling.hand_threshold(picture, film) < 110
    assert ((picture > labelling.hand_threshold(picture, film)) == film).mean() == 1


def test_a_hand_takes_the_second_layer_of_a_closed_film_for_the_film():
    """Nothing in the picture says otherwise: a label can only be what is seen."""
    picture = steps(110, 110, 160, 160)
    label = picture > labelling.hand_threshold(picture, np.ones(picture.shape, bool))
    assert label.mean() == pytest.approx(0.5, abs=0.05)
