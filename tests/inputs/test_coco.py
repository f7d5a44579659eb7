"""COCO's files, filled as pycocotools fills them or refused."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

from labelled_scenes import CLASSES, disc, scenes
from PIL import Image

from mchelpers.downloads import DataError
from mchelpers.inputs.coco import read_coco, write_coco
from mchelpers.inputs.objects import Instance, LabelledImage

SQUARE = [5, 5, 15, 5, 15, 15, 5, 15]
PACKED = "Y3::00HL040L040L040L040L040L04800W9"


@pytest.fixture
def images():
    return scenes()


def lay(folder, *annotations, name="a.png", beside="images", **parts):
    """Write a picture of 20 x 30 px and COCO's file with some objects in it."""
    (folder / beside).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(folder / beside / "a.png")
    common = {"image_id": 1, "category_id": 7}
    content = {
        "images": [{"id": 1, "file_name": name, "height": 20, "width": 30}],
        "categories": [{"id": 7, "name": "thin"}, {"id": 3, "name": "thick"}],
        "annotations": [{"id": n, **common, **a} for n, a in enumerate(annotations, 41)],
        **parts,
    }
    content = {part: value for part, value in content.items() if value is not None}
    file = folder / "a.json"
    file.write_text(json.dumps(content))
    return file


def read_one(folder, **annotation):
    return read_coco(lay(folder, annotation))[0].masks


def test_coco_gives_back_everything(images, tmp_path):
    file = write_coco(tmp_path, images, CLASSES)
    again = read_coco(file, classes=CLASSES)
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


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12])
def test_area_outline_and_mask_agree_for_small_objects_too(tmp_path, radius):
    """In other programs too: the shoelace formula gives the same area."""
    mask = disc((40, 50), 20, 31, radius)
    image = LabelledImage("a", np.zeros((40, 50, 3), np.uint8), [Instance.of("thin", mask)])
    file = write_coco(tmp_path, [image], CLASSES)
    [thing] = json.loads(file.read_text())["annotations"]
    [corners] = thing["segmentation"]
    x, y = np.reshape(corners, (-1, 2)).T
    shoelace = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert thing["area"] == mask.sum() == shoelace
    np.testing.assert_array_equal(read_coco(file)[0].masks[0], mask)
    if theirs := _pycocotools():
        packed = theirs.merge(theirs.frPyObjects(thing["segmentation"], 40, 50))
        np.testing.assert_array_equal(theirs.decode(packed).astype(bool), mask)


def _pycocotools():
    try:
        from pycocotools import mask
    except ImportError:
        return None
    return mask


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_every_mask_comes_back_to_the_pixel(tmp_path_factory, seed, share):
    """Noise: pieces, holes, pieces in holes, single pixels, frames of one row."""
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 15, 2)) < share
    mask[0, 0] = True
    image = LabelledImage("a", np.zeros((*mask.shape, 3), np.uint8), [Instance.of("thin", mask)])
    file = write_coco(tmp_path_factory.mktemp("noise"), [image], CLASSES)
    np.testing.assert_array_equal(read_coco(file)[0].masks[0], mask)


def test_outlines_of_every_kind_are_read(tmp_path):
    square = np.zeros((20, 30), bool)
    square[5:15, 5:15] = True
    runs = [5 * 20 + 5, *[10, 10] * 9, 10, 5 + 15 * 20]
    for outline in (
        [SQUARE],
        {"size": [20, 30], "counts": runs},
        [SQUARE, [6, 6, 9, 6, 9, 9]],  # a second part that lies on the first
    ):
        np.testing.assert_array_equal(read_one(tmp_path, segmentation=outline)[0], square)
    two = read_one(tmp_path, segmentation=[SQUARE, [20, 5, 22, 5, 22, 7, 20, 7]])[0]
    assert two.sum() == 104 and two[5:7, 20:22].all()
    hair = read_one(tmp_path, segmentation=[[-0.5, 0, 30.4, -0.2, 30, 20.9, 0, 20]])
    assert hair.all()


def test_packed_run_lengths_are_read(tmp_path):
    """The string is what pycocotools 2.0.11 makes of a ring of 100 - 36 px."""
    outline = {"size": [20, 30], "counts": PACKED}
    ring = read_one(tmp_path, segmentation=outline)[0]
    assert ring.sum() == 64 and ring[5:15, 5:15].sum() == 64 and not ring[7:13, 7:13].any()


