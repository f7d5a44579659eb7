"""YOLO instance segmentation by Ultralytics: train, keep, load, predict.

Ultralytics (AGPL-3.0) does the training; this module keeps it offline and inside
the run folder, keeps the weights as safetensors, and hands out
:class:`~mchelpers.tmd_optical.detections.Detections` in pixels of the frame.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import json
import os
import random
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from ..contexts import threads
from ..inputs import objects, rgb, yolo
from ..install import install_line
from ..kept import find_file, half, load_tensors, save_tensors
from ..key import fingerprint
from ..record.machine import describe_device
from ..train import History, autocast, run_folder
from .detections import Detections, match, summary

__all__ = [
    "NETWORKS",
    "Detector",
    "Geometry",
    "Recipe",
    "Trained",
    "decode",
    "detect",
    "load",
    "parameters",
    "prepare",
    "train",
    "train_all",
    "ultralytics",
    "untrained",
]

NETWORKS = ("yolov8n", "yolov8s", "yolov8m", "yolo11n", "yolo11s", "yolo11m")
"""Networks that the study compares, and YOLO11s."""

_CLASS_LAYER = re.compile(r"\.cv3\.\d+\.")  # its width hangs on the number of classes


@dataclass(frozen=True)
class Recipe:
    """How to train; what is not here is as Ultralytics has it.

    Attributes
    ----------
    network
        One of :data:`NETWORKS`.
    epochs
        Passes over the training images.
    side
        Longer side that images are scaled to, px; a multiple of 32.
    batch
        Images a step.
    rate
        Initial learning rate of AdamW; it falls linearly to 1 % of that.
    mosaic
        Share of training images that are put together from four; none in the
        last tenth of the epochs.
    frozen
        The first so many layers keep the weights that they begin with.
    seed
        Of the weights, the order and the augmentation.
    """

    network: str = "yolo11n"
    epochs: int = 40
    side: int = 320
    batch: int = 8
    rate: float = 0.002
    mosaic: float = 1.0
    frozen: int = 0
    seed: int = 0

    def __post_init__(self):
        if self.network not in NETWORKS:
            raise ValueError(f"no network {self.network!r}; there are {', '.join(NETWORKS)}")
        if self.side % 32 or self.side < 32:
            raise ValueError(f"side must be a multiple of 32 px, got {self.side}")
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"need an epoch and an image at least, got {self}")


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    weights
        Safetensors file; :func:`load` reads it.
    history
        Loss and seconds by epoch, and ``validation``: mask mAP50-90 on the
        watched images, every so many epochs.
    watched
        Epochs after which they were looked at, from 1.
    """

    weights: Path
    history: History
    watched: list[int]


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Keep Ultralytics off the network and out of the home, and put back the globals it sets."""
    import cv2

    wanted = {
        "YOLO_OFFLINE": "1",
        "YOLO_VERBOSE": "false",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(run_folder() / "ultralytics"),
    }
    wanted |= {name: os.environ[name] for name in wanted if name in os.environ}
    Path(wanted["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    with contextlib.ExitStack() as back:
        back.enter_context(patch.dict(os.environ, wanted))
        back.enter_context(warnings.catch_warnings())
        back.enter_context(threads(torch.get_num_threads()))
        back.enter_context(torch.random.fork_rng(range(torch.cuda.device_count())))
        back.callback(random.setstate, random.getstate())
        back.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
        back.callback(torch.use_deterministic_algorithms, strict, warn_only=warns)
        for place, switch in (
            (torch.backends.cudnn, "deterministic"),
            (torch.utils.deterministic, "fill_uninitialized_memory"),
        ):
            back.callback(setattr, place, switch, getattr(place, switch))
        back.enter_context(np.printoptions())
        back.callback(torch.set_printoptions, **vars(torch._tensor_str.PRINT_OPTS))
        back.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(0)  # as Ultralytics would have it, for all that comes after
        yield


@functools.cache
def ultralytics() -> ModuleType:
    """Import Ultralytics, offline and without a trace in the process or the home.

    Returns
    -------
    module
        With all its parts that are used here.

    Raises
    ------
    ImportError
        If it is not installed.

    Notes
    -----
    It reads environment variables while it is imported, and sets others, warning filters,
    OpenCV's threads and the way in which arrays are printed; afterwards all these are as
    they were. Its settings stay in the run folder of that moment.
    """
    try:
        with _contained(), patch.object(torch, "save", torch.save):  # it puts its own there
            import ultralytics
            import ultralytics.data.augment
            import ultralytics.models.yolo.segment
    except ImportError as error:
        raise ImportError(f"YOLO needs Ultralytics: {install_line('yolo')}") from error
    return ultralytics


def untrained(network: str, classes: int) -> nn.Module:
    """Build one of :data:`NETWORKS` for so many classes, with random weights."""
    model = ultralytics().nn.tasks.SegmentationModel
    return model(f"{network}-seg.yaml", nc=classes, verbose=False)


class _Network:
    """Laid over Ultralytics' network: in bfloat16 where that is fast; the loss stays in float32."""

    def loss(self, batch, preds=None):
        if preds is None:
            with autocast(batch["img"].device):
                preds = self.forward(batch["img"].contiguous(memory_format=torch.channels_last))
        return super().loss(batch, _as_float32(preds))


