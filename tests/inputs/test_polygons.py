"""Polygons by the rules of OpenCV and of pycocotools, and run lengths."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from labelled_scenes import disc, iou

from mchelpers.inputs import polygons
from mchelpers.inputs.run_lengths import mask_to_runs, runs_to_mask, unpack_runs

KNOWN = json.loads(Path(__file__).with_name("known_outlines.json").read_text())
"""Polygons in a frame of 24 rows and 32 columns, and what pycocotools 2.0.11 makes of them."""


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 0.8))
def test_rings_give_back_every_mask(seed, share):
    """Noise: pieces, holes, pieces in holes, single pixels, lines one pixel wide."""
    mask = np.random.default_rng(seed).random((13, 17)) < share
    pieces = polygons.mask_to_rings(mask)
    np.testing.assert_array_equal(polygons.rings_to_mask(pieces, mask.shape), mask)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_one_ring_loses_no_more_than_its_bridges(seed):
    """The bound that the documentation states, on blobs with holes and pieces."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(48, 64)), 3)
    mask = noise > np.quantile(noise, 0.6)
    pieces = polygons.mask_to_rings(mask)
    ring, pixels = polygons.bridge(pieces)
    again = polygons.rings_to_mask([[ring]], mask.shape)
    assert (again | ~mask).all()  # nothing is taken away
    assert (again & ~mask).sum() <= pixels
    assert iou(again, mask) >= mask.sum() / (mask.sum() + pixels)


def test_a_simple_shape_is_exact_and_its_ring_short():
    mask = np.zeros((20, 30), bool)
    mask[4:15, 3:28] = True
    [[outer]] = polygons.mask_to_rings(mask)
    ring, pixels = polygons.bridge([[outer]])
    assert pixels == 0 and len(ring) == 4 and len(outer) > 60
    np.testing.assert_array_equal(polygons.rings_to_mask([[ring]], mask.shape), mask)
    assert polygons.polygon_box(mask) == (3, 4, 25, 11)
    assert polygons.mask_to_rings(np.zeros((4, 4), bool)) == []
    assert polygons.bridge([])[0].shape == (0, 2)
    assert polygons.polygon_box(np.zeros((4, 4), bool)) == (0, 0, 0, 0)
    with pytest.raises(ValueError, match="mask"):
        polygons.mask_to_rings(np.zeros((0, 4), bool))


@pytest.mark.parametrize("known", KNOWN, ids=lambda k: k["name"])
def test_polygons_are_filled_as_pycocotools_fills_them(known):
    outlines = [np.reshape(p, (-1, 2)) for p in known["polygons"]]
    mask = polygons.outlines_to_mask(outlines, (24, 32))
    assert mask.sum() == known["area"]
    assert mask_to_runs(mask) == unpack_runs(known["packed"])


def test_a_square_of_a_tool_has_its_own_area():
    square = np.array([(5, 5), (15, 5), (15, 15), (5, 15)])
    mask = polygons.outlines_to_mask([square], (20, 20))
    assert mask.sum() == 100 and mask[5:15, 5:15].all()
    assert polygons.rings_to_mask([[square]], (20, 20)).sum() == 121  # the other rule


@settings(max_examples=60, deadline=None)
@example(198, 0.5)  # a piece in a hole
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_outlines_and_run_lengths_give_back_every_pixel(seed, share):
    mask = np.random.default_rng(seed).random((11, 14)) < share
    np.testing.assert_array_equal(runs_to_mask(mask_to_runs(mask), mask.shape), mask)
    filled = np.zeros_like(mask)
    for outline, *holes in polygons.mask_to_outlines(mask):
        piece = polygons.outlines_to_mask([outline], mask.shape)
        for hole in holes:  # other pieces may lie in it
            piece &= ~polygons.outlines_to_mask([hole], mask.shape)
        filled |= piece
    np.testing.assert_array_equal(filled, mask)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12])
def test_an_outline_holds_the_area_of_its_pixels(radius):
    """By the shoelace formula, which other programs use, and by pixels."""
    mask = disc((30, 30), 15, 14, radius)
    [[outline]] = polygons.mask_to_outlines(mask)
    x, y = outline.T
    assert abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2 == mask.sum()
    np.testing.assert_array_equal(polygons.outlines_to_mask([outline], mask.shape), mask)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_pycocotools_itself_agrees(seed):
    theirs = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 40, 2))
    ring = rng.uniform(-1, (width + 1, height + 1), (rng.integers(3, 9), 2))
    ring = ring if seed % 2 else np.round(ring * 2) / 2
    packed = theirs.frPyObjects([ring.ravel().tolist()], height, width)[0]
    mask = theirs.decode(packed).astype(bool)
    ours = polygons.outlines_to_mask([ring], (height, width))
    np.testing.assert_array_equal(ours, mask)
    assert unpack_runs(packed["counts"].decode()) == mask_to_runs(ours)


def test_broken_run_lengths_are_refused():
    bad = [
        ([10, -2, 4], "whole numbers"),
        ([1.5, 10.5], "whole numbers"),
        ([True, 11], "whole numbers"),
        ([10, 5], "do not fill"),
        (None, "no list"),
    ]
    for counts, message in bad:
        with pytest.raises(ValueError, match=message):
            runs_to_mask(counts, (3, 4))
    for packed in ("52 0", "5\x7f", "\u00e9", "o" * 20):
        with pytest.raises(ValueError, match="damaged"):
            unpack_runs(packed)
    with pytest.raises(ValueError, match="break off"):
        unpack_runs("52o")
