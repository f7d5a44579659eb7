"""Simulated AFM: growth, tip, flattening, export; and what must be exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfinv

from mchelpers.afm_coverage import export, growth
from mchelpers.afm_coverage import images as afm
from mchelpers.afm_coverage import labels as labelling


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return afm.afm_micrographs(2, seed=3, short_side=64, folder=folder), folder


@settings(max_examples=20, deadline=None)
@given(
    angle=st.floats(0, 2 * np.pi),
    truncation=st.floats(1.0, 2.0),
    radius=st.floats(20, 60),
)
def test_domains_have_the_area_of_a_truncated_triangle(angle, truncation, radius):
    y, x = np.mgrid[-130:131, -130:131].astype(float)
    inside = growth.domain_distance(x, y, angle, truncation) < radius
    area = (3**1.5 - 3**0.5 * (2 - truncation) ** 2) * radius**2
    assert inside.sum() == pytest.approx(area, rel=0.05)


def test_edges_bend_inwards_with_concavity():
    toward_edge = growth.domain_distance(np.array([10.0]), np.array([0.0]), 0, 2.0, 0.2)
    toward_corner = growth.domain_distance(np.array([-10.0]), np.array([0.0]), 0, 2.0, 0.2)
    assert toward_edge[0] == pytest.approx(12) and toward_corner[0] == pytest.approx(4)


def test_rough_surface_is_normal_and_correlated():
    noise = growth.rough_surface(np.random.default_rng(0), (101, 150), 8)
    assert noise.shape == (101, 150) and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0, abs=1e-5) and noise.std() == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(noise[:, :-60].ravel(), noise[:, 60:].ravel())[0, 1]) < 0.3


def test_growth_samples_lie_in_the_growth_space_and_spread():
    samples = [growth.draw_film_sample(0, n) for n in range(52)]
    assert {s.temperature_c for s in samples} == set(growth.TEMPERATURES_C)
    assert {s.pressure_torr for s in samples} == set(growth.PRESSURES_TORR)
    assert {s.time_s for s in samples} == set(growth.TIMES_S)
    assert sum(s.time_s == 0 for s in samples) == 4
    expected = 1 - np.exp([-s.extended for s in samples])
    assert expected.min() < 0.03 and expected.max() > 0.95
    assert (np.histogram(expected, 5, (0, 1))[0] >= 5).all()
    assert samples[7] == growth.draw_film_sample(0, 7)
    assert samples[7] != growth.draw_film_sample(1, 7)


def test_longer_growth_covers_more_and_hot_domains_are_few():
    samples = [growth.draw_film_sample(1, n) for n in range(200)]
    extended = {t: np.mean([s.extended for s in samples if s.time_s == t]) for t in (300, 3600)}
    density = {
        t: np.mean([s.density for s in samples if s.temperature_c == t]) for t in (750, 1050)
    }
    assert extended[3600] > 4 * extended[300] and density[750] > 5 * density[1050]


def _sample(**changes):
    from dataclasses import replace

    calm = {"raggedness": 0.0, "concavity": 0.0, "bilayer": 0.0, "particles": 0.0, "at_steps": 0.0}
    return replace(growth.draw_film_sample(0, 5), **(calm | {"density": 20.0} | changes))


def test_coverage_follows_the_law_of_freely_growing_domains():
    """Johnson, Mehl, Avrami, Kolmogorov: coverage = 1 - exp(-extended)."""
    covered = [
        growth.grow(np.random.default_rng(n), _sample(extended=0.8), (160, 160), 20.0).mask.mean()
        for n in range(6)
    ]
    assert np.mean(covered) == pytest.approx(1 - np.exp(-0.8), abs=0.06)


def test_a_film_stands_one_layer_above_its_substrate():
    flat = _sample(extended=0.7, step_nm=0.0, substrate_nm=0.0, film_nm=0.0, boundary_nm=0.0)
    film = growth.grow(np.random.default_rng(1), flat, (96, 128), 10.0)
    assert film.height.shape == film.mask.shape == (96, 128) and film.mask.dtype == bool
    assert 0.2 < film.mask.mean() < 0.8 and film.domains > 3
    step = np.median(film.height[film.mask]) - np.median(film.height[~film.mask])
    assert step == pytest.approx(growth.LAYER_NM, abs=1e-3)


def test_no_growth_no_film_and_long_growth_no_hole():
    empty = growth.grow(np.random.default_rng(0), _sample(extended=1e-9), (64, 64), 10.0)
    full = growth.grow(np.random.default_rng(0), _sample(extended=8.0), (64, 64), 10.0)
    assert not empty.mask.any() and np.isfinite(empty.height).all()
    assert full.mask.mean() > 0.98


def test_growth_refuses_nonsense():
    sample, rng = growth.draw_film_sample(0, 0), np.random.default_rng(0)
    with pytest.raises(ValueError, match="centre"):
        growth.grow(rng, sample, (64, 64), 1.0, "middle")
    with pytest.raises(ValueError, match="positive"):
        growth.grow(rng, sample, (64, 64), 0.0)


def test_a_tip_turns_a_spike_into_a_parabola():
    surface = np.zeros((41, 41), np.float32)
    surface[20, 20] = 4.0
    felt = afm.feel(surface, 2.0, 10.0)
    distance = 2.0 * np.hypot(*(np.mgrid[:41, :41] - 20))
    np.testing.assert_allclose(felt, np.maximum(0, 4 - distance**2 / 20), atol=1e-5)
    np.testing.assert_array_equal(afm.feel(surface, 2.0, 0.0), surface)


@settings(max_examples=20, deadline=None)
@given(radius=st.floats(0.5, 60), seed=st.integers(0, 99))
def test_a_tip_never_lowers_and_never_overtops(radius, seed):
    surface = np.random.default_rng(seed).normal(size=(20, 30)).astype(np.float32)
    felt = afm.feel(surface, 3.0, radius)
    assert (felt >= surface).all() and felt.max() == surface.max()


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_flattening_removes_its_polynomial_from_every_line(order):
    rng = np.random.default_rng(0)
    u = np.linspace(-1, 1, 80)
    lines = sum(rng.normal(size=(9, 1)) * u**k for k in range(order + 1))
    np.testing.assert_allclose(afm.flatten(lines, order), 0, atol=1e-4)


def test_flattening_lowers_lines_with_film_and_levelling_does_not():
    height = np.zeros((10, 100), np.float32)
    film = np.zeros(height.shape, bool)
    film[5, :60] = film[6] = True  # a line with much film, and one with nothing else
    height[film] = growth.LAYER_NM
    assert afm.flatten(height, 0)[5, 80] == pytest.approx(-0.42, abs=1e-3)
    assert afm.flatten(height, 0)[6, 80] == pytest.approx(0, abs=1e-3)  # as if it were bare
    np.testing.assert_allclose(afm.level(height, 1, film), height, atol=1e-5)
    with pytest.raises(ValueError, match="order"):
        afm.flatten(height, 100)
    with pytest.raises(ValueError, match="shape"):
        afm.level(height, 1, film[:5])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97])
def test_a_careful_operator_s_substrate_is_flatter_at_any_coverage(share):
    rng = np.random.default_rng(3)
    film = growth.rough_surface(rng, (96, 128), 12) < np.sqrt(2) * erfinv(2 * share - 1)
    surface = (growth.LAYER_NM * film).astype(np.float32)

    def recorded(careful):
        instrument = afm.Instrument(careful=careful, scars=0.0)
        return afm.record(np.random.default_rng(0), surface, 10.0, instrument, film)

    careful, careless = recorded(True), recorded(False)
    for phase in (film, ~film):
        assert careful[phase].std() < careless[phase].std()
    step = careful[film].mean() - careful[~film].mean()
    assert step == pytest.approx(growth.LAYER_NM, abs=0.05)


def test_an_instrument_that_does_nothing_wrong_gives_the_surface_back():
    film = np.zeros((40, 60), bool)
    film[10:30, 20:50] = True
    surface = np.where(film, growth.LAYER_NM, 0).astype(np.float32)
    ideal = afm.Instrument(tip_nm=0, lag=0, noise_nm=0, drift_nm=0, bow_nm=0, scars=0)
    found = afm.record(np.random.default_rng(1), surface, 10.0, ideal, film)
    # The plane that was taken off the whole picture is made good line by line along x only.
    np.testing.assert_allclose(found - found[:, :1], surface - surface[:, :1], atol=1e-3)


@pytest.mark.parametrize("spread, half", [(0.2, 1.0), (0.5, 1.5), (100.0, 10.0)])
def test_one_operator_shows_a_round_range_about_the_mean(spread, half):
    height = spread * np.random.default_rng(0).standard_normal((80, 90))
    assert afm.round_range(height) == (-half, half)


def test_recording_keeps_the_shape_and_most_of_the_contrast():
    rows, columns = np.mgrid[:61, :95]
    film = (rows // 20 + columns // 20) % 2 == 1  # a chessboard
    surface = np.where(film, 5.0, 0.0).astype(np.float32)
    for native in (1, 2):
        instrument = afm.Instrument(native=native)
        height = afm.record(np.random.default_rng(0), surface, 5.0, instrument)
        assert height.shape == surface.shape and height.dtype == np.float32
        assert height[film].mean() - height[~film].mean() > 3


def test_the_range_lies_around_the_film():
    height = np.random.default_rng(0).normal(size=(50, 60))
    height[0, 0] = 500.0  # a particle
    for seed in range(20):
        low, high = afm.show_range(np.random.default_rng(seed), height)
        assert low < np.median(height) < high and high - low < 60


def test_a_set_is_grouped_and_holds_its_truth(micrographs):
    shots, _ = micrographs
    assert len(shots) == 7 and shots.kind == "simulated" and isinstance(shots, list)
    assert [m.sample for m in shots] == ["sample00"] * 4 + ["sample01"] * 3
    assert len({m.name for m in shots}) == 7
    for m in shots:
        assert m.kind == "simulated" and m.position in ("centre", "edge")
        assert m.height.shape == m.mask.shape and m.height.dtype == np.float32
        assert m.mask.dtype == bool and m.coverage == m.mask.mean()
        assert min(m.height.shape) == 64 and np.isfinite(m.height).all()
        assert m.pixel_size_nm == pytest.approx(1000 * m.scan_um / max(m.height.shape))
        assert m.lightness().dtype == np.uint8
    assert len({m.range_nm for m in shots}) == 7  # a range of its own for each
    assert len({m.height.shape for m in shots[:4]}) == 1


def test_the_whole_set_would_be_the_studys():
    assert sum(afm._PER_SAMPLE[n % 4] for n in range(52)) == 221
    assert (min(afm._LONG_SIDES), max(afm._LONG_SIDES)) == (512, 1551)


def test_one_instrument_shows_the_same_films_better(micrographs):
    many, folder = micrographs
    one = afm.afm_micrographs(2, seed=3, short_side=64, folder=folder, instruments="one")
    assert {m.range_nm[1] for m in one} <= set(afm._HALF_RANGES_NM)
    for a, b in zip(one, many):
        np.testing.assert_array_equal(a.mask, b.mask)  # the film is the same
    best = [
        np.mean([labelling.overlap_curve(m.lightness(), m.mask).max() for m in shots])
        for shots in (one, many)
    ]
    assert best[0] > best[1]
    assert all(m.label().shape == m.mask.shape and m.label().dtype == bool for m in one)
    with pytest.raises(ValueError, match="'one' or 'many'"):
        afm.afm_micrographs(2, instruments="two")


def test_a_set_repeats_and_resumes(micrographs, tmp_path):
    shots, folder = micrographs
    again = afm.afm_micrographs(2, seed=3, short_side=64, folder=folder)  # from the cache
    fresh = afm.afm_micrographs(1, seed=3, short_side=64, folder=tmp_path)
    assert again.sha256 == shots.sha256
    np.testing.assert_array_equal(fresh[2].height, shots[2].height)
    np.testing.assert_array_equal(fresh[2].mask, shots[2].mask)
    assert not list(folder.rglob(".*"))  # nothing half written is left
    with pytest.raises(ValueError, match="samples"):
        afm.afm_micrographs(0)


def test_lightness_is_that_of_the_colours_and_rises_with_height(micrographs):
    for m in micrographs[0]:
        light = labelling.luminance(m.rgb())
        assert np.abs(light - m.lightness()).max() <= 0.5
    ramp = labelling.luminance(export.COLOURS[None])[0]
    assert (np.diff(ramp) > 0).all() and ramp[0] == 0 and ramp[-1] < 255


def test_an_export_shows_the_micrograph_where_it_says(micrographs, tmp_path):
    from skimage.io import imread

    m = micrographs[0][4]
    where = afm.export_tiff(m, tmp_path / "m.tif")
    page = imread(tmp_path / "m.tif")
    assert page.dtype == np.uint8 and page.shape[2] == 3
    np.testing.assert_array_equal(page[where], m.rgb())
    assert (page[0] == 255).all() and (page[-1] == 255).all()
    with pytest.raises(ValueError, match="uint8"):
        export.export_page(m.height, (0, 1), 1.0)
