"""The baseline without learning, on scenes whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.tmd_optical import contrast, crystals, detections

SHAPE = (128, 160)
WAFER = np.array([120.0, 100.0, 140.0])


def inside(ring, centre, shape=SHAPE):
    mask = np.zeros(shape, bool)
    box, filled = crystals.fill(ring + centre, shape)
    mask[box] = filled
    return mask


def picture(masks, colours, noise=1.0, vignette=0.15, seed=0, shape=SHAPE):
    """Wafer under uneven light with crystals of given contrast."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    light = (1 - vignette * (x**2 + y**2) / 2)[..., None]
    image = np.broadcast_to(WAFER, (*shape, 3)).copy()
    for mask, colour in zip(masks, colours):
        image[mask] *= 1 - np.array(colour)
    image = image * light + rng.normal(0, noise, image.shape)
    return np.clip(image, 0, 255).round().astype(np.uint8), WAFER * light


RING = crystals.outline(40.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 0.16))
def test_the_background_is_found_below_the_crystals(seed, vignette):
    mask = inside(RING, (60, 60)) | inside(RING, (120, 90))
    image, wafer = picture([mask], [(0.4, 0.2, -0.1)], 2.0, vignette, seed)
    fitted = contrast.fit_background(image)
    assert fitted.shape == image.shape and np.abs(fitted - wafer).max() < 2.5
    measured = contrast.colour_contrast(image, fitted)[mask].mean(0)
    assert measured == pytest.approx([0.4, 0.2, -0.1], abs=0.02)


@pytest.mark.parametrize("colour", [(0.11, 0.02, 0.1), (0.2, 0.08, -0.08)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_film_that_fills_the_frame_is_not_taken_for_the_wafer(colour, share):
    mask = np.ones(SHAPE, bool)
    mask[:, 40 : 40 + int(share * SHAPE[1])] = False  # the wafer shows in one stripe
    image, wafer = picture([mask], [colour], 1.5)
    fitted = contrast.fit_background(image)
    measured = np.median(contrast.colour_contrast(image, fitted)[mask], axis=0)
    assert measured == pytest.approx(colour, abs=0.03)
    assert np.abs(fitted - wafer)[~mask].max() < 5


def test_what_is_not_an_image_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        contrast.fit_background(np.zeros((9, 9)))
    with pytest.raises(ValueError, match="'colour' or 'shape'"):
        contrast.describe(np.zeros((9, 9, 3), np.uint8), None, "size")


def test_an_empty_wafer_has_no_crystal():
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert len(contrast.outline_crystals(flat)) == 0
    assert len(contrast.outline_crystals(np.zeros((64, 64, 3), np.uint8))) == 0


def test_crystals_that_touch_are_cut_apart():
    masks = [inside(RING, (60, 60)), inside(RING, (97, 60))]
    assert (masks[0] | masks[1]).sum() > 0.9 * sum(m.sum() for m in masks)
    image, _ = picture(masks, [(0.3, 0.2, 0.1)] * 2)
    found = contrast.outline_crystals(image)
    assert len(found) == 2 and found.shape == SHAPE
    true = detections.Detections.of(np.array(masks), [0, 0])
    assert detections.mask_iou(found, true).max(0).min() > 0.85
    assert not (found.masks[0] & found.masks[1]).any()


def test_the_logarithm_keeps_faint_crystals_beside_bright_ones():
    faint, bright = inside(crystals.outline(30.0), (40, 60)), inside(RING, (110, 70))
    image, _ = picture([faint, bright], [(0.2, 0.12, 0.06), (-0.9, -0.9, -0.7)])
    assert len(contrast.outline_crystals(image)) == 1
    assert len(contrast.outline_crystals(image, log=True)) == 2


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.0])
def test_outlines_are_described(angle):
    def of(ring):
        values = contrast.shape_features(inside(crystals.turn(ring, angle), (64, 64)))
        return dict(zip(contrast.SHAPE_FEATURES, values))

    triangle, hexagon = of(crystals.outline(60.0)), of(crystals.outline(60.0, 1.0))
    star, lath = of(crystals.star(60.0, 6, 0.5)), of(crystals.lath(80, 20))
    assert triangle["corners"] == 3 and hexagon["corners"] == 6
    assert triangle["concave corners"] == 0 == hexagon["concave corners"]
    assert star["corners"] == 12 and star["concave corners"] == 6
    assert triangle["triangle fill"] > 0.9 > hexagon["triangle fill"] + 0.15
    assert star["solidity"] < 0.8 < 0.95 < hexagon["solidity"]
    assert hexagon["circularity"] > triangle["circularity"]
    assert lath["elongation"] == pytest.approx(4, rel=0.15)


def test_a_core_shows_in_the_colours():
    ring = crystals.outline(60.0)
    whole, core = inside(ring, (64, 64)), inside(0.5 * ring, (64, 64))
    image, wafer = picture([whole, core], [(0.3, 0.1, 0.0), (0.2, 0.2, 0.0)], noise=0.5)
    values = contrast.colour_features(contrast.colour_contrast(image, wafer), whole)
    assert values.shape == (9,) and values[3:5].min() > 0.05 and abs(values[5]) < 0.02
    one = contrast.colour_features(np.full((1, 1, 3), 0.2), np.ones((1, 1), bool))
    assert np.isfinite(one).all() and one[:3] == pytest.approx(0.2)


def labelled(seed):
    """Two crystals of one contrast, two of another, and a speck of dirt."""
    rng = np.random.default_rng(seed)
    centres = [(35, 35), (120, 35), (35, 95), (120, 95)]
    rings = [crystals.turn(crystals.outline(34.0), rng.uniform(0, 6)) for _ in centres]
    masks = [inside(r, c) for r, c in zip(rings, centres)]
    speck = inside(crystals.outline(14.0, 1.0), (78, 64))
    colours = [(0.3, 0.2, 0.1)] * 2 + [(0.1, 0.3, 0.2)] * 2
    image, _ = picture([*masks, speck], [*colours, (0.8, 0.8, 0.8)], seed=seed)
    names = ["red", "red", "green", "green"]
    instances = [Instance.of(n, m, 0.1) for n, m in zip(names, masks)]
    return LabelledImage(f"image{seed}", image, instances, f"run{seed}")


def test_the_baseline_learns_names_from_labelled_images():
    images, classes = [labelled(n) for n in range(5)], ("red", "green")
    fitted = contrast.fit_baseline(images[:4], classes, progress=False)
    assert fitted.namer.classes_.tolist() == [0, 1, 2]  # the last is dirt
    found = fitted(images[4].image)
    assert detections.accuracy(detections.confusion([found], images[4:], classes)) == 1.0
    assert found.scores[-1] < 0.5 < found.scores[0]  # the speck is least of a crystal
    assert len(fitted(np.full((64, 64, 3), 90, np.uint8))) == 0
    with pytest.raises(ValueError, match="fewer than two classes"):
        contrast.fit_baseline([], classes, progress=False)


def test_what_hardly_overlaps_a_crystal_is_dirt():
    """Labels moved by most of a crystal name nothing."""
    image = labelled(0)
    assert sorted(contrast.gather_examples([image], ("red", "green"))[1]) == [0, 0, 1, 1, 2]
    moved = [Instance.of(i.category, np.roll(i.mask(SHAPE), 20, 1), 0.1) for i in image.instances]
    image = LabelledImage("moved", image.image, moved, "run")
    assert set(contrast.gather_examples([image], ("red", "green"))[1]) == {2}
