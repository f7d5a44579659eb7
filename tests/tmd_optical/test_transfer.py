"""Windows, folds, contrast, what a start is worth; and simulated peeled flakes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.tmd_optical import optics, transfer
from mchelpers.tmd_optical import peeled as flakes
from mchelpers.tmd_optical.detections import Matches


def frame(seed=0, shape=(120, 160), wafer=(120, 90, 60)):
    """A wafer of one colour under uneven light, with two flakes at 0.8 and 0.5 of it."""
    rng = np.random.default_rng(seed)
    light = 1 + 0.1 * np.linspace(-1, 1, shape[1])
    image = np.ones((*shape, 3)) * wafer * light[:, None]
    masks = np.zeros((2, *shape), bool)
    masks[0, 20:50, 30:60] = True
    masks[1, 80:100, 100:140] = True
    for mask, factor in zip(masks, (0.8, 0.5)):
        image[mask] *= factor
    image = (image + rng.normal(0, 1, image.shape)).round().astype(np.uint8)
    return LabelledImage("frame", image, [Instance.of("thin", m) for m in masks], "wafer")


def test_contrast_takes_lamp_and_light_away():
    one, two = (
        transfer.as_contrast(frame(wafer=w), "flake") for w in [(120, 90, 60), (70, 90, 110)]
    )
    assert one.image.dtype == np.uint8 and one.categories == ["flake", "flake"]
    bare = ~one.masks.any(0)
    for picture in (one.image, two.image):
        assert abs(np.median(picture[bare]) - 128) <= 2
        for mask, factor in zip(one.masks, (0.8, 0.5)):
            np.testing.assert_allclose(np.median(picture[mask], 0), 128 * factor, atol=4)


def test_a_window_shows_the_same_pixels():
    image = frame()
    window = transfer.cut_window(image, 10, 40, 64)
    np.testing.assert_array_equal(window.image, image.image[10:74, 40:104])
    assert len(window.instances) == 1  # of the second, too little is inside
    np.testing.assert_array_equal(window.masks[0], image.masks[0][10:74, 40:104])
    assert window.parent == "frame" and window.group == "wafer"


@settings(max_examples=40, deadline=None)
@given(st.integers(-20, 200), st.integers(-20, 200), st.sampled_from([16, 33, 64, 120]))
def test_windows_anywhere(top, left, side):
    image = frame()
    window = transfer.cut_window(image, top, left, side, least_px=1, share=0.0)
    top, left = np.clip(top, 0, 120 - side), np.clip(left, 0, 160 - side)
    there = image.masks[:, top : top + side, left : left + side]
    expected = there[there.any((1, 2))]
    np.testing.assert_array_equal(window.masks, expected)


def test_a_window_larger_than_the_frame_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        transfer.cut_window(frame(), 0, 0, 130)


def test_quarters_cover_a_square_frame():
    image = transfer.cut_window(frame(), 0, 0, 120)
    parts = transfer.quarters(image)
    assert [p.shape for p in parts] == [(60, 60)] * 4 and len({p.name for p in parts}) == 4


def test_drawn_windows_hold_every_object_whole():
    image = frame()
    windows = transfer.draw_windows(image, 64, 2, np.random.default_rng(0))
    assert 2 <= len(windows) <= 4
    whole = sorted(i.crop.sum() for i in image.instances)
    seen = [i.crop.sum() for w in windows for i in w.instances]
    assert set(whole) <= set(seen)
    again = transfer.draw_windows(image, 64, 2, np.random.default_rng(0))
    assert [w.name for w in again] == [w.name for w in windows]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=30), st.integers(2, 4))
def test_folds_hold_each_image_once_and_groups_evenly(groups, folds):
    dealt = transfer.deal_folds(groups, folds)
    assert sorted(np.concatenate(dealt)) == list(range(len(groups)))
    for g in set(groups):
        counts = [sum(groups[n] == g for n in fold) for fold in dealt]
        assert max(counts) - min(counts) <= 1


def test_impossible_folds_are_refused():
    with pytest.raises(ValueError, match="folds"):
        transfer.deal_folds(["a", "b"], 3)


def test_epochs_to_a_share():
    assert transfer.epochs_to([5, 10, 20], [0.2, 0.8, 1.0]) == pytest.approx(15)
    assert transfer.epochs_to([10], [0.5]) == pytest.approx(9)
    assert transfer.epochs_to([5, 10], [0.1, 0.2], end=0.1) == pytest.approx(4.5)
    assert np.isnan(transfer.epochs_to([5, 10], [0.1, 0.2], end=1.0))
    assert transfer.epochs_to([5, 10], [0.0, 0.0]) == 0


def matches(right):
    """One image with four objects of class 0, of which the first ``right`` are found."""
    tp = np.zeros((4, 10), bool)
    tp[:right] = True
    return Matches(tp, np.linspace(0.9, 0.6, 4), np.zeros(4, int), np.zeros(4, int))


def test_gain_is_that_of_the_summaries():
    from mchelpers.tmd_optical.detections import summary

    low, high = [matches(1)] * 6, [matches(3)] * 6
    groups = list("aabbcc")
    gain = transfer.paired_gain([low, low], [high, high], groups, ["flake"], draws=20)
    a, b = (summary(m, ["flake"])["map50_90"] for m in (low, high))
    assert gain["gain"] == pytest.approx(b - a) and gain["before"] == pytest.approx(a)
    assert gain["percent"] == pytest.approx(100 * (b - a) / a)
    assert gain["low"] == pytest.approx(gain["high"])  # all runs and seeds alike
    uneven = transfer.paired_gain([low, high], [high, high], groups, ["flake"], draws=60)
    assert uneven["low"] < uneven["gain"] < uneven["high"]


def test_gain_needs_pairs():
    one = [matches(1)] * 2
    with pytest.raises(ValueError, match="same beginnings"):
        transfer.paired_gain([one], [one, one], ["a", "b"], ["flake"])
    with pytest.raises(ValueError, match="two growth runs"):
        transfer.paired_gain([one], [one], ["a", "a"], ["flake"])


def test_graphene_on_300_nm_is_as_published():
    """Blake et al. (2007): a monolayer's contrast peaks at about 12 % near 550 nm."""
    bare, single = optics.wafer_table([(), (("graphene", 1),)], 300.0)
    contrast = optics.contrast(single, bare)
    peak = np.argmax(contrast)
    assert 0.09 < contrast[peak] < 0.15 and 530 < optics.WAVELENGTHS_NM[peak] < 600


def test_simulated_flakes(tmp_path):
    made = flakes.simulated_flakes(6, seed=3, size=(128, 160), folder=tmp_path)
    assert made.kind == "simulated" and made.classes == ("flake",)
    assert all(m.shape == (128, 160) and m.image.dtype == np.uint8 for m in made)
    found = [i for m in made for i in m.instances]
    assert found and all(i.category == "flake" and 1 <= i.layers <= 6 for i in found)
    again = flakes.simulated_flakes(2, seed=3, size=(128, 160), folder=tmp_path / "other")
    np.testing.assert_array_equal(again[1].image, made[1].image)
    with pytest.raises(ValueError, match="size"):
        flakes.simulated_flakes(1, size=(32, 160), folder=tmp_path)
