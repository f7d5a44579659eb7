"""From one task to another: what a start is worth, and what carries over to real frames.

Every image can be brought to contrast against its own bare wafer, which takes
away lamp, exposure and white balance; windows are cut from frames that are too
large for training; folds are dealt within materials.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..inputs.objects import Instance, LabelledImage
from ..inputs.rgb import as_rgb8
from ..metrics import redraw
from .contrast import fit_background
from .detections import Matches, summary

_ASSETS = "https://github.com/ultralytics/assets/releases/download/v8.3.0/"

__all__ = [
    "as_contrast",
    "coco_start",
    "cut_window",
    "deal_folds",
    "draw_windows",
    "epochs_to",
    "paired_gain",
    "quarters",
]


def as_contrast(image: LabelledImage, category: str | None = None) -> LabelledImage:
    """Divide a frame by the colour of its bare wafer, which becomes a middle grey.

    Parameters
    ----------
    image
        Real or simulated.
    category
        New class of all its objects; by default they keep theirs.

    Returns
    -------
    LabelledImage
        Grey level 128 is as bright as the wafer in every channel, 0 is black,
        255 twice as bright or more.
    """
    ratio = image.image / fit_background(image.image)  # (H, W, 3)
    picture = np.clip(128 * ratio, 0, 255).round().astype(np.uint8)
    kept = [replace(i, category=category or i.category) for i in image.instances]
    return replace(image, image=picture, instances=kept)


def coco_start(network: str = "yolo11n") -> Path:
    """Find weights that learned COCO's photographs, to begin a training from.

    Ultralytics' own file comes first. Where it is not in the data folder and cannot be
    downloaded, the start in the run folder is taken that ``tools/coco_start.py`` makes of a
    registered file: the same network, whose weights were once rounded to 8 bits.

    Parameters
    ----------
    network
        One of :data:`mchelpers.tmd_optical.yolo.NETWORKS`.

    Returns
    -------
    Path
        Safetensors file for :func:`mchelpers.tmd_optical.yolo.train`; its note has the ``source``.

    Raises
    ------
    DataError
        If neither file is to be had.
    ValueError
        If Ultralytics' file is damaged, or no segmentation network. Only known classes are
        unpickled from it.
    """
    from ..downloads import DataError, fetch
    from ..kept import save_tensors
    from ..train import run_folder
    from .yolo import ultralytics

    target, name = run_folder() / f"{network}-coco.safetensors", f"weights/{network}-seg.pt"
    if target.exists():
        return target
    try:
        checkpoint = fetch(name, files={name: (None, 0, _ASSETS + f"{network}-seg.pt")})
    except DataError:
        if not (converted := run_folder() / f"{network}-coco-start.safetensors").exists():
            raise
        return converted
    tasks = ultralytics().nn.tasks
    try:
        kept = tasks.torch_safe_load(checkpoint.resolve(), safe_only=True)[0]
        model = (kept.get("ema") or kept["model"]).float()
        names = [model.names[n] for n in sorted(model.names)]
        if not isinstance(model, tasks.SegmentationModel):
            raise TypeError(f"a {type(model).__name__}")
    except Exception as error:
        raise ValueError(f"{checkpoint} holds no segmentation network: {error}") from error
    note = {"network": network, "side": "640", "source": checkpoint.name}
    save_tensors(model.state_dict(), target, note | {"classes": json.dumps(names)})
    return target


def cut_window(
    image: LabelledImage, top: int, left: int, side: int, least_px: int = 60, share: float = 0.3
) -> LabelledImage:
    """Cut a square out of a frame, with the objects in it.

    Parameters
    ----------
    image
        Frame, at least as large as the window.
    top, left, side
        Of the window, px; it is moved inside the frame.
    least_px, share
        A cut object stays one if it keeps so many pixels and such a share of itself.

    Returns
    -------
    LabelledImage
        Of the same group; ``parent`` is the frame's name.

    Raises
    ------
    ValueError
        If the window is larger than the frame.
    """
    if not 1 <= side <= min(as_rgb8(image.image).shape[:2]):
        raise ValueError(f"a window of {side} px does not fit into a frame of {image.shape} px")
    top, left = (int(np.clip(a, 0, n - side)) for a, n in zip((top, left), image.shape))
    instances = []
    for i in image.instances:
        inside = np.zeros((side, side), bool)
        rows, columns = i.crop.shape
        y, x = i.top - top, i.left - left
        to = np.s_[
            max(y, 0) : max(min(y + rows, side), 0), max(x, 0) : max(min(x + columns, side), 0)
        ]
        part = i.crop[max(-y, 0) : max(side - y, 0), max(-x, 0) : max(side - x, 0)]
        if not part.size:
            continue
        inside[to] = part
        if inside.sum() >= max(least_px, share * i.crop.sum()):
            instances.append(Instance.of(i.category, inside, layers=i.layers))
    return replace(
        image,
        name=f"{image.name}_{top}_{left}",
        image=np.ascontiguousarray(image.image[top : top + side, left : left + side]),
        instances=instances,
        parent=image.name,
    )


def quarters(image: LabelledImage) -> list[LabelledImage]:
    """Cut a frame into its four quarters, square."""
    side = min(as_rgb8(image.image).shape[:2]) // 2
    return [cut_window(image, top, left, side) for top in (0, side) for left in (0, side)]


def draw_windows(
    image: LabelledImage, side: int, empty: int, rng: np.random.Generator
) -> list[LabelledImage]:
    """Cut windows to learn from: one about each object, and some anywhere.

    Parameters
    ----------
    image
        Frame.
    side
        Of the windows, px.
    empty
        Windows anywhere in the frame; few of them will hold an object.
    rng
        Source of the windows' places.

    Returns
    -------
    list of LabelledImage
        An object that lies in an earlier window gets none of its own.
    """
    cut_window(image, 0, 0, side)  # refuses a window that does not fit
    corners: list[np.ndarray] = []
    for i in image.instances:
        low, extent = np.array([i.top, i.left]), np.array(i.crop.shape)
        seen = [(c <= low).all() and (low + extent <= c + side).all() for c in corners]
        if not any(seen):
            free = np.maximum(side - extent, 0)
            corner = low - (rng.uniform(0.1, 0.9, 2) * free).astype(int)
            corners.append(np.clip(corner, 0, np.array(image.shape) - side))
    corners += [rng.integers(0, np.array(image.shape) - side + 1) for _ in range(empty)]
    unique = {tuple(int(v) for v in c) for c in corners}
    return [cut_window(image, *corner, side) for corner in sorted(unique)]


def deal_folds(groups: Sequence[str], folds: int, seed: int = 0) -> list[np.ndarray]:
    """Deal images to folds, each group's as evenly as can be.

    Parameters
    ----------
    groups
        Of each image: its material.
    folds
        How many.
    seed
        Of the shuffle.

    Returns
    -------
    list of (n,) int arrays
        Numbers of each fold's images; every image is in one.

    Raises
    ------
    ValueError
        If there are fewer than two folds, or fewer images than folds.
    """
    if not 2 <= folds <= len(groups):
        raise ValueError(f"cannot deal {len(groups)} images to {folds} folds")
    rng, groups = np.random.default_rng(seed), np.asarray(groups)
    order = np.concatenate(
        [rng.permutation(np.flatnonzero(groups == g)) for g in np.unique(groups)]
    )
    return [np.sort(order[k::folds]) for k in range(folds)]


def epochs_to(
    watched: Sequence[int], scores: Sequence[float], share: float = 0.9, end: float | None = None
) -> float:
    """Read off when a learning curve first reached a share of its end.

    Parameters
    ----------
    watched, scores
        Epochs, and the score after each; the curve begins with 0 at epoch 0.
    share
        Of the last score.
    end
        Another score to reach, e.g. the end of a rival's curve.

    Returns
    -------
    float
        Between two watched epochs the curve is taken for straight; NaN if it
        never gets there.
    """
    x, y = np.r_[0.0, watched], np.r_[0.0, scores]
    goal = share * (y[-1] if end is None else end)
    there = np.flatnonzero(y >= goal)
    if not len(there) or not there[0]:
        return 0.0 if len(there) else float("nan")
    k = there[0]
    return float(x[k - 1] + (goal - y[k - 1]) / (y[k] - y[k - 1]) * (x[k] - x[k - 1]))


def paired_gain(
    before: Sequence[Sequence[Matches]],
    after: Sequence[Sequence[Matches]],
    groups: Sequence[str],
    classes: Sequence[str],
    key: str = "map50_90",
    draws: int = 200,
    seed: int = 0,
) -> dict[str, float]:
    """Compare two starts on the same images, drawing growth runs *and* random beginnings.

    Parameters
    ----------
    before, after
        For each random beginning, the matches of every test image.
    groups
        Growth run of each image.
    classes
        Names, in the order of their numbers.
    key
        Of :func:`mchelpers.tmd_optical.detections.summary`.
    draws, seed
        Resamplings, random seed.

    Returns
    -------
    dict
        ``before``, ``after``: mean scores. ``gain``, ``low``, ``high``: their
        difference and its 95 % percentile interval; ``percent``,
        ``percent_low``, ``percent_high``: likewise, relative to ``before``.

    Raises
    ------
    ValueError
        If beginnings, images and groups do not pair, or there is one group only.
    """
    groups = np.asarray(groups)
    count = len(before)
    if len(after) != count or any(len(r) != len(groups) for r in [*before, *after]):
        raise ValueError("before and after need the same beginnings and the images of groups")
    if len(np.unique(groups)) < 2:
        raise ValueError("an interval needs at least two growth runs")

    def scores(images: np.ndarray, seeds: np.ndarray) -> tuple[float, float]:
        return tuple(
            float(np.mean([summary([side[s][i] for i in images], classes)[key] for s in seeds]))
            for side in (before, after)
        )

    first, second = scores(np.arange(len(groups)), np.arange(count))
    rng = np.random.default_rng(seed)
    drawn = [scores(i, rng.integers(0, count, count)) for i in redraw(groups, draws, rng)]
    a, b = np.array(drawn).T
    low, high = np.nanpercentile(b - a, [2.5, 97.5])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 100 * (b - a) / a
        percent = float(100 * np.divide(second - first, first))
    finite = relative[np.isfinite(relative)]
    ends = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    absolute = {"before": first, "after": second, "gain": second - first}
    absolute |= {"low": float(low), "high": float(high)}
    low, high = (float(end) for end in ends)
    return absolute | {"percent": percent, "percent_low": low, "percent_high": high}
