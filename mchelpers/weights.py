"""Trained weights: kept in safetensors, named by a hash of everything that made them."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor, nn

__all__ = ["fingerprint", "load_network", "load_tensors", "save_tensors"]


def fingerprint(*parts: object) -> str:
    """Hash settings, arrays, tensors, functions and classes (by their compiled code).

    Comments and docstrings do not count; any other change does.
    """
    digest = hashlib.sha256()

    def add_code(code):
        digest.update(code.co_code + repr(code.co_names).encode())
        for constant in code.co_consts:
            if hasattr(constant, "co_code"):
                add_code(constant)
            elif not isinstance(constant, str) or "\n" not in constant:  # not a docstring
                digest.update(repr(constant).encode())

    def add(part):
        if isinstance(part, Tensor):
            part = part.detach().cpu().contiguous().numpy()
        if isinstance(part, np.ndarray):
            digest.update(str((part.shape, part.dtype)).encode() + part.tobytes())
        elif isinstance(part, partial):
            add(part.func)
            digest.update(repr((part.args, sorted(part.keywords.items()))).encode())
        elif isinstance(part, type):
            digest.update(part.__qualname__.encode())
            for method in vars(part).values():
                if hasattr(method, "__code__"):
                    add(method)
        elif isinstance(part, dict):
            for name in sorted(part):
                digest.update(repr(name).encode())
                add(part[name])
        elif hasattr(part, "__code__"):
            add_code(part.__code__)
        else:
            digest.update(repr(part).encode())

    for part in parts:
        add(part)
    return digest.hexdigest()[:16]


def save_tensors(tensors: dict[str, Tensor], path: Path, note: dict[str, str]) -> None:
    """Write tensors and a note to a safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished, note)
    os.replace(unfinished, path)


def load_network(model: nn.Module, path: Path) -> nn.Module:
    """Fill a network with the weights that :func:`cross_validate` kept for a fold."""
    tensors, _ = load_tensors(path)
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    model.load_state_dict(weights)
    return model.eval()


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its note."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}
