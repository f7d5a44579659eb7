"""Where this process runs, and with which versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["describe", "describe_device", "machine", "versions"]

PACKAGES = (
    "abtem",
    "jupyter-book",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "openvino",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "segmentation_models_pytorch",
    "torch",
    "ultralytics-opencv-headless",
)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":", 1)[1].strip() for x in lines if "model name" in x]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict:
    """Describe this machine: processor, cores, memory, GPU (None without one)."""
    import psutil

    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
    memory = round(psutil.virtual_memory().total / 1024**3)
    return {"cpu": _processor(), "cores": os.cpu_count(), "memory_gb": memory, "gpu": gpu}


def describe(machine: dict) -> str:
    """Name a machine in a few words: its GPU, else its processor and cores."""
    return machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"


def describe_device(device: str | torch.device) -> str:
    """Name what computes on a device of this machine, as :func:`describe` does."""
    import torch

    device = torch.device(device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return describe({"gpu": gpu, "cpu": _processor(), "cores": os.cpu_count()})


def versions() -> dict[str, str]:
    """Return the version of Python, and of each package that is installed here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
