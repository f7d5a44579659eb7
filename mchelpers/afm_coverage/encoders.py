"""ResNet18 as the coverage study uses it: frozen under a small network, or trained on.

Where its weights come from is in :mod:`mchelpers.afm_coverage.pretraining`. Taken apart in
the chapters *Frozen features* and *Fine-tuning*.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checks import check_image
from ..contexts import seeded
from .pretraining import DOMAIN as DOMAIN
from .pretraining import domain_encoder as domain_encoder
from .pretraining import empty_resnet18, normalise
from .pretraining import imagenet_resnet18 as imagenet_resnet18
from .pretraining import micronet_resnet18 as micronet_resnet18

if TYPE_CHECKING:
    from ..kept import CrossValidation
    from ..train import Fit

__all__ = [
    "FeatureMLP",
    "FineTuned",
    "FrozenResNet18",
    "features",
    "fine_tune",
    "fit_mlp",
    "predict_in_training_mode",
    "turned",
]


class FrozenResNet18(nn.Module):
    """ResNet18 up to its global average pool; nothing in it learns.

    Parameters
    ----------
    state
        Weights of torchvision's ``resnet18`` without ``fc``; None leaves it as
        torch's current random numbers made it.
    """

    def __init__(self, state: dict[str, Tensor] | None = None):
        super().__init__()
        self.network = empty_resnet18(state).requires_grad_(False).eval()

    def forward(self, grey: Tensor) -> Tensor:
        """Map (B, 1, H, W) uint8 or float 0..1 to features (B, 512)."""
        return self.network(normalise(grey))


def features(
    encoder: nn.Module,
    patches: np.ndarray,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Describe each patch by the means of an encoder's deepest layer.

    Parameters
    ----------
    encoder
        :class:`FrozenResNet18`; it is set to evaluation mode.
    patches
        (N, H, W) uint8.
    batch_size, device
        As for :func:`mchelpers.train.predict`.

    Returns
    -------
    (N, 512) float32
    """
    from ..train import predict

    patches = check_image(patches, "patches", None)
    if patches.ndim != 3 or patches.dtype != np.uint8:
        raise ValueError(f"patches must be (N, H, W) uint8, got {patches.dtype} {patches.shape}")
    grey = torch.from_numpy(np.require(patches, requirements=["C", "W"]))[:, None]
    return predict(encoder, grey, batch_size=batch_size, device=device).numpy()


class FeatureMLP(nn.Module):
    """The study's network on frozen features: 512 to 120 to 84 to 1, 71,809 weights.

    Parameters
    ----------
    inputs
        Features of a patch.

    Notes
    -----
    Moses et al. (2024), MLP-I and MLP-M. The released code declares a dropout
    of 0.45 and never applies it; there is none here. Input (B, inputs) or
    (B, inputs, 1, 1), output (B, 1), not limited to 0..1.
    """

    def __init__(self, inputs: int = 512):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 1),
        )

    def forward(self, described: Tensor) -> Tensor:
        """Map features to coverages."""
        with torch.autocast(described.device.type, enabled=False):  # small, and bf16 is coarse
            return self.layers(described.float())


