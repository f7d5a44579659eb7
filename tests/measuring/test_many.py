"""Many files: killed and gone on with, on several workers, by folder and pattern, again, as they
arrive, with masks drawn by hand."""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

import mchelpers
from mchelpers.inputs.coco import read_coco
from mchelpers.inputs.pictures import read_picture
from mchelpers.measuring import files, folder, report, work
from mchelpers.measuring.answer import corrected
from mchelpers.measuring.command import add_parsers

GREY = np.random.default_rng(0).integers(0, 32, (96, 96)).astype(np.uint8)


def film(radius, row=40):
    rows, columns = np.mgrid[:96, :96]
    return (np.hypot(rows - row, columns - 40) < radius) * np.uint8(150) + GREY


@pytest.fixture
def images(tmp_path):
    """Six films and one broken file."""
    place = tmp_path / "images"
    place.mkdir()
    for number in range(6):
        Image.fromarray(film(12 + 3 * number)).save(place / f"{number}.png")
    (place / "broken.png").write_bytes(b"no image")
    return place


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def call(*words):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    args = parser.parse_args(["measure", *map(str, words)])
    return args.command(args)


def tables(out):
    """Read what a run says, but for the seconds."""
    images = [row | {"seconds": ""} for row in read(out / "images.csv")]
    return images, read(out / "objects.csv"), json.loads((out / "coco.json").read_text())


def measure(place, out, **options):
    said = []
    found = files.find_images([str(place)], out)
    counts = folder.measure_files(found, "afm_coverage", out, say=said.append, **options)
    return said, counts


SLOW = """
import sys, time
from mchelpers.measuring import files, folder, work
from pathlib import Path
one = work.measure
def slow(*words, **how):
    time.sleep(0.3)
    return one(*words, **how)
work.measure = slow
place, out = map(Path, sys.argv[1:])
folder.measure_files(files.find_images([str(place)], out), "afm_coverage", out)
"""


