"""A training written down, so that another process, on another machine, can make it.

Trainings that are not kept are written to a folder instead of made: settings and the names of
functions as JSON, arrays in files named by their content. What comes of a planned training is NaN,
so that nothing that depends on it passes for a result.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import operator
import os
import sys
import textwrap
import threading
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import torch
from torch import Tensor

from ..kept import Training, save_tensors
from ..source import digest
from ..train import Fit, History

__all__ = ["PlanError", "decode", "encode", "jobs", "write_down"]

FOLDER = "MCHELPERS_PLAN"  # the variable that names it
PLACEHOLDERS = "placeholders"  # folder in it, of files of NaN
_writing = threading.Lock()


class PlanError(ValueError):
    """A training cannot be written down; the message says which, why and what to do."""


def write_down(training: Training) -> Path:
    """Add a training to the plan; return a file of NaN in place of its weights.

    Raises
    ------
    PlanError
        If it begins from, or learns from, what is only planned, or cannot be told in words.
    """
    place, model = Path(os.environ[FOLDER]), training.build()
    inputs = [training.images, training.targets, *(training.start or {}).values()]
    if any(bool(torch.isnan(x).any()) for x in inputs if x.is_floating_point()):
        raise PlanError(f"{training.name} depends on the result of a training that is planned")
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    empty = History(*_nothing(training.settings, training.score is not None))
    note = {"history": json.dumps(asdict(empty))}
    # One file stands for all networks of one shape with the same history.
    file = place / PLACEHOLDERS / f"{digest(repr((shapes, note)))}.safetensors"
    job = {"name": f"{training.name}-{training.key}", "epochs": training.settings.epochs}
    with _writing:
        if job["name"] not in {j["name"] for j in jobs(place)}:
            try:
                told = encode(training, place)
            except PlanError as error:
                raise PlanError(f"{training.name} cannot be packed: {error}") from None
            job |= {"images": len(training.learn), "shapes": shapes, "training": told}
            with (place / "plan.jsonl").open("a", encoding="utf-8") as plan:
                plan.write(json.dumps(job) + "\n")
        if not file.exists():
            state = model.state_dict()
            floats = {k: v for k, v in state.items() if v.is_floating_point()}
            save_tensors({**state, **{k: v * torch.nan for k, v in floats.items()}}, file, note)
    return file


def _nothing(settings: Fit, watched: bool) -> tuple[list[float], list[float], list[float]]:
    """Return the loss, validation and seconds of a training that was not made."""
    epochs = range(1, settings.epochs + 1)
    due = [e for e in epochs if e % settings.validate_every == 0 or e == settings.epochs]
    return [np.nan] * len(epochs), [np.nan] * len(due) * watched, [0.0] * len(epochs)


def jobs(place: Path) -> list[dict]:
    """Read the trainings of a plan, first planned first."""
    file = place / "plan.jsonl"
    return [json.loads(x) for x in file.read_text("utf-8").splitlines()] if file.exists() else []


def encode(value, place: Path):
    """Tell a value in JSON; arrays, and functions of a chapter's cells, go to files in a folder.

    Raises
    ------
    PlanError
        For what JSON and a name cannot tell.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return {"tensor": _store(value.detach().cpu().numpy(), place)}
    if isinstance(value, np.ndarray):
        return {"array": _store(value, place)}
    if isinstance(value, list):
        return [encode(v, place) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(v, place) for v in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, place), encode(v, place)] for k, v in value.items()]}
    if isinstance(value, partial):
        parts = (value.func, list(value.args), value.keywords)
        return {"partial": [encode(p, place) for p in parts]}
    if is_dataclass(value) and not isinstance(value, type):
        told = {f.name: getattr(value, f.name) for f in fields(value)}
        return {"make": [encode(type(value), place), encode(told, place)]}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"code": _reference(value, place)}
    raise PlanError(f"a {type(value).__name__} cannot be told in JSON: {str(value)[:60]}")


def decode(told, place: Path):
    """Make again what :func:`encode` told."""
    if isinstance(told, list):
        return [decode(v, place) for v in told]
    if not isinstance(told, dict):
        return told
    ((kind, content),) = told.items()
    if kind == "code":
        module, _, name = content.partition(":")
        return operator.attrgetter(name)(importlib.import_module(module))
    if kind in ("tensor", "array"):
        array = np.load(place / "arrays" / f"{content}.npy", mmap_mode="c")
        return torch.from_numpy(array) if kind == "tensor" else np.array(array)
    parts = decode(content, place)
    if kind == "tuple":
        return tuple(parts)
    if kind == "dict":
        return {key: value for key, value in parts}
    if kind == "partial":
        return partial(parts[0], *parts[1], **parts[2])
    return parts[0](**parts[1])


def _store(array: np.ndarray, place: Path) -> str:
    array = np.ascontiguousarray(array)
    name = digest(repr((array.dtype.str, array.shape)).encode() + array.tobytes())
    file = place / "arrays" / f"{name}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, array, allow_pickle=False)
    return name


def _reference(code, place: Path) -> str:
    """Spell a function or class as ``module:name``; one of a chapter's cell is written out."""
    module, name = code.__module__, code.__qualname__
    if module == "__main__" and isinstance(code, FunctionType):
        return f"{_write_out(code, place)}:{name}"
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        found = None
    if found is not code:
        raise PlanError(f"{module}.{name} has no name of its own: move it into the study's room")
    return f"{module}:{name}"


def _write_out(function: FunctionType, place: Path) -> str:
    """Write a function of a cell, and the names that it uses, as a module; return its name."""
    texts = _text_of(function)
    module = f"cell_{digest(texts)}"
    (place / f"{module}.py").write_text(texts, encoding="utf-8")
    return module


def _text_of(function: FunctionType) -> str:
    name = function.__qualname__
    if name != function.__name__ or function.__name__ == "<lambda>" or function.__closure__:
        raise PlanError(f"{name} is no plain function of a cell: move it into the study's room")
    source = textwrap.dedent(inspect.getsource(function))
    used = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)} - {name}
    lines = []
    for other in sorted(used & set(function.__globals__)):
        value = function.__globals__[other]
        if isinstance(value, ModuleType):
            lines.append(f"import {value.__name__} as {other}\n")
        elif isinstance(value, FunctionType) and value.__module__ == "__main__":
            lines.append(_text_of(value))
        elif callable(value) and getattr(value, "__module__", "__main__") != "__main__":
            lines.append(f"from {value.__module__} import {value.__qualname__} as {other}\n")
        elif value is None or isinstance(value, bool | int | float | str):
            lines.append(f"{other} = {value!r}\n")
        else:
            raise PlanError(f"{name} uses {other!r} of its chapter: move it into the study's room")
    return "".join(lines) + "\n" + source
