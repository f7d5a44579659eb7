"""Trainings are kept: the same one is never made twice, wherever it was made.

A finished training is one safetensors file, named by the key of all that made it. It is looked
for in the run folder, then among the weights that ship with the book; else it is made. What is
kept is rounded to half precision first, so that what is scored is what ships.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .contexts import seeded, threads
from .key import fingerprint
from .record.machine import describe_device
from .train import Fit, History, cross_entropy, fit, predict, run_folder

__all__ = [
    "CrossValidation",
    "Training",
    "cross_validate",
    "find_file",
    "fit_split",
    "half",
    "load_network",
    "load_tensors",
    "save_tensors",
    "trained_on",
]

_building = threading.Lock()  # the initial weights come from one global generator


@dataclass(frozen=True, eq=False)
class Training:
    """One training, told so completely that another machine can make it.

    Attributes
    ----------
    name
        Readable beginning of the kept file's name.
    make_model
        Function without arguments that builds a fresh network, best a ``functools.partial`` of
        a class.
    images, targets
        (N, C, H, W) float32 and (N, ...): all that the fold is cut from.
    learn
        (n,) int: which of them it learns from.
    settings, loss, augment
        As for :func:`mchelpers.train.fit`.
    start
        Weights to begin from; None begins from random ones.
    score, watch
        Function of (logits, targets) of the images ``watch``, written down in the history and,
        with ``settings.patience``, choosing when to stop. None watches nothing.
    """

    name: str
    make_model: Callable[[], nn.Module]
    images: Tensor
    targets: Tensor
    learn: np.ndarray
    settings: Fit
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    augment: Callable | None = None
    start: dict[str, Tensor] | None = None
    score: Callable[[Tensor, Tensor], float] | None = None
    watch: np.ndarray | None = None

    @cached_property
    def key(self) -> str:
        """What the weights and the history depend on: code, data, settings."""
        learned = (self.images[self.learn], self.targets[self.learn])
        watched = None
        if self.score is not None:
            watched = (predict, self.score, self.images[self.watch], self.targets[self.watch])
        recipe = (fit, self.make_model, self.settings, self.loss, self.augment, self.start)
        return fingerprint(recipe, learned, watched)

    def build(self) -> nn.Module:
        """Build the network with its first, random weights."""
        return _fresh(self.make_model, self.settings.seed)

    @property
    def file(self) -> Path:
        """Where it is kept, or will be."""
        return find_file(f"{self.name}-{self.key}.safetensors")

    def make(
        self,
        device: str | torch.device = "cpu",
        on_epoch: Callable[[], object] | None = None,
    ) -> Path:
        """Train, unless it is kept; an unfinished training goes on from its last epoch.

        Where :data:`make_instead` is set, it has the missing one.
        """
        finished = self.file
        if finished.exists():
            return finished
        if make_instead is not None:
            return make_instead(self)
        unfinished = finished.with_suffix(".pt")
        state, note = self.train(unfinished, device, on_epoch)
        save_tensors(state, finished, note)
        unfinished.unlink(missing_ok=True)
        return finished

    def train(
        self,
        checkpoint: Path,
        device: str | torch.device = "cpu",
        on_epoch: Callable[[], object] | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Train, or go on from a checkpoint; return what is to be kept: weights and a note."""
        model = self.build()
        if self.start is not None:
            model.load_state_dict(self.start)
        validate = None
        if self.score is not None:

            def validate(net):
                logits = predict(net, self.images[self.watch], device=device)
                return self.score(logits, self.targets[self.watch])

        history = fit(
            model,
            self.images[self.learn],
            self.targets[self.learn],
            self.settings,
            loss=self.loss,
            augment=self.augment,
            validate=validate,
            device=device,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
        note = {"history": json.dumps(asdict(history)), "trained_on": describe_device(device)}
        return half(model.state_dict()), note


make_instead: Callable[[Training], Path] | None = None
"""What becomes of a missing training where it is not made; see :mod:`mchelpers.book.plan`."""


@dataclass
class CrossValidation:
    """Out-of-fold predictions and how they came about.

    Attributes
    ----------
    logits
        (N, classes, H, W) float32; each image by the network that never saw it.
    histories
        One per fold; the seconds are those of the original training.
    weights
        One safetensors file per fold.
    """

    logits: Tensor
    histories: list[History]
    weights: list[Path]


def cross_validate(
    make_model: Callable[[], nn.Module],
    images: Tensor,
    targets: Tensor,
    folds: list[np.ndarray],
    settings: Fit,
    *,
    name: str,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    augment: Callable | None = None,
    score: Callable[[Tensor, Tensor], float] | None = None,
    start: dict[str, Tensor] | None = None,
    only: int | None = None,
    device: str | torch.device = "cpu",
    workers: int = 1,
    progress: bool = True,
) -> CrossValidation:
    """Train one network per fold; each image is predicted by the one that never saw it.

    Parameters
    ----------
    make_model, images, targets, name, loss, augment, start
        As for :class:`Training`.
    folds
        Test indices of each fold, as from :func:`mchelpers.train.kfold`.
    settings
        As for :func:`mchelpers.train.fit`; fold ``i`` trains with seed ``settings.seed + i``.
    score
        Function of (logits, targets) of the test fold, written down in the
        history for learning curves; it never chooses anything.
    only
        Train the first so many folds; the logits of the other folds stay 0.
    device
        As for :func:`mchelpers.train.fit`.
    workers
        Folds trained at once, each on its own CPU thread. Two folds side by
        side are faster than one fold on two threads.
    progress
        Show one progress bar over the folds and epochs that are still to be trained.
    """
    from concurrent.futures import ThreadPoolExecutor

    tests = [np.sort(fold) for fold in (folds if only is None else folds[:only])]
    trainings = [
        Training(
            f"{name}-{number}",
            make_model,
            images,
            targets,
            np.setdiff1d(np.concatenate(folds), test),
            replace(settings, seed=settings.seed + number),
            loss,
            augment,
            start,
            score,
            None if score is None else test,
        )
        for number, test in enumerate(tests)
    ]
    bar = _bar(name, trainings, progress)
    cores = 1 if workers > 1 else torch.get_num_threads()

    def one(training: Training) -> Path:
        with threads(cores):  # of this Python thread only
            return training.make(device, bar.update)

    with bar, seeded(settings.seed), ThreadPoolExecutor(workers) as pool:  # dropout draws too
        files = list(pool.map(one, trainings))

    logits, histories = None, []
    for test, file in zip(tests, files):
        predicted = predict(load_network(_fresh(make_model, 0), file), images[test], device=device)
        if logits is None:
            logits = torch.zeros(len(images), *predicted.shape[1:])
        logits[test] = predicted
        histories.append(History(**json.loads(load_tensors(file)[1]["history"])))
    return CrossValidation(logits, histories, files)


def _fresh(make_model: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with initial weights of a seed; the caller's random numbers go on."""
    with _building, seeded(seed):
        return make_model()


def _bar(name: str, trainings: Sequence[Training], progress: bool):
    """Make a progress bar over what is still to be trained; it says what was kept."""
    from tqdm.auto import tqdm

    missing = [t for t in trainings if not t.file.exists()]
    if not missing:
        bar = tqdm(
            total=len(trainings), desc=f"{name}: kept", unit="training", disable=not progress
        )
        bar.update(len(trainings))
        return bar
    kept = len(trainings) - len(missing)
    caption = f"{name}: {kept} of {len(trainings)} kept" if kept else name
    epochs = sum(t.settings.epochs for t in missing)
    return tqdm(total=epochs, desc=caption, unit="epoch", disable=not progress)


def fit_split(
    make_model: Callable[[], nn.Module],
    images: Tensor,
    targets: Tensor,
    train: np.ndarray,
    test: np.ndarray,
    settings: Fit,
    *,
    name: str,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    augment: Callable | None = None,
    score: Callable[[Tensor, Tensor], float] | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> CrossValidation:
    """Train one network on one explicit split, for data that came with a test set.

    The fold of :func:`cross_validate` whose test images are ``test``: kept,
    loaded and resumed in the same way.

    Parameters
    ----------
    make_model, images, targets, settings, name, loss, augment, score, device, progress
        As for :func:`cross_validate`.
    train, test
        (n,) int indices of the images to learn from and to predict; images in
        neither stay out of it.

    Returns
    -------
    CrossValidation
        One history and one file; the logits of images outside ``test`` are 0.

    Raises
    ------
    ValueError
        If a part is empty, or an image is in both.
    """
    train, test = np.asarray(train), np.asarray(test)
    if len(train) == 0 or len(test) == 0:
        raise ValueError(f"{len(train)} training and {len(test)} test images: need some of both")
    both = np.intersect1d(train, test)
    if len(both):
        raise ValueError(f"{len(both)} images are in training and in test, e.g. {both[0]}")
    return cross_validate(
        make_model,
        images,
        targets,
        [test, train],
        settings,
        name=name,
        loss=loss,
        augment=augment,
        score=score,
        only=1,
        device=device,
        progress=progress,
    )


def find_file(name: str) -> Path:
    """Find a kept file: in the run folder, else among the weights that ship with the book.

    Returns
    -------
    Path
        The place in the run folder if it is in neither.
    """
    from .downloads import DataError, fetch, registry

    own = run_folder() / name
    beside = Path(__file__).parents[1] / "weights" / name  # in a checkout
    if own.exists() or not (beside.exists() or f"weights/{name}" in registry()):
        return own
    try:
        return beside if beside.exists() else fetch(f"weights/{name}")
    except DataError:  # not to be had now: it can be trained
        return own


def trained_on(file: Path) -> str | None:
    """Read which machine made a kept file; None where that was not written down."""
    return load_tensors(file)[1].get("trained_on")


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round weights to half precision, on the CPU; those that it cannot hold stay as they are."""
    rounded = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu()
        small = tensor.half() if tensor.is_floating_point() else tensor
        rounded[name] = small if torch.isfinite(small).all() else tensor
    return rounded


def save_tensors(tensors: dict[str, Tensor], path: Path, note: dict[str, str]) -> None:
    """Write tensors and a note to a safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, unfinished, note)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_network(model: nn.Module, path: Path) -> nn.Module:
    """Fill a network with kept weights, and switch it to evaluation.

    Raises
    ------
    ValueError
        If the file holds the weights of another network, or cannot be read.
    """
    try:
        tensors, _ = load_tensors(path)
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} holds the weights of another network: {error}") from error
    return model.eval()


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors, half precision made single, and its note.

    Raises
    ------
    ValueError
        If the file is cut, empty, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}
            note = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as weights ({error}): delete it") from error
    singles = {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}
    return singles, note