def test_boxes_are_filled_where_that_was_asked_for(tmp_path):
    file = lay(tmp_path, {"bbox": [5, 4, 10, 2]}, {"bbox": [0, 0, 30, 20], "segmentation": []})
    with pytest.raises(DataError, match="annotation 41 has no outline; .* pass boxes=True"):
        read_coco(file)
    box, frame = read_coco(file, boxes=True)[0].masks
    assert box[4:6, 5:15].all() and box.sum() == 20 and frame.all()
    for bbox in ([1, 2, 3], None, [0, 0, float("nan"), 5], [5, 5, -2, 3], "box", [10**400] * 4):
        with pytest.raises(DataError, match="annotation 41 has"):
            read_coco(lay(tmp_path, {"bbox": bbox}), boxes=True)


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ([], "no outline"),
        (None, "no outline"),
        ({}, "no list of counts|do not fill"),
        (SQUARE, "not a list of polygons"),
        ("abc", "not a list of polygons"),
        (5, "not a list of polygons"),
        ([[]], "polygon of 0 points"),
        ([[1, 2, 3, 4]], "polygon of 2 points"),
        ([SQUARE, [1, 2]], "polygon of 1 points"),
        ([[1, 2, 3, 4, 5]], "not a list of x y pairs"),
        ([[1, 2, "x", 4, 5, 6]], "not a list of x y pairs"),
        ([[[1, 2, 3], [4, 5, 6]]], "not a list of x y pairs"),
        ([[10**400, 2, 3, 4, 5, 6]], "not a list of x y pairs"),
        ([[1, 2, float("nan"), 4, 5, 6]], "no finite number"),
        ([[1, 2, None, 4, 5, 6]], "no finite number"),
        ([[1, 2, float("inf"), 4, 5, 6]], "no finite number"),
        ([[1, 2, 32, 4, 5, 6]], "leaves the frame of 30 x 20 px"),
        ([[1, 2, -1e9, 4, 5, 6]], "leaves the frame of 30 x 20 px"),
        ({"size": [20, 30], "counts": [10, -5, 595]}, "whole numbers"),
        ({"size": [20, 30], "counts": [10.0, 590]}, "whole numbers"),
        ({"size": [20, 30], "counts": [10, 5]}, "do not fill"),
        ({"size": [20, 30], "counts": [10**30, 5]}, "do not fill"),
        ({"size": [20, 30]}, "no list of counts"),
        ({"counts": [600]}, "do not fill"),
        ({"size": 600, "counts": [600]}, "do not fill"),
        ({"size": [30, 20], "counts": [600]}, "do not fill"),
        ({"size": [20, 30], "counts": "~~~"}, "damaged"),
        ({"size": [20, 30], "counts": "h0o"}, "break off"),
        ({"size": [20, 30], "counts": ""}, "do not fill"),
    ],
)
def test_a_broken_outline_is_refused_with_its_annotation(tmp_path, outline, message):
    file = lay(tmp_path, {"segmentation": [SQUARE]}, {"segmentation": outline})
    with pytest.raises(DataError, match=message) as error:
        read_coco(file)
    assert f"{file}, annotation 42 has" in str(error.value) and "\n" not in str(error.value)


