"""Whole micrographs cut, shown to a network, and put together again."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import models
from mchelpers.afm_coverage import whole as tiling


class Through(torch.nn.Module):
    """A segmenter whose probability is the pixel itself."""

    multiple = 4

    def forward(self, x):
        return torch.logit(x)


class Mean(torch.nn.Module):
    """A regression that is always right about what it is shown."""

    def forward(self, x):
        return x.mean((1, 2, 3))


class Always(torch.nn.Module):
    """Gives one logit, or one coverage, whatever it sees."""

    def __init__(self, value, pixels):
        super().__init__()
        self.value, self.pixels = value, pixels

    def forward(self, x):
        return torch.full_like(x if self.pixels else x[:, :, 0, 0], self.value)


def spoiled(value=np.nan):
    """A picture with one pixel that is no number."""
    image = noise(32, 32)
    image[20, 9] = value
    return image


def noise(*shape):
    return np.random.default_rng(0).uniform(0.05, 0.95, shape).astype(np.float32)


def film(*shape):
    """Smooth stripes, so that a coverage differs from place to place."""
    rows, columns = np.indices(shape)
    return (0.5 + 0.4 * np.sin(rows / 9) * np.cos(columns / 14)).astype(np.float32)


@pytest.mark.parametrize(
    "side, padded, grid, expected",
    [
        (224, (672, 1120), (5, 9), (0.75, 0.16, 0.09)),
        (512, (1024, 1536), (3, 5), (0.38, 0.29, 0.33)),
    ],
)
def test_the_study_s_own_numbers(side, padded, grid, expected):
    layout = tiling.study_layout((512, 907), side)
    assert layout.padded == padded and layout.grid == grid
    assert list(tiling.shares(layout).values()) == pytest.approx(expected, abs=0.005)


def test_every_pixel_inside_is_seen_four_times():
    layout = tiling.study_layout((512, 907), 224)
    seen = np.zeros(layout.padded, int)
    rows, columns = layout.grid
    for r in range(rows):
        for c in range(columns):
            seen[r * 112 : r * 112 + 224, c * 112 : c * 112 + 224] += 1
    assert seen[300, 500] == 4 and seen[0, 0] == 1


def test_padding_mirrors_first_and_fills_after():
    layout = tiling.study_layout((9, 12), 8)
    image = noise(9, 12)
    padded = tiling.pad(image, layout, fill=0.4)
    origin = layout.origin
    assert padded.shape == origin.shape == (16, 16)
    np.testing.assert_array_equal(padded[2:11, 2:14], image)
    np.testing.assert_array_equal(padded[2:11, 1], image[:, 1])  # not the border itself
    assert (padded[origin == 2] == np.float32(0.4)).all()
    assert (origin[2:11, 2:14] == 0).all() and (origin == 0).sum() == 9 * 12
    assert origin[0, 0] == 1 and origin[-1, 0] == 2
    assert sum(tiling.shares(layout).values()) == pytest.approx(1)


@settings(max_examples=15, deadline=None)
@given(st.integers(9, 60), st.integers(9, 60), st.sampled_from([8, 12, 32]))
def test_what_is_stitched_was_never_moved(height, width, side):
    image = noise(height, width)
    np.testing.assert_allclose(tiling.study_mask(Through(), image, side), image, atol=1e-5)
    np.testing.assert_allclose(tiling.whole(Through(), image), image, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(st.integers(9, 60), st.integers(9, 60))
def test_blended_tiles_agree_where_the_network_does(height, width):
    image = noise(height, width)
    np.testing.assert_allclose(tiling.sliding(Through(), image, 16), image, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_a_constant_stays_a_constant(scale):
    image = film(40, 70)
    for segment in (tiling.study_mask, tiling.sliding, tiling.whole):
        options = {} if segment is tiling.whole else {"side": 16}
        found = segment(Always(-1.0, True), image, scale=scale, **options)
        assert found.shape == image.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, 1 / (1 + np.e), atol=1e-5)
    for regress in (tiling.study_coverage, tiling.area_coverage):
        assert regress(Always(0.3, False), image, 16, scale=scale) == pytest.approx(0.3, abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 80), st.integers(8, 80), st.sampled_from([5, 8]))
def test_every_pixel_weighs_the_same(height, width, side):
    corners, weights = tiling.area_tiles((height, width), side)
    assert weights.sum() == pytest.approx(1)
    assert (corners >= 0).all() and (corners + side <= (height, width)).all()
    assert len(corners) == -(-height // side) * -(-width // side)
    seen = np.zeros((height, width))
    for row, column in corners:
        seen[row : row + side, column : column + side] += 1
    assert seen.min() >= 1
    shared = [(1 / seen[r : r + side, c : c + side]).sum() for r, c in corners]
    np.testing.assert_allclose(weights * height * width, shared)


def test_exact_tiles_give_the_exact_mean():
    image = noise(32, 48)
    assert tiling.area_coverage(Mean(), image, 16) == pytest.approx(float(image.mean()), abs=1e-5)


def test_a_network_that_is_always_right_errs_under_the_study_s_tiling():
    """A speck in the middle counts four times one in the corner, and the fill counts as bare."""
    corner, middle = np.zeros((2, 64, 64), np.float32)
    corner[0, 0] = middle[32, 32] = 1
    full = np.ones((40, 72), np.float32)
    once = tiling.study_coverage(Mean(), corner, 32)
    assert tiling.study_coverage(Mean(), middle, 32) == pytest.approx(4 * once)
    assert tiling.study_coverage(Mean(), full, 32) == pytest.approx(
        1 - tiling.shares(tiling.study_layout(full.shape, 32))["zero"]
    )
    assert tiling.study_coverage(Mean(), full, 32) < 0.9
    assert tiling.area_coverage(Mean(), full, 32) == pytest.approx(1)


def test_a_network_sees_the_padding_only_under_the_study_s_tiling():
    """It answers by the mean of what it is shown: filled black moves the study's answer only."""

    class Dark(torch.nn.Module):
        def forward(self, x):
            return (x - x.mean((1, 2, 3), keepdim=True)) * 50

    image = film(64, 100)
    black, grey = (tiling.study_mask(Dark(), image, 64, fill=f) for f in (0.0, 0.5))
    assert ((black > 0.5) != (grey > 0.5)).mean() > 0.01


