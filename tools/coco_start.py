"""Turn int8 files of COCO-trained networks into starts for trainings.

``python tools/coco_start.py [yolo11n]`` writes ``yolo11n-coco-start.safetensors`` into the run
folder, where :func:`mchelpers.tmd_optical.transfer.coco_start` finds it.

The files were made for microcontrollers and are public on GitHub
(``stm32-hotspot/ultralytics``, AGPL-3.0 as all of Ultralytics; ``mchelpers/registry.csv`` has
their hashes): YOLOv8n-seg, whole, and YOLO11n without its mask branch, which stays random.
Integers times their scales are floats again; batch norms, which were folded into the
convolutions, are put back.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mchelpers.downloads import fetch
from mchelpers.kept import half, save_tensors
from mchelpers.tmd_optical.yolo import ultralytics, untrained
from mchelpers.train import run_folder

INT8 = {
    "yolov8n": ("weights/yolov8n_320_quant_pc_ii_seg_coco-st.tflite", 320),
    "yolo11n": ("weights/yolo11n_256_quant_pc_ii_seg_coco80-st.tflite", 256),
}
"""Network -> registered int8 file, and the side of its input, px."""

_SCALARS = {0: "<f4", 2: "<i4", 4: "<i8", 9: "<i1"}  # TFLite's number of a type -> NumPy's name
_CONVOLUTIONS = {3: (0, 3, 1, 2), 4: (3, 0, 1, 2), 67: (3, 0, 1, 2)}  # builtin code -> axes for us


class _Table:
    """A table of a FlatBuffer: fields by number, each behind an offset from where it stands."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at = data, at
        self.fields = at - self._number(at, "<i4")

    def _number(self, at: int, kind: str = "<u4") -> int:
        return int(np.frombuffer(self.data, kind, 1, at)[0])

    def _place(self, field: int) -> int:
        inside = 4 + 2 * field < self._number(self.fields, "<u2")
        offset = self._number(self.fields + 4 + 2 * field, "<u2") if inside else 0
        return self.at + offset if offset else 0

    def value(self, field: int, kind: str = "<u4") -> int:
        place = self._place(field)
        return self._number(place, kind) if place else 0

    def array(self, field: int, kind: str = "<i4") -> np.ndarray:
        place = self._place(field)
        if not place:
            return np.zeros(0, kind)
        start = place + self._number(place)
        return np.frombuffer(self.data, kind, self._number(start), start + 4)

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return _Table(self.data, place + self._number(place)) if place else None

    def tables(self, field: int) -> list[_Table]:
        first = self._place(field)
        first += self._number(first) + 4
        places = range(first, first + 4 * self._number(first - 4), 4)
        return [_Table(self.data, p + self._number(p)) for p in places]


def _floats(tensor: _Table, buffers: list[_Table]) -> np.ndarray:
    """Read a constant tensor: (integer - zero) x scale, per channel where it says so."""
    kind = _SCALARS[tensor.value(1, "<u1")]
    shape = tensor.array(0)
    values = buffers[tensor.value(2)].array(0, "<u1").view(kind).reshape(shape).astype(float)
    quantised = tensor.table(4)
    if kind != "<f4" and quantised is not None and len(scale := quantised.array(2, "<f4")):
        along = np.ones(len(shape), int)
        along[quantised.value(6)] = len(scale)
        zero = quantised.array(3, "<i8")
        zero = zero.reshape(along) if len(zero) == len(scale) else zero.sum()
        values = (values - zero) * scale.astype(float).reshape(along)
    return values.astype(np.float32)


def _convolutions(file: Path) -> list[tuple[tuple, int, np.ndarray, np.ndarray | None]]:
    """List the convolutions of a TFLite file: (output height, width), number, weight, bias."""
    data = Path(file).read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError(f"{file} is no TFLite file")
    model = _Table(data, int.from_bytes(data[:4], "little"))
    graph, buffers = model.tables(2)[0], model.tables(4)
    codes = [max(c.value(0, "<i1"), c.value(3, "<i4")) for c in model.tables(1)]
    tensors, found = graph.tables(0), []
    for at, operator in enumerate(graph.tables(3)):
        code, inputs = codes[operator.value(0)], operator.array(1)
        if code not in _CONVOLUTIONS:
            continue
        output = tensors[operator.array(2)[0]]
        weight = _floats(tensors[inputs[1]], buffers).transpose(_CONVOLUTIONS[code])
        if weight.shape == (1, 16, 1, 1):  # the numbers 0 to 15: no weights, but how boxes are read
            continue
        last = inputs[3 if code == 67 else 2 :]
        bias = _floats(tensors[last[0]], buffers) if len(last) and last[0] >= 0 else None
        # The exporter numbered convolutions as the network calls them; the file reorders them.
        name = bytes(output.array(3, "<u1")).decode()
        number = re.search(r"(?:convolution|depthwise_conv2d|conv2d_transpose)_(\d+)/", name)
        order = (int(number[1]) if number else 0) if code == 3 else 0
        found.append((tuple(int(n) for n in output.array(0)[1:3]), (order, at), weight, bias))
    return found


