"""Starts from COCO: Ultralytics' file first, then the converted one; how that is made."""

import copy

import numpy as np
import pytest
import torch
from conftest import needs

from mchelpers.kept import load_tensors
from mchelpers.tmd_optical import transfer, yolo

pytestmark = needs("ultralytics")


@pytest.fixture()
def alone(tmp_path, monkeypatch):
    """A data folder of its own, and no network."""
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(transfer, "_ASSETS", "http://127.0.0.1:9/")
    (tmp_path / "data/weights").mkdir(parents=True)
    return tmp_path


def test_ultralytics_own_file_comes_first(alone):
    network = yolo.untrained("yolo11n", 5)
    network.names = dict(enumerate("abcde"))
    file = alone / "data/weights/yolo11n-seg.pt"
    torch.save({"model": network.half(), "ema": None}, file)
    start = transfer.coco_start()
    assert load_tensors(start)[1]["source"] == file.name
    assert yolo.load(start).classes == list("abcde")
    fresh = yolo.untrained("yolo11n", 2)
    before = {k: v.clone() for k, v in fresh.state_dict().items()}
    yolo._begin_from(fresh, start, ["thin", "thick"])
    tensors, after = load_tensors(start)[0], fresh.state_dict()
    new = [k for k in after if k.startswith("model.23.cv3.")]
    assert new and all(torch.equal(after[k], before[k]) for k in new)
    assert all(torch.equal(after[k], tensors[k]) for k in after if k not in new)
    file.unlink()
    assert transfer.coco_start() == start  # converted once


def test_without_a_network_the_converted_start_is_taken(alone):
    with pytest.raises(Exception, match="could not be downloaded"):
        transfer.coco_start()
    converted = alone / "runs" / "yolo11n-coco-start.safetensors"
    converted.parent.mkdir(exist_ok=True)
    converted.write_bytes(b"made by the tool")
    assert transfer.coco_start() == converted
    with pytest.raises(Exception, match="could not be downloaded"):
        transfer.coco_start("yolo11s")


def test_what_is_no_checkpoint_is_refused(alone):
    (alone / "data/weights/yolo11n-seg.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="segmentation"):
        transfer.coco_start()


def lively(network):
    """Give a network batch norms that do something."""
    torch.manual_seed(0)
    for m in network.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.8, 1.5)
            torch.nn.init.normal_(m.bias, 0, 0.3)
            torch.nn.init.normal_(m.running_mean, 0, 0.1)
            torch.nn.init.uniform_(m.running_var, 0.3, 0.8)
    return network.eval()


def folded(network, name, module):
    """Weight and bias of a convolution with its batch norm folded in."""
    weight, bias = module.weight.data, module.bias
    parent = network.get_submodule(name.rpartition(".")[0])
    if bias is not None:
        return weight.numpy(), bias.data.numpy()
    gain = parent.bn.weight / (parent.bn.running_var + parent.bn.eps).sqrt()
    offset = parent.bn.bias - parent.bn.running_mean * gain
    return (weight * gain[:, None, None, None]).detach().numpy(), offset.detach().numpy()


