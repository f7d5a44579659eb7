"""Labelled images to YOLO, COCO and back; polygons; and what must be refused."""

import json

import numpy as np
import pytest
import yaml
from conftest import has_real_data
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from mchelpers import data
from mchelpers.data import DataError
from mchelpers.tmd_optical import coco, flakes, polygons
from mchelpers.tmd_optical import objects as instances
from mchelpers.tmd_optical.objects import Instance, LabelledImage

CLASSES = ["thin", "thick disc"]


def disc(shape, row, column, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def scene(name, group, seed=0, shape=(60, 80)):
    rng = np.random.default_rng(seed)
    ring = disc(shape, 30, 22, 15) & ~disc(shape, 30, 22, 7)
    two = disc(shape, 12, 60, 8) | disc(shape, 45, 58, 10)
    corner = np.zeros(shape, bool)
    corner[-5:, -9:] = True
    things = [
        Instance.of("thick disc", ring, 0.1, layers=7),
        Instance.of("thin", two, 0.1, layers=1),
        Instance.of("thin", corner, 0.1, layers=2),
    ]
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    return LabelledImage(name, image, things, group, 0.1)


@pytest.fixture
def images():
    return [scene(f"image{n}", f"run{n // 2}", n) for n in range(6)]


SPLIT = {"train": [0, 1, 2, 3], "val": [4, 5]}


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


def test_an_instance_keeps_its_mask_and_area():
    mask = disc((40, 50), 10, 12, 6)
    thing = Instance.of("thin", mask, 0.5, layers=1)
    np.testing.assert_array_equal(thing.mask((40, 50)), mask)
    assert thing.area_um2 == pytest.approx(mask.sum() * 0.25) and thing.layers == 1
    assert Instance.of("thin", np.zeros((9, 9), bool)).rings() == []
    image = LabelledImage("a", np.zeros((40, 50, 3), np.uint8), [thing])
    assert image.masks.shape == (1, 40, 50) and image.categories == ["thin"]
    assert LabelledImage("b", image.image).masks.shape == (0, 40, 50)


def test_yolo_gives_back_images_classes_and_masks(images, tmp_path):
    described = instances.write_yolo(tmp_path / "set", images, SPLIT, CLASSES)
    about = yaml.safe_load(described.read_text())
    assert about["path"] == str((tmp_path / "set").resolve())
    assert about["names"] == {0: "thin", 1: "thick disc"}
    for side, numbers in SPLIT.items():
        again = instances.read_yolo(described, side, CLASSES)
        assert [i.name for i in again] == [images[n].name for n in numbers]
        for n, image in zip(numbers, again):
            np.testing.assert_array_equal(image.image, images[n].image)
            assert image.categories == images[n].categories
            ring, two, corner = zip(image.masks, images[n].masks)
            np.testing.assert_array_equal(*corner)
            assert iou(*ring) > 0.97 and iou(*two) > 0.95  # bridges, a pixel wide


def test_ultralytics_would_draw_the_same_masks(images, tmp_path):
    """It scales single-precision coordinates, truncates them and calls ``fillPoly``."""
    import cv2

    described = instances.write_yolo(tmp_path / "set", images, SPLIT, CLASSES)
    again = instances.read_yolo(described, "val")[0].masks
    for line, mask in zip((tmp_path / "set/labels/val/image4.txt").open(), again):
        ring = np.array(line.split()[1:], np.float32).reshape(-1, 2)
        ring[:, 0] *= 80
        ring[:, 1] *= 60
        theirs = np.zeros((60, 80), np.uint8)
        cv2.fillPoly(theirs, ring.astype(np.int32)[None], color=1)
        np.testing.assert_array_equal(theirs.astype(bool), mask)


def test_coco_gives_back_everything(images, tmp_path):
    file = coco.write_coco(tmp_path, images, CLASSES)
    again = coco.read_coco(file, classes=CLASSES)
    for image, original in zip(again, images, strict=True):
        np.testing.assert_array_equal(image.image, original.image)
        np.testing.assert_array_equal(image.masks, original.masks)
        assert (image.name, image.group, image.pixel_um) == (original.name, original.group, 0.1)
        assert image.categories == original.categories
        assert [i.layers for i in image.instances] == [7, 1, 2]
        areas = [[i.area_um2 for i in x.instances] for x in (image, original)]
        assert areas[0] == pytest.approx(areas[1])
    first = json.loads(file.read_text())["annotations"][0]
    assert isinstance(first["segmentation"], dict) and first["area"] == images[0].masks[0].sum()
    assert first["bbox"] == [7, 15, 31, 31]


def test_a_split_that_leaks_is_refused_unless_asked_for(images, tmp_path):
    copies = instances.augmented_copies(images[:1], 2, seed=1)
    assert [c.parent for c in copies] == ["image0"] * 2 and copies[0].group == "run0"
    areas = [i.area_um2 for i in images[0].instances]
    assert [i.area_um2 for i in copies[0].instances] == areas
    for copy in copies:
        counts = copy.masks.sum((1, 2))
        np.testing.assert_array_equal(counts, images[0].masks.sum((1, 2)))
    both = images + copies
    bad = {"train": [0, 1], "val": [6, 7]}
    assert instances.find_leaks(both, bad) == ["image image0", "group run0"]
    split = data.split_samples([i.group for i in both], validation=1, test=1)
    assert len(split.train) in (2, 4) and instances.find_leaks(both, split) == []
    described = instances.write_yolo(tmp_path / "honest", both, split, CLASSES)
    sides = [{i.name for i in instances.read_yolo(described, s)} for s in ("train", "val", "test")]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    with pytest.raises(ValueError, match="two sides of the split: image image0"):
        instances.write_yolo(tmp_path, both, bad, CLASSES)
    assert instances.write_yolo(tmp_path, both, bad, CLASSES, allow_leaks=True).exists()


def test_what_cannot_be_written_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match=r"image0 holds \['thick disc'\]"):
        instances.write_yolo(tmp_path, images, SPLIT, ["thin"])
    with pytest.raises(ValueError, match="different class names"):
        coco.write_coco(tmp_path, images, ["thin", "thin"])
    with pytest.raises(ValueError, match="two images have one name"):
        coco.write_coco(tmp_path, images[:1] * 2, CLASSES)
    away = LabelledImage("../away", images[0].image, [])
    with pytest.raises(ValueError, match="leads out of the folder"):
        instances.write_yolo(tmp_path / "set", [away], {"train": [0]}, CLASSES)
    assert not list(tmp_path.rglob("away*"))
    out = LabelledImage("out", images[0].image, [Instance("thin", 50, 0, np.ones((11, 3), bool))])
    with pytest.raises(ValueError, match="leaves its frame"):
        coco.write_coco(tmp_path, [out], CLASSES)
    assert not list(tmp_path.iterdir())