def test_a_killed_run_goes_on_and_loses_and_repeats_nothing(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    running = subprocess.Popen([sys.executable, "-c", SLOW, images, out], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list(out.glob("results/?.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("results/?.json")}
    assert 2 <= len(before) < 6 and not (out / "images.csv").exists()
    measured = []
    one = work.measure
    monkeypatch.setattr(work, "measure", lambda f, **how: measured.append(f.stem) or one(f, **how))
    measure(images, out)
    assert {f"{stem}.json" for stem in measured} == (
        {f"{n}.json" for n in range(6)} - before.keys() | {"broken.json"}
    )
    assert all((out / "results" / n).stat().st_mtime_ns == t for n, t in before.items())
    measure(images, tmp_path / "undisturbed")
    assert tables(out) == tables(tmp_path / "undisturbed")


def test_what_has_changed_is_measured_again(images, tmp_path):
    out = tmp_path / "out"
    measure(images, out)
    assert measure(images, out)[0] == [f"{images}/broken.png: failed: " + reason(out)]
    Image.fromarray(film(20, row=60)).save(images / "0.png")  # another image
    (out / "results" / "1.json").write_text("{")  # a disk that failed
    (out / "masks" / "2.tif").unlink()
    said = measure(images, out)[0]
    assert [words.splitlines()[0][-5] for words in said[:3]] == ["0", "1", "2"] and len(said) == 4
    assert len(measure(images, out, pixel_size_nm=2.0)[0]) == 7  # another setting
    assert [row["images"] for row in read(out / "runs.csv")] == ["7"] * 4
    assert read(out / "runs.csv")[0]["failed"] == "1"


def reason(out):
    return next(r["reason"] for r in read(out / "images.csv") if r["status"] == "failed")


def test_two_workers_say_what_one_says(images, tmp_path):
    pytest.importorskip("distributed")
    first = measure(images, tmp_path / "one")[1]
    assert measure(images, tmp_path / "two", workers=2)[1] == first == (1, 7)
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    masks = [
        sorted(p.read_bytes() for p in (tmp_path / n / "masks").iterdir()) for n in ("one", "two")
    ]
    assert masks[0] == masks[1]


def test_workers_of_a_scheduler_that_runs_already_say_the_same(images, tmp_path):
    distributed = pytest.importorskip("distributed")
    here = {"processes": False, "protocol": "tcp://", "dashboard_address": None}
    measure(images, tmp_path / "one")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **here) as cluster:
        measure(images, tmp_path / "cluster", workers=cluster.scheduler_address)
    assert tables(tmp_path / "one") == tables(tmp_path / "cluster")


def test_a_scheduler_that_does_not_answer_is_a_wrong_call(images, tmp_path, capsys):
    pytest.importorskip("distributed")
    out = ("--out", tmp_path / "out")
    nobody = "tcp://127.0.0.1:9"
    assert call(images, "--study", "afm_coverage", "--workers", nobody, *out) == 2
    assert nobody in capsys.readouterr().err


def test_a_worker_that_dies_is_a_row(tmp_path):
    job = work.Job(0, "a", tmp_path / "a.png", tmp_path, {"study": "afm_coverage"})
    assert job.fail(MemoryError()) == f"{tmp_path}/a.png: failed: MemoryError: MemoryError"
    assert json.loads(job.result.read_text())["row"]["status"] == "failed"


def test_folders_and_patterns_are_searched_and_the_run_s_own_folder_is_not(tmp_path):
    for name in ("b.png", "a.TIF", "notes.txt", ".a.png", "deep/c.dm4", "out/overlays/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    find = lambda *words: [  # noqa: E731
        str(p.relative_to(tmp_path)) for p in files.find_images(words, tmp_path / "out")
    ]
    assert find(str(tmp_path)) == ["a.TIF", "b.png", "deep/c.dm4"]
    assert find(f"{tmp_path}/*.png", str(tmp_path / "b.png")) == ["b.png"]
    assert find(f"{tmp_path}/**/*.dm4") == ["deep/c.dm4"]
    assert find(f"{tmp_path}/none.png") == ["none.png"]  # becomes a row that says so
    with pytest.raises(ValueError, match="there is no image in .*jpg"):
        find(f"{tmp_path}/*.jpg")


def test_no_two_files_share_a_name(tmp_path):
    given = [tmp_path / n for n in ("a.png", "b/a.png", "A.tif", "c/b.png", "b.png")]
    names = [name for name, _ in files.named(given)]
    assert names[0] == "a" and names[3] == "b"
    assert len({name.casefold() for name in names}) == 5


def test_memory_does_not_hold_what_was_measured(tmp_path, monkeypatch):
    """Pages of many images show the first, and sum up all."""
    monkeypatch.setattr(report, "LISTED", 2)
    monkeypatch.setattr(report, "MONTAGE", 1)
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "a.png").write_bytes(b"")
    row = {"file": "f", "status": "measured", "pixel_size_nm": 1.0, "pixel_size_source": "you"}
    row |= {"mask": "masks/a.tif", "objects": 1, "covered_share": 0.5, "warnings": "doubt"}
    results = ({"row": row, "objects": []} for _ in range(9))
    page = report.report_page("afm_coverage", results, tmp_path, {"version": "1"})
    assert "9 images measured" in page and "9 carry a warning" in page
    assert page.count("<tr><td>") == 2 and page.count("<figure>") == 1
    assert "2 of them are listed" in page and "9 values of covered_share" in page


def test_a_mask_edited_by_hand_is_taken_and_an_unedited_one_is_not(images, tmp_path):
    out, edited = tmp_path / "out", tmp_path / "edited"
    measure(images, out)
    shutil.copytree(out / "masks", edited)
    mask = tifffile.imread(edited / "3.tif")
    mask[80:90, 80:90] = 255
    tifffile.imwrite(edited / "3.tif", mask, imagej=True)
    tifffile.imwrite(edited / "4.tif", mask[:50])
    measure(images, out, masks=edited)
    rows = tables(out)[0]
    assert rows[3]["method"].startswith("your mask, in place of Otsu")
    assert float(rows[3]["agreement_iou"]) < 1
    assert rows[2]["method"].startswith("Otsu")
    assert "the mask has (50, 96) px" in rows[4]["reason"]
    found = read_picture(out / "masks" / "3.tif").pixels
    assert ((found > 0) == (mask > 0)).all()
    mine = [r for r in tables(out)[1] if r["file"].endswith("3.png")]
    assert "100" in [r["area_px"] for r in mine]
    measure(images, out)
    assert tables(out)[0][3]["method"].startswith("Otsu")  # without the masks, as before


def test_pieces_of_a_mask_are_objects():
    answer = mchelpers.measure(film(20), "afm_coverage", 2.0)
    mask = np.zeros((96, 96), np.uint8)
    mask[:10, :10] = mask[20:30, :10] = 255
    mask[20:30, 10:20] = 7
    taken = corrected(answer, mask)
    assert [row["area_px"] for row in taken.objects] == [100] * 3
    assert taken.image["covered_nm2"] == 1200 and (taken.second == answer.mask).all()
    assert corrected(answer, answer.labels) is answer


def test_outlines_are_coco_s_to_the_pixel(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.chdir(images)
    measure(".", out)
    for image in read_coco(out / "coco.json", images):
        drawn = read_picture(out / "masks" / f"{image.name}.tif").pixels
        assert len(image.instances) == drawn.max() > 0
        assert (image.masks.any(0) == (drawn > 0)).all()
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 6


def test_a_run_is_repeated_and_says_what_has_changed(images, tmp_path, capsys):
    out, again = tmp_path / "out", tmp_path / "out-again"
    assert call(images, "--study", "afm_coverage", "--out", out) == 1
    assert call("--again", out / "run.json") == 1
    said = capsys.readouterr().out
    assert "Files, versions and weights are those of the run." in said
    assert "The answers are the same as then." in said
    assert tables(out) == tables(again)
    run = json.loads((out / "run.json").read_text())
    run["made_with"]["numpy"] = "0.1"
    (out / "run.json").write_text(json.dumps(run))
    Image.fromarray(film(9)).save(images / "0.png")
    (images / "1.png").unlink()
    assert call("--again", out / "run.json") == 1
    said = capsys.readouterr().out
    assert f"{images}/0.png has changed" in said and f"{images}/1.png is not there" in said
    assert f"numpy was 0.1, and is {np.__version__}" in said
    assert "The answers are not the same as then." in said


def test_calls_that_are_wrong(images, tmp_path, capsys):
    out = ("--out", tmp_path / "out")
    assert call("--study", "afm_coverage", *out) == 2
    assert call(images, *out) == 2
    assert call(images, "--study", "afm_coverage", "--workers", 0, *out) == 2
    assert call(images, "--study", "afm_coverage", "--masks", tmp_path / "no", *out) == 2
    assert call("--again", images / "0.png", *out) == 2
    (tmp_path / "run.json").write_text(
        '{"arguments": {"study": "x"}, "files": {}, "made_with": {}}'
    )
    assert call("--again", tmp_path / "run.json", "--out", tmp_path) == 2
    said = capsys.readouterr().err
    for words in ("name images and a --study", "--workers is 0", "is no folder", "is no run.json"):
        assert words in said
    assert "holds the run to repeat" in said and not (tmp_path / "out" / "run.json").exists()


def test_a_file_that_grows_waits(tmp_path, monkeypatch):
    def wait(_):
        """Between two looks the one grows, twice; then nothing more happens."""
        if len(looks) < 2:
            (tmp_path / "grows.png").write_bytes(bytes(9 * (len(looks) + 1)))
        looks.append(1)

    looks = []
    monkeypatch.setattr(files.time, "sleep", wait)
    (tmp_path / "grows.png").write_bytes(b"1")
    (tmp_path / "done.png").write_bytes(b"2")
    (tmp_path / "empty.png").write_bytes(b"")
    found = files.arriving([str(tmp_path)], tmp_path / "out")
    assert next(found).name == "done.png" and len(looks) == 1
    assert next(found).name == "grows.png" and len(looks) == 3


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a child")
def test_a_watch_ends_with_its_tables(images, tmp_path):
    out = tmp_path / "out"
    (images / "broken.png").unlink()
    words = ["measure", images, "--study", "afm_coverage", "--out", out, "--watch"]
    running = subprocess.Popen([sys.executable, "-m", "mchelpers", *map(str, words)])
    until = time.monotonic() + 120
    while len(list(out.glob("results/*.json"))) < 6 and time.monotonic() < until:
        time.sleep(0.05)
    Image.fromarray(film(33)).save(images / "late.png")
    while not (out / "results" / "late.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 0
    assert [r["file"][-8:] for r in read(out / "images.csv")][-1] == "late.png"
