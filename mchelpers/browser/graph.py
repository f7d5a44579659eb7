"""The shipped network of the graphene study as one ONNX graph, preparation and smoothing included.

What :func:`mchelpers.measuring.graphene.measure_graphene` does to an image between the file and the
threshold is written here once more, in the operators of ONNX, so that a browser does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..models import UNet

__all__ = ["whole_graph"]

OPSET, IR = 18, 9
_CASTS = {"float": 1, "int64": 7, "double": 11}

_HEADER = f"""<ir_version: {IR}, opset_import: ["" : {OPSET}]>
measure (float[rows, columns] grey, int64[2] size)
    => (float[high, wide] probability, double unevenness) {{"""

# Quadratics along each axis: 1, t and t^2 less its mean are orthogonal, for t is symmetrical.
_BASIS = """
  {a}_count = Gather <axis = 0> (shape, {axis})
  {a}_steps = Range (zero, {a}_count, one)
  {a}_places = Cast <to = 11> ({a}_steps)
  {a}_middle = ReduceMean <keepdims = 1> ({a}_places)
  {a}_1 = Sub ({a}_places, {a}_middle)
  {a}_square = Mul ({a}_1, {a}_1)
  {a}_height = ReduceMean <keepdims = 1> ({a}_square)
  {a}_2 = Sub ({a}_square, {a}_height)
  {a}_0 = Equal ({a}_1, {a}_1)
  {a}_ones = Cast <to = 11> ({a}_0)
  {a}_columns = Concat <axis = 0> ({a}_ones, {a}_1, {a}_2)
  {a}_three = Reshape ({a}_columns, three_rows)
  {a}_norms = ReduceL2 <keepdims = 1> ({a}_three, last)
  {a} = Div ({a}_three, {a}_norms)
  {a}_turned = Transpose <perm = [1, 0]> ({a})"""

# (x - mean) / standard deviation, in double precision as NumPy has it.
_STANDARD = """
  {y}_mean = ReduceMean <keepdims = 0> ({x})
  {y}_off = Sub ({x}, {y}_mean)
  {y}_square = Mul ({y}_off, {y}_off)
  {y}_variance = ReduceMean <keepdims = 0> ({y}_square)
  {y}_spread = Sqrt ({y}_variance)
  {y} = Div ({y}_off, {y}_spread)"""

# The light: a quadratic surface, taken out where it is less even than in training.
_EVEN = """
  surface_left = MatMul (along_rows, raw)
  coefficients = MatMul (surface_left, along_columns_turned)
  surface_right = MatMul (coefficients, along_columns)
  surface = MatMul (along_rows_turned, surface_right)
{surface}
{raw}
  unevenness = Div (surface_standard_spread, raw_standard_spread)
  is_even = LessOrEqual (unevenness, most_uneven)
  least = ReduceMin <keepdims = 0> (surface)
  is_bright = Greater (least, nought)
  divided = Div (raw, surface)
  subtracted = Sub (raw, surface)
  flat = Where (is_bright, divided, subtracted)
  lit = Where (is_even, raw, flat)"""

# A Gaussian of the standard deviation {sigma} along one axis, cut at four of them, edges repeated.
_BLUR = """
  {y}_far = Mul ({sigma}, four)
  {y}_near = Add ({y}_far, half)
  {y}_reach = Cast <to = 7> ({y}_near)
  {y}_before = Neg ({y}_reach)
  {y}_after = Add ({y}_reach, one)
  {y}_whole = Range ({y}_before, {y}_after, one)
  {y}_steps = Cast <to = 11> ({y}_whole)
  {y}_wide = Max ({sigma}, tiny)
  {y}_ratio = Div ({y}_steps, {y}_wide)
  {y}_square = Mul ({y}_ratio, {y}_ratio)
  {y}_power = Mul ({y}_square, minus_half)
  {y}_bell = Exp ({y}_power)
  {y}_sum = ReduceSum <keepdims = 0> ({y}_bell)
  {y}_even = Div ({y}_bell, {y}_sum)
  {y}_single = Cast <to = 1> ({y}_even)
  {y}_kernel = Reshape ({y}_single, {kernel})
  {y}_pads = Mul ({pads}, {y}_reach)
  {y}_padded = Pad <mode = "edge"> ({x}, {y}_pads)
  {y} = Conv ({y}_padded, {y}_kernel)"""

# To the scale of the network: linear, smoothed first where it becomes smaller.
_SCALE = """
  old = Cast <to = 11> (shape)
  new = Cast <to = 11> (size)
  shrink = Div (old, new)
  excess = Sub (shrink, unit)
  halved = Mul (excess, half)
  sigmas = Max (halved, nought)
  sigma_rows = Gather <axis = 0> (sigmas, zero)
  sigma_columns = Gather <axis = 0> (sigmas, one)
  lit_single = Cast <to = 1> (lit_standard)
  lit_plane = Unsqueeze (lit_single, planes)
{rows}
{columns}
  sizes = Concat <axis = 0> (one_plane, size)
  scaled_plane = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">
    (smooth_columns, , , sizes)
  scaled = Squeeze (scaled_plane, planes)
  scaled_double = Cast <to = 11> (scaled)
{standard}
  prepared = Cast <to = 1> (scaled_standard)
  minus_size = Neg (size)
  missing = Mod (minus_size, multiple)
  whole_pads = Concat <axis = 0> (no_pads, missing)
  whole = Pad <mode = "reflect"> (prepared, whole_pads)
  image = Unsqueeze (whole, planes)"""

_ANSWER = """
  chance = Sigmoid (logits)
  chance_plane = Squeeze (chance, planes)
  chance_cut = Slice (chance_plane, no_pads, size, both)
  chance_image = Unsqueeze (chance_cut, planes)
{rows}
{columns}
  probability = Squeeze (answer_columns, planes)
}}"""


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
    text = "\n".join([_HEADER, _preparation(), *lines, _smoothing()])
    model = onnx.parser.parse_model(text)
    for name, values in tensors.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    onnx.checker.check_model(model)
    return model


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
    down = _BLUR.format(x=start, y=f"{stem}_rows", sigma=sigmas[0], pads="pad_rows", kernel="down")
    across = _BLUR.format(
        x=f"{stem}_rows", y=f"{stem}_columns", sigma=sigmas[1], pads="pad_columns", kernel="across"
    )
    return {"rows": down, "columns": across}


def _preparation() -> str:
    standard = {x: _STANDARD.format(x=x, y=f"{x}_standard") for x in ("surface", "raw", "lit")}
    scaled = _STANDARD.format(x="scaled_double", y="scaled_standard")
    return "\n".join(
        [
            "  raw = Cast <to = 11> (grey)\n  shape = Shape (grey)",
            _BASIS.format(a="along_rows", axis="zero"),
            _BASIS.format(a="along_columns", axis="one"),
            _EVEN.format(surface=standard["surface"], raw=standard["raw"]),
            standard["lit"],
            _SCALE.format(
                standard=scaled,
                **_blurred("lit_plane", "smooth", ("sigma_rows", "sigma_columns")),
            ),
        ]
    )


def _smoothing() -> str:
    return _ANSWER.format(**_blurred("chance_image", "answer", ("unit", "unit")))


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
