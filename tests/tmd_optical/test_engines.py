"""Engines: one network, computed by three, behind one call; and files that must be refused."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import needs

from mchelpers.data import DataError
from mchelpers.tmd_optical import engines, yolo
from mchelpers.tmd_optical.detections import Detections
from mchelpers.train import run_folder

pytestmark = needs("ultralytics")
CLASSES = ["MoS2", "MoSe2"]
SIDE = 64
IMAGE = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
RUNTIMES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}


EXPORTED = [pytest.param(n, marks=needs("onnx", p)) for n, p in RUNTIMES.items()]


@pytest.fixture(scope="module")
def detector():
    """A network that was never trained."""
    torch.manual_seed(0)
    return yolo.Detector(yolo.untrained("yolo11n", 2).eval(), CLASSES, SIDE)


@pytest.fixture(scope="module")
def file(detector, tmp_path_factory):
    pytest.importorskip("onnx")
    return engines.export(detector, SIDE, tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def expected(detector):
    with torch.inference_mode():
        return [v.numpy() for v in detector.network(torch.from_numpy(IMAGE))[0]]


def test_pytorch_computes_the_network_on_as_many_threads_as_asked(detector, expected):
    engine = engines.open_engine("PyTorch", detector, SIDE, threads=2, classes=CLASSES)
    assert (engine.name, engine.side, engine.precision) == ("PyTorch", SIDE, "float32")
    for value, wanted, shape in zip(engine(IMAGE), expected, [(1, 38, 84), (1, 32, 16, 16)]):
        assert value.shape == shape and value.dtype == np.float32
        np.testing.assert_allclose(value, wanted, atol=1e-3)
    fast = engines.open_engine("PyTorch", detector, SIDE, threads=1, fast=True)
    assert fast.precision in ("float32", "bfloat16")
    assert all(v.dtype == np.float32 for v in fast(torch.from_numpy(IMAGE)))


def test_threads_are_set_in_each_call_and_put_back(detector, monkeypatch):
    seen = []
    see = detector.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    monkeypatch.setattr(engines, "_fused", lambda found: found.network)
    before = torch.get_num_threads()
    one, two = (engines.open_engine("PyTorch", detector, SIDE, threads=n) for n in (1, 2))
    for engine in (one, two, one):
        engine(IMAGE)
        assert torch.get_num_threads() == before
    see.remove()
    assert seen == [1, 2, 1, 2, 1]  # both see an image when they are opened


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_engine_computes_the_same(name, detector, file, expected):
    for fast in (False, True):
        engine = engines.open_exported(name, file, threads=1, fast=fast, classes=CLASSES)
        assert engine.classes == tuple(CLASSES) and engine.side == SIDE and engine.name == name
        tolerance = 1e-3 if engine.precision == "float32" else 0.2  # px, of boxes
        for value, wanted in zip(engine(IMAGE), expected):
            assert value.shape == wanted.shape and value.dtype == np.float32
            np.testing.assert_allclose(value, wanted, atol=tolerance)


@needs("onnx")
def test_a_file_is_exported_once_for_each_network(detector, file, monkeypatch):
    stamp = file.stat().st_mtime_ns
    assert engines.export(detector, SIDE, file.parent) == file
    assert file.stat().st_mtime_ns == stamp and [p.name for p in file.parent.iterdir()] == [
        file.name
    ]
    other = yolo.Detector(detector.network, CLASSES[::-1], SIDE)
    assert engines._key(other, SIDE) != engines._key(detector, SIDE)
    monkeypatch.setattr(engines, "_key", lambda *_: file.stem)  # as if it were known
    (run_folder() / "engines").mkdir(parents=True)
    shutil.copy(file, run_folder() / "engines")
    assert engines.export(detector, SIDE) == run_folder() / "engines" / file.name
    with pytest.raises(ValueError, match="multiple of 32"):
        engines.export(detector, 100)


def test_other_inputs_and_engines_are_refused(detector, tmp_path):
    engine = engines.open_engine("PyTorch", detector, SIDE, threads=1)
    for bad in (IMAGE[0], IMAGE.astype(np.float64), IMAGE[..., :32]):
        with pytest.raises(ValueError, match=r"takes float32 of shape \(1, 3, 64, 64\)"):
            engine(bad)
    with pytest.raises(ValueError, match="no engine 'TensorRT'; there are PyTorch"):
        engines.open_engine("TensorRT", detector)
    with pytest.raises(ValueError, match="opens no file"):
        engines.open_exported("PyTorch", tmp_path / "a.onnx")


def test_other_classes_are_refused(detector):
    for bad in (["MoS2"], CLASSES[::-1]):
        with pytest.raises(DataError, match=r"names the classes \['MoS2', 'MoSe2'\], expected"):
            engines.open_engine("PyTorch", detector, SIDE, classes=bad)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_file_that_is_missing_cut_or_of_other_classes_is_refused(name, file, tmp_path):
    with pytest.raises(DataError, match="there is no"):
        engines.open_exported(name, tmp_path / "nothing.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="cut.onnx cannot be read as a network.*delete it"):
        engines.open_exported(name, cut)
    with pytest.raises(DataError, match="expected .*'bulk'"):
        engines.open_exported(name, file, classes=["thin", "bulk"])
    import onnx

    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "strange.onnx")
    with pytest.raises(DataError, match="does not say its classes"):
        engines.open_exported(name, tmp_path / "strange.onnx")


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_a_missing_package_is_named(name, detector, monkeypatch):
    monkeypatch.setitem(sys.modules, RUNTIMES[name], None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"{RUNTIMES[name]}: pip install .*\[live\]"):
        engines.open_engine(name, detector, SIDE)
    assert not (run_folder() / "engines").exists()  # nothing was exported in vain


@needs("openvino")
def test_openvino_reports_nothing_and_leaves_the_home_folder_alone(tmp_path):
    code = (
        "from mchelpers import engines; engines.need('openvino'); import sys;"
        "assert 'openvino_telemetry' not in [n for n, m in sys.modules.items() if m]"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [p for p in tmp_path.iterdir() if p.name == "intel"]


def test_agreement_counts_pairs_of_one_class():
    masks = np.zeros((3, 20, 20), bool)
    masks[0, :10, :10] = masks[1, 10:, 10:] = masks[2, :10, 10:] = True
    one = Detections.of(masks, [0, 1, 1])
    assert engines.agreement(one, one) == 1
    assert engines.agreement(one, Detections.of(masks[:2], [0, 1])) == pytest.approx(4 / 5)
    assert engines.agreement(one, Detections.of(masks, [0, 1, 0])) == pytest.approx(4 / 6)
    boxes = np.array([[-1.6, 0, 9.4, 9.4]] * 3)  # as a network gives them: not those of the masks
    rough = Detections.of(masks, [0, 1, 1], boxes=boxes)
    assert engines.agreement(rough, rough) == 1
    none = Detections.of(np.zeros((0, 20, 20), bool), [])
    assert engines.agreement(none, none) == 1 and engines.agreement(one, none) == 0
    wider = masks.copy()
    wider[0, :10, :12] = True
    assert engines.agreement(one, Detections.of(wider, [0, 1, 1])) == pytest.approx(4 / 6)
    assert engines.agreement(one, Detections.of(wider, [0, 1, 1]), iou=0.8) == 1
