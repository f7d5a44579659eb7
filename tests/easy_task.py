"""A task that anything can learn, and a small network for it: for the tests of training."""

from functools import partial

import torch

from mchelpers import models

NETWORK = partial(models.UNet, features=4, blocks=3)


def easy_task():
    """Return images whose bright half is the label: anything can learn it."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(6, 16, 16, dtype=torch.long)
    for n in range(6):
        labels[n, :, : 4 + 2 * n] = 1
    images = labels[:, None].float() + 0.1 * torch.randn(6, 1, 16, 16, generator=generator)
    return images, labels
