"""Regions keep the study's rules to the pixel, and get the name that the truth gives them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.nanoparticles import regions, tiles
from mchelpers.nanoparticles.particles import Particle, ParticleMicrograph


def particle(viewable=True, fault=False):
    return Particle("wurtzite", 4.0, 1.0, 0.0, 0.0, viewable, fault)


def box(shape, *corners):
    mask = np.zeros(shape, bool)
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] = True
    return mask


def test_sides_lie_strictly_between_the_limits():
    mask = box(
        (800, 700), (0, 0, 75, 100), (100, 0, 176, 76), (200, 0, 449, 249), (460, 0, 710, 99)
    )
    assert [r.box for r in regions.regions(mask)] == [(100, 0, 176, 76), (200, 0, 449, 249)]


def test_a_thin_frame_is_kept_by_its_box_and_dropped_by_its_area():
    mask = box((120, 120), (10, 10, 110, 11), (10, 10, 11, 110))  # an L: 199 px in 100 x 100
    assert mask.sum() == 199
    assert regions.regions(mask) == []
    mask[10, 110] = True
    assert len(regions.regions(mask)) == 1
    assert len(regions.regions(mask[:, :110], minimum_px=10)) == 1


def test_the_mask_of_a_region_is_its_own_only():
    mask = box((200, 300), (0, 0, 100, 200))
    mask[20:, 20:180] = False  # a clamp, with another region inside
    mask[30:130, 50:150] = True
    first, second = regions.regions(mask)
    assert first.box == (0, 0, 100, 200)
    assert first.area == mask[:100].sum() - 70 * 100
    assert second.mask.all()
    assert second.sides == (100, 100)


def test_empty_and_wrong_masks():
    assert regions.regions(np.zeros((64, 64), bool)) == []
    for bad in (np.zeros((2, 8, 8), bool), np.zeros((8, 8), np.uint8)):
        with pytest.raises(ValueError, match="boolean|shape"):
            regions.regions(bad)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 90)] * 2, *[st.integers(1, 40)] * 2), max_size=5))
def test_every_region_keeps_the_rules_and_covers_what_it_says(rectangles):
    mask = box((130, 130), *[(y, x, y + h, x + w) for y, x, h, w in rectangles])
    found = regions.regions(mask, minimum_px=30, sides=(5, 60))
    total = np.zeros(mask.shape, int)
    for region in found:
        assert region.area >= 30
        assert all(5 < side < 60 for side in region.sides)
        total[region.window] += region.mask
    assert total.max(initial=0) <= 1
    assert not (total.astype(bool) & ~mask).any()


def test_truth_names_what_the_region_holds():
    instances = np.zeros((100, 400), np.uint8)
    instances[:, :80], instances[:, 100:180], instances[:, 200:280] = 1, 2, 3
    instances[:, 300:380], instances[:, 360:380] = 1, 2
    particles = [particle(fault=True), particle(), particle(viewable=False)]
    found = regions.regions(instances > 0, sides=(70, 101))
    names = [
        regions.truth_class(instances, particles, r) for r in sorted(found, key=lambda r: r.box[1])
    ]
    assert names == ["fault", "no fault", "no fringes", "agglomeration"]
    nowhere = regions.Region((0, 82, 90, 98), np.ones((90, 16), bool))
    assert regions.truth_class(instances, particles, nowhere) == "empty"


def test_the_corner_of_a_neighbour_makes_no_agglomeration():
    instances = np.ones((100, 100), np.uint8)
    instances[:10, :10] = 2
    whole = regions.Region((0, 0, 100, 100), np.ones((100, 100), bool))
    assert regions.truth_class(instances, [particle(), particle()], whole) == "no fault"
    assert regions.truth_class(instances, [particle()] * 2, whole, share=0.01) == "agglomeration"
    with pytest.raises(ValueError, match="instance 2 of 1"):
        regions.truth_class(instances, [particle()], whole)


def test_a_crop_is_a_view_and_must_lie_inside():
    image = np.arange(20.0).reshape(4, 5)
    region = regions.Region((1, 1, 3, 4), np.ones((2, 3), bool))
    assert np.array_equal(regions.crop(image, region), image[1:3, 1:4])
    with pytest.raises(ValueError, match="reaches out"):
        regions.crop(image[:2], region)


def test_empty_squares_touch_no_particle():
    masks = np.stack([box((256, 256), (0, 0, 256, 100)), np.ones((256, 256), bool)])
    found = regions.empty_regions(masks, 6, seed=3)
    assert len(found) == 6
    for tile, region in found:
        assert tile == 0
        assert not masks[tile][region.window].any()
        assert region.sides[0] == region.sides[1]
        assert 100 <= region.sides[0] <= 150
        assert region.mask.all()
    again = regions.empty_regions(masks, 6, seed=3)
    assert [r.box for _, r in again] == [r.box for _, r in found]


def test_empty_squares_borrow_outlines():
    disk = np.hypot(*np.mgrid[-1:1:80j, -1:1:90j]) < 1
    ((_, region),) = regions.empty_regions(np.zeros((1, 200, 200), bool), 1, outlines=[disk])
    assert region.mask.dtype == bool
    assert region.mask.mean() == pytest.approx(disk.mean(), abs=0.01)


def test_no_room_for_empty_squares_is_said():
    with pytest.raises(ValueError, match="too little background"):
        regions.empty_regions(np.ones((1, 160, 160), bool), 1)
    with pytest.raises(ValueError, match="larger than 150"):
        regions.empty_regions(np.zeros((1, 100, 100), bool), 1)


@pytest.fixture
def micrographs():
    rng = np.random.default_rng(0)
    made = []
    for name in ("a", "b"):
        instances = np.zeros((256, 512), np.uint8)
        instances[100:190, 60:150], instances[120:220, 206:306] = 1, 2  # 2 on both tiles
        image = rng.integers(1000, 2000, instances.shape).astype(np.uint16)
        made.append(
            ParticleMicrograph(
                name, "CdSe", image, instances, [particle(fault=True), particle()], 0.03
            )
        )
    return made


def test_crops_know_where_they_come_from(micrographs):
    cut = tiles.cut(micrographs, 256)
    crops = regions.crop_regions(cut, empty=3, sides=(40, 120))
    assert len(crops) == 9
    assert crops.labels.tolist() == ["fault", "no fault", "no fault"] * 2 + ["empty"] * 3
    assert crops.particle.tolist() == [1, 2, 2] * 2 + [0] * 3
    assert crops.clipped.tolist() == [False, True, True] * 2 + [False] * 3
    assert crops.micrograph[:6].tolist() == list("aaabbb")
    for image, mask in zip(crops.images, crops.masks):
        assert image.shape == mask.shape
    some = crops.pick(crops.labels == "empty")
    assert len(some) == len(some.images) == 3


def test_crops_need_instances(micrographs):
    cut = tiles.cut(micrographs, 256)
    cut.instances = None
    with pytest.raises(ValueError, match="no instances"):
        regions.crop_regions(cut)