def test_an_image_without_objects_is_background(images, tmp_path):
    images[4] = LabelledImage("empty", images[4].image, [], "run2")
    described = instances.write_yolo(tmp_path, images, SPLIT, CLASSES)
    assert (tmp_path / "labels/val/empty.txt").read_text() == ""
    assert instances.read_yolo(described, "val")[0].instances == []
    (tmp_path / "labels/val/empty.txt").unlink()  # Ultralytics allows that too
    assert instances.read_yolo(described, "val")[0].instances == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.5 1.2 0.3 0.3", "leaves the frame"),
        ("0 0.1 nan 0.5 0.2 0.3 0.3", "leaves the frame"),
        ("2 0.1 0.1 0.5 0.2 0.3 0.3", "class 2; data.yaml lists 2"),
        ("0 0.5 0.5 0.2 0.2", "4 coordinates"),
        ("thin 0.1 0.1 0.5 0.2 0.3 0.3", "not a class number"),
    ],
)
def test_bad_yolo_labels_are_named(images, tmp_path, line, message):
    described = instances.write_yolo(tmp_path, images, SPLIT, CLASSES)
    (tmp_path / "labels/val/image5.txt").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=message) as error:
        instances.read_yolo(described, "val")
    assert "image5.txt, line 2" in str(error.value)


def test_bad_sets_are_named(images, tmp_path):
    described = instances.write_yolo(tmp_path, images, SPLIT, CLASSES)
    with pytest.raises(DataError, match=r"has the classes \['thin', 'thick disc'\]"):
        instances.read_yolo(described, "val", ["thin", "bulk"])
    with pytest.raises(DataError, match="no 'test' part"):
        instances.read_yolo(described, "test")
    (tmp_path / "images/val/image4.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read"):
        instances.read_yolo(described, "val")
    file = coco.write_coco(tmp_path / "coco", images, CLASSES)
    with pytest.raises(DataError, match="has the classes"):
        coco.read_coco(file, classes=["bulk"])
    content = json.loads(file.read_text())
    content["annotations"][1]["segmentation"] = [[0, 0, 99, 0, 99, 5]]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="annotation 2 has a polygon that leaves the frame"):
        coco.read_coco(file)
    content["annotations"][1]["segmentation"] = {"size": [60, 80], "counts": [10, 5]}
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="run lengths that do not fill"):
        coco.read_coco(file)


def test_flakes_of_an_unknown_material_are_refused():
    with pytest.raises(ValueError, match="no flakes of"):
        flakes.load_flakes(materials=["MoTe2"])


@pytest.mark.skipif(not has_real_data("flakes"), reason="the real flakes are not on this machine")
def test_the_real_flakes_are_there():
    labelled = flakes.load_flakes(materials=["WSe2"])
    assert len(labelled) == 8 and labelled.kind == "real" and len(labelled.sha256) == 64
    assert [len(i.instances) for i in labelled].count(0) == 1  # one has no thin flake
    for image in labelled:
        assert image.image.shape == (1200, 1920, 3) and image.image.dtype == np.uint8
        assert set(image.categories) <= {"WSe2"} and image.group == "WSe2"
    thing = labelled[-1].instances[0]
    pieces = thing.rings()
    assert polygons.rings_to_mask(pieces, labelled[-1].shape).sum() == thing.crop.sum()
    bare = flakes.load_flakes(labelled=False, materials=["WSe2"])
    assert len(bare) == 2 and not any(i.instances for i in bare)
