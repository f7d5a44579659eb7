"""Sets for YOLO, read as Ultralytics reads them or refused."""

import warnings

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from labelled_scenes import CLASSES, SPLIT, disc, iou, scenes
from PIL import Image

from mchelpers.downloads import DataError
from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.inputs.yolo import PICTURES, read_yolo, write_yolo

SQUARE = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"


@pytest.fixture
def images():
    return scenes()


def lay(place, name="a.png", label=SQUARE, shape=(20, 40)):
    """Put a grey picture in ``place/images`` and its label beside, in ``place/labels``."""
    for part in ("images", "labels"):
        (place / part).mkdir(parents=True, exist_ok=True)
    Image.new("L", shape[::-1], 90).convert("RGB").save(place / "images" / name)
    if label is not None:
        (place / "labels" / name).with_suffix(".txt").write_bytes(label.encode())


def describe(place, text="train: images\nnames: [thin, thick]\n"):
    place.mkdir(parents=True, exist_ok=True)
    (place / "data.yaml").write_text(text)
    return place / "data.yaml"


def test_yolo_gives_back_images_classes_and_masks(images, tmp_path):
    described = write_yolo(tmp_path / "set", images, SPLIT, CLASSES)
    about = yaml.safe_load(described.read_text())
    assert about["path"] == str((tmp_path / "set").resolve())
    assert about["names"] == {0: "thin", 1: "thick disc"}
    for side, numbers in SPLIT.items():
        again = read_yolo(described, side, CLASSES)
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

    described = write_yolo(tmp_path / "set", images, SPLIT, CLASSES)
    again = read_yolo(described, "val")[0].masks
    for line, mask in zip((tmp_path / "set/labels/val/image4.txt").open(), again):
        ring = np.array(line.split()[1:], np.float32).reshape(-1, 2)
        ring[:, 0] *= 80
        ring[:, 1] *= 60
        theirs = np.zeros((60, 80), np.uint8)
        cv2.fillPoly(theirs, ring.astype(np.int32)[None], color=1)
        np.testing.assert_array_equal(theirs.astype(bool), mask)


def test_an_image_without_objects_is_background(images, tmp_path):
    images[4] = LabelledImage("empty", images[4].image, [], "run2")
    described = write_yolo(tmp_path, images, SPLIT, CLASSES)
    assert (tmp_path / "labels/val/empty.txt").read_text() == ""
    assert read_yolo(described, "val")[0].instances == []
    (tmp_path / "labels/val/empty.txt").unlink()  # Ultralytics allows that too
    assert read_yolo(described, "val")[0].instances == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.5 1.2 0.3 0.3", "leaves the frame"),
        ("0 0.1 nan 0.5 0.2 0.3 0.3", "no finite number"),
        ("2 0.1 0.1 0.5 0.2 0.3 0.3", "class 2; data.yaml lists 2"),
        ("0 0.1 0.1 0.5 0.2 -0.3 0.3", "leaves the frame"),
        ("-1 0.1 0.1 0.5 0.2 0.3 0.3", "class -1"),
        ("0.5 0.1 0.1 0.5 0.2 0.3 0.3", "class 0.5"),
        ("nan 0.1 0.1 0.5 0.2 0.3 0.3", "class nan"),
        ("0 0.5 0.5 0.2 0.2", "4 coordinates, a box; .* pass boxes=True"),
        ("0 0.5 0.5 0.2 0.2 0.9", "5 coordinates"),
        ("0", "0 coordinates"),
        ("0 0.1 0.1 0.5 0.2", "4 coordinates"),
        ("0 0,1 0,1 0,5 0,2 0,3 0,3", "points and no commas"),
        ("thin 0.1 0.1 0.5 0.2 0.3 0.3", "not a class number"),
    ],
)
def test_bad_yolo_labels_are_named(images, tmp_path, line, message):
    described = write_yolo(tmp_path, images, SPLIT, CLASSES)
    (tmp_path / "labels/val/image5.txt").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=message) as error:
        read_yolo(described, "val")
    assert "image5.txt, line 2" in str(error.value)


def test_bad_sets_are_named(images, tmp_path):
    described = write_yolo(tmp_path, images, SPLIT, CLASSES)
    with pytest.raises(DataError, match=r"has the classes \['thin', 'thick disc'\]"):
        read_yolo(described, "val", ["thin", "bulk"])
    with pytest.raises(DataError, match="no 'test' part"):
        read_yolo(described, "test")
    (tmp_path / "images/val/image4.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read"):
        read_yolo(described, "val")


def test_only_the_last_folder_of_images_becomes_labels(images, tmp_path):
    described = write_yolo(tmp_path / "images/images/set", images, SPLIT, CLASSES)
    assert [len(i.instances) for i in read_yolo(described, "val")] == [3, 3]


