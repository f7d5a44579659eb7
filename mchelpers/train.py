"""One training loop for every network of the book, and cross-validation on top.

The loop is deliberately plain: arrays in memory, one loss, one optimiser, the
device and the seed passed in. It survives a kill (it goes on from the last
checkpoint) and keeps what it finished, keyed by everything that made it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "CrossValidation",
    "Fit",
    "History",
    "autocast",
    "cross_entropy",
    "cross_validate",
    "fingerprint",
    "fit",
    "kfold",
    "learning_rate",
    "load_network",
    "load_tensors",
    "predict",
    "run_folder",
    "save_tensors",
]


@dataclass(frozen=True)
class Fit:
    """How to train: everything but the network and the data.

    Attributes
    ----------
    epochs
        Passes over the training images.
    lr
        Learning rate of Adam (the peak, if ``schedule`` is ``"cosine"``).
    batch_size
        Images per step.
    weight_decay
        Decoupled weight decay (AdamW); 0 is plain Adam.
    schedule
        ``"constant"``; ``"settle"``, constant until a sixth of the training is
        left and then straight down to zero; or ``"cosine"``, one warm-up epoch
        and then down to zero.
    patience
        Stop when the validation loss has not fallen for so many epochs, and
        return the best weights. None trains to the end and keeps the last.
    average
        Decay of an exponential moving average of the weights, which then
        stands in for them at validation and at the end. 0 averages nothing.
    validate_every
        Epochs between two validations; the last epoch is always validated.
    seed
        Of the initial weights, the order of images and the augmentation.
    """

    epochs: int
    lr: float = 1e-4
    batch_size: int = 1
    weight_decay: float = 0.0
    schedule: str = "constant"
    patience: int | None = None
    average: float = 0.0
    validate_every: int = 1
    seed: int = 0


@dataclass
class History:
    """What happened in training: one entry per epoch, or per validated epoch."""

    loss: list[float]
    validation: list[float]
    seconds: list[float]


def run_folder() -> Path:
    """Return the folder of unfinished and finished trainings.

    ``MCHELPERS_RUNS`` if set, else ``runs`` in the user's cache.
    """
    chosen = os.environ.get("MCHELPERS_RUNS")
    if chosen:
        return Path(chosen).expanduser().resolve()
    import pooch

    return Path(pooch.os_cache("mchelpers")) / "runs"


def autocast(device: torch.device) -> torch.autocast:
    """Compute in bfloat16 where the device is fast at it, else in float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        flags = Path("/proc/cpuinfo")
        fast = flags.exists() and "avx512_bf16" in flags.read_text()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def learning_rate(settings: Fit, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of one step (counted from 0)."""
    done = step / (settings.epochs * steps_per_epoch)
    if settings.schedule == "constant":
        return settings.lr
    if settings.schedule == "settle":
        return settings.lr * min(1.0, 6 * (1 - done))
    if settings.schedule != "cosine":
        raise ValueError(
            f"schedule must be 'constant', 'settle' or 'cosine', got {settings.schedule!r}"
        )
    warm = min(1.0, (step + 1) / steps_per_epoch)
    return float(settings.lr * warm * 0.5 * (1 + np.cos(np.pi * done)))


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Unweighted pixel-wise cross-entropy.

    Parameters
    ----------
    logits
        (B, classes, H, W) float.
    target
        (B, H, W) int64 class numbers.
    """
    return nn.functional.cross_entropy(logits, target)


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    return iter(torch.randperm(count, generator=generator).split(size))


def fit(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    settings: Fit,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    augment: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]] | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    progress: str | None = None,
    on_epoch: Callable[[], object] | None = None,
) -> History:
    """Train a network on arrays held in memory.

    Parameters
    ----------
    model
        Network; its weights are changed in place.
    images
        (N, C, H, W) float32.
    targets
        (N, ...) whatever the loss compares the logits with.
    settings
        Epochs, learning rate, seed and the like.
    loss
        Function of (logits, target batch), returning a scalar to minimise.
    augment
        Function of (image batch, target batch, generator), returning both
        changed alike.
    validate
        Function of the network in evaluation mode, called after each epoch;
        smaller is better. Needed for early stopping.
    device
        Where to compute.
    checkpoint
        File to which the state is saved after each epoch, and from which an
        interrupted training goes on.
    progress
        Caption of a progress bar; None shows none.
    on_epoch
        Called after each epoch, one already done before a kill included.

    Returns
    -------
    History
        Loss, validation value and seconds of each epoch.

    Raises
    ------
    ValueError
        If there is nothing to train on, or early stopping lacks ``validate``.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    from tqdm.auto import trange

    if len(images) == 0 or len(images) != len(targets):
        raise ValueError(f"{len(images)} images and {len(targets)} targets: need as many, and some")
    if settings.patience is not None and validate is None:
        raise ValueError("early stopping (patience) needs a validate function")
    device = torch.device(device)
    images, targets = images.to(device), targets.to(device)
    model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(settings.seed)
    history = History([], [], [])
    averaged = {k: v.clone() for k, v in model.state_dict().items()}
    best = (np.inf, 0, {k: v.clone() for k, v in averaged.items()})
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"].cpu())
        history, averaged = History(*state["history"]), state["averaged"]
        best = tuple(state["best"])
        for _ in history.loss if on_epoch else ():
            on_epoch()
    steps_per_epoch = -(-len(images) // settings.batch_size)
    step = len(history.loss) * steps_per_epoch

    bar = trange(
        len(history.loss),
        settings.epochs,
        initial=len(history.loss),
        total=settings.epochs,
        desc=progress,
        disable=progress is None,
    )
    for epoch in bar:
        started, total = time.perf_counter(), 0.0
        model.train()
        for picked in _batches(len(images), settings.batch_size, generator):
            batch, target = images[picked], targets[picked]
            if augment is not None:
                batch, target = augment(batch, target, generator)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step, steps_per_epoch)
            with autocast(device):
                logits = model(batch.contiguous(memory_format=torch.channels_last))
            value = loss(logits.float(), target)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            step += 1
            total += float(value.detach()) * len(picked)
            if settings.average:
                # Young averages follow the weights closely: few steps are not yet a mean.
                decay = min(settings.average, (1 + step) / (10 + step))
                for name, weight in model.state_dict().items():
                    if weight.is_floating_point():
                        averaged[name].lerp_(weight, 1 - decay)
                    else:
                        averaged[name].copy_(weight)
        history.loss.append(total / len(images))
        if not np.isfinite(history.loss[-1]):
            raise FloatingPointError(
                f"the loss became {history.loss[-1]} in epoch {epoch + 1}; lower the learning "
                "rate, or look for NaN in the images"
            )
        live = {k: v.clone() for k, v in model.state_dict().items()}
        if settings.average:
            model.load_state_dict(averaged)
        due = (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs
        if validate is not None and due:
            model.eval()
            history.validation.append(float(validate(model)))
            if history.validation[-1] < best[0]:
                kept = {k: v.clone() for k, v in model.state_dict().items()}
                best = (history.validation[-1], epoch, kept)
        model.load_state_dict(live)
        history.seconds.append(time.perf_counter() - started)
        bar.set_postfix(loss=f"{history.loss[-1]:.4f}")
        if on_epoch is not None:
            on_epoch()
        if checkpoint is not None:
            _save_state(checkpoint, model, optimizer, generator, history, averaged, best)
        if settings.patience is not None and epoch - best[1] >= settings.patience:
            break
    if settings.patience is not None:
        model.load_state_dict(best[2])
    elif settings.average:
        model.load_state_dict(averaged)
    model.eval()
    return history


def _save_state(path, model, optimizer, generator, history, averaged, best) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
            "history": [history.loss, history.validation, history.seconds],
            "averaged": averaged,
            "best": list(best),
        },
        unfinished,
    )
    os.replace(unfinished, path)  # a kill leaves the old state or the new one, never half of one


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: Tensor,
    *,
    batch_size: int = 8,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Run a network over images, a batch at a time.

    Parameters
    ----------
    images
        (N, C, H, W) float32.

    Returns
    -------
    (N, classes, H, W) float32
        Logits, on the CPU.
    """
    device = torch.device(device)
    model.to(device, memory_format=torch.channels_last).eval()
    out = []
    for batch in images.split(batch_size):
        batch = batch.to(device).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            out.append(model(batch).float().cpu())
    return torch.cat(out)


