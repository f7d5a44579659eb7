"""Damage of a known dose, micrographs taken again, and the dose at which a score has fallen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from mchelpers.inputs import yolo as sets
from mchelpers.tmd_optical import corruptions
from mchelpers.tmd_optical.corruptions import Change
from mchelpers.tmd_optical.detections import Matches
from mchelpers.tmd_optical.images import optical_micrographs

SIZE = (96, 96)


def grey(level, side=200):
    return np.full((side, side, 3), level, np.uint8)


@pytest.fixture
def picture():
    """Edges, a ramp and colour."""
    y, x = np.mgrid[:80, :96]
    disc = (y - 40) ** 2 + (x - 40) ** 2 < 400
    return np.stack([x * 2, 60 + 90 * disc, 200 - y], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_no_dose_does_nothing_and_the_original_stays(kind, picture):
    before = picture.copy()
    result = corruptions.KINDS[kind](picture, 0, 3)
    np.testing.assert_array_equal(result, before)
    corruptions.KINDS[kind](picture, 0.5, 3)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    "kind, doses",
    [
        ("gaussian", (0.02, 0.1, 0.3, 0.9)),
        ("saltpepper", (0.02, 0.1, 0.4, 1.0)),
        ("blur", (0.5, 1, 3, 9)),
        ("jpeg", (10, 50, 80, 95)),
        ("white_balance", (0.1, 0.3, 0.8, 1.5)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_more_does_more_and_repeats(kind, doses, seed, picture):
    damage = corruptions.KINDS[kind]
    made = [damage(picture, dose, seed) for dose in doses]
    assert all(m.shape == picture.shape and m.dtype == np.uint8 for m in made)
    off = [np.abs(m.astype(float) - picture).mean() for m in made]
    assert 0 < off[0] and (np.diff(off) > 0).all()
    np.testing.assert_array_equal(made[2], damage(picture, doses[2], seed))


@pytest.mark.parametrize("sd", [0.02, 0.1])
def test_gaussian_noise_has_its_width_in_each_channel(sd):
    noise = corruptions.gaussian(grey(128, 400), sd, 1).astype(float) - 128
    np.testing.assert_allclose(noise.std((0, 1)), 255 * sd, rtol=0.02)
    np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=255 * sd * 0.02)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


def test_gaussian_noise_stops_at_the_ends():
    """Of a black picture half the values stay black, and none wraps around."""
    black = corruptions.gaussian(grey(0), 0.2)
    assert 0.48 < (black == 0).mean() < 0.52
    assert black.mean() == pytest.approx(51 / np.sqrt(2 * np.pi), rel=0.03)
    assert corruptions.gaussian(grey(255), 0.2).min() > 0


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_salt_and_pepper_hits_its_share_half_black_half_white(share, seed):
    noisy = corruptions.salt_and_pepper(grey(90), share, seed)
    hit = (noisy != 90).any(-1)
    assert hit.mean() == pytest.approx(share, abs=0.013)
    assert set(np.unique(noisy)) <= {0, 90, 255}
    assert (noisy == noisy[..., :1]).all()
    white = (noisy[..., 0] == 255).mean()
    assert white == pytest.approx(share / 2, abs=0.013)


def test_salt_at_a_small_share_stays_at_a_larger_one():
    few, many = (corruptions.salt_and_pepper(grey(90), s, 4)[..., 0] != 90 for s in (0.1, 0.2))
    assert (many | ~few).all()


def test_blur_makes_a_point_as_wide_as_asked():
    point = grey(0, 61)
    point[30, 30] = 255
    soft = corruptions.blur(point, 1.5)[..., 1].astype(float)
    assert soft.max() == pytest.approx(255 / (2 * np.pi * 1.5**2), abs=1)
    edge = grey(0, 61)
    edge[:, 31:] = 200
    step = np.diff(corruptions.blur(edge, 3)[30, :, 0].astype(float)) / 200
    where = np.arange(60) + 0.5
    middle = (step * where).sum()
    assert np.sqrt((step * (where - middle) ** 2).sum()) == pytest.approx(3, rel=0.06)
    np.testing.assert_array_equal(corruptions.blur(grey(77), 5), grey(77))


def test_jpeg_is_close_at_high_quality_and_coarse_at_low(picture):
    off = [
        np.abs(corruptions.jpeg(picture, loss).astype(float) - picture).mean() for loss in (5, 97)
    ]
    assert off[0] < 3 < 8 < off[1]
    np.testing.assert_allclose(corruptions.jpeg(grey(128), 50), 128, atol=1)


def test_white_balance_turns_warm_or_cold_and_saturates():
    warm, cold = (corruptions.white_balance(grey(100), 1, seed)[0, 0] for seed in (0, 1))
    np.testing.assert_array_equal(warm, [141, 100, 71])
    np.testing.assert_array_equal(cold, [71, 100, 141])
    assert corruptions.white_balance(grey(250), 1)[0, 0, 0] == 255


@pytest.mark.parametrize(
    "kind, dose", [("gaussian", -0.1), ("saltpepper", 1.1), ("jpeg", 100), ("blur", float("nan"))]
)
def test_impossible_doses_are_refused(kind, dose, picture):
    with pytest.raises(ValueError, match="need a dose"):
        corruptions.KINDS[kind](picture, dose, 0)


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_other_frames_are_refused(kind, picture):
    for wrong in (picture[..., 0], picture.astype(np.float32), picture[..., [0, 1, 2, 0]]):
        with pytest.raises(ValueError, match="as_rgb8"):
            corruptions.KINDS[kind](wrong, 0.1, 0)


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return optical_micrographs("heterostructure", 8, 5, SIZE, folder=folder)


def test_copies_keep_labels_parents_and_groups(micrographs):
    most = {"gaussian": 0.25, "saltpepper": 0.25}
    made = corruptions.corrupted_copies(micrographs, most, copies=2, seed=1)
    assert len({m.name for m in made}) == len(made) == 16
    for copy, original in zip(made[::2], micrographs):
        assert copy.parent == original.name and copy.group == original.group
        assert copy.instances == original.instances
        assert (copy.image != original.image).any()
    assert sum("gaussian" in m.name for m in made) == 8
    together = [*micrographs, *made]
    honest = {"train": [0, 1, 2, 3, 4, 5, *range(8, 20)], "test": [6, 7, *range(20, 24)]}
    assert sets.find_leaks(together, honest) == []
    careless = {"train": list(range(0, 24, 2)), "test": list(range(1, 24, 2))}
    assert sets.find_leaks(together, careless)
    again = corruptions.corrupted_copies(micrographs, most, copies=2, seed=1)
    assert all((a.image == b.image).all() for a, b in zip(made, again))


def test_unknown_damage_is_refused(micrographs):
    with pytest.raises(ValueError, match="rain"):
        corruptions.corrupted_copies(micrographs, {"rain": 1})
    with pytest.raises(ValueError, match="at least one"):
        corruptions.corrupted_copies(micrographs, {})


def test_a_retake_without_change_is_the_micrograph(micrographs):
    for number in (0, 7):
        original = micrographs[number]
        (same,) = corruptions.retakes("heterostructure", 5, number, SIZE, [Change()])
        np.testing.assert_array_equal(same.image, original.image)
        np.testing.assert_array_equal(same.masks, original.masks)
        assert same.categories == original.categories
        for name in ("name", "group", "pixel_um", "defocus_um", "oxide_nm", "magnification"):
            assert getattr(same, name) == getattr(original, name)
        assert [i.area_um2 for i in same.instances] == [i.area_um2 for i in original.instances]


def test_retakes_change_what_they_are_asked_to(micrographs):
    original = micrographs[0]
    changes = [Change(defocus=6), Change(oxide_nm=20), Change(zoom=2), Change()]
    soft, thick, near, same = corruptions.retakes("heterostructure", 5, 0, SIZE, changes)
    smooth = [corruptions.blur(m.image, 1).astype(float) for m in (original, soft)]  # no noise
    steep = [np.percentile(np.abs(np.diff(s, axis=1)), 99) for s in smooth]
    assert steep[1] < 0.8 * steep[0]
    assert soft.defocus_um == pytest.approx(original.defocus_um + 6 * 0.55 / original.na**2)
    np.testing.assert_array_equal(soft.masks, original.masks)

    assert thick.oxide_nm == pytest.approx(original.oxide_nm + 20)
    np.testing.assert_array_equal(thick.masks, original.masks)
    bare = ~original.masks.any(0)
    colours = [np.median(m.image[bare], 0) for m in (original, thick)]
    assert np.abs(colours[0] - colours[1]).max() > 3  # another colour ...
    assert abs(colours[0].mean() - colours[1].mean()) < 25  # ... and about as bright

    assert near.pixel_um == pytest.approx(original.pixel_um / 2)
    assert near.group == original.group
    np.testing.assert_array_equal(same.image, original.image)  # whatever came before


def test_impossible_retakes_are_refused():
    for change in (Change(zoom=0), Change(oxide_nm=-1000)):
        with pytest.raises(ValueError, match="no oxide"):
            list(corruptions.retakes("heterostructure", 5, 0, SIZE, [change]))


@pytest.mark.parametrize(
    "scores, expected",
    [
        ([0.8, 0.76, 0.4, 0.1], 1.0),  # reached at a dose
        ([0.8, 0.8, 0.72, 0.1], 1.5),  # half way between two
        ([0.8, 0.84, 0.76, 0.1], 2.0),
        ([0.8, 0.4, 0.8, 0.8], 0.1),  # the first time counts
        ([0.8, 0.79, 0.9, 0.78], np.nan),  # never
        ([0.0, 0.0, 0.0, 0.0], np.nan),  # nothing to lose
    ],
)
def test_the_dose_of_a_drop(scores, expected):
    assert corruptions.dose_at([0, 1, 2, 3], scores) == pytest.approx(expected, nan_ok=True)


def test_the_dose_of_a_drop_needs_rising_doses():
    for doses in ([0, 1], [0, 2, 1]):
        with pytest.raises(ValueError, match="rising"):
            corruptions.dose_at(doses, [0.5, 0.4, 0.3])


def test_drops_are_relative_to_the_first_dose():
    drops = corruptions.relative_drop([[0.5, 0.4, 0.6], [0, 0.1, 0]])
    np.testing.assert_allclose(drops, [[0, 0.2, -0.2], [np.nan] * 3])


def some_matches(right, surest):
    tp = np.tile(np.array(right, bool)[:, None], (1, 10))
    count = np.zeros(len(right), int)
    return Matches(tp, np.linspace(surest, surest - 0.2, len(right)), count, count)


def test_scores_are_redrawn_by_growth_run():
    good, bad = some_matches([True] * 4, 0.9), some_matches([False] * 4, 0.5)
    doses = [[good, good, good, good], [good, good, bad, bad]]
    scores = corruptions.redrawn_scores(doses, ["a", "a", "b", "b"], ["x"], draws=40)
    assert scores.shape == (41, 2)
    np.testing.assert_allclose(scores[:, 0], 0.995, atol=1e-3)
    assert 0.45 < scores[0, 1] < 0.55
    kinds = {round(s, 2) for s in scores[1:, 1]}  # run a twice, each once, run b twice
    assert len(kinds) == 3 and min(kinds) == 0 and max(kinds) > 0.99
    with pytest.raises(ValueError, match="as groups"):
        corruptions.redrawn_scores([[good], [good, bad]], ["a", "b"], ["x"])