def _calls(network: nn.Module, side: int) -> list[tuple[str, nn.Module, tuple]]:
    """List a network's convolutions in the order of their calls, with the output's shape."""
    calls, hooks = [], []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and ".dfl" not in name:

            def note(module, _, output, name=name):
                calls.append((name, module, tuple(output.shape[2:])))

            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return calls


def from_int8(network: str, file: Path, side: int) -> tuple[nn.Module, list[str]]:
    """Build one of :data:`INT8` from its file: convolutions as they are, no batch norm yet.

    Parameters
    ----------
    network
        Key of :data:`INT8`.
    file
        TFLite.
    side
        Of the input that it was exported for, px.

    Returns
    -------
    model : torch.nn.Module
        For COCO's 80 classes, in evaluation.
    random : list of str
        Convolutions that the file does not have.

    Raises
    ------
    ValueError
        If the file is no TFLite file, or of another network.
    """
    model, theirs, pieces = untrained(network, 80).eval(), defaultdict(list), []
    for size, order, weight, bias in sorted(_convolutions(file), key=lambda c: c[1]):
        if weight.shape == (1, 1, 3, 3):  # the positional convolution, one channel after another
            pieces.append((order, weight, bias))
        else:
            theirs[weight.shape, size].append((order, weight, bias))
    random = []
    for name, module, size in _calls(model, side):
        waiting = theirs[tuple(module.weight.shape), size]
        if waiting:
            _, weight, bias = waiting.pop(0)
        elif len(pieces) == len(module.weight) and module.groups == len(pieces):
            weight = np.concatenate([p[1] for p in pieces])
            bias = None if pieces[0][2] is None else np.concatenate([p[2] for p in pieces])
            pieces = []
        else:
            random.append(name)
            continue
        parent = model.get_submodule(name.rpartition(".")[0])
        outputs = module.weight.shape[1 if isinstance(module, nn.ConvTranspose2d) else 0]
        bias = torch.from_numpy(np.zeros(outputs, np.float32) if bias is None else bias.copy())
        module.weight.data.copy_(torch.from_numpy(weight.copy()))
        if module.bias is not None:
            module.bias.data.copy_(bias)
        else:  # its batch norm does nothing but add
            norm = parent.bn
            norm.bias.data.copy_(bias)
            norm.running_var.fill_(1 - norm.eps)
    left = sum(len(found) for found in theirs.values())
    if left or pieces:
        raise ValueError(
            f"{file} holds {left + len(pieces)} layers that {network} has no place for"
        )
    return model, random


def photographs(side: int, count: int = 64) -> torch.Tensor:
    """Cut squares out of photographs that come with scikit-image: (count, 3, side, side)."""
    import cv2
    import skimage.data

    photos = [getattr(skimage.data, n)() for n in ("astronaut", "chelsea", "coffee", "rocket")]
    rng, cuts = np.random.default_rng(0), []
    for n in range(count):
        photo = photos[n % len(photos)]
        edge = int(min(photo.shape[:2]) * rng.uniform(0.6, 1))
        top, left = (int(rng.integers(0, k - edge + 1)) for k in photo.shape[:2])
        cut = np.ascontiguousarray(photo[top : top + edge, left : left + edge])
        cuts.append(cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.stack(cuts).transpose(0, 3, 1, 2) / np.float32(255))


@torch.no_grad()
def put_back_norms(model: nn.Module, images: torch.Tensor) -> None:
    """Un-fold batch norms in place: a convolution's own mean and variance over images.

    In evaluation the network stays what it was; in training its layers now see what they saw when
    they were trained, without which it knows nothing.
    """
    blocks = [m for m in model.modules() if isinstance(m, ultralytics().nn.modules.Conv)]
    sums: dict[nn.Module, list] = {}

    def note(module, _, output):
        values = output.double().transpose(0, 1).flatten(1)  # (C, N)
        found = torch.stack([torch.full_like(values[:, 0], values.shape[1]), values.sum(1),
                             (values**2).sum(1)])  # fmt: skip
        sums[module] = sums.get(module, 0) + found

    hooks = [block.conv.register_forward_hook(note) for block in blocks]
    for part in images.split(8):
        model(part)
    for hook in hooks:
        hook.remove()
    for block in blocks:
        count, first, second = sums[block.conv]
        mean, norm = first / count, block.bn
        variance = (second / count - mean**2).clamp(min=1e-8)
        norm.weight.data.copy_((variance + norm.eps).sqrt())
        norm.bias.data.add_(mean)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def make_start(network: str, target: Path) -> Path:
    """Write the start of a network: converted, and rounded to 16 bits."""
    path, side = INT8[network]
    model, random = from_int8(network, fetch(path), side)
    put_back_norms(model, photographs(side))
    note = {"network": network, "side": "640", "licence": "AGPL-3.0", "source": path}
    note |= {"classes": json.dumps([str(n) for n in range(80)]), "watched": "[]"}
    history = {"loss": [], "validation": [], "seconds": []}
    note |= {"random": json.dumps(random), "history": json.dumps(history)}
    save_tensors(half(model.state_dict()), target, note)
    return target


if __name__ == "__main__":
    for name in sys.argv[1:] or ["yolo11n"]:
        print(make_start(name, run_folder() / f"{name}-coco-start.safetensors"))
