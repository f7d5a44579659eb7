"""Labelme's files, as it saves them or broken."""

import base64
import io
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("cv2")

from mchelpers.downloads import DataError
from mchelpers.inputs.labelme import read_labelme
from mchelpers.inputs.labels import read_labels

SQUARE = [[5, 5], [15, 5], [15, 15], [5, 15]]


def encoded(picture, kind="PNG"):
    stream = io.BytesIO()
    picture.save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


def lay(folder, *shapes, name="a", picture="a.png", **parts):
    """Write a picture of 20 x 30 px and what Labelme 5 saves of some shapes."""
    if "imageData" not in parts:
        Image.new("RGB", (30, 20)).save(folder / f"{name}.png")
    filled = {"label": "thin", "group_id": None, "description": "", "flags": {}}
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [{**filled, "shape_type": "polygon", **s} for s in shapes],
        "imagePath": picture,
        "imageData": None,
        "imageHeight": 20,
        "imageWidth": 30,
        **parts,
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps({k: v for k, v in content.items() if v != "none"}))
    return file


def test_shapes_of_every_kind_cover_their_own_area(tmp_path):
    drawn = np.zeros((3, 4), bool)
    drawn[1, 1:] = True
    file = lay(
        tmp_path,
        {"points": SQUARE},
        {"points": [[15, 15], [5, 5]], "shape_type": "rectangle"},
        {"points": SQUARE, "shape_type": "rectangle"},
        {"points": [[15, 10], [15, 16]], "shape_type": "circle"},
        {"points": [[2, 3], [5, 5]], "shape_type": "mask", "mask": encoded(Image.fromarray(drawn))},
        {"points": SQUARE, "shape_type": None, "label": "thick"},
    )
    [image] = read_labelme(file)
    polygon, rectangle, corners, circle, mask, old = image.masks
    assert polygon.sum() == 100 and polygon[5:15, 5:15].all()
    for same in (rectangle, corners, old):
        np.testing.assert_array_equal(same, polygon)
    rows, columns = np.mgrid[:20, :30] + 0.5
    np.testing.assert_array_equal(circle, np.hypot(rows - 10, columns - 15) <= 6)
    assert mask.sum() == 3 and mask[4, 3:6].all()
    assert image.name == "a" and image.categories == ["thin"] * 5 + ["thick"]


def test_shapes_of_one_group_are_one_object(tmp_path):
    small = [[20, 2], [22, 2], [22, 4], [20, 4]]
    file = lay(
        tmp_path,
        {"points": SQUARE, "group_id": 3},
        {"points": SQUARE, "group_id": 3, "label": "thick"},
        {"points": small, "group_id": 3},
        {"points": small},
        {"points": small},
    )
    [image] = read_labelme(file)
    assert image.categories == ["thin", "thick", "thin", "thin"]
    assert image.masks.sum((1, 2)).tolist() == [104, 100, 4, 4]


def test_what_has_no_area_is_left_out_with_a_warning(tmp_path):
    file = lay(
        tmp_path,
        {"points": [[1, 1], [5, 5]], "shape_type": "line"},
        {"points": [[1, 1]], "shape_type": "point"},
        {"points": [[9.5, 9.5], [9.5, 9.5]], "shape_type": "circle"},
        {"points": [[5, 5], [5, 9]], "shape_type": "rectangle"},
    )
    with pytest.warns(UserWarning) as told:
        assert read_labelme(file)[0].instances == []
    texts = [str(w.message) for w in told]
    assert [f"shape {n} " in t for n, t in enumerate(texts, 1)] == [True] * 4
    assert "no area (line)" in texts[0] and "covers no pixel" in texts[3]


def test_the_picture_may_be_inside(tmp_path):
    grey = Image.new("L", (30, 20), 77)
    for kind in ("PNG", "JPEG"):
        data = encoded(grey, kind)
        [image] = read_labelme(lay(tmp_path, picture="../else/b.jpg", imageData=data))
        assert image.image.shape == (20, 30, 3) and (image.image == 77).all()
    for data in ("%%%", 5, encoded(grey)[:40]):
        with pytest.raises(DataError, match="base64|cannot be read"):
            read_labelme(lay(tmp_path, imageData=data))


def test_a_picture_inside_needs_no_name(tmp_path):
    inside = encoded(Image.new("RGB", (30, 20)))
    for name in ("gone.png", None, ""):
        file = lay(tmp_path, {"points": SQUARE}, picture=name, imageData=inside)
        assert read_labelme(file)[0].masks.sum() == 100


