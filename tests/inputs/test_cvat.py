"""CVAT's XML, as it exports it or broken; and the one door for all labels."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_scenes import CLASSES, scenes
from PIL import Image

pytest.importorskip("cv2")

from mchelpers.downloads import DataError
from mchelpers.inputs.coco import write_coco
from mchelpers.inputs.cvat import read_cvat
from mchelpers.inputs.labels import read_labels
from mchelpers.inputs.yolo import write_yolo

META = """<meta><task><id>1</id><labels>
<label><name>thin</name><color>#ff0000</color><attributes><attribute><name>layers</name>
</attribute></attributes></label><label><name>thick</name></label></labels>
<original_size><width>30</width></original_size></task></meta>"""
SQUARE = 'points="5.00,5.00;15.00,5.00;15.00,15.00;5.00,15.00"'


def lay(folder, shapes, name="a.png", size='width="30" height="20"', meta=META, begin=""):
    """Write a picture of 20 x 30 px and an export with some shapes in it."""
    (folder / "images/deep").mkdir(parents=True, exist_ok=True)
    for place in ("images", "images/deep"):
        Image.new("RGB", (30, 20)).save(folder / place / "a.png")
    file = folder / "annotations.xml"
    file.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n{begin}<annotations><version>1.1</version>{meta}'
        f'<image id="0" name="{name}" {size}>{shapes}</image></annotations>'
    )
    return file


def shape(tag, numbers, label="thin", inside=""):
    return f'<{tag} label="{label}" source="manual" occluded="1" {numbers}>{inside}</{tag}>'


def test_shapes_of_every_kind_cover_their_own_area(tmp_path):
    layers = '<attribute name="layers">2</attribute>'
    file = lay(
        tmp_path,
        shape("polygon", SQUARE, inside=layers)
        + shape("box", 'xtl="5.0" ytl="5.0" xbr="15.0" ybr="15.0"', "thick")
        + shape("box", 'xtl="5" ytl="8" xbr="15" ybr="12" rotation="90"')
        + shape("mask", 'rle="1, 3, 5, 3" left="2" top="4" width="4" height="3"')
        + shape("ellipse", 'cx="10" cy="10" rx="4" ry="2" rotation="90"'),
        name="deep/a.png",
    )
    [image] = read_cvat(file)
    polygon, box, turned, mask, ellipse = image.masks
    assert image.name == "a" and image.categories == ["thin", "thick", "thin", "thin", "thin"]
    assert polygon.sum() == 100 and polygon[5:15, 5:15].all()
    np.testing.assert_array_equal(box, polygon)
    assert turned.sum() == 40 and turned[5:15, 8:12].all()
    assert mask.sum() == 6 and mask[4, 3:6].all() and mask[6, 3:6].all()
    rows, columns = np.mgrid[:20, :30] + 0.5
    np.testing.assert_array_equal(ellipse, ((rows - 10) / 4) ** 2 + ((columns - 10) / 2) ** 2 <= 1)


def test_a_turn_is_clockwise(tmp_path):
    long = 'xtl="5" ytl="9" xbr="15" ybr="11" rotation="30"'
    mask = read_cvat(lay(tmp_path, shape("box", long)))[0].masks[0]
    assert mask[12, 13] and not mask[7, 13]  # its right end is lower: y points down
    oval = 'cx="10" cy="10" rx="6" ry="1" rotation="30"'
    mask = read_cvat(lay(tmp_path, shape("ellipse", oval)))[0].masks[0]
    assert mask[12, 13] and not mask[7, 13]


def test_the_lowest_comes_first(tmp_path):
    upper = shape("polygon", SQUARE + ' z_order="2"', "thick")
    lower = shape("polygon", SQUARE + ' z_order="-1"')
    image = read_cvat(lay(tmp_path, upper + lower))[0]
    assert image.categories == ["thin", "thick"] and (image.masks.sum((1, 2)) == 100).all()


def test_what_has_no_area_is_left_out_with_a_warning(tmp_path):
    shapes = shape("polyline", SQUARE) + shape("tag", "") + shape("polygon", SQUARE)
    flat = shape("ellipse", 'cx="10.5" cy="10.5" rx="0" ry="0"')
    with pytest.warns(UserWarning) as told:
        [image] = read_cvat(lay(tmp_path, shapes + flat))
    texts = [str(w.message) for w in told]
    assert len(image.instances) == 1 and len(texts) == 3
    assert "polyline number 1, has no area" in texts[0] and "covers no pixel" in texts[2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (shape("polygon", ""), "not a list of x y pairs"),
        (shape("polygon", 'points="1,2;3,4"'), "polygon of 2 points"),
        (shape("polygon", 'points="1,2;3,4;5"'), "not a list of x y pairs"),
        (shape("polygon", 'points="1,2;3,4;5,nan"'), "no finite number"),
        (shape("polygon", 'points="1,2;3,4;5,66"'), "leaves the frame of 30 x 20 px"),
        (shape("polygon", SQUARE, "bulk"), "the label 'bulk'; expected is one of"),
        (f"<polygon {SQUARE}/>", "the label None"),
        (shape("polygon", SQUARE + ' z_order="top"'), "lacks one of the numbers z_order"),
        (shape("box", 'xtl="1" ytl="2" xbr="3"'), "lacks one of the numbers xtl"),
        (shape("box", 'xtl="1" ytl="2" xbr="3" ybr="inf"'), "no finite number"),
        (shape("ellipse", 'cx="1" cy="2" rx="x" ry="3"'), "lacks one of the numbers cx"),
        (shape("mask", 'rle="1, 2" left="0" top="0" width="2" height="2"'), "do not fill"),
        (shape("mask", 'rle="5, -1" left="0" top="0" width="2" height="2"'), "whole numbers"),
        (shape("mask", 'rle="a" left="0" top="0" width="2" height="2"'), "whole numbers"),
        (shape("mask", 'rle="4" left="29" top="0" width="2" height="2"'), "leaves its frame"),
        (shape("mask", 'rle="4" left="0" top="0" width="-2" height="-2"'), "do not fit"),
        (shape("mask", 'rle="1" left="0" top="0" width="1e9" height="1e9"'), "do not fit"),
    ],
)
def test_a_broken_shape_is_refused_with_its_number(tmp_path, wrong, message):
    file = lay(tmp_path, shape("polygon", SQUARE) + wrong)
    with pytest.raises(DataError, match=message) as error:
        read_cvat(file)
    assert f"{file}, a.png, " in str(error.value) and "number 2, " in str(error.value)


TEXT = st.one_of(st.text("0123456789.,;- enaif", max_size=20), st.floats().map(str))
TAGS = st.sampled_from(["polygon", "box", "ellipse", "mask", "points"])
KEYS = "points xtl ytl xbr ybr rotation z_order cx cy rx ry rle left top width height".split()


@settings(max_examples=200, deadline=None)
@given(TAGS, st.dictionaries(st.sampled_from(KEYS), TEXT, max_size=9))
def test_any_shape_is_read_or_refused(tmp_path_factory, tag, said):
    known = {key: "7" for key in KEYS} | {"points": "1,2;9,3;5,12", "rle": "49"} | said
    numbers = " ".join(f'{key}="{value}"' for key, value in known.items())
    file = lay(tmp_path_factory.getbasetemp(), shape(tag, numbers))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(covers no pixel|has no area)")
        try:
            read_cvat(file)
        except DataError as error:
            assert str(file) in str(error)


def test_a_broken_file_is_refused(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;">]>'
    outside = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'
    for begin in (bomb, outside, "<!DOCTYPE html>"):
        with pytest.raises(DataError, match="has a document type"):
            read_cvat(lay(tmp_path, "", begin=begin))
    for name in ("../a.png", "/etc/a.png", "..\\a.png"):
        with pytest.raises(DataError, match="leads out"):
            read_cvat(lay(tmp_path, "", name=name))
    with pytest.raises(DataError, match="'b.png', which is not in"):
        read_cvat(lay(tmp_path, "", name="b.png"))
    with pytest.raises(DataError, match="has 30 x 21 px, it has 30 x 20"):
        read_cvat(lay(tmp_path, "", size='width="30" height="21"'))
    with pytest.raises(DataError, match=r"has the classes \['thin', 'thick'\], expected"):
        read_cvat(lay(tmp_path, ""), classes=["thick", "thin"])
    file = tmp_path / "annotations.xml"
    for content, message in (
        (lay(tmp_path, "").read_bytes()[:-30], "cannot be read as XML .* cut short"),
        (b"", "cannot be read as XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "cannot be read as XML"),
        (b"<annotation/>", "no export 'CVAT for images 1.1'"),
        (b"<annotations><track id='0'/></annotations>", "no export 'CVAT for images 1.1'"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_cvat(file)
    with pytest.raises(DataError, match="cannot be read as XML"):
        read_cvat(tmp_path / "none.xml")


def test_an_export_without_a_list_of_labels_is_read(tmp_path):
    file = lay(tmp_path, shape("polygon", SQUARE, "b") + shape("polygon", SQUARE, "a"), meta="")
    assert read_cvat(file, classes=["a", "b"])[0].categories == ["b", "a"]
    assert read_cvat(lay(tmp_path, "", size=""), folder=tmp_path / "images/deep")[0].shape == (
        20,
        30,
    )


def test_one_door_takes_the_files_of_every_tool(tmp_path):
    images = scenes()
    yolo = write_yolo(tmp_path / "yolo", images, {"val": [4, 5]}, CLASSES)
    coco = write_coco(tmp_path / "coco", images, CLASSES)
    for path in (yolo, yolo.parent):
        assert [i.name for i in read_labels(path, side="val")] == ["image4", "image5"]
    assert [len(i.instances) for i in read_labels(coco, coco.parent / "images")] == [3] * 6
    assert read_labels(lay(tmp_path / "cvat", ""), classes=["thin", "thick"])[0].name == "a"
    for name in ("labels.csv", "labels.txt", "labels"):
        with pytest.raises(DataError, match=f"{name} is no file of labels: data.yaml of YOLO"):
            read_labels(tmp_path / name)
