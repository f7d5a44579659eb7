"""Crystals found by grey level, by a ring of frequencies, and by local fringes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.graphene_hrtem.scenes import smooth_noise
from mchelpers.metrics import pooled
from mchelpers.nanoparticles import crystallinity

SIDE = 192


def scene(seed=0, period=11.0, turn=0.4, strength=0.6, darker=0.0):
    """Draw a disc of fringes on coloured noise, as fringes on an amorphous film."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    mask = np.hypot(y - 90, x - 100) < 45
    film = smooth_noise(rng, SIDE, 0.05, 0.13) + 0.5 * rng.normal(size=(SIDE, SIDE))
    fringes = np.cos(2 * np.pi * (np.cos(turn) * x + np.sin(turn) * y) / period)
    return (film + mask * (2 * strength * fringes - darker)).astype(np.float32), mask


def dice(found, mask):
    return pooled(found[None], mask[None])["f1"]


def test_otsu_takes_the_dark_side():
    image = np.ones((8, 8))
    image[2:5, 2:5] = 0
    assert np.array_equal(crystallinity.otsu_mask(image), image == 0)
    assert np.array_equal(crystallinity.otsu_mask((image * 40000).astype(np.uint16)), image == 0)
    assert not crystallinity.otsu_mask(np.zeros((8, 8), np.uint16)).any()


def test_the_ring_has_its_radii():
    ring = crystallinity.annulus((64, 64), 0.1, 0.2, soft=1e-3)
    assert ring.shape == (64, 33) and ring.dtype == np.float32
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    assert ring[(radius > 0.11) & (radius < 0.19)].min() > 0.99
    assert ring[(radius < 0.09) | (radius > 0.21)].max() < 0.01
    for inner, outer in ((0.2, 0.1), (0.1, 0.1), (-0.1, 0.1)):
        with pytest.raises(ValueError, match="inner < outer"):
            crystallinity.annulus((8, 8), inner, outer)


def test_the_envelope_is_bright_where_the_fringes_are():
    image, mask = scene(strength=2.0)
    envelope = crystallinity.fourier_envelope(image, 0.07, 0.11)
    assert envelope.shape == image.shape and (envelope >= 0).all()
    assert envelope[mask].mean() > 3 * envelope[~mask].mean()
    assert dice(crystallinity.fourier_mask(image, 0.07, 0.11), mask) > 0.85


@pytest.mark.parametrize("turn", [0.0, 0.7, np.pi / 2, 2.5])
@pytest.mark.parametrize("period", [8.0, 14.0])
def test_fringes_of_any_direction_are_found(turn, period):
    image, mask = scene(3, period, turn)
    found = crystallinity.local_lattice_map(image)
    assert found.shape == image.shape and found.dtype == np.float32
    assert np.quantile(found[mask], 0.2) > np.quantile(found[~mask], 0.8)
    assert crystallinity.best_threshold(found[None], mask[None])[1] > 0.75


def test_where_there_is_nothing_only_the_lattice_map_says_so():
    image, _ = scene(4, strength=0.0)
    assert crystallinity.fourier_mask(image, 0.07, 0.11).mean() > 0.15  # half of two classes
    assert crystallinity.lattice_mask(image, 12.0).mean() < 0.05


def test_grey_level_alone_is_no_lattice():
    image, mask = scene(5, strength=0.0, darker=1.0)
    found = crystallinity.local_lattice_map(image)
    middle = np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([90, 100])[:, None, None])) < 25
    assert np.median(found[middle]) < 1.5 * np.median(found[~mask])


def test_fringes_reach_the_border():
    y, x = np.mgrid[:128, :128]
    rng = np.random.default_rng(0)
    mask = x < 50  # cut by three sides of the frame
    image = rng.normal(size=mask.shape) + mask * np.cos(2 * np.pi * y / 10)
    found = crystallinity.lattice_mask(image, 12.0)
    assert dice(found, mask) > 0.85 and found[:, 0].mean() > 0.9
    assert found[:, 100:].mean() < 0.02


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
@settings(max_examples=8, deadline=None)
def test_gain_and_offset_do_not_matter(gain, offset):
    image, _ = scene(6)
    image = image[:96, :96]
    first = crystallinity.local_lattice_map(image)
    again = crystallinity.local_lattice_map(gain * (image + offset))
    assert np.allclose(first, again, rtol=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (97, 131), (40, 200)])
def test_any_size(shape):
    image = np.random.default_rng(0).normal(size=shape)
    found = crystallinity.local_lattice_map(image)
    assert found.shape == shape and np.isfinite(found).all() and 2 < np.median(found) < 9


def test_counts_and_blank_images():
    image, mask = scene(7)
    counts = (1000 + 100 * image).clip(0).astype(np.uint16)
    assert dice(crystallinity.lattice_mask(counts, 10.0), mask) > 0.8
    for blank in (np.zeros((64, 64), np.uint16), np.full((64, 64), 7.5)):
        assert not crystallinity.local_lattice_map(blank).any()
        assert not crystallinity.lattice_mask(blank, 1.0).any()


def test_useless_input_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        crystallinity.local_lattice_map(np.full((32, 32), np.nan))
    for ring in ((0.0, 0.1), (0.2, 0.1), (0.3, 0.6)):
        with pytest.raises(ValueError, match="inner < outer"):
            crystallinity.local_lattice_map(np.zeros((32, 32)), *ring)


def test_the_best_threshold_is_the_best():
    rng = np.random.default_rng(0)
    masks = rng.random((3, 32, 32)) < 0.3
    maps = rng.normal(size=masks.shape) + 2 * masks
    threshold, score = crystallinity.best_threshold(maps, masks)
    tried = [pooled(maps > t, masks)["f1"] for t in np.linspace(-2, 4, 200)]
    assert score == pytest.approx(pooled(maps > threshold, masks)["f1"])
    assert score >= max(tried) - 0.01


def test_a_threshold_needs_labels():
    maps = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match="labelled"):
        crystallinity.best_threshold(maps, np.zeros((2, 8, 8), bool))
    with pytest.raises(ValueError, match="equal shapes"):
        crystallinity.best_threshold(maps, np.ones((2, 8, 9), bool))