def test_an_object_without_pixels_is_left_out_and_a_crowd_is_told(tmp_path):
    tiny = {"segmentation": [[4.6, 4.6, 4.9, 4.6, 4.9, 4.9]]}
    empty = {"segmentation": {"size": [20, 30], "counts": [600]}}
    crowd = {"segmentation": {"size": [20, 30], "counts": [0, 600]}, "iscrowd": 1}
    with pytest.warns(UserWarning) as told:
        [image] = read_coco(lay(tmp_path, tiny, empty, crowd))
    assert len(image.instances) == 1 and image.masks.all()
    texts = " ".join(str(w.message) for w in told)
    assert "annotation 41 covers no pixel" in texts and "annotation 42 covers no pixel" in texts
    assert "each crowd is read as one object: [43]" in texts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"categories": None}, "no list of categories"),
        ({"images": None}, "no list of images"),
        ({"annotations": None}, "no list of annotations"),
        ({"images": {"1": 2}}, "no list of images"),
        ({"images": ["a.png"]}, "number 1 of the images, lacks"),
        ({"categories": [{"id": 7}]}, "number 1 of the categories, lacks"),
        ({"categories": [{"id": [7], "name": "x"}]}, "no number or text"),
        ({"categories": [{"id": 7, "name": "x"}] * 2}, "number 2 .* has the id 7, which another"),
        ({"categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]}, "two classes of one"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "has the id 1, which another"),
        (
            {"annotations": [{"image_id": 1, "category_id": 7}]},
            "number 1 of the ann.*lacks",
        ),
        ({"annotations": [{"id": 1, "image_id": 9, "category_id": 7}]}, "annotation 1 is of a cat"),
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 9}]}, "annotation 1 is of a cat"),
        (
            {"images": [{"id": n, "file_name": "a.png"} for n in (1, 2)]},
            "lists the image 'a.png' twice; join its annotations",
        ),
        ({"images": [{"id": 1, "file_name": "../a.png"}]}, "image 1, .* leads out"),
        ({"images": [{"id": 1, "file_name": "/etc/a.png"}]}, "image 1, .* leads out"),
        ({"images": [{"id": 1, "file_name": "..\\a.png"}]}, "image 1, .* leads out"),
        ({"images": [{"id": 1, "file_name": 5}]}, "image 1, .* leads out"),
        ({"images": [{"id": 1, "file_name": "b.png"}]}, "image 1, .* is not in"),
        ({"images": [{"id": 1, "file_name": "b" * 5000}]}, "image 1, .* is not in"),
        ({"images": [{"id": 1, "file_name": "a\0.png"}]}, "image 1, .* is not in"),
        (
            {"images": [{"id": 1, "file_name": "a.png", "height": 30, "width": 20}]},
            "a.png has 20 x 30 px, it has 30 x 20",
        ),
        ({"images": [{"id": 1, "file_name": "a.png", "pixel_um": 0}]}, "the pixel size 0 um"),
        ({"images": [{"id": 1, "file_name": "a.png", "pixel_um": "0,1"}]}, "the pixel size"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, parts, message):
    file = lay(tmp_path, **parts)
    with pytest.raises(DataError, match=message) as error:
        read_coco(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("size", [("30", "20"), (30.0, 20.0), (None, None)])
def test_sides_and_ids_of_any_type_are_read(tmp_path, size):
    image = {"id": "1", "file_name": ".\\a.png", "width": size[0], "height": size[1]}
    square = {"id": 1, "image_id": "1", "category_id": 0, "segmentation": [[2, 2, 8, 2, 8, 8]]}
    parts = {"images": [image], "categories": [{"id": 0, "name": "thin"}], "annotations": [square]}
    assert read_coco(lay(tmp_path, **parts))[0].categories == ["thin"]


NUMBERS = st.one_of(st.integers(-5, 40), st.floats(-5, 40), st.floats(), st.integers())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=8), st.dictionaries(st.sampled_from(["size", "counts"]), inner)
    ),
    max_leaves=20,
)
OUTLINES = st.one_of(
    JSON,
    st.lists(st.lists(NUMBERS, max_size=10), max_size=3),
    st.fixed_dictionaries({"size": st.just([20, 30]), "counts": st.one_of(JSON, st.text())}),
)


@settings(max_examples=200, deadline=None)
@given(OUTLINES, OUTLINES, st.booleans(), JSON)
def test_any_outline_is_read_or_refused(tmp_path_factory, outline, bbox, boxes, layers):
    thing = {"segmentation": outline, "bbox": bbox, "layers": layers}
    file = lay(tmp_path_factory.getbasetemp(), thing)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* covers no pixel")
        try:
            [image] = read_coco(file, boxes=boxes)
        except DataError as error:
            assert "annotation 41 has" in str(error)
        else:
            assert image.masks.shape[1:] == (20, 30)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["images", "annotations", "categories"]), JSON, st.integers(0, 9))
def test_any_entry_is_read_or_refused(tmp_path_factory, part, value, which):
    file = lay(tmp_path_factory.getbasetemp(), {"segmentation": [SQUARE]})
    content = json.loads(file.read_text())
    keys = [None, *content[part][0]]
    key = keys[which % len(keys)]
    content[part] = value if key is None else [content[part][0] | {key: value}]
    file.write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(covers no pixel|crowd)")
        try:
            read_coco(file)
        except DataError as error:
            assert str(file) in str(error)


def test_what_is_no_file_of_labels_is_refused(tmp_path):
    file = lay(tmp_path, {"segmentation": [SQUARE]})
    whole = file.read_bytes()
    with pytest.raises(DataError, match=r"has the classes \['thick', 'thin'\]"):
        read_coco(file, classes=["bulk"])
    for content, message in (
        (whole[:-20], "is not JSON .* cut short"),
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "holds a list"),
        (b'"a"', "holds a str"),
        (b"\xff\xfe{", "not text in UTF-8"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_coco(file)
    file.write_bytes(b"\xef\xbb\xbf" + whole)
    assert read_coco(file, classes=["thick", "thin"])[0].masks.sum() == 100
    with pytest.raises(DataError, match="none.json cannot be read"):
        read_coco(tmp_path / "none.json")


@pytest.mark.parametrize("beside", ["images", ".", "images/deep"])
def test_pictures_lie_below_images_or_beside_the_file(tmp_path, beside):
    name = "deep\\a.png" if "deep" in beside else "a.png"
    file = lay(tmp_path, {"segmentation": [SQUARE]}, beside=beside, name=name)
    [image] = read_coco(file)
    assert image.name == "a" and image.categories == ["thin"] and image.instances[0].layers is None
    folder = tmp_path / beside
    assert read_coco(lay(tmp_path, beside=beside), folder=folder)[0].instances == []
