"""Micrographs cleaned, scaled, cut into tiles, and split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.nanoparticles import tiles
from mchelpers.nanoparticles.particles import Particle, ParticleMicrograph


def micrograph(name="CdSe_000", material="CdSe", side=64, marked=((0, 0),), dtype=np.uint16):
    """Make noise with one marked pixel per particle."""
    rng = np.random.default_rng(len(name) + side)
    image = rng.integers(1000, 2000, (side, side)).astype(dtype)
    instances = np.zeros((side, side), np.uint8)
    for k, place in enumerate(marked):
        instances[place] = k + 1
    particles = [Particle("wurtzite", 4.0, 1.1, *p, True, False) for p in marked]
    return ParticleMicrograph(name, material, image, instances, particles, 0.03)


def sequence(counts, side=64):
    """Make tiles of 32 px of which each micrograph gives a known number, up to four."""
    corners = [(0, 0), (0, 40), (40, 0), (40, 40)]
    shots = [
        micrograph(f"m{i:02d}", side=side, marked=corners[:count]) for i, count in enumerate(counts)
    ]
    return tiles.cut(shots, 32)


def test_only_outliers_are_replaced():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 10, (64, 64)).astype(np.float32)
    spiked = image.copy()
    spiked[10, 10], spiked[0, 0], spiked[63, 30] = 2000, 3000, -1500
    cleaned = tiles.remove_xrays(spiked)
    changed = cleaned != spiked
    assert changed.sum() == 3 and changed[10, 10] and changed[0, 0] and changed[63, 30]
    assert np.abs(cleaned - 100).max() < 60
    assert cleaned.dtype == np.float32


def test_a_lattice_survives_the_clean_up():
    x = np.arange(64)
    lattice = np.cos(2 * np.pi * x / 4)[None] + np.cos(2 * np.pi * x / 5)[:, None]
    assert np.array_equal(tiles.remove_xrays(lattice), lattice.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_any_number_type(dtype):
    image = micrograph(dtype=np.uint16).image // 8
    scaled = tiles.normalise(tiles.remove_xrays(image.astype(dtype)))
    assert scaled.dtype == np.float32 and scaled.min() == 0 and scaled.max() == 1


def test_dark_pixels_of_unsigned_images_do_not_wrap_around():
    image = np.full((16, 16), 50000, np.uint16)
    image[8, 8] = 0
    assert tiles.remove_xrays(image)[8, 8] == 50000


@given(scale=st.floats(0.01, 100), offset=st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_gain_and_offset_of_the_detector_do_not_matter(scale, offset):
    image = np.random.default_rng(1).normal(size=(16, 16))
    scaled = tiles.normalise(scale * image + offset)
    assert np.allclose(scaled, tiles.normalise(image), atol=1e-3)


def test_scaling_is_the_study_s():
    image = np.random.default_rng(2).normal(5, 2, (16, 16))
    study = image / image.std()
    study = study - study.min()
    assert np.allclose(tiles.normalise(image), study / study.max(), atol=1e-6)


def test_useless_images_are_refused():
    for function in (tiles.remove_xrays, tiles.normalise):
        with pytest.raises(ValueError, match="shape"):
            function(np.zeros((2, 8, 8)))
        with pytest.raises(ValueError, match="NaN"):
            function(np.full((8, 8), np.nan))
    with pytest.raises(ValueError, match="all black"):
        tiles.normalise(np.zeros((8, 8), np.uint16))
    assert not tiles.remove_xrays(np.zeros((8, 8), np.uint16)).any()


def test_tiles_know_where_they_were_cut():
    shot = micrograph(side=100, marked=((5, 5), (40, 70), (99, 99)))  # the last one is left over
    cut = tiles.cut([shot], 32)
    assert cut.corner.tolist() == [[0, 0], [32, 64]]
    assert cut.images.shape == cut.masks.shape == cut.instances.shape == (2, 32, 32)
    whole = tiles.normalise(tiles.remove_xrays(shot.image))
    for image, instances, (row, column) in zip(cut.images, cut.instances, cut.corner):
        assert np.array_equal(image, whole[row : row + 32, column : column + 32])
        assert np.array_equal(instances, shot.instances[row : row + 32, column : column + 32])
    assert cut.masks.dtype == bool and np.array_equal(cut.masks, cut.instances > 0)
    assert cut.micrograph.tolist() == ["CdSe_000"] * 2 and cut.material.tolist() == ["CdSe"] * 2
    assert cut.pixel_size_nm.tolist() == [0.03, 0.03] and cut.kind == "simulated"
    assert cut.particles == {"CdSe_000": shot.particles}
    assert shot.image.dtype == np.uint16  # and as it was


def test_empty_and_full_tiles_make_up_all():
    shot = micrograph(marked=((5, 5), (40, 40)))
    parts = {keep: tiles.cut([shot], 32, keep) for keep in tiles.KEEP}
    assert [len(parts[k]) for k in ("particles", "empty", "all")] == [2, 2, 4]
    assert not parts["empty"].masks.any()
    corners = np.concatenate([parts["particles"].corner, parts["empty"].corner])
    assert sorted(corners.tolist()) == sorted(parts["all"].corner.tolist())


def test_no_particle_at_all():
    nothing = tiles.cut([micrograph(marked=())], 32)
    assert len(nothing) == 0 and nothing.images.shape == (0, 32, 32)
    assert len(tiles.join(nothing, sequence([2]))) == 2


def test_bad_micrographs_are_refused():
    shot = micrograph()
    with pytest.raises(ValueError, match="its own name"):
        tiles.cut([shot, shot], 32)
    with pytest.raises(ValueError, match="one or more"):
        tiles.cut([])
    with pytest.raises(ValueError, match=r"smaller than a tile.*CdSe_000"):
        tiles.cut([shot], 128)
    with pytest.raises(ValueError, match="particles, empty, all"):
        tiles.cut([shot], 32, keep="some")


def test_picking_takes_the_particles_along():
    three = sequence([2, 1, 3])
    picked = three.pick(np.array([0, 1, 5]))
    assert picked.micrograph.tolist() == ["m00", "m00", "m02"]
    assert set(picked.particles) == {"m00", "m02"}
    assert len(three.pick(three.micrograph == "m01")) == 1
    assert len(three.pick(slice(0, 4))) == 4
    assert len(three.pick(np.zeros(6, bool))) == 0


def test_the_hash_sees_images_and_masks():
    first, second = sequence([2, 1]), sequence([2, 1])
    assert first.sha256 == second.sha256 and len(first.sha256) == 64
    second = sequence([2, 1])
    second.masks[0, 0, 0] ^= True
    assert second.sha256 != first.sha256
    assert first.pick(slice(1)).sha256 != first.sha256


def test_joining():
    cdse, gold = sequence([2, 1]), tiles.cut([micrograph("Au_000", "Au")], 32)
    both = tiles.join(cdse, gold)
    assert both.material.tolist() == ["CdSe"] * 3 + ["Au"]
    assert set(both.particles) == {"m00", "m01", "Au_000"}
    gold.instances, gold.kind = None, "real"
    mixed = tiles.join(cdse, gold)
    assert mixed.instances is None and mixed.kind == "simulated"
    assert tiles.join(gold).kind == "real"
    with pytest.raises(ValueError, match="nothing to join"):
        tiles.join()
    with pytest.raises(ValueError, match="32, 64"):
        tiles.join(cdse, tiles.cut([micrograph()], 64))


def test_arrays_that_do_not_fit_are_refused():
    good = sequence([2])
    fields = {k: v for k, v in vars(good).items() if k != "sha256"}
    with pytest.raises(ValueError, match="masks"):
        tiles.Tiles(**{**fields, "masks": good.masks[:1]})
    with pytest.raises(ValueError, match="1 material for 2 tiles"):
        tiles.Tiles(**{**fields, "material": good.material[:1]})
    with pytest.raises(ValueError, match="side"):
        tiles.Tiles(**{**fields, "images": good.images[0]})