class FineTuned(nn.Module):
    """ResNet18 with the study's head, all weights free: 512 to 100, dropout, 1, sigmoid.

    Parameters
    ----------
    dropout
        Share of the 100 values dropped in training mode.

    Notes
    -----
    Moses et al. (2024), CNN-I and CNN-M, as in the released code; the paper's
    text has another head, and its sigmoid before the last layer. Input
    (B, 1, H, W) uint8 or float 0..1, output (B, 1) in 0..1.
    """

    def __init__(self, dropout: float = 0.25):
        super().__init__()
        self.encoder = empty_resnet18()
        self.head = nn.Sequential(
            nn.Linear(512, 100), nn.ReLU(), nn.Dropout(dropout), nn.Linear(100, 1), nn.Sigmoid()
        )

    def forward(self, grey: Tensor) -> Tensor:
        """Map grey levels to coverages."""
        described = self.encoder(normalise(grey))  # (B, 512)
        with torch.autocast(grey.device.type, enabled=False):  # bf16 has steps of .004 near 1
            return self.head(described.float())

    def beginning(self, encoder: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return this network's weights with another encoder's in place of its own.

        Parameters
        ----------
        encoder
            Weights of torchvision's ``resnet18`` without ``fc``.

        Returns
        -------
        dict
            To be passed to :func:`mchelpers.kept.cross_validate` as ``start``.
        """
        return self.state_dict() | {f"encoder.{k}": v for k, v in encoder.items()}


def fit_mlp(
    described: np.ndarray,
    truth: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    settings: Fit,
    seeds: Iterable[int] = (0,),
    name: str = "mlp",
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, list[CrossValidation]]:
    """Train the study's small network on features, several times.

    Parameters
    ----------
    described
        (N, F) float features, brought to mean 0 and spread 1 over the training
        patches first.
    truth
        (N,) coverages.
    train, test
        (n,) int, patches to learn from, and others.
    settings
        As for :func:`mchelpers.train.fit`; the loss is the mean squared error.
    seeds
        One training each.
    name, device
        As for :func:`mchelpers.kept.fit_split`.

    Returns
    -------
    predicted
        (seeds, N) float64, of all patches, those learned from among them.
    trainings
        One for each seed.
    """
    from ..kept import fit_split, load_network
    from ..train import predict

    described = np.asarray(described, np.float32)
    mean, spread = described[train].mean(0), described[train].std(0)
    described = (described - mean) / np.where(spread > 1e-6, spread, 1)  # a dead feature stays 0
    inputs = torch.from_numpy(described)[:, :, None, None]  # (N, F, 1, 1)
    target = torch.from_numpy(np.asarray(truth, np.float32))[:, None]  # (N, 1)
    make = partial(FeatureMLP, described.shape[1])
    predicted, trainings = [], []
    for seed in seeds:
        own = replace(settings, seed=seed)
        fit = fit_split(
            make, inputs, target, train, test, own,
            name=name, loss=functional.mse_loss, device=device, progress=False,
        )  # fmt: skip
        network = load_network(make(), fit.weights[0])
        predicted.append(predict(network, inputs, batch_size=1024, device=device)[:, 0].numpy())
        trainings.append(fit)
    return np.stack(predicted).astype(float), trainings


def turned(grey: Tensor, coverage: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn and mirror (B, 1, H, H) by the eight symmetries of the square; coverages (B, 1) stay."""
    from ..augment import symmetry

    return symmetry(grey, coverage[:, :, None], generator)[0], coverage


def fine_tune(
    grey: Tensor,
    truth: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    settings: Fit,
    encoder: dict[str, Tensor] | None = None,
    name: str = "cnn",
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> tuple[CrossValidation, FineTuned]:
    """Train a ResNet18 with the study's head, all weights free.

    Parameters
    ----------
    grey
        (N, 1, H, H) uint8 patches, turned and mirrored anew each time they are seen.
    truth
        (N,) coverages.
    train, test
        (n,) int, patches to learn from, and patches to predict.
    settings
        As for :func:`mchelpers.train.fit`; the loss is the mean squared error.
    encoder
        Weights to begin from; None begins from random ones. The head begins
        from the same random ones in both cases.
    name, device, progress
        As for :func:`mchelpers.kept.fit_split`.

    Returns
    -------
    training
        Its ``logits[test, 0]`` are the predicted coverages.
    network
        In evaluation mode.
    """
    from ..kept import cross_validate, load_network

    with seeded(settings.seed):
        start = None if encoder is None else FineTuned().beginning(encoder)
    target = torch.from_numpy(np.asarray(truth, np.float32))[:, None]  # (N, 1)
    training = cross_validate(
        FineTuned, grey, target, [np.asarray(test), np.asarray(train)], settings,
        name=name, loss=functional.mse_loss, augment=turned, start=start, only=1,
        device=device, progress=progress,
    )  # fmt: skip
    return training, load_network(FineTuned(), training.weights[0])


@torch.no_grad()
def predict_in_training_mode(
    network: nn.Module, images: Tensor, batch_size: int = 32
) -> tuple[np.ndarray, nn.Module]:
    """Predict as the study's loop validates: dropout on, batch statistics of the batch itself.

    Parameters
    ----------
    network
        With batch norm and dropout; it is copied, not changed.
    images
        (N, 1, H, W) uint8, in the order in which batches are made of them.
    batch_size
        Images of a batch.

    Returns
    -------
    predicted
        (N,) float.
    moved
        The copy in evaluation mode, its running statistics moved by these images.
    """
    moved = copy.deepcopy(network).train()
    predicted = torch.cat([moved(batch).float() for batch in images.split(batch_size)])
    return predicted[:, 0].cpu().double().numpy(), moved.eval()
