"""Outlines along the edges of pixels, for COCO and ImageJ: every pixel comes back."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from mchelpers.inputs.polygons import outlines_to_mask
from mchelpers.measuring import outlines
from mchelpers.measuring.work import Job

MASKS = {
    "one": np.ones((1, 1), bool),
    "corner": np.eye(2, dtype=bool),
    "ring": np.pad(np.zeros((2, 3), bool), 1, constant_values=True),
    "noise": np.random.default_rng(0).random((40, 50)) > 0.5,
}
LABELS = np.zeros((40, 50), np.int32)
LABELS[2:20, 3:30] = 1
LABELS[5:9, 8:12] = 0  # a hole
LABELS[25:30, 3:9] = 2
LABELS[30:35, 9:12] = 2  # touches at a corner
LABELS[25:38, 20:50] = 3


@pytest.mark.parametrize("name", MASKS)
def test_rings_filled_give_the_mask(name):
    rings = outlines.trace(MASKS[name])
    filled = [outlines_to_mask([ring], MASKS[name].shape) for ring in rings]
    assert (np.logical_xor.reduce(filled) == MASKS[name]).all()


def test_rings_have_corners_only():
    rings = outlines.trace(np.pad(np.zeros((2, 3), bool), 1, constant_values=True))
    assert [sorted(map(tuple, ring.tolist())) for ring in rings] == [
        [(0, 0), (0, 4), (5, 0), (5, 4)],
        [(1, 1), (1, 3), (4, 1), (4, 3)],
    ]
    assert len(outlines.trace(np.eye(2, dtype=bool))) == 2  # kept apart where they touch


def write_rois(path, labels):
    path.write_bytes(outlines.roi_zip(outlines.outlined(labels)))


def test_rois_bring_back_every_pixel(tmp_path):
    pytest.importorskip("roifile")
    write_rois(tmp_path / "a.zip", LABELS)
    assert (outlines.read_rois(tmp_path / "a.zip", LABELS.shape) == LABELS).all()
    assert outlines.roi_zip(outlines.outlined(LABELS)) == outlines.roi_zip(
        outlines.outlined(LABELS)
    )  # no dates, no random names


def test_rois_are_what_imagej_reads(tmp_path):
    roifile = pytest.importorskip("roifile")
    write_rois(tmp_path / "a.zip", LABELS)
    ring, two, plain = roifile.roiread(tmp_path / "a.zip")
    assert [roi.name for roi in (ring, two, plain)] == ["00001", "00002", "00003"]
    assert ring.composite and ring.roitype.name == "RECT" and plain.roitype.name == "TRACED"
    assert (ring.left, ring.top, ring.right, ring.bottom) == (3, 2, 30, 20)
    assert (plain.left, plain.top, plain.right, plain.bottom) == (20, 25, 50, 38)


def test_shapes_drawn_in_imagej_are_filled(tmp_path):
    roifile = pytest.importorskip("roifile")
    kinds = roifile.ROI_TYPE
    oval = roifile.ImagejRoi(roitype=kinds.OVAL, left=10, top=5, right=30, bottom=25, name="b")
    box = roifile.ImagejRoi(roitype=kinds.RECT, left=-5, top=30, right=5, bottom=60, name="a")
    roifile.roiwrite(tmp_path / "a.zip", [oval, box])
    labels = outlines.read_rois(tmp_path / "a.zip", (40, 50))
    assert abs((labels == labels[15, 20]).sum() - np.pi * 100) < 8
    assert (labels == labels[39, 0]).sum() == 50  # cut off at the frame


def test_what_has_no_area_is_refused(tmp_path):
    roifile = pytest.importorskip("roifile")
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, name="a line")
    roifile.roiwrite(tmp_path / "a.zip", [line])
    with pytest.raises(ValueError, match="the ROI a line has no area"):
        outlines.read_rois(tmp_path / "a.zip", (40, 50))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as packed:
        packed.writestr("a.roi", b"no ROI")
    for name in ("b.zip", "c.zip"):
        (tmp_path / "c.zip").write_bytes(b"no zip")
        with pytest.raises(ValueError, match="is no zip of ROIs"):
            outlines.read_rois(tmp_path / name, (40, 50))


def test_edited_rois_are_taken(tmp_path):
    pytest.importorskip("roifile")
    film = (np.hypot(*(np.mgrid[:96, :96] - 40)) < 25) * np.uint8(150)
    Image.fromarray(film + np.uint8(9)).save(tmp_path / "film.png")
    settings = {"study": "afm_coverage", "pixel_size_nm": 2.0}
    Job(0, "film", tmp_path / "film.png", tmp_path / "out", settings).do()
    written = (tmp_path / "out" / "rois" / "film.zip").read_bytes()
    assert len(zipfile.ZipFile(io.BytesIO(written)).namelist()) == 1
    masks = tmp_path / "edited"
    masks.mkdir()
    job = Job(0, "film", tmp_path / "film.png", tmp_path / "out", settings, masks)
    (masks / "film.zip").write_bytes(written)
    assert "by Otsu" in job.do()  # as the program drew it
    edited = np.zeros((96, 96), np.int32)
    edited[10:20, 10:20] = 1
    write_rois(masks / "film.zip", edited)
    assert "1 found, 1.1% of the image, by your mask, in place of Otsu" in job.do()


WITHOUT = """
import sys
sys.modules["cv2"] = sys.modules["roifile"] = None
import numpy as np
from pathlib import Path
from mchelpers.measuring.folder import measure_files
out, pixels = Path(sys.argv[1]), np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
sizes = {"graphene_hrtem": 0.04, "nanoparticles": 0.02, "afm_coverage": 2, "tmd_optical": 100}
for study, nm in sizes.items():
    np.save(out / f"{study}.npy", pixels if study == "tmd_optical" else pixels[..., 0])
    assert measure_files([out / f"{study}.npy"], study, out / study, nm) == (0, 1)
    assert not (out / study / "rois").exists()
"""


def test_neither_opencv_nor_roifile_is_needed(tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], check=True, timeout=300)
