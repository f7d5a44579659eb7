"""The network of Sadre et al. (2021), trained on folds; see *A U-Net for contaminants*."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..kept import CrossValidation, cross_validate
from ..models import UNet
from ..train import Fit
from .scores import contaminant_f1

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["SCHEDULES", "train_on_folds"]

_SHORT = {"lr": 1e-3, "schedule": "cosine", "average": 0.99}
SCHEDULES = {
    "smoke": Fit(epochs=1, **_SHORT),
    "laptop": Fit(epochs=12, validate_every=3, **_SHORT),
    "full": Fit(epochs=300, lr=1e-4, validate_every=25),  # the paper's own
}
"""Tier -> how the network is trained."""


def train_on_folds(
    images: Tensor,
    labels: Tensor,
    folds: list[np.ndarray],
    name: str,
    run: Run,
    only: int | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, CrossValidation]:
    """Train the paper's network once per fold, on the schedule of the run's tier.

    Parameters
    ----------
    images, labels
        (N, 1, 256, 256) float32, z-scored; (N, 256, 256) int64, 1 is contaminant.
    folds, name, only
        As for :func:`mchelpers.kept.cross_validate`.
    seed
        Of the first fold; each further one has the next.

    Returns
    -------
    masks : (N, 256, 256) bool
        Each image by the network that never saw it; empty where its fold was left out.
    trained : CrossValidation
    """
    trained = cross_validate(
        partial(UNet, features=32, blocks=7),
        images,
        labels,
        folds,
        replace(SCHEDULES[run.tier], seed=seed),
        name=name,
        score=contaminant_f1,
        only=only,
        device=run.device,
        workers=run.workers,
    )
    run.trained(trained.histories, trained.weights)
    return (trained.logits[:, 1] > trained.logits[:, 0]).numpy(), trained