def kfold(
    count: int, folds: int = 5, seed: int = 0, groups: np.ndarray | None = None
) -> list[np.ndarray]:
    """Split images into test folds; each image is tested exactly once.

    Parameters
    ----------
    count
        Number of images.
    folds
        Number of folds.
    seed
        Of the shuffle.
    groups
        (count,) labels that must not straddle two folds; None shuffles single
        images as the graphene study did.

    Returns
    -------
    list of int arrays
        Test indices of each fold, together 0..count-1 without repetition.

    Raises
    ------
    ValueError
        If there are fewer images or groups than folds.
    """
    from sklearn.model_selection import GroupKFold, KFold

    if groups is None:
        splitter, labels = KFold(folds, shuffle=True, random_state=seed), None
    else:
        splitter = GroupKFold(folds, shuffle=True, random_state=seed)
        labels = np.asarray(groups)
    return [test for _, test in splitter.split(np.zeros(count), groups=labels)]


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

    A finished fold is kept in :func:`run_folder`, under a key made of the
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
        Test indices of each fold, as from :func:`kfold`.
    settings
        As for :func:`fit`; fold ``i`` trains with seed ``settings.seed + i``.
    name
        Readable beginning of the kept files' names.
    loss, augment, device
        As for :func:`fit`.
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
            with _building:  # the initial weights come from one global generator
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


_building = threading.Lock()


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