def _as_float32(values):
    if isinstance(values, Tensor):
        return values.float() if values.is_floating_point() else values
    if isinstance(values, dict):
        return {k: _as_float32(v) for k, v in values.items()}
    return type(values)(_as_float32(v) for v in values)


class _Trainer:
    """Laid over Ultralytics' trainer: trains, and no more: scores and files are this module's."""

    start: Path | None = None

    def get_model(self, cfg=None, weights=None, verbose=False):
        kind = _over(_Network, ultralytics().nn.tasks.SegmentationModel)
        network = kind(cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=False)
        if self.start is not None:
            _begin_from(network, self.start, list(self.data["names"].values()))
        return network.to(memory_format=torch.channels_last)

    def validate(self):
        return {}, 0.0

    def final_eval(self):
        return

    def save_model(self):
        return False


def _over(ours: type, theirs: type) -> type:
    """Lay a class over one of Ultralytics, which is not imported before it is needed."""
    return type(ours.__name__, (ours, theirs), {})


def _begin_from(network: nn.Module, start: Path, classes: list[str]) -> None:
    """Take over all weights; the branch of the classes only where these are the same."""
    tensors, note = load_tensors(start)
    if json.loads(note["classes"]) != classes:
        tensors = {k: v for k, v in tensors.items() if not _CLASS_LAYER.search(k)}
    own = network.state_dict()
    strange = [k for k, v in tensors.items() if k not in own or own[k].shape != v.shape]
    if strange:
        raise ValueError(f"{start} holds the weights of another network: {strange[:3]}")
    network.load_state_dict({**own, **tensors})


def _truth_of(images: Sequence[objects.LabelledImage]) -> list:
    """List all that training sees, for the key of the kept weights."""
    parts: list = []
    for image in images:
        parts.append(image.image)
        for i in image.instances:
            parts += [i.category, i.top, i.left, i.crop]
    return parts


def train(
    images: Sequence[objects.LabelledImage],
    classes: Sequence[str],
    recipe: Recipe,
    *,
    name: str,
    start: Path | None = None,
    watch: Sequence[objects.LabelledImage] = (),
    every: int = 5,
    progress: bool = True,
) -> Trained:
    """Train a network, or find the one that the same call trained before.

    Finished weights are the moving average of the training, and are kept in
    :func:`mchelpers.train.run_folder` under a key of the images, the labels,
    the recipe and the starting weights.

    Parameters
    ----------
    images
        To train on.
    classes
        Names, in the order of their numbers.
    recipe
        How.
    name
        Readable beginning of the kept file's name.
    start
        Weights to begin from, of the same network; its class branch is taken
        over only if the classes are the same. None begins from random ones.
    watch
        Images to score after every ``every`` epochs and the last, for a
        learning curve; they choose nothing.
    every
        See ``watch``.
    progress
        Show a progress bar.

    Returns
    -------
    Trained

    Raises
    ------
    ValueError
        If there is no image, no labelled crystal, or the starting weights are
        of another network.
    """
    if not any(image.instances for image in images):
        raise ValueError(f"{len(images)} training images with no labelled object in any")
    classes = list(classes)
    begun, about = (None, {}) if start is None else load_tensors(start)
    key = fingerprint(
        (ultralytics().__version__, classes, recipe, every),
        _train,
        (_truth_of(images), _truth_of(watch)),
        (begun, about.get("classes")),  # not how long that training took
    )
    finished = find_file(f"{name}-{recipe.seed}-{key}.safetensors")
    if not finished.exists():
        finished.parent.mkdir(parents=True, exist_ok=True)
        _train(finished, images, classes, recipe, name, start, watch, every, progress)
    note = load_tensors(finished)[1]
    return Trained(finished, History(**json.loads(note["history"])), json.loads(note["watched"]))


