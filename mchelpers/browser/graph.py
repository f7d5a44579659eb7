"""The shipped network of the graphene study as one ONNX graph, preparation and smoothing included.

What :func:`mchelpers.measuring.graphene.measure_graphene` does to an image between the file and the
threshold is written here once more, in the operators of ONNX, so that a browser does the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..models import UNet

__all__ = ["whole_graph"]

_TEXT = Path(__file__).with_name("graph.txt").read_text(encoding="utf-8")
_PARTS = dict(re.findall(r"^--- (\w+):.*\n((?:(?!---).*\n)*)", _TEXT, re.M))
"""Name -> operators, most with places to fill: the same words are written more than once."""


def whole_graph(network: UNet, most_uneven: float) -> ModelProto:
    """Write a network down as a graph from grey pixels to smoothed probabilities.

    Parameters
    ----------
    network
        Of one class and one channel, in evaluation mode. Its weights are kept in half precision,
        without loss if they were rounded to it before.
    most_uneven
        Standard deviation of the light over that of the image, above which it is flattened.

    Returns
    -------
    onnx.ModelProto
        Inputs ``grey`` (rows, columns) float32 in any unit, and ``size`` (2,) int64, what to bring
        it to; outputs ``probability`` of that size, and ``unevenness``, a number.
    """
    import onnx

    lines, tensors = [], dict(_constants(network.multiple, most_uneven))
    for line, weights in _network(network):
        lines.append(line)
        tensors |= weights
    text = "\n".join([_PARTS["header"], _preparation(), *lines, _smoothing()])
    model = onnx.parser.parse_model(text)
    for name, values in tensors.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    onnx.checker.check_model(model)
    return model


def _part(name: str, **places: str) -> str:
    return _PARTS[name].format(**places)


def _constants(multiple: int, most_uneven: float) -> Iterator[tuple[str, np.ndarray]]:
    integers = {"zero": 0, "one": 1, "last": [1], "three_rows": [3, -1], "planes": [0, 1]}
    integers |= {"one_plane": [1, 1], "no_pads": [0, 0], "both": [0, 1], "multiple": multiple}
    integers |= {"pad_rows": [0, 0, 1, 0] * 2, "pad_columns": [0, 0, 0, 1] * 2}
    integers |= {"down": [1, 1, -1, 1], "across": [1, 1, 1, -1]}
    doubles = {"nought": 0, "half": 0.5, "minus_half": -0.5, "unit": 1, "four": 4, "tiny": 1e-9}
    yield from ((name, np.array(value, np.int64)) for name, value in integers.items())
    doubles |= {"most_uneven": most_uneven}
    yield from ((name, np.array(value, np.float64)) for name, value in doubles.items())


def _blurred(start: str, stem: str, sigmas: tuple[str, str]) -> dict[str, str]:
    down = _part("blur", x=start, y=f"{stem}_rows", sigma=sigmas[0], pads="pad_rows", kernel="down")
    across = _part(
        "blur",
        x=f"{stem}_rows",
        y=f"{stem}_columns",
        sigma=sigmas[1],
        pads="pad_columns",
        kernel="across",
    )
    return {"rows": down, "columns": across}


def _preparation() -> str:
    standard = {x: _part("standard", x=x, y=f"{x}_standard") for x in ("surface", "raw", "lit")}
    scaled = _part("standard", x="scaled_double", y="scaled_standard")
    return "\n".join(
        [
            "  raw = Cast <to = 11> (grey)\n  shape = Shape (grey)",
            _part("basis", a="along_rows", axis="zero"),
            _part("basis", a="along_columns", axis="one"),
            _part("even", surface=standard["surface"], raw=standard["raw"]),
            standard["lit"],
            _part(
                "scale",
                standard=scaled,
                **_blurred("lit_plane", "smooth", ("sigma_rows", "sigma_columns")),
            ),
        ]
    )


def _smoothing() -> str:
    return _part("answer", **_blurred("chance_image", "answer", ("unit", "unit")))


def _network(network: UNet) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the operators of a U-Net, from ``image`` to ``logits``, each with its weights."""
    x = "folded"
    yield f"  {x} = SpaceToDepth <blocksize = {network.fold.downscale_factor}> (image)", {}
    skips = []
    for level, block in enumerate(network.down):
        if level:
            yield f"  pooled{level} = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({x})", {}
            x = f"pooled{level}"
        for number, layer in enumerate(block):
            x = yield from _layer(layer, x, f"down{level}_{number}")
        skips.append(x)
    skips.pop()
    for level, (grow, block) in enumerate(zip(network.grow, network.up)):
        grown = yield from _layer(grow, x, f"grown{level}")
        x = f"joined{level}"
        yield f"  {x} = Concat <axis = 1> ({grown}, {skips.pop()})", {}
        for number, layer in enumerate(block):
            x = yield from _layer(layer, x, f"up{level}_{number}")
    x = yield from _layer(network.head, x, "head")
    times = network.unfold.upscale_factor
    yield f'  logits = DepthToSpace <blocksize = {times}, mode = "CRD"> ({x})', {}


def _layer(layer, x: str, y: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield one layer of PyTorch and the casts of its weights; return the name of its result."""
    names = {
        "Conv2d": ("Conv", ("weight", "bias")),
        "ConvTranspose2d": ("ConvTranspose", ("weight", "bias")),
        "BatchNorm2d": ("BatchNormalization", ("weight", "bias", "running_mean", "running_var")),
        "ReLU": ("Relu", ()),
    }
    operator, wanted = names[type(layer).__name__]
    given = [x]
    for name in wanted:
        if (tensor := getattr(layer, name)) is not None:
            half = tensor.detach().numpy().astype(np.float16)
            yield f"  {y}_{name} = Cast <to = 1> ({y}_{name}_half)", {f"{y}_{name}_half": half}
            given.append(f"{y}_{name}")
    yield f"  {y} = {operator}{_attributes(layer)} ({', '.join(given)})", {}
    return y


def _attributes(layer) -> str:
    if hasattr(layer, "stride"):
        pads = list(layer.padding) * 2
        return f" <strides = {list(layer.stride)}, pads = {pads}>"
    return f" <epsilon = {layer.eps}>" if hasattr(layer, "eps") else ""
