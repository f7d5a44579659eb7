"""Cross-validation of networks: every image predicted by one that never saw it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .train import Fit, History, cross_entropy, fit, predict, run_folder

__all__ = [
    "CrossValidation",
    "cross_validate",
    "fit_split",
    "fingerprint",
    "load_network",
    "load_tensors",
    "save_tensors",
]

_building = threading.Lock()  # the initial weights come from one global generator


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
        One safetensors file per fold, names beginning with ``model.``.
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

    A finished fold is kept in :func:`mchelpers.train.run_folder`, under a key made of the
    network, the data, the fold, the settings, the loss and the augmentation:
    the same call again only loads it, and any change of those trains anew. An
    unfinished fold goes on from its last epoch.

    Parameters
    ----------
    make_model
        Function without arguments that builds a fresh network, best a
        ``functools.partial`` of a class, so that the key can name it.
    images
        (N, C, H, W) float32.
    targets
        (N, ...) targets of the loss.
    folds
        Test indices of each fold, as from :func:`mchelpers.train.kfold`.
    settings
        As for :func:`mchelpers.train.fit`; fold ``i`` trains with seed ``settings.seed + i``.
    name
        Readable beginning of the kept files' names.
    loss, augment, device
        As for :func:`mchelpers.train.fit`.
    score
        Function of (logits, targets) of the test fold, written down in the
        history for learning curves; it never chooses anything.
    start
        Weights to begin from (pretraining); None begins from random ones.
    only
        Train the first so many folds; the logits of the other folds stay 0.
    workers
        Folds trained at once, each on its own CPU thread. Two folds side by
        side are faster than one fold on two threads.
    progress
        Show one progress bar over all folds and epochs.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tqdm.auto import tqdm

    chosen = folds if only is None else folds[:only]
    bar = tqdm(total=len(chosen) * settings.epochs, desc=name, unit="epoch", disable=not progress)
    threads = torch.get_num_threads()

    def one(number: int) -> Path:
        if workers > 1:
            torch.set_num_threads(1)  # of this Python thread only
        test = np.sort(folds[number])
        train = np.setdiff1d(np.concatenate(folds), test)
        own = replace(settings, seed=settings.seed + number)
        key = fingerprint(
            fit, make_model, images, targets, train, test, asdict(own), loss, augment, start
        )
        finished = run_folder() / f"{name}-{number}-{key}.safetensors"
        if not finished.exists():
            with _building:
                torch.manual_seed(own.seed)
                model = make_model()
            if start is not None:
                model.load_state_dict(start)
            validate = None
            if score is not None:

                def validate(net):
                    return score(predict(net, images[test], device=device), targets[test])

            unfinished = finished.with_suffix(".pt")
            history = fit(
                model,
                images[train],
                targets[train],
                own,
                loss=loss,
                augment=augment,
                validate=validate,
                device=device,
                checkpoint=unfinished,
                on_epoch=bar.update,
            )
            tensors = {f"model.{k}": v.cpu() for k, v in model.state_dict().items()}
            tensors["logits"] = predict(model, images[test], device=device)
            save_tensors(tensors, finished, {"history": json.dumps(asdict(history))})
            unfinished.unlink(missing_ok=True)
        else:
            bar.update(settings.epochs)
        return finished

    with ThreadPoolExecutor(workers) as pool:
        files = list(pool.map(one, range(len(chosen))))
    torch.set_num_threads(threads)
    bar.close()

    logits, histories = None, []
    for test, file in zip(chosen, files):
        tensors, note = load_tensors(file)
        if logits is None:
            logits = torch.zeros(len(images), *tensors["logits"].shape[1:])
        logits[np.sort(test)] = tensors["logits"]
        histories.append(History(**json.loads(note["history"])))
    return CrossValidation(logits, histories, files)


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