def _overrides(recipe: Recipe, data: Path, folder: Path) -> dict:
    """Say everything that differs from Ultralytics' defaults."""
    return {
        "model": f"{recipe.network}-seg.yaml",
        "data": str(data),
        "project": str(folder),
        "name": "run",
        "epochs": recipe.epochs,
        "imgsz": recipe.side,
        "batch": recipe.batch,
        "nbs": recipe.batch,  # every batch is a step
        "optimizer": "AdamW",
        "lr0": recipe.rate,
        "momentum": 0.9,
        "warmup_bias_lr": 0.0,
        "warmup_epochs": min(3.0, 0.1 * recipe.epochs),
        "mosaic": recipe.mosaic,
        "close_mosaic": recipe.epochs // 10,
        "hsv_h": 0.0,  # hue and saturation are the material and the thickness
        "hsv_s": 0.0,
        "flipud": 0.5,
        "freeze": recipe.frozen or None,
        "seed": recipe.seed,
        "device": "0" if torch.cuda.is_available() else "cpu",
        "amp": False,  # Ultralytics would fetch a network to test it
        "pretrained": False,
        "cache": "ram",
        "workers": 0,
        "val": False,
        "save": False,
        "plots": False,
        "verbose": False,
    }


def _train(finished, images, classes, recipe, name, start, watch, every, progress) -> None:
    from tqdm.auto import tqdm

    loss, validation, watched, seconds = [], [], [], []
    bar = tqdm(total=recipe.epochs, desc=name, unit="epoch", disable=not progress)
    clock = time.perf_counter()

    def after_epoch(trainer):
        nonlocal clock
        epoch = trainer.epoch + 1
        loss.append(float(sum(trainer.tloss.values())))
        seconds.append(time.perf_counter() - clock)
        if watch and (epoch % every == 0 or epoch == recipe.epochs):
            seen = Detector(copy.deepcopy(trainer.ema.ema).float().eval(), classes, recipe.side)
            found = detect(seen, watch, progress=False)
            matches = [match(f, image, classes) for f, image in zip(found, watch)]
            watched.append(epoch)
            validation.append(summary(matches, classes)["map50_90"])
        bar.update()
        clock = time.perf_counter()

    with _contained(), bar, tempfile.TemporaryDirectory(dir=finished.parent) as folder:
        sides = {"train": range(len(images)), "val": [0]}  # Ultralytics wants one; nobody looks
        data = yolo.write_yolo(Path(folder) / "data", images, sides, classes, allow_leaks=True)
        kind = _over(_Trainer, ultralytics().models.yolo.segment.SegmentationTrainer)
        trainer = kind(overrides=_overrides(recipe, data, Path(folder)))
        trainer.start = start
        trainer.add_callback("on_fit_epoch_end", after_epoch)
        with contextlib.redirect_stdout(io.StringIO()):  # one bar is enough: ours
            trainer.train()
    network = trainer.ema.ema
    note = {
        "trained_on": describe_device(next(network.parameters()).device),
        "network": recipe.network,
        "classes": json.dumps(classes),
        "side": str(recipe.side),
        "history": json.dumps(dataclasses.asdict(History(loss, validation, seconds))),
        "watched": json.dumps(watched),
    }
    save_tensors(half(network.state_dict()), finished, note)


def train_all(jobs: Sequence[dict], workers: int = 1) -> list[Trained]:
    """Train several networks side by side, each in a process of its own.

    Parameters
    ----------
    jobs
        Arguments of :func:`train`, by name.
    workers
        Processes.

    Returns
    -------
    list of Trained
        In the order of the jobs.
    """
    import joblib
    from tqdm.auto import tqdm

    calls = (joblib.delayed(train)(**{**job, "progress": False}) for job in jobs)
    done = joblib.Parallel(workers, return_as="generator")(calls)
    return list(tqdm(done, total=len(jobs), desc="train", unit="network"))


@dataclass(frozen=True)
class Geometry:
    """How a frame lies in a network's input: both shapes, rows and columns in px."""

    inner: tuple[int, int]
    frame: tuple[int, int]


