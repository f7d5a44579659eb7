"""Simulated optical micrographs: outlines, scenes, their truth, runs and the cache."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers.tmd_optical import crystals, optics, runs, scenes
from mchelpers.tmd_optical import images as optical

KINDS = list(runs.CLASSES)


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return optical.optical_micrographs("heterostructure", 7, 3, (96, 128), folder=folder), folder


@settings(max_examples=20, deadline=None)
@given(side=st.floats(5, 60), truncation=st.floats(0, 1), bend=st.floats(-0.1, 0.1))
def test_outlines_have_the_area_they_are_asked_for(side, truncation, bend):
    ring = crystals.outline(side, truncation, bend)
    assert ring.shape == (240, 2)
    assert crystals.ring_area(ring) == pytest.approx(np.sqrt(3) / 4 * side**2)
    turned = crystals.turn(ring, 1.0)
    assert crystals.ring_area(turned) == pytest.approx(crystals.ring_area(ring))


def corners(ring):
    """Count the turns of more than 20 degrees."""
    ahead = np.diff(ring, axis=0, append=ring[:1])
    angle = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
    spread = np.abs(angle - np.roll(angle, 4))  # a corner may lie between two points
    spread = np.minimum(spread, 2 * np.pi - spread)
    high = spread > np.radians(20)
    return int((high & ~np.roll(high, 1)).sum())


def test_outlines_are_what_they_are_called():
    assert corners(crystals.outline(20, 0.0)) == 3
    assert corners(crystals.outline(20, 0.5)) == 6
    assert corners(crystals.outline(20, 1.0)) == 6
    assert corners(crystals.star(20, 6)) == 12
    hexagon = np.hypot(*crystals.outline(20, 1.0).T)
    triangle = np.hypot(*crystals.outline(20, 0.0).T)
    assert hexagon.min() / hexagon.max() == pytest.approx(np.sqrt(3) / 2, abs=0.01)
    assert triangle.min() / triangle.max() == pytest.approx(0.5, abs=0.01)
    bowed = np.hypot(*crystals.outline(20, 0.0, 0.1).T)
    assert bowed.min() / bowed.max() > 0.6  # outwards
    assert np.ptp(crystals.lath(30, 5), axis=0) == pytest.approx([30, 5], rel=0.02)
    for bad in ((0, 0), (5, 1.5)):
        with pytest.raises(ValueError, match="truncation"):
            crystals.outline(*bad)
    with pytest.raises(ValueError, match="arms"):
        crystals.star(5, 2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0.1, 0.5))
def test_breaking_takes_a_part_and_roughness_does_not(seed, share):
    rng = np.random.default_rng(seed)
    ring = crystals.flake(rng, 20)
    left = crystals.break_off(rng, ring, share)
    assert 0.2 < crystals.ring_area(left) / crystals.ring_area(ring) < 1.02
    rough = crystals.roughen(rng, ring, 0.01)
    assert crystals.ring_area(rough) == pytest.approx(crystals.ring_area(ring), rel=0.1)
    assert (rough - ring).std() == pytest.approx(0.01 * np.sqrt(crystals.ring_area(ring)))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.5, 3))
def test_filling_takes_the_pixels_whose_centre_is_inside(seed, scale):
    from matplotlib.path import Path

    rng = np.random.default_rng(seed)
    ring = crystals.star(rng.uniform(5, 25), 3) + rng.uniform(-5, 45, 2)
    box, inside = crystals.fill(ring, (40, 50), scale)
    y, x = np.mgrid[:40, :50] + 0.5
    closed = Path(np.vstack([ring, ring[:1]]) * scale)
    truth = closed.contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(40, 50)
    full = np.zeros((40, 50), bool)
    full[box] = inside
    np.testing.assert_array_equal(full, truth)


def test_filling_outside_the_frame_fills_nothing():
    box, inside = crystals.fill(crystals.outline(5) + 100, (20, 20))
    assert inside.size == 0 and np.zeros((20, 20))[box].size == 0


def run_of(kind, **changes):
    clean = {"particles": 0.0, "residue_nm": 0.0}
    return dataclasses.replace(runs.draw_run(kind, 0, 0), **(clean | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_of_every_kind_can_be_drawn(kind):
    rng = np.random.default_rng(0)
    for category in runs.CLASSES[kind]:
        for _ in range(3):
            body = scenes.draw_body(rng, run_of(kind), category)
            layers = body.films[0][1]
            assert body.category == category and layers >= 1
            if category in ("thin", "thick", "bulk"):
                bounds = {"thin": (1, 3), "thick": (4, 15), "bulk": (25, 400)}[category]
                assert bounds[0] <= layers <= bounds[1]
                assert body.films[0][0] == kind.split()[1]
    with pytest.raises(ValueError, match="has the classes"):
        scenes.draw_body(rng, run_of(kind), "square")


def solidity_and_fill(ring):
    """Area over that of the convex hull, and over that of the smallest triangle around it."""
    cv2 = pytest.importorskip("cv2")
    hull = cv2.convexHull(ring.astype(np.float32))
    area = crystals.ring_area(ring)
    return area / cv2.contourArea(hull), area / cv2.minEnclosingTriangle(hull)[0]


@pytest.mark.parametrize("category", ["triangle", "truncated triangle", "hexagon", "star"])
def test_shapes_are_what_their_class_says_they_are(category):
    """As the words at ``runs.CLASSES`` have it, for whatever a growth run draws."""
    for number in range(40):
        run, rng = runs.draw_run("shapes", 0, number), np.random.default_rng(number)
        for _ in range(4):
            [ring] = scenes.draw_body(rng, run, category).rings
            solidity, fill = solidity_and_fill(ring)
            assert (solidity <= 0.82) if category == "star" else (solidity >= 0.86)
            assert category != "triangle" or fill >= 0.76
            assert category != "truncated triangle" or 0.70 <= fill <= 0.94
            assert category != "hexagon" or fill < 0.74


def test_merged_crystals_are_one_piece():
    from scipy.ndimage import label

    rng, run, merged = np.random.default_rng(0), run_of("shapes", side_um=20.0), 0
    for _ in range(40):
        body = scenes.draw_body(rng, run, "irregular")
        full = np.zeros((120, 120), bool)
        for ring in body.rings:
            box, inside = crystals.fill(ring + 30, full.shape, 2.0)
            full[box] |= inside
        pieces, count = label(full)
        assert np.bincount(pieces.ravel())[1:].max() > 0.97 * full.sum(), count
        merged += len(body.rings) > 1
    assert 10 < merged < 38


def test_a_heterostructure_has_another_core_than_shell():
    run = run_of("heterostructure", core="MoSe2")
    body = scenes.draw_body(np.random.default_rng(1), run, "heterostructure")
    assert body.films == (("MoS2", 1),) and body.inner[0][1] == (("MoSe2", 1),)
    assert crystals.ring_area(body.inner[0][0]) < 0.7 * crystals.ring_area(body.rings[0])


def test_crystals_hide_little_of_each_other_and_stack_where_they_overlap():
    run = run_of("shapes", coverage=0.5, overlap=1.0, second_layer=0.0, nucleus=0.0, side_um=8.0)
    scene = scenes.compose(np.random.default_rng(0), run, (150, 150), 0.3)
    seen = np.bincount(scene.owner.ravel(), minlength=len(scene.bodies) + 1)[1:]
    assert seen.tolist() == scene.visible and len(seen) > 5
    assert (seen >= 0.6 * np.array(scene.grown)).all()
    double = scene.stacks.index(((("MoS2", 1), ("MoS2", 1)), 1.0))
    assert (scene.surface == double).any()
    assert ((scene.surface > 0) == (scene.owner > 0)).all()  # no dirt here
    alone = dataclasses.replace(run, overlap=0.0)
    scene = scenes.compose(np.random.default_rng(0), alone, (150, 150), 0.3)
    assert {films for films, _ in scene.stacks} == {(), (("MoS2", 1),)}


def test_a_picture_has_the_computed_colours():
    """Far from edges, an even, sharp, noiseless picture is develop(table)."""
    calm = optics.Camera(exposure=2.5, full_well=1e9, read_noise=0.0)
    run = run_of("heterostructure", camera=calm)
    surface = np.zeros((96, 192), np.int16)
    surface[:, 96:] = 1
    scene = scenes.Scene([((), 1.0), ((("MoSe2", 1),), 1.0)], surface, surface)
    objective = runs.OBJECTIVES[50]

    class Even:  # light without gradients, noise of one electron in 1e9
        def normal(self, *args, **kwargs):
            return 0.0

        def uniform(self, low, high):
            return 0.0

        def standard_normal(self, shape, dtype):
            return np.zeros(shape, dtype)

    image = optical.expose(Even(), scene, run, objective)
    assert image.shape == (32, 64, 3) and image.dtype == np.uint8
    lamp, na = optics.illuminant(run.lamp, run.temperature_k), run.filling * objective.na
    table = optics.wafer_table([(), (("MoSe2", 1),)], run.oxide_nm, na)
    wanted = optics.develop(calm.raw(table, lamp), calm)
    np.testing.assert_allclose(image[:, :16], np.broadcast_to(wanted[0], (32, 16, 3)), atol=1)
    np.testing.assert_allclose(image[:, -16:], np.broadcast_to(wanted[1], (32, 16, 3)), atol=1)
    blurred = optical.expose(Even(), scene, run, objective, defocus_um=3.0)
    steep = [np.abs(np.diff(i[16].astype(int), axis=0)).max() for i in (image, blurred)]
    assert steep[1] < steep[0]
    brighter = optical.expose(Even(), scene, run, objective, exposure=1.2)
    assert brighter.mean() > image.mean() + 3


def test_a_set_holds_its_truth(micrographs):
    shots, _ = micrographs
    assert len(shots) == 7 and shots.kind == "simulated" and isinstance(shots, list)
    assert shots.classes == ("MoS2", "MoSe2", "heterostructure")
    for m in shots:
        assert m.image.shape == (96, 128, 3) and m.image.dtype == np.uint8
        assert m.kind == "simulated" and m.magnification in (20, 50, 100)
        assert m.pixel_um == pytest.approx(6.45 / m.magnification) and m.masks.sum(0).max() <= 1
        assert set(m.categories) <= set(shots.classes)
        for i, mask in zip(m.instances, m.masks):
            # Area is that of the fine grid: it differs from the pixels by the outline only.
            assert i.area_um2 == pytest.approx(mask.sum() * m.pixel_um**2, rel=0.15)
            assert i.layers == 1 and mask.any()
        shares = m.area_shares()
        assert sum(shares.values()) == pytest.approx(m.masks.any(0).mean(), abs=0.01)


def test_images_of_a_run_share_it_and_splits_keep_them_together(micrographs):
    shots, _ = micrographs
    assert [m.group for m in shots] == ["heterostructure_run00"] * 6 + ["heterostructure_run01"]
    assert len({(m.oxide_nm, m.lamp, m.temperature_k) for m in shots[:6]}) == 1
    assert shots[5].oxide_nm != shots[6].oxide_nm
    split = optical.split_runs(shots, validation=0, test=1)
    groups = [{shots[n].group for n in side} for side in (split.train, split.test)]
    assert not groups[0] & groups[1] and len(split.validation) == 0
    with pytest.raises(ValueError, match="training"):
        optical.split_runs(shots, 1, 1)


def test_a_set_repeats_and_resumes(micrographs, tmp_path):
    shots, folder = micrographs
    kind, size = "heterostructure", (96, 128)
    again = optical.optical_micrographs(kind, 7, 3, size, folder=folder)  # from the cache
    fresh = optical.optical_micrographs(kind, 2, 3, size, folder=tmp_path)
    assert again.sha256 == shots.sha256
    np.testing.assert_array_equal(fresh[1].image, shots[1].image)
    np.testing.assert_array_equal(fresh[1].masks, shots[1].masks)
    assert not list(folder.rglob(".*"))  # nothing half written is left
    other = optical.optical_micrographs(kind, 1, 4, size, folder=tmp_path)
    assert (other[0].image != fresh[0].image).any()
    for bad in ({"count": 0}, {"size": (32, 96)}, {"kind": "squares"}):
        with pytest.raises(ValueError, match=r"count|no data set"):
            optical.optical_micrographs(**bad)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_other_sets_are_made_too(kind, tmp_path):
    shots = optical.optical_micrographs(kind, 1, 0, (128, 128), folder=tmp_path)
    assert shots.classes == runs.CLASSES[kind] and shots[0].instances
    assert set(shots[0].categories) <= set(shots.classes)


def test_the_whole_sets_would_be_the_studys():
    assert [optical._COUNTS[k] for k in KINDS] == [180, 50, 50, 50]
    assert all(optical._COUNTS[k] % runs.IMAGES_PER_RUN[k] == 0 for k in KINDS)


def test_runs_repeat_and_spread():
    drawn = [runs.draw_run("shapes", 0, n) for n in range(40)]
    assert drawn[7] == runs.draw_run("shapes", 0, 7) != runs.draw_run("shapes", 1, 7)
    nominal = np.array([min((90, 285, 300), key=lambda n: abs(r.oxide_nm - n)) for r in drawn])
    assert set(nominal) == {90, 285, 300} and {r.lamp for r in drawn} == {"halogen", "led"}
    assert {r.aligned for r in drawn} == {True, False}
    assert all(sum(r.mixture) == pytest.approx(1) for r in drawn)
    rng = np.random.default_rng(0)
    assert {runs.choose_objective(rng, r).magnification for r in drawn} == {20, 50, 100}
    with pytest.raises(ValueError, match="no data set"):
        runs.draw_run("squares", 0, 0)


def test_one_laboratory_has_one_microscope():
    drawn = [runs.draw_run(kind, 0, n, "one") for kind in KINDS for n in range(12)]
    for shared in ("lamp", "temperature_k", "filling", "camera"):
        assert len({getattr(r, shared) for r in drawn}) == 1
    oxide = np.array([r.oxide_nm for r in drawn])
    assert 272 < oxide.min() < oxide.max() < 298 and 1 < oxide.std() < 6
    assert len({r.side_um for r in drawn}) == len(drawn)  # the growth is each run's own
    with pytest.raises(ValueError, match="'two'"):
        runs.draw_run("shapes", 0, 0, "two")