def test_labels_may_lie_beside_pictures_and_behind_links(tmp_path):
    lay(tmp_path / "there")
    (tmp_path / "images").symlink_to(tmp_path / "there/images")
    assert len(read_yolo(describe(tmp_path))[0].instances) == 1
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (40, 20)).save(flat / "a.png")
    (flat / "a.txt").write_text(SQUARE)
    assert len(read_yolo(describe(tmp_path, "train: flat\nnames: [thin]"))[0].instances) == 1


def test_pictures_of_every_ending_are_read_and_others_named(tmp_path):
    """Pillow writes most of what Ultralytics takes."""
    names = ["a.png", "b.JPG", "c.jpeg", "d.tif", "e.tiff", "f.bmp", "g.webp", "deep.er/h.x.png"]
    for name in names:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        lay(tmp_path, name)
    described = describe(tmp_path)
    for unseen in ("labels.cache", "classes.txt", ".hidden.gif", "a.json"):
        (tmp_path / "images" / unseen).write_text("")
    read = read_yolo(described)
    assert [i.name for i in read] == ["a", "b", "c", "d", "h.x", "e", "f", "g"]
    assert all(len(i.instances) == 1 for i in read)
    lay(tmp_path, "z.gif")
    with pytest.warns(UserWarning, match="not read.*: z.gif"):
        assert len(read_yolo(described)) == 8


def test_endings_are_those_of_ultralytics():
    from mchelpers.tmd_optical.yolo import ultralytics

    assert set(PICTURES) == ultralytics().data.utils.IMG_FORMATS


@pytest.mark.parametrize(
    "text",
    [
        "train: ../train/images",  # Roboflow's
        "train: train/images",
        "train: [train/images]",
        "path: .\ntrain: train/images",
        "path: ../set\ntrain: train/images",
        "path: {absolute}\ntrain: train/images",
        "train: {absolute}/train/images",
        "train: train\\images",
        "train: list.txt",
        "train: [list.txt]",
        "path:\ntrain: ./train/images/",
    ],
)
def test_the_ways_to_say_where_pictures_are(tmp_path, monkeypatch, text):
    lay(tmp_path / "set/train")
    (tmp_path / "set/list.txt").write_text("\ufefftrain/images/a.png\r\n\r\n", "utf-8")
    described = describe(
        tmp_path / "set", text.format(absolute=tmp_path / "set") + "\nnames: [thin]\n"
    )
    for working in (tmp_path, tmp_path / "set"):
        monkeypatch.chdir(working)
        assert [len(i.instances) for i in read_yolo(described)] == [1]
    assert [len(i.instances) for i in read_yolo("data.yaml")] == [1]


def test_several_folders_and_lists_are_one_side(tmp_path):
    lay(tmp_path / "one", "a.png")
    lay(tmp_path / "two", "b.png")
    lay(tmp_path / "three", "c.png")
    (tmp_path / "list.txt").write_text(f"./three/images/c.png\n{tmp_path}/one/images/a.png\n")
    described = describe(
        tmp_path, "validation: [one/images, two/images, list.txt]\nnames: {0: thin}\n"
    )
    assert [i.name for i in read_yolo(described, "val")] == ["a", "c", "b"]


@pytest.mark.parametrize("line", ["../secret/images/a.png", "/etc/hostname.png", "images/none.png"])
def test_lists_do_not_lead_out_of_the_set(tmp_path, line):
    lay(tmp_path / "secret")
    described = describe(tmp_path / "set", "train: list.txt\nnames: [thin]\n")
    (tmp_path / "set/list.txt").write_text(line)
    with pytest.raises(DataError, match="list.txt, line 1: .* is no file of the set"):
        read_yolo(described)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "describes no set"),
        ("- images", "describes no set"),
        ("train: [images", "is not YAML"),
        ("train: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("a: 2020-13-45", "is not YAML"),
        ("names: [thin]", "no 'train' part"),
        ("train:\nnames: [thin]", "no 'train' part"),
        ("train: {a: b}\nnames: [thin]", "a path or a list of paths"),
        ("path: 5\ntrain: images\nnames: [thin]", "a path or a list of paths"),
        ("train: nowhere\nnames: [thin]", "'nowhere' of train is not in"),
        (f"train: {'long' * 999}\nnames: [thin]", "of train is not in"),
        ("train: empty\nnames: [thin]", "holds no images"),
        ("train: images", "needs names"),
        ("train: images\nnames: thin", "needs names"),
        ("train: images\nnames: []", "needs names"),
        ("train: images\nnames: [a, b]\nnc: 3", "needs names"),
        ("train: images\nnames: {1: a, 2: b}", "number them from 0"),
        ("train: images\nnames: [yes, no]", "put each in quotes"),
        ("train: images\nnames: [a, a]", "two classes of one name"),
    ],
)
def test_a_broken_description_is_refused(tmp_path, text, message):
    lay(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message) as error:
        read_yolo(describe(tmp_path, text))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_description_may_be_missing_or_no_text(tmp_path):
    with pytest.raises(DataError, match="data.yaml cannot be read"):
        read_yolo(tmp_path / "data.yaml")
    (tmp_path / "data.yaml").write_bytes(b"names: [gr\xf6\xdfe]")
    with pytest.raises(DataError, match="not text in UTF-8"):
        read_yolo(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    "names", ["[thin, thick]", "{0: thin, 1: thick}", "{'1': thick, '0': thin}"]
)
def test_names_are_a_list_or_numbered(tmp_path, names):
    lay(tmp_path, label=SQUARE.replace("0 ", "1.0 ", 1))
    assert read_yolo(describe(tmp_path, f"train: images\nnames: {names}"))[0].categories == [
        "thick"
    ]