def test_a_mask_fills_the_box_of_its_points(tmp_path):
    shape = {"shape_type": "mask", "mask": encoded(Image.new("1", (5, 4), 1))}
    file = lay(tmp_path, {**shape, "points": [[3, 6], [7, 9]]})
    assert read_labelme(file)[0].masks[0, 6:10, 3:8].all()
    file = lay(tmp_path, {**shape, "points": [[3, 6], [17, 19]]})
    with pytest.raises(DataError, match="shape 1 holds a mask of another size than its two"):
        read_labelme(file)


def test_a_folder_of_files_is_read_in_order(tmp_path):
    lay(tmp_path, {"points": SQUARE}, name="b", picture="b.png")
    lay(tmp_path, name="a", picture="a.png", imageHeight="none", imageWidth=None)
    assert [(i.name, len(i.instances)) for i in read_labels(tmp_path)] == [("a", 0), ("b", 1)]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no JSON file of Labelme"):
        read_labelme(tmp_path / "none")


def test_a_picture_elsewhere_is_read_where_that_folder_is_named(tmp_path):
    (tmp_path / "labels").mkdir()
    lay(tmp_path)
    for path in ("../a.png", "..\\a.png", "/data/a.png", "C:\\data\\a.png"):
        file = lay(tmp_path / "labels", {"points": SQUARE}, picture=path)
        with pytest.raises(DataError, match="leads out"):
            read_labelme(file)
        assert len(read_labelme(file, folder=tmp_path)[0].instances) == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": SQUARE[:2]}, "polygon of 2 points"),
        ({"points": []}, "polygon of 0 points|list of x y pairs"),
        ({"points": None}, "list of x y pairs"),
        ({"points": [[1, 2, 3], [4, 5, 6]]}, "list of x y pairs"),
        ({"points": [[1, 2], [3]]}, "list of x y pairs"),
        ({"points": [[1, 2], [3, 4], [5, float("nan")]]}, "no finite number"),
        ({"points": [[1, 2], [3, 4], [5, 44]]}, "leaves the frame"),
        ({"points": SQUARE[:1], "shape_type": "circle"}, "needs two points"),
        ({"points": [[1, 2], [3, float("inf")]], "shape_type": "circle"}, "no finite number"),
        ({"points": SQUARE[:3], "shape_type": "rectangle"}, "needs two points"),
        ({"points": SQUARE, "shape_type": "star"}, "'star'; draw it as a polygon"),
        ({"points": SQUARE, "shape_type": ["circle"]}, "draw it as a polygon"),
        ({"points": SQUARE[:2], "shape_type": "mask"}, "not base64"),
        ({"points": SQUARE[:2], "shape_type": "mask", "mask": "YWJj"}, "mask that cannot be read"),
        (
            {
                "points": [[25, 5], [33, 13]],
                "shape_type": "mask",
                "mask": encoded(Image.new("1", (9, 9))),
            },
            "mask that leaves its frame",
        ),
        ({"points": SQUARE, "label": ""}, "the label ''"),
        ({"points": SQUARE, "label": None}, "the label None"),
        ({"points": SQUARE, "label": "bulk"}, "the label 'bulk'; expected is"),
    ],
)
def test_a_broken_shape_is_refused_with_its_number(tmp_path, shape, message):
    file = lay(tmp_path, {"points": SQUARE}, shape)
    with pytest.raises(DataError, match=message) as error:
        read_labelme(file, classes=["thin", "thick"])
    assert f"{file}, shape 2" in str(error.value)


VALUES = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=4), st.sampled_from([[], {}, SQUARE])
)
POINTS = st.one_of(VALUES, st.lists(st.lists(st.floats(), max_size=3), max_size=5))
KINDS = st.sampled_from(["polygon", "rectangle", "circle", "mask", "line", None, 5])


@settings(max_examples=200, deadline=None)
@given(POINTS, KINDS, VALUES, VALUES, VALUES)
def test_any_shape_is_read_or_refused(tmp_path_factory, points, kind, mask, group, value):
    shape = {"points": points, "shape_type": kind, "mask": mask, "group_id": group}
    file = lay(tmp_path_factory.getbasetemp(), shape, imageWidth=value)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(covers no pixel|has no area)")
        try:
            read_labelme(file)
        except DataError as error:
            assert str(file) in str(error)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"shapes": "none"}, "no list of shapes"),
        ({"shapes": [5]}, "no list of shapes"),
        ({"imagePath": None}, "names no picture"),
        ({"imagePath": "b.png"}, "'b.png', which is not in"),
        ({"imageHeight": 21}, "has 30 x 21 px, it has 30 x 20"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, parts, message):
    with pytest.raises(DataError, match=message):
        read_labelme(lay(tmp_path, **parts))
