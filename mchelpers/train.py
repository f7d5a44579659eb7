"""One training loop for every network of the book.

The loop is deliberately plain: arrays in memory, one loss, one optimiser, the
device and the seed passed in. It survives a kill: it goes on from the last
checkpoint. Cross-validation on top of it is in :mod:`mchelpers.kept`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .contexts import seeded

__all__ = [
    "Fit",
    "History",
    "autocast",
    "cross_entropy",
    "fit",
    "kfold",
    "learning_rate",
    "predict",
    "run_folder",
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
        Of the initial weights, the order of images, the augmentation and dropout.
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
    return torch.autocast(device.type, torch.bfloat16, enabled=_is_fast_at_bfloat16(device))


def _is_fast_at_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512_bf16" in flags.read_text()


def _layout(device: torch.device) -> torch.memory_format:
    """Order images in memory as a training step is fastest; the same to train and to predict.

    On processors without bfloat16, channels last takes up to 1.4 times as long (U-Net, U-Net++).
    """
    return torch.channels_last if _is_fast_at_bfloat16(device) else torch.contiguous_format


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


def _epochs(done: int, total: int, caption: str | None) -> Iterable[int]:
    """Count the epochs that are left, under a progress bar if it has a caption."""
    if caption is None:
        return range(done, total)
    from tqdm.auto import trange  # not there where a packed training runs

    return trange(done, total, initial=done, total=total, desc=caption)


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    return iter(torch.randperm(count, generator=generator).split(size))


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def _dropout_from(seed: int, model: nn.Module) -> AbstractContextManager:
    """Seed torch's global numbers for a network that draws from them, and for no other.

    Folds that are trained side by side in threads share these numbers.
    """
    draws = any(isinstance(m, nn.modules.dropout._DropoutNd) for m in model.modules())
    return seeded(seed) if draws else nullcontext()


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
    if len(images) == 0 or len(images) != len(targets):
        raise ValueError(f"{len(images)} images and {len(targets)} targets: need as many, and some")
    if settings.patience is not None and validate is None:
        raise ValueError("early stopping (patience) needs a validate function")
    device = torch.device(device)
    images, targets = images.to(device), targets.to(device)
    layout = _layout(device)
    model.to(device, memory_format=layout)
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(settings.seed)
    history = History([], [], [])
    # Copies of the weights cost memory and checkpoints: only what the settings need is kept.
    averaged = _weights(model) if settings.average else None
    best = (np.inf, 0, None if settings.patience is None else _weights(model))
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

    bar = _epochs(len(history.loss), settings.epochs, progress)
    for epoch in bar:
        started, total = time.perf_counter(), 0.0
        model.train()
        with _dropout_from(1000 * settings.seed + epoch, model):
            for picked in _batches(len(images), settings.batch_size, generator):
                batch, target = images[picked], targets[picked]
                if augment is not None:
                    batch, target = augment(batch, target, generator)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(settings, step, steps_per_epoch)
                with autocast(device):
                    logits = model(batch.contiguous(memory_format=layout))
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
        due = (epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs
        if validate is not None and due:
            if settings.average:
                live = _weights(model)
                model.load_state_dict(averaged)
            model.eval()
            history.validation.append(float(validate(model)))
            if history.validation[-1] < best[0]:
                kept = None if settings.patience is None else _weights(model)
                best = (history.validation[-1], epoch, kept)
            if settings.average:
                model.load_state_dict(live)
        history.seconds.append(time.perf_counter() - started)
        if progress is not None:
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
    # Two that train the same at once do not write into one file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
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
    layout = _layout(device)
    model.to(device, memory_format=layout).eval()
    out = []
    for batch in images.split(batch_size):
        with autocast(device):
            out.append(model(batch.to(device, memory_format=layout)).float().cpu())
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
