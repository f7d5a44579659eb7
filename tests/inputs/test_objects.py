"""Images with labelled objects: what they keep, and what cannot be written."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from labelled_scenes import CLASSES, SPLIT, disc, scenes

from mchelpers import data
from mchelpers.inputs.coco import write_coco
from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.inputs.yolo import find_leaks, read_yolo, write_yolo
from mchelpers.tmd_optical.objects import augmented_copies


@pytest.fixture
def images():
    return scenes()


def test_an_instance_keeps_its_mask_and_area():
    mask = disc((40, 50), 10, 12, 6)
    thing = Instance.of("thin", mask, 0.5, layers=1)
    np.testing.assert_array_equal(thing.mask((40, 50)), mask)
    assert thing.area_um2 == pytest.approx(mask.sum() * 0.25) and thing.layers == 1
    assert Instance.of("thin", np.zeros((9, 9), bool)).rings() == []
    image = LabelledImage("a", np.zeros((40, 50, 3), np.uint8), [thing])
    assert image.masks.shape == (1, 40, 50) and image.categories == ["thin"]
    assert LabelledImage("b", image.image).masks.shape == (0, 40, 50)


def test_a_split_that_leaks_is_refused_unless_asked_for(images, tmp_path):
    copies = augmented_copies(images[:1], 2, seed=1)
    assert [c.parent for c in copies] == ["image0"] * 2 and copies[0].group == "run0"
    areas = [i.area_um2 for i in images[0].instances]
    assert [i.area_um2 for i in copies[0].instances] == areas
    for copy in copies:
        counts = copy.masks.sum((1, 2))
        np.testing.assert_array_equal(counts, images[0].masks.sum((1, 2)))
    both = images + copies
    bad = {"train": [0, 1], "val": [6, 7]}
    assert find_leaks(both, bad) == ["image image0", "group run0"]
    split = data.split_samples([i.group for i in both], validation=1, test=1)
    assert len(split.train) in (2, 4) and find_leaks(both, split) == []
    described = write_yolo(tmp_path / "honest", both, split, CLASSES)
    sides = [{i.name for i in read_yolo(described, s)} for s in ("train", "val", "test")]
    assert not (sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2])
    with pytest.raises(ValueError, match="two sides of the split: image image0"):
        write_yolo(tmp_path, both, bad, CLASSES)
    assert write_yolo(tmp_path, both, bad, CLASSES, allow_leaks=True).exists()


def test_what_cannot_be_written_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match=r"image0 holds \['thick disc'\]"):
        write_yolo(tmp_path, images, SPLIT, ["thin"])
    with pytest.raises(ValueError, match="different class names"):
        write_coco(tmp_path, images, ["thin", "thin"])
    with pytest.raises(ValueError, match="two images have one name"):
        write_coco(tmp_path, images[:1] * 2, CLASSES)
    for name in ("../away", "/away", "a/away", "a\\away", "c:away", "..", "", "away\0"):
        away = LabelledImage(name, images[0].image, [])
        with pytest.raises(ValueError, match="cannot be the name of a file"):
            write_yolo(tmp_path / "set", [away], {"train": [0]}, CLASSES)
        with pytest.raises(ValueError, match="cannot be the name of a file"):
            write_coco(tmp_path / "set", [away], CLASSES)
    assert not list(tmp_path.rglob("away*"))
    out = LabelledImage("out", images[0].image, [Instance("thin", 50, 0, np.ones((11, 3), bool))])
    with pytest.raises(ValueError, match="leaves its frame"):
        write_coco(tmp_path, [out], CLASSES)
    assert not list(tmp_path.iterdir())