def test_numbers_may_stand_for_names(tmp_path):
    lay(tmp_path)
    assert read_yolo(describe(tmp_path, "train: images\nnc: 2"))[0].categories == ["class_0"]


@pytest.mark.parametrize(
    "label", [SQUARE, "\ufeff" + SQUARE, SQUARE.replace("\n", "\r\n\r\n"), "\n " + SQUARE[:-1]]
)
def test_labels_with_marks_and_line_ends_of_windows(tmp_path, label):
    lay(tmp_path, label=label)
    [image] = read_yolo(describe(tmp_path))
    assert image.masks[0, 5:15, 10:30].all() and image.masks.sum() == 11 * 21  # its line counts


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.floats(-0.02, 1.02)).map(str)), st.booleans())
def test_any_label_is_read_or_refused(tmp_path_factory, label, boxes):
    place = tmp_path_factory.getbasetemp()
    lay(place, label="0 " + label.strip("[]").replace(",", ""))
    described = describe(place)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(covers no pixel|there twice|not read)")
        try:
            read_yolo(described, boxes=boxes)
        except DataError as error:
            assert "a.txt" in str(error) and "\n" not in str(error)


def test_corners_may_leave_the_frame_by_a_hair(tmp_path):
    lay(tmp_path, label="0 -0.000001 -0.005 1.000001 0 1.009 1.0000001 0 1\n")
    assert read_yolo(describe(tmp_path))[0].masks.all()
    lay(tmp_path, label="0 -0.02 0 1 0 1 1 0 1\n")
    with pytest.raises(DataError, match="leaves the frame of 40 x 20 px"):
        read_yolo(describe(tmp_path))


def test_boxes_are_filled_where_that_was_asked_for(tmp_path):
    lay(tmp_path, label="1 0.5 0.5 0.25 0.5\n0 0.0 0.5 0.5 1.0\n0 0.5 0.5 0 0.2\n")
    described = describe(tmp_path)
    with pytest.warns(UserWarning, match="line 3 covers no pixel and is left out"):
        [image] = read_yolo(described, boxes=True)
    assert image.categories == ["thick", "thin"]
    box, half = image.masks
    assert box[5:15, 15:25].all() and box.sum() == 100
    assert half[:, :10].all() and half.sum() == 200  # cut off at the frame
    for line in ("0 0.5 0.5 -0.1 0.1", "0 0.5 nan 0.1 0.1", "0 0.5 0.5 1.2 0.1"):
        lay(tmp_path, label=line)
        with pytest.raises(DataError, match="line 1 has a box whose centre or size"):
            read_yolo(described, boxes=True)


def test_what_is_there_twice_or_not_at_all_is_warned_of(tmp_path):
    described = describe(tmp_path)
    lay(tmp_path, label=SQUARE + SQUARE)
    with pytest.warns(UserWarning, match="a.txt, line 2 is there twice"):
        assert len(read_yolo(described)[0].instances) == 1
    (tmp_path / "labels/a.txt").unlink()
    with pytest.warns(UserWarning, match="no picture of train has a label; there is no .*a.txt"):
        assert read_yolo(described)[0].instances == []


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 17])
def test_an_object_without_holes_comes_back_to_the_pixel(tmp_path, radius):
    mask = disc((45, 700), 20, 601, radius)
    image = LabelledImage("a", np.zeros((45, 700, 3), np.uint8), [Instance.of("thin", mask)])
    [again] = read_yolo(write_yolo(tmp_path, [image], {"train": [0]}, CLASSES))
    np.testing.assert_array_equal(again.masks[0], mask)