def test_rescaling_there_and_back():
    image = film(64, 80)
    assert tiling.rescale(image, scale=1.0) is image
    larger = tiling.rescale(image, scale=1.7)
    assert larger.shape == (109, 136)
    np.testing.assert_allclose(tiling.rescale(larger, image.shape), image, atol=0.02)
    flat = tiling.rescale(noise(64, 64), scale=0.5)
    assert flat.std() < 0.6 * noise(64, 64).std()  # smoothed, not picked
    assert tiling.rescale(np.full((6, 6), True), (3, 3)).dtype == np.float32


def test_a_network_of_ours_at_once_and_in_tiles():
    torch.manual_seed(0)
    net = models.UNet(features=4, blocks=3, classes=1)
    image = film(45, 66)
    for found in (tiling.whole(net, image), tiling.sliding(net, image, 32)):
        assert found.shape == (45, 66) and 0 < found.min() <= found.max() < 1


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: tiling.study_layout((64, 64), 30), "multiple of 4"),
        (lambda: tiling.study_layout((8, 64), 32), "enlarge it"),
        (lambda: tiling.pad(noise(8, 8), tiling.study_layout((9, 9), 8)), "layout is for"),
        (lambda: tiling.area_tiles((8, 64), 16), "smaller tiles"),
        (lambda: tiling.area_coverage(Mean(), noise(8, 64), 16), "smaller tiles"),
        (lambda: tiling.study_coverage(Through(), noise(32, 32), 16), "one number"),
        (lambda: tiling.study_mask(Mean(), noise(32, 32), 16), "one number"),
        (lambda: tiling.rescale(noise(8, 8), scale=0.01), "leaves no pixel"),
        (lambda: tiling.rescale(noise(3, 8, 8), scale=2), "shape"),
        (lambda: tiling.whole(Through(), spoiled()), "NaN or infinity"),
        (lambda: tiling.sliding(Through(), spoiled(), 16), "NaN or infinity"),
        (lambda: tiling.study_mask(Through(), spoiled(), 16), "NaN or infinity"),
        (lambda: tiling.study_coverage(Mean(), spoiled(), 16), "NaN or infinity"),
        (lambda: tiling.area_coverage(Mean(), spoiled(np.inf), 16, scale=2), "NaN or infinity"),
    ],
)
def test_what_cannot_be_tiled(call, words):
    with pytest.raises(ValueError, match=words):
        call()
