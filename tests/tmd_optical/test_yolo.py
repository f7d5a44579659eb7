"""YOLO: trained offline in the run folder, kept, loaded, and read in pixels of the frame."""

import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, needs, process_globals

from mchelpers.inputs.objects import Instance, LabelledImage
from mchelpers.kept import load_tensors
from mchelpers.tmd_optical import tasks as tmd
from mchelpers.tmd_optical import yolo
from mchelpers.train import run_folder

pytestmark = needs("ultralytics")
TINY = yolo.Recipe(epochs=1, side=64, batch=2, mosaic=0.0)


def _images(count=3, side=64):
    """Bright squares of two classes on grey."""
    images = []
    for n in range(count):
        image = np.full((side, side, 3), 90, np.uint8)
        mask = np.zeros((side, side), bool)
        mask[10 + n : 40 + n, 12:44] = True
        image[mask] = (200, 60 + 50 * (n % 2), 40)
        images.append(LabelledImage(f"image{n}", image, [Instance.of("ab"[n % 2], mask)]))
    return images


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCHELPERS_RUNS", str(folder))
        yield yolo.train(_images(), "ab", TINY, name="tiny", watch=_images(1), progress=False)


def test_a_finished_training_leaves_one_file_and_is_found_again(trained, monkeypatch):
    folder = trained.weights.parent
    monkeypatch.setenv("MCHELPERS_RUNS", str(folder))
    assert [p.name for p in folder.glob("*") if p.name != "ultralytics"] == [trained.weights.name]
    before = trained.weights.stat().st_mtime_ns
    again = yolo.train(_images(), "ab", TINY, name="tiny", watch=_images(1), progress=False)
    assert again == trained and again.weights.stat().st_mtime_ns == before
    assert len(trained.history.loss) == 1 and trained.watched == [1]
    assert 0 <= trained.history.validation[0] <= 1


