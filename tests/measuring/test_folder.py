"""A run over files: tables, masks, one page; whatever is wrong with a file is one sentence."""

import csv
import html
import re

import microscope_files
import numpy as np
import pytest
import tifffile
from PIL import Image

import mchelpers
from mchelpers.measuring import folder, pictures, report, tables
from mchelpers.measuring.command import add_parsers

GREY = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8)
FILM = (np.hypot(*(np.mgrid[:96, :96] - 40)) < 25) * np.uint8(150) + GREY // 8


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def cut_dm4(path):
    microscope_files.dm(path, [(GREY.astype(np.float32), "one", 0.02, "nm")])
    path.write_bytes(path.read_bytes()[:400])


def transparent(path):
    alpha = np.where(GREY > 99, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([GREY] * 3 + [alpha])).save(path)


def colourful(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)).save(path)


BAD = {  # name -> how the file is written, what is said
    "empty.tif": (lambda p: write(p, b""), "is empty"),
    "text.tif": (lambda p: write(p, "these are words, no image"), "cannot be read as an image"),
    "cut.dm4": (cut_dm4, "cannot be read as an image"),
    "cut.tif": (lambda p: (tifffile.imwrite(p, GREY), p.write_bytes(p.read_bytes()[:500])), "cut"),
    "cut.png": (
        lambda p: (Image.fromarray(GREY).save(p), p.write_bytes(p.read_bytes()[:500])),
        "cut",
    ),
    "one.png": (lambda p: Image.fromarray(GREY[:1, :1]).save(p), "at least 64 x 64 px"),
    "line.tif": (lambda p: tifffile.imwrite(p, GREY[:2]), "at least 64 x 64 px"),
    "nan.tif": (lambda p: tifffile.imwrite(p, np.full((96, 96), np.nan, np.float32)), "NaN"),
    "some-nan.npy": (lambda p: np.save(p, np.where(GREY > 9, 1.0, np.nan)), "NaN or infinite"),
    "infinite.npy": (lambda p: np.save(p, np.where(GREY > 9, 1.0, np.inf)), "NaN or infinite"),
    "rgba.png": (transparent, "transparent"),
    "colour.png": (colourful, "is in colour; a grey-scale micrograph is needed"),
    "stack.tif": (
        lambda p: tifffile.imwrite(p, np.stack([GREY] * 4), photometric="minisblack"),
        "stack of 4 images",
    ),
    "stack.npy": (lambda p: np.save(p, np.stack([GREY] * 5)), "stack of 5 images"),
    "line.npy": (lambda p: np.save(p, GREY[0]), "an image has a height and a width"),
    "objects.npy": (lambda p: np.save(p, np.array([{}])), "Python objects"),
    "complex.npy": (lambda p: np.save(p, GREY.astype(complex)), "is complex"),
    "huge.npy": (lambda p: np.save(p, np.broadcast_to(np.uint8(1), (2**14, 2**14 + 1))), "cut it"),
    "constant.tif": (lambda p: tifffile.imwrite(p, np.full((96, 96), 7, np.uint8)), "is constant"),
    "coarse.tif": (
        lambda p: tifffile.imwrite(
            p, FILM, imagej=True, resolution=(0.2, 0.2), metadata={"unit": "um"}
        ),
        "cannot be right",
    ),
    "missing.tif": (lambda p: None, "does not exist"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "table.csv": (lambda p: write(p, "a,b\n1,2\n"), "cannot be read as an image"),
    "program.png": (lambda p: write(p, b"\x7fELF" + bytes(99)), "cannot be read as an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_row_with_one_sentence(tmp_path, name):
    make, said = BAD[name]
    make(tmp_path / name)
    counts = folder.measure_files([tmp_path / name], "afm_coverage", tmp_path / "out", say=str)
    (row,) = read(tmp_path / "out" / "images.csv")
    assert counts == (1, 1) and row["status"] == "failed"
    assert said in row["reason"] and "\n" not in row["reason"]
    assert len(row["reason"]) < 500 and "Traceback" not in row["reason"]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two films of one name, one broken file: the folder of the run and what was said."""
    place, said = tmp_path_factory.mktemp("run"), []
    files = [place / "a" / "film.tif", place / "b" / "film.tif", place / "<b>broken.png"]
    for file in files[:2]:
        file.parent.mkdir()
        about = {"resolution": (0.5, 0.5), "metadata": {"unit": "nm"}}
        tifffile.imwrite(file, FILM, imagej=True, **about)
    write(files[2], "no image")
    failed = folder.measure_files(files, "afm_coverage", place / "out", say=said.append)[0]
    return place / "out", said, failed


def test_a_pixel_size_that_cannot_be_is_left_unknown_and_said(tmp_path):
    path = tmp_path / "metres.tif"
    tifffile.imwrite(path, FILM, imagej=True, resolution=(1, 1), metadata={"unit": "mm"})
    answer = mchelpers.measure(path, "afm_coverage")
    assert answer.ruler.line.startswith("Pixel size: unknown")
    assert any("pixel size is left unknown" in words for words in answer.warnings)


def test_one_broken_file_stops_nothing(run):
    out, said, failed = run
    assert failed == 1
    assert [r["status"] for r in read(out / "images.csv")] == ["measured", "measured", "failed"]
    assert said[0].splitlines()[1] == "Pixel size: 2 nm, as the file says."


def test_files_of_one_name_do_not_overwrite_each_other(run):
    masks = [row["mask"] for row in read(run[0] / "images.csv")]
    assert len(set(masks)) == 3 and masks[2] == ""
    assert all((run[0] / mask).exists() for mask in masks[:2])


def test_the_mask_keeps_its_pixel_size(run):
    mask = run[0] / read(run[0] / "images.csv")[0]["mask"]
    from mchelpers.inputs.pictures import read_picture

    picture = read_picture(mask)
    assert picture.pixel_size_nm == pytest.approx(2)
    share = float(read(run[0] / "images.csv")[0]["covered_share"])
    assert (picture.pixels > 0).mean() == pytest.approx(share, rel=1e-4)


def test_objects_are_in_the_users_units(run):
    row = max(read(run[0] / "objects.csv"), key=lambda r: float(r["area_px"]))
    assert float(row["diameter_nm"]) == pytest.approx(100, rel=0.03)
    assert float(row["area_nm2"]) == pytest.approx(4 * float(row["area_px"]), rel=1e-4)


def test_the_dictionary_explains_every_column(run):
    explained = {(r["table"], r["column"]) for r in read(run[0] / "dictionary.csv")}
    for table in ("images", "objects", "runs"):
        columns = (run[0] / f"{table}.csv").read_text().splitlines()[0].split(",")
        assert {(table, column) for column in columns} <= explained


def test_no_study_answers_with_a_column_that_no_table_has():
    noise = np.random.default_rng(0).normal(size=(128, 128))
    colour = np.dstack([GREY] * 3)
    sizes = {"graphene_hrtem": 0.04, "nanoparticles": 0.02, "afm_coverage": 2}
    answers = [mchelpers.measure(noise, s, nm) for s, nm in sizes.items()]
    answers.append(mchelpers.measure(colour, "tmd_optical", 100))
    for answer in answers:
        assert answer.image.keys() <= tables.COLUMNS["images"].keys()
        assert all(row.keys() <= tables.COLUMNS["objects"].keys() for row in answer.objects)


def test_parquet_holds_what_csv_holds(run, tmp_path):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(run[0] / "images.parquet")
    assert frame["status"].to_list() == [r["status"] for r in read(run[0] / "images.csv")]
    assert frame["covered_share"][2] is None
    objects = polars.read_parquet(run[0] / "objects.parquet")
    assert objects["touches_border"].dtype == polars.Boolean
    tables.write_tables([], tmp_path)  # the same columns, whatever the rows
    empty = polars.read_parquet(tmp_path / "objects.parquet")
    assert empty.schema == objects.schema


def test_the_page_needs_nothing_from_elsewhere(run):
    page = (run[0] / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "Pixel size: 2 nm, as the file says" in page
    assert "&lt;b&gt;broken.png" in page and "<b>broken" not in page
    assert page.count("<figure>") == 2 and "2 are shown" in page and "median" in page
    assert report.methods_paragraph(
        "afm_coverage", {"version": mchelpers.__version__}
    ) in html.unescape(page)


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (10, 2, 10), (100, 41, 61)])
def test_the_interval_of_a_median_is_that_of_the_sign_test(count, low, high):
    said = pictures.histogram(np.arange(1, count + 1), "diameter_nm")[1]
    assert said.endswith(f"95 % interval {low} to {high}")


def test_few_values_have_no_interval():
    assert pictures.histogram([1, 2, 3], "covered_share")[1].endswith("median 2")


def test_the_overlay_says_its_scale():
    assert pictures.bar_nm(7.7) == 1 and pictures.bar_nm(100) == 20 and pictures.bar_nm(30) == 5


def call(*words):
    import argparse

    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    args = parser.parse_args(["measure", *map(str, words)])
    return args.command(args)


def test_exit_codes(tmp_path, capsys):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(FILM).save(good)
    write(bad, "no image")
    out = ("--study", "afm_coverage", "--out", tmp_path / "out")
    assert call(good, *out) == 0
    assert call(good, bad, *out) == 1
    assert call(bad, *out) == 1
    assert call(good, *out, "--pixel-size-nm", -1) == 2
    assert call(good, "--study", "cats", "--out", tmp_path / "out") == 2
    assert call(good, "--study", "afm_coverage", "--out", good) == 2
    said = capsys.readouterr()
    assert "study is 'cats'; it must be one of graphene_hrtem, " in said.err
    assert "1 of 2 measured" in said.out
    with pytest.raises(SystemExit) as left:
        call(good, *out, "--pixel-size-nm", "0.04 um")
    assert left.value.code == 2


def test_the_command_line_of_the_book_has_it(tmp_path, monkeypatch, capsys):
    from mchelpers.book import command_line

    monkeypatch.chdir(tmp_path)  # no checkout of the book
    monkeypatch.setattr("sys.argv", ["mchelpers", "measure", "none.tif", "--study", "afm_coverage"])
    assert command_line.main() == 1
    assert "none.tif does not exist" in capsys.readouterr().out
    assert (tmp_path / "measured" / "report.html").exists()
