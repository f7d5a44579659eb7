"""A whole micrograph from detector counts to a table of particles.

Taken apart in the chapter *From micrograph to population*.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checks import check_pixel_size_nm
from ..whole import predict_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["in_own_process", "segment"]


def segment(
    network: nn.Module,
    image: np.ndarray,
    pixel_size_nm: float,
    *,
    prepare: Callable[[np.ndarray], Tensor] | None = None,
    threshold: float = 0.5,
    smallest_nm: float = 1.0,
    tile: int = 512,
    halo: int = 128,
    device: str = "cpu",
    progress: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a raw micrograph into particles and their measures.

    X-rays out, normalised, predicted, thresholded, touching particles
    separated, measured.

    Parameters
    ----------
    network
        Trained on tiles of :func:`mchelpers.nanoparticles.tiles.cut`.
    image
        (H, W) detector counts.
    pixel_size_nm
        Edge of a pixel in nm.
    prepare
        What the network wants done to (1, H, W) normalised micrographs, e.g.
        :func:`mchelpers.nanoparticles.network.prepare`; it gets the whole one, so
        that tiles agree. None hands it over as it is.
    threshold
        Probability above which a pixel belongs to a particle.
    smallest_nm
        Diameter of the circle whose area a piece must have to be a particle.
    tile, halo, device, progress
        As for :func:`predict_whole`.

    Returns
    -------
    labels : (H, W) int32
    table : (N,) structured array
        As from :func:`mchelpers.nanoparticles.populations.measure`.
    """
    from .populations import measure, separate
    from .tiles import normalise, remove_xrays

    check_pixel_size_nm(pixel_size_nm)
    clean = normalise(remove_xrays(image))
    if prepare is not None:
        clean = prepare(clean[None])[0]
    probability = predict_whole(network, clean, tile, halo, device=device, progress=progress)
    minimum_px = int(np.ceil(np.pi / 4 * (smallest_nm / pixel_size_nm) ** 2))
    labels = separate(probability > threshold, minimum_px)
    return labels, measure(labels, pixel_size_nm)


def in_own_process(
    network: nn.Module,
    image: np.ndarray,
    pixel_size_nm: float,
    threads: int = 1,
    prepare: Callable[[np.ndarray], Tensor] | None = None,
    **options,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Run :func:`segment` on the CPU in a process of its own, so that cost is its alone.

    Parameters
    ----------
    network, image, pixel_size_nm, prepare
        As for :func:`segment`; the network is copied, its class and ``prepare``
        must be importable.
    threads
        CPU threads of the process.
    options
        Further arguments of :func:`segment`.

    Returns
    -------
    labels, table
        As from :func:`segment`.
    cost : dict
        ``seconds`` from raw pixels to the table (libraries and network loaded
        before), and ``peak_memory_mb`` of the whole process, Python and torch
        included.

    Raises
    ------
    RuntimeError
        If the process fails; its own error is quoted.
    """
    import copy

    import torch

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        torch.save((copy.deepcopy(network).cpu(), prepare), folder / "network.pt")
        np.save(folder / "image.npy", image)
        task = {"pixel_size_nm": float(pixel_size_nm), "threads": threads, "options": options}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from mchelpers.nanoparticles import whole; "
            f"whole._child({str(folder)!r})"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the process of its own failed:\n{done.stderr[-2000:]}")
        cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
        return np.load(folder / "labels.npy"), np.load(folder / "table.npy"), cost


def _child(folder: str) -> None:
    """What runs in the process of :func:`in_own_process`."""
    import torch

    from ..contexts import threads
    from ..run import peak_memory_mb

    place = Path(folder)
    task = json.loads((place / "task.json").read_text(encoding="utf-8"))
    # Whole objects, but written by the parent a moment ago.
    network, prepare = torch.load(place / "network.pt", weights_only=False)
    image = np.load(place / "image.npy")
    started = time.perf_counter()
    with threads(task["threads"]):
        labels, table = segment(
            network, image, task["pixel_size_nm"], prepare=prepare, **task["options"]
        )
    seconds = time.perf_counter() - started
    np.save(place / "labels.npy", labels)
    np.save(place / "table.npy", table)
    cost = {"seconds": seconds, "peak_memory_mb": peak_memory_mb()[0]}
    (place / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
