"""One trained network, several engines that compute it, all behind one call.

PyTorch computes the network that was trained; ONNX Runtime and OpenVINO
compute a file that is exported from it: nothing of PyTorch is needed to run
that file. The chapter *Live* times them against each other.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from .. import contexts
from ..data import DataError
from ..install import install_line

if TYPE_CHECKING:
    from torch import nn

    from .detections import Detections
    from .yolo import Detector

__all__ = ["ENGINES", "Engine", "agreement", "export", "need", "open_engine", "open_exported"]

ENGINES = ("PyTorch", "ONNX Runtime", "OpenVINO")
"""What can compute a network here."""

_MODULES = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}
_ON_THE_WAY = "open it with engines.open_engine, which exports it anew"


@dataclass(frozen=True)
class Engine:
    """A network, ready to compute one image after the other.

    Attributes
    ----------
    name
        One of :data:`ENGINES`.
    classes
        Names, in the order of their numbers.
    side
        Of its square input, px.
    precision
        ``"float32"`` or ``"bfloat16"``: of what is multiplied; it is called
        with, and returns, float32.
    compute
        Does the work; see :meth:`__call__`.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    precision: str
    compute: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the network on one image.

        Parameters
        ----------
        image
            (1, 3, side, side) float32 in 0 to 1, RGB; a tensor on the CPU will do.

        Returns
        -------
        prediction
            (1, 4 + C + 32, anchors) float32: boxes (centre, size), class
            scores, mask coefficients.
        prototypes
            (1, 32, side / 4, side / 4) float32. Both may be overwritten by the next call.

        Raises
        ------
        ValueError
            If the image has another shape or type.
        """
        image = np.asarray(image)
        wanted = (1, 3, self.side, self.side)
        if image.shape != wanted or image.dtype != np.float32:
            raise ValueError(
                f"{self.name} takes float32 of shape {wanted}, got {image.dtype} of shape "
                f"{image.shape}; yolo.prepare(frame, {self.side}, square=True) makes it"
            )
        return self.compute(image)


def need(module: str) -> ModuleType:
    """Import what an engine needs, or say how to get it."""
    if module == "openvino":
        # Its converter, which is not used here, would report each import to its maker and write
        # into the home folder; where the reporter is missing, it does without.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this needs the package {module}: {install_line('live')}, or take the "
            "engine 'PyTorch', which needs no other"
        ) from error


def _fused(detector: Detector) -> nn.Module:
    """Copy a network for the CPU, with each batch normalisation taken into its convolution."""
    network = copy.deepcopy(detector.network).cpu().float().eval()
    network = network.fuse(verbose=False) if hasattr(network, "fuse") else network
    return network.requires_grad_(False)


def _check_classes(found: Sequence[str], expected: Sequence[str] | None, where: str) -> None:
    if expected is not None and list(found) != list(expected):
        raise DataError(
            f"{where} names the classes {list(found)}, expected {list(expected)}; their order "
            "counts too: it was made from another network"
        )


def export(detector: Detector, side: int = 640, folder: Path | None = None) -> Path:
    """Write a network as ONNX, or find the file that the same network was written to before.

    Parameters
    ----------
    detector
        From :func:`mchelpers.tmd_optical.yolo.load`.
    side
        Of the square input, px; a multiple of 32.
    folder
        Where to. By default ``engines`` in the run folder.

    Returns
    -------
    Path
        Named by a hash of the weights, the classes, the side and the versions
        of PyTorch and Ultralytics. The file knows its classes.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    ValueError
        If the side is not a multiple of 32.
    """
    if side < 32 or side % 32:
        raise ValueError(f"side must be a multiple of 32 px, got {side}")
    import torch

    from ..train import run_folder
    from .yolo import ultralytics

    key = _key(detector, side, torch.__version__, ultralytics().__version__)
    file = Path(run_folder() / "engines" if folder is None else folder) / f"{key}.onnx"
    if file.exists():
        return file
    onnx = need("onnx")
    network = _fused(detector)
    network.model[-1].export = True  # (prediction, prototypes) and no more
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{key}.{os.getpid()}.onnx")
    image = torch.zeros(1, 3, side, side)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the way of export is old; the new one needs more packages
        network(image)  # lays out the anchors
        names = {"input_names": ["image"], "output_names": ["prediction", "prototypes"]}
        torch.onnx.export(network, (image,), part, opset_version=17, dynamo=False, **names)
    model = onnx.load(part)
    for name, value in (("classes", list(detector.classes)), ("side", side)):
        model.metadata_props.add(key=name, value=json.dumps(value))
    onnx.save(model, part)
    part.replace(file)
    return file


def _key(detector: Detector, side: int, *versions: str) -> str:
    from ..key import fingerprint

    weights = dict(detector.network.state_dict())
    return fingerprint(weights, list(detector.classes), side, *versions)


def open_engine(
    name: str,
    detector: Detector,
    side: int = 640,
    threads: int = 2,
    fast: bool = False,
    classes: Sequence[str] | None = None,
) -> Engine:
    """Make one of the engines ready for a trained network.

    Parameters
    ----------
    name
        One of :data:`ENGINES`. The last two work on a file of :func:`export`.
    detector
        From :func:`mchelpers.tmd_optical.yolo.load`.
    side
        Of the square input, px; a multiple of 32.
    threads
        CPU cores to use, in each call anew; torch's own number stays as it is.
    fast
        Multiply in bfloat16, where the processor can and the engine does.
        :attr:`Engine.precision` says what came of it.
    classes
        Names that are expected; None takes what comes.

    Returns
    -------
    Engine

    Raises
    ------
    ImportError
        If the engine's package is missing.
    DataError
        If the classes are not those expected, or an exported file is damaged.
    ValueError
        If there is no such engine.
    """
    if name not in ENGINES:
        raise ValueError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
    _check_classes(detector.classes, classes, "the network")
    if name != "PyTorch":
        need(_MODULES[name])  # before anything is exported
        return open_exported(name, export(detector, side), threads, fast, detector.classes)
    import torch

    from ..train import autocast

    network = _fused(detector).to(memory_format=torch.channels_last)
    with autocast(torch.device("cpu")):
        fast = fast and torch.is_autocast_enabled("cpu")

    def compute(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tensor = torch.from_numpy(image).contiguous(memory_format=torch.channels_last)
        half = torch.autocast("cpu", torch.bfloat16, enabled=fast)
        with contexts.threads(threads), torch.inference_mode(), half:
            prediction, prototypes = network(tensor)[0]
        return prediction.float().numpy(), prototypes.float().contiguous().numpy()

    precision = "bfloat16" if fast else "float32"
    return _warm(Engine(name, tuple(detector.classes), side, precision, compute))


def open_exported(
    name: str,
    file: Path,
    threads: int = 2,
    fast: bool = False,
    classes: Sequence[str] | None = None,
) -> Engine:
    """Make an engine ready for a file of :func:`export`.

    Parameters
    ----------
    name
        ``"ONNX Runtime"``, which multiplies in float32 only, or ``"OpenVINO"``.
    file
        The file.
    threads, fast, classes
        As for :func:`open_engine`.

    Returns
    -------
    Engine

    Raises
    ------
    ImportError
        If the engine's package is missing.
    DataError
        If the file is missing, cut, not one of ours, or has other classes.
    ValueError
        If the engine does not work on files.
    """
    if name not in _MODULES:
        raise ValueError(f"{name!r} opens no file; {' and '.join(_MODULES)} do")
    file = Path(file)
    module = need(_MODULES[name])
    if not file.exists():
        raise DataError(f"there is no {file}; {_ON_THE_WAY}")
    try:
        note, engine = (_onnxruntime if name == "ONNX Runtime" else _openvino)(
            module, file, threads, fast
        )
    except Exception as error:  # each runtime has exceptions of its own
        raise DataError(
            f"{file} cannot be read as a network ({str(error).strip().splitlines()[0][:120]}); "
            f"delete it and {_ON_THE_WAY}"
        ) from error
    if not {"classes", "side"} <= note.keys():
        raise DataError(f"{file} does not say its classes; {_ON_THE_WAY}")
    found, side = json.loads(note["classes"]), json.loads(note["side"])
    _check_classes(found, classes, str(file))
    return _warm(replace(engine, classes=tuple(found), side=side))


def _onnxruntime(module: ModuleType, file: Path, threads: int, fast: bool):
    options = module.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = module.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def compute(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prediction, prototypes = session.run(["prediction", "prototypes"], {"image": image})
        return prediction, prototypes

    note = session.get_modelmeta().custom_metadata_map
    return note, Engine("ONNX Runtime", (), 0, "float32", compute)


def _openvino(module: ModuleType, file: Path, threads: int, fast: bool):
    core = module.Core()
    fast = fast and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    model = core.read_model(str(file))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    names = ("classes", "side")
    note = {
        n: model.get_rt_info(["framework", n]).astype(str)
        for n in names
        if model.has_rt_info(["framework", n])
    }

    def compute(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        request.infer({"image": image}, share_inputs=True)
        return request.get_tensor("prediction").data, request.get_tensor("prototypes").data

    return note, Engine("OpenVINO", (), 0, "bfloat16" if fast else "float32", compute)


def _warm(engine: Engine) -> Engine:
    """Let an engine see one image, for the first one takes longest."""
    engine(np.zeros((1, 3, engine.side, engine.side), np.float32))
    return engine


def agreement(one: Detections, other: Detections, iou: float = 0.9) -> float:
    """Share of the objects of two engines on one frame that both found.

    Parameters
    ----------
    one, other
        Detections in the same frame.
    iou
        Masks of one class that overlap as much are the same object.

    Returns
    -------
    float
        Twice the pairs over the objects of both; 1 if neither found any.
    """
    from .detections import mask_iou

    if not len(one) + len(other):
        return 1.0
    overlap = mask_iou(one, other) * (one.classes[:, None] == other.classes)
    pairs = 0
    while overlap.size and overlap.max() >= iou:
        n, m = np.unravel_index(np.argmax(overlap), overlap.shape)
        overlap[n], overlap[:, m] = 0, 0
        pairs += 1
    return 2 * pairs / (len(one) + len(other))
