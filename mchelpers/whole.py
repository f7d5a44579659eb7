"""Whole micrographs through a network: overlapping tiles, no seams, little memory.

A micrograph of 4096 x 4096 px does not pass through a network at once: each
feature map of the first level alone would take 67 MB. Taken apart in the chapter
*From micrograph to population*.
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

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["in_own_process", "predict_whole", "segment"]


def predict_whole(
    network: nn.Module,
    image: np.ndarray,
    tile: int = 512,
    halo: int = 128,
    *,
    device: str = "cpu",
    progress: str | None = None,
) -> np.ndarray:
    """Predict every pixel of a micrograph as if it had passed the network at once.

    Each tile is predicted together with a halo of its surroundings, of which
    the answers are thrown away. If the halo is as wide as half the network's
    receptive field, no kept pixel can tell that the image was cut. Tiles begin
    where pooling falls on the same pixels as in the uncut image.

    Parameters
    ----------
    network
        From (B, C, H, W) to logits (B, 2, H, W), or (B, 1, H, W) that are
        positive on particles; put into evaluation mode.
    image
        (H, W) or (C, H, W) float32, scaled as in training.
    tile, halo
        Width of what is kept, and of what is seen on each side of it, in px;
        multiples of the network's ``multiple`` (32 if it has none).
    device
        Where to compute.
    progress
        Caption of a progress bar; None shows none.

    Returns
    -------
    (H, W) float32
        Probability of being particle.

    Raises
    ------
    ValueError
        If the image has another shape or is not finite, or the widths are no
        such multiples.
    """
    import torch
    from tqdm.auto import tqdm

    from .train import predict

    image = np.asarray(image, np.float32)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"one (H, W) or (C, H, W) image is needed, got shape {image.shape}")
    step = getattr(network, "multiple", 32)
    if tile < step or halo < 0 or tile % step or halo % step:
        raise ValueError(f"tile and halo must be multiples of {step} px, got {tile} and {halo}")
    if not np.isfinite(image).all():
        raise ValueError("the image holds NaN or infinity; fill or crop those pixels first")
    image = image.reshape(-1, *image.shape[-2:])  # (C, H, W)
    height, width = image.shape[-2:]
    rest = [(0, -side % step) for side in (height, width)]
    if any(after for _, after in rest):
        mode = "reflect" if min(height, width) > step else "edge"
        image = np.pad(image, [(0, 0), *rest], mode)
    probability = np.empty(image.shape[-2:], np.float32)
    corners = [(r, c) for r in range(0, height, tile) for c in range(0, width, tile)]
    for row, column in tqdm(corners, desc=progress, unit="tile", disable=progress is None):
        # At the border of the image the window ends with it: the network pads as it always does.
        top, left = max(0, row - halo), max(0, column - halo)
        seen = np.s_[:, top : row + tile + halo, left : column + tile + halo]
        window = torch.from_numpy(np.ascontiguousarray(image[seen]))[None]
        logits = predict(network, window, device=device)[0]  # (2 or 1, h, w)
        answer = (torch.softmax(logits, 0)[1] if len(logits) == 2 else logits[0].sigmoid()).numpy()
        kept = np.s_[row : row + tile, column : column + tile]
        size = probability[kept].shape
        probability[kept] = answer[row - top :, column - left :][: size[0], : size[1]]
    return probability[:height, :width]


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
        Trained on tiles of :func:`mchelpers.tiles.cut`.
    image
        (H, W) detector counts.
    pixel_size_nm
        Edge of a pixel in nm.
    prepare
        What the network wants done to (1, H, W) normalised micrographs, e.g.
        :func:`mchelpers.particle_network.prepare`; it gets the whole one, so
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
        As from :func:`mchelpers.populations.measure`.
    """
    from .populations import measure, separate
    from .tiles import normalise, remove_xrays

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
            f"import sys; sys.path[:] = {sys.path!r}; from mchelpers import whole; "
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

    from .run import peak_memory_mb

    place = Path(folder)
    task = json.loads((place / "task.json").read_text(encoding="utf-8"))
    torch.set_num_threads(task["threads"])
    # Whole objects, but written by the parent a moment ago.
    network, prepare = torch.load(place / "network.pt", weights_only=False)
    image = np.load(place / "image.npy")
    started = time.perf_counter()
    labels, table = segment(
        network, image, task["pixel_size_nm"], prepare=prepare, **task["options"]
    )
    seconds = time.perf_counter() - started
    np.save(place / "labels.npy", labels)
    np.save(place / "table.npy", table)
    cost = {"seconds": seconds, "peak_memory_mb": peak_memory_mb()[0]}
    (place / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