def test_another_process_finds_it_too(trained):
    call = "yolo.train(t._images(), 'ab', t.TINY, name='tiny', watch=t._images(1))"
    code = f"import test_yolo as t; from mchelpers.tmd_optical import yolo; print({call}.weights)"
    folder = trained.weights.parent
    folders = Path(__file__).parent, REPOSITORY / "tests", REPOSITORY
    paths = os.pathsep.join(map(str, folders))
    environment = {**os.environ, "MCHELPERS_RUNS": str(folder), "PYTHONPATH": paths}
    environment.pop("YOLO_CONFIG_DIR", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == str(trained.weights)
    assert len(list(folder.glob("tiny-*"))) == 1


def test_the_same_seed_gives_the_same_weights(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    again = yolo.train(_images(), "ab", TINY, name="tiny", watch=_images(1), progress=False)
    assert again.weights.name == trained.weights.name
    one, other = load_tensors(again.weights)[0], load_tensors(trained.weights)[0]
    assert all(torch.equal(one[k], other[k]) for k in other)


def test_another_seed_gives_another_network(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    recipe = dataclasses.replace(TINY, seed=1)
    other = yolo.train(_images(), "ab", recipe, name="tiny", progress=False)
    one, two = load_tensors(trained.weights)[0], load_tensors(other.weights)[0]
    assert any(not torch.equal(one[k], two[k]) for k in one)


IMPORTED = """
import os, sys, warnings
import cv2, numpy, torch
def now():
    seen = dict(os.environ), warnings.filters[:], numpy.get_printoptions(), torch.save
    return *seen, str(torch._tensor_str.PRINT_OPTS), cv2.getNumThreads(), torch.get_num_threads()
before = now()
from mchelpers.tmd_optical import yolo
assert "ultralytics" not in sys.modules
assert now() == before and not os.listdir()
assert yolo.parameters("yolo11n", 2) > 0 and now() == before
"""


def test_ultralytics_is_imported_without_a_trace(tmp_path):
    """Neither in the process, nor in the home and the working folder."""
    home, work, runs = (tmp_path / name for name in ("home", "work", "own"))
    home.mkdir(), work.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "XDG_"))}
    environment |= {"HOME": str(home), "MCHELPERS_RUNS": str(runs), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", IMPORTED], env=environment, cwd=work, check=True)
    assert not list(home.rglob("*")) and not list(work.iterdir())
    assert [p.name for p in runs.iterdir()] == ["ultralytics"]


def test_a_training_that_fails_leaves_nothing_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    before = process_globals(), random.getstate(), torch.get_rng_state()
    trainer = yolo.ultralytics().models.yolo.segment.SegmentationTrainer

    def fail(self):
        assert torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(3)
        raise RuntimeError("no memory left")

    monkeypatch.setattr(trainer, "train", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        yolo.train(_images(), "ab", TINY, name="tiny", progress=False)
    after = process_globals(), random.getstate(), torch.get_rng_state()
    assert after[:2] == before[:2] and torch.equal(after[2], before[2])
    assert not torch.backends.cudnn.deterministic
    assert [p.name for p in tmp_path.iterdir() if p.name != "ultralytics"] == []


def test_nothing_of_a_training_lands_in_the_working_folder(trained):
    assert not Path("runs").exists() and not Path("yolo11n-seg.yaml").exists()


def test_transfer_takes_over_all_but_unknown_classes(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    start, _ = load_tensors(trained.weights)
    network = yolo.untrained("yolo11n", 2)
    fresh = {k: v.clone() for k, v in network.state_dict().items()}
    yolo._begin_from(network, trained.weights, ["c", "d"])
    now = network.state_dict()
    heads = [k for k in now if yolo._CLASS_LAYER.search(k)]
    assert len(heads) > 6 and all(".23.cv3." in k for k in heads)  # not those of other blocks
    assert all(torch.equal(now[k], fresh[k]) for k in heads)
    assert all(torch.equal(now[k], start[k]) for k in now if k not in heads)
    yolo._begin_from(network, trained.weights, ["a", "b"])
    assert all(torch.equal(network.state_dict()[k], start[k]) for k in heads)


def test_frozen_layers_keep_their_weights(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    recipe = dataclasses.replace(TINY, frozen=3, rate=0.01)
    other = yolo.train(
        _images(), "ab", recipe, name="frozen", start=trained.weights, progress=False
    )
    one, two = load_tensors(trained.weights)[0], load_tensors(other.weights)[0]
    assert all(torch.equal(one[k], two[k]) for k in one if re_layer(k) < 3)
    assert any(not torch.equal(one[k], two[k]) for k in one if re_layer(k) >= 3)


def re_layer(key: str) -> int:
    return int(key.split(".")[1])


def test_weights_of_another_network_are_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    recipe = dataclasses.replace(TINY, network="yolov8n")
    with pytest.raises(ValueError, match="another network"):
        yolo.train(_images(), "ab", recipe, name="x", start=trained.weights, progress=False)


@pytest.mark.parametrize("shape", [(64, 64), (50, 90), (33, 65), (200, 120)])
def test_detections_are_in_pixels_of_the_frame(trained, shape):
    detector = yolo.load(trained.weights)
    frame = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    found = detector(frame, score=0.0, most=20)
    assert found.masks.shape[1:] == shape and found.masks.dtype == bool
    assert len(found) and found.masks.any((1, 2)).all()
    assert (np.diff(found.scores) <= 0).all() and set(found.classes) <= {0, 1}
    for mask, (left, top, right, bottom) in zip(found.masks, found.boxes):
        rows, columns = np.nonzero(mask)
        assert left - 1 <= columns.min() and columns.max() <= right + 1
        assert top - 1 <= rows.min() and rows.max() <= bottom + 1


def test_a_mask_is_where_its_prototype_is():
    """One anchor, one prototype that is positive in a known rectangle."""
    frame = np.zeros((100, 200, 3), np.uint8)
    tensor, geometry = yolo.prepare(frame, 64)
    assert tensor.shape == (1, 3, 32, 64) and geometry.frame == (100, 200)
    prototypes = torch.full((1, 32, 8, 16), -5.0)
    prototypes[0, 0, 2:6, 4:12] = 5.0  # rows 8 to 24, columns 16 to 48 of the input
    row = torch.tensor([32.0, 16.0, 32.0, 16.0, 0.9, 0.1, 1.0] + [0.0] * 31)
    found = yolo.decode(row.reshape(1, -1, 1), prototypes, geometry)
    assert list(found.classes) == [0] and found.scores[0] == pytest.approx(0.9)
    np.testing.assert_allclose(found.boxes[0], [50, 25, 150, 75], atol=0.5)
    truth = np.zeros((100, 200), bool)
    truth[25:75, 50:150] = True
    both = (found.masks[0] & truth).sum() / (found.masks[0] | truth).sum()
    assert both > 0.9


def test_odd_frames_are_taken_or_refused(trained):
    detector = yolo.load(trained.weights)
    for frame in (
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8) + np.uint8([0, 0, 0, 255]),
        np.full((64, 64), 40_000, np.uint16),
    ):
        assert detector(frame).shape == (64, 64)
    with pytest.raises(ValueError, match="not an image"):
        detector(np.zeros((0, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="8 or 16 bits"):
        detector(np.full((64, 64, 3), np.nan))


def test_missing_or_damaged_weights_are_named(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="train the network"):
        yolo.load(tmp_path / "none.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(trained.weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="holds no weights"):
        yolo.load(cut)


def test_nothing_to_learn_from_is_an_error():
    empty = [dataclasses.replace(i, instances=[]) for i in _images()]
    for images in ([], empty):
        with pytest.raises(ValueError, match="no labelled object"):
            yolo.train(images, "ab", TINY, name="x")


@pytest.mark.parametrize(
    "wrong", [{"network": "yolo12x"}, {"side": 100}, {"side": 0}, {"epochs": 0}, {"batch": 0}]
)
def test_recipes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError):
        dataclasses.replace(TINY, **wrong)


def test_larger_networks_have_more_weights():
    n, s = (yolo.parameters(f"yolo11{k}", 3) for k in "ns")
    assert 2e6 < n < s / 3


def test_a_task_is_split_by_growth_run_and_tested_on_further_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    task = tmd.load_task("shapes", 10, 5, (64, 64), validation=1)
    groups = [{m.group for m in part} for part in (task.train, task.validation, task.test)]
    assert [len(p) for p in (task.train, task.validation, task.test)] == [5, 5, 5]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert task.kind == "simulated" and task.classes[0] == "triangle"
    assert task.sha256 == tmd.load_task("shapes", 10, 5, (64, 64), validation=1).sha256
    assert run_folder() == tmp_path


def test_known_wafers_are_of_the_same_runs_with_other_crystals(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    task = tmd.load_task("shapes", 10, 5, (64, 64), validation=1)
    again = tmd.known_wafers("shapes", task.train, (64, 64))
    assert [m.group for m in again] == sorted({m.group for m in task.train})
    assert {m.oxide_nm for m in again} == {m.oxide_nm for m in task.train}
    assert not {m.image.tobytes() for m in again} & {m.image.tobytes() for m in task.train}
    assert not {m.name for m in again} & {m.name for m in task.train}