class Imitation:
    """Writes a TFLite file of int8 convolutions, as the exporter for microcontrollers does."""

    def __init__(self):
        self.builder = pytest.importorskip("flatbuffers").Builder(1 << 20)
        self.tensors, self.buffers, self.operators = [], [self.table(1, {})], []
        self.tensor("input", (1, 4, 4, 3), None)

    def table(self, fields, values):
        """Write a table; values: field -> ('offset' | 'i1' | 'i4', value)."""
        b = self.builder
        b.StartObject(fields)
        for slot, (kind, value) in values.items():
            write = {"offset": b.PrependUOffsetTRelativeSlot, "i1": b.PrependInt8Slot}
            write.get(kind, b.PrependInt32Slot)(slot, value, 0)
        return b.EndObject()

    def vector(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def tensor(self, name, shape, values, scale=(1.0,), along=0):
        b, number = self.builder, 0
        if values is not None:
            raw = b.CreateNumpyVector(values.reshape(-1).view(np.uint8).copy())
            number = len(self.buffers)
            self.buffers.append(self.table(1, {0: ("offset", raw)}))
        scales = b.CreateNumpyVector(np.asarray(scale, np.float32))
        zeros = b.CreateNumpyVector(np.zeros(len(scale), np.int64))
        fields = {2: ("offset", scales), 3: ("offset", zeros), 6: ("i4", along)}
        quantised = self.table(7, fields)
        sides, text = b.CreateNumpyVector(np.array(shape, np.int32)), b.CreateString(name)
        kind = 9 if values is None or values.dtype == np.int8 else 2
        fields = {0: ("offset", sides), 1: ("i1", kind), 2: ("i4", number)}
        fields |= {3: ("offset", text), 4: ("offset", quantised)}
        self.tensors.append(self.table(5, fields))
        return len(self.tensors) - 1

    def convolution(self, weight, bias, size, depthwise, name):
        """Add a convolution (O, I, h, w); a depthwise one has the layout (1, h, w, O)."""
        weight = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        along = 3 if depthwise else 0
        rest = tuple(n for n in range(4) if n != along)
        scale = np.abs(weight).max(rest, keepdims=True) / 127
        small = np.ascontiguousarray(np.round(weight / scale).astype(np.int8))
        scale = scale.ravel()
        inputs = [0, self.tensor("w", small.shape, small, scale, along)]
        whole = np.round(bias / (scale * 1e-3)).astype(np.int32)
        inputs.append(self.tensor("b", bias.shape, whole, scale * 1e-3))
        outputs = [self.tensor(name, (1, *size, len(bias)), None)]
        ends = [self.builder.CreateNumpyVector(np.array(v, np.int32)) for v in (inputs, outputs)]
        fields = {0: ("i4", int(depthwise)), 1: ("offset", ends[0]), 2: ("offset", ends[1])}
        self.operators.append(self.table(3, fields))

    def write(self, file):
        codes = [self.table(4, {0: ("i1", n), 3: ("i4", n)}) for n in (3, 4)]
        parts = {0: self.vector(self.tensors), 3: self.vector(self.operators)}
        graph = self.table(5, {k: ("offset", v) for k, v in parts.items()})
        parts = {1: self.vector(codes), 2: self.vector([graph]), 4: self.vector(self.buffers)}
        model = self.table(5, {k: ("offset", v) for k, v in parts.items()})
        self.builder.Finish(model, b"TFL3")
        file.write_bytes(bytes(self.builder.Output()))


def test_an_int8_file_becomes_the_network_it_was_made_of(tmp_path):
    import coco_start as tool

    network, file = lively(yolo.untrained("yolo11n", 80)), tmp_path / "imitation.tflite"
    made = Imitation()
    for n, (name, module, size) in enumerate(tool._calls(network, 64)):
        if ".cv4." in name or ".proto." in name:
            continue  # such files have no mask branch
        weight, bias = folded(network, name, module)
        label, depthwise = f"x/convolution_{n}/y", module.groups == len(weight) > 1
        if depthwise and name.endswith(".pe.conv"):  # one channel after another
            for k in range(len(weight)):
                made.convolution(weight[k : k + 1], bias[k : k + 1], size, False, label)
        else:
            made.convolution(weight, bias, size, depthwise, label)
    made.write(file)
    again, random = tool.from_int8("yolo11n", file, 64)
    assert random and all(".cv4." in n or ".proto." in n for n in random)
    images = tool.photographs(64, 16)

    def classes(model):
        with torch.no_grad():
            return torch.logit(model(images)[0][0][:, 4:84]).numpy().ravel()

    wanted, got = classes(network), classes(again)
    assert np.corrcoef(wanted, got)[0, 1] > 0.98
    tool.put_back_norms(again, images)
    np.testing.assert_allclose(classes(again), got, atol=2e-3)
    training = copy.deepcopy(again)
    for m in training.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.train()
    assert np.corrcoef(classes(training), got)[0, 1] > 0.98
    (tmp_path / "other.tflite").write_bytes(b"nothing at all")
    with pytest.raises(ValueError, match="no TFLite file"):
        tool.from_int8("yolo11n", tmp_path / "other.tflite", 64)