def prepare(frame: np.ndarray, side: int, square: bool = False) -> tuple[Tensor, Geometry]:
    """Scale a frame to a network's input, and fill up with grey.

    Parameters
    ----------
    frame
        (H, W, 3) uint8, RGB.
    side
        Of the input's longer side, px.
    square
        Fill up to a square, for exported networks; else to a multiple of 32 px.

    Returns
    -------
    tensor
        (1, 3, h, w) float32 in 0 to 1.
    geometry
        For :func:`decode`.
    """
    letterbox = ultralytics().data.augment.LetterBox
    box = letterbox((side, side), auto=not square, stride=32)(image=frame)
    tensor = torch.from_numpy(box).permute(2, 0, 1)[None].float().div_(255)  # (1, 3, h, w)
    return tensor, Geometry(box.shape[:2], frame.shape[:2])


def decode(
    prediction: Tensor,
    prototypes: Tensor,
    geometry: Geometry,
    score: float = 0.25,
    iou: float = 0.7,
    most: int = 300,
    agnostic: bool = False,
) -> Detections:
    """Turn a network's output into objects: non-maximum suppression, then masks.

    Parameters
    ----------
    prediction
        (1, 4 + C + 32, anchors): boxes, class scores, mask coefficients.
    prototypes
        (1, 32, h / 4, w / 4).
    geometry
        Of :func:`prepare`.
    score
        Least confidence.
    iou
        Boxes that overlap more are the same object.
    most
        Objects, at most.
    agnostic
        Whether overlapping boxes of two classes are the same object too.

    Returns
    -------
    Detections
        In pixels of the frame; objects without a pixel are left out.
    """
    nms, ops = ultralytics().utils.nms, ultralytics().utils.ops
    classes = prediction.shape[1] - 4 - prototypes.shape[1]
    rows = nms.non_max_suppression(
        prediction, score, iou, agnostic=agnostic, max_det=most, nc=classes, max_time_img=10
    )[0]
    boxes = ops.scale_boxes(geometry.inner, rows[:, :4], geometry.frame)
    masks = ops.process_mask_native(prototypes[0], rows[:, 6:], boxes, geometry.frame).bool()
    keep = masks.flatten(1).any(1)
    masks, boxes, rows = masks[keep], boxes[keep], rows[keep]
    return Detections(
        masks.cpu().numpy(),
        rows[:, 5].long().cpu().numpy(),
        rows[:, 4].cpu().numpy(),
        boxes.cpu().numpy(),
    )


@dataclass
class Detector:
    """A trained network; call it with a frame.

    Attributes
    ----------
    network
        In evaluation mode.
    classes
        Names, in the order of their numbers.
    side
        Longer side that it was trained at, px.
    weights
        File that it came from.
    """

    network: nn.Module
    classes: list[str]
    side: int
    weights: Path | None = None

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, **options) -> Detections:
        """Find objects in a frame, as :func:`mchelpers.inputs.rgb.as_rgb8` takes it.

        ``options`` are those of :func:`decode`.
        """
        tensor, geometry = prepare(rgb.native_rgb8(frame), self.side)
        device = next(self.network.parameters()).device
        prediction, prototypes = self.network(tensor.to(device))[0]
        return decode(prediction, prototypes, geometry, **options)


def load(path: Path) -> Detector:
    """Load what :func:`train` kept; on the GPU if there is one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not one of :func:`train`, or is damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no weights at {path}; train the network first")
    try:
        tensors, note = load_tensors(path)
        classes, side = json.loads(note["classes"]), int(note["side"])
        network = untrained(note["network"], len(classes))
        network.load_state_dict(tensors)
    except Exception as error:
        raise ValueError(f"{path} holds no weights that train() kept: {error}") from error
    network = network.eval().fuse(verbose=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Detector(network.to(device), classes, side, Path(path))


def parameters(network: str, classes: int) -> int:
    """Count the weights of a network for so many classes."""
    return sum(p.numel() for p in untrained(network, classes).parameters())


def detect(
    detector: Detector,
    images: Sequence[objects.LabelledImage],
    score: float = 0.01,
    most: int = 100,
    progress: bool = True,
) -> list[Detections]:
    """Find objects in images, for scores: also such as the network hardly believes in."""
    from tqdm.auto import tqdm

    bar = tqdm(images, desc="detect", unit="image", disable=not progress)
    return [detector(image.image, score=score, most=most) for image in bar]
