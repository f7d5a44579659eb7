"""What a small network is given to see when it goes beyond the studies.

The paper's U-Net has to learn by itself that a lattice is not contaminant, at
every magnification. The Bragg filter knows it from the start: its difference
image, handed over as a second channel, spares the network that work.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

__all__ = ["lattice_free_channels"]


def lattice_free_channels(images: np.ndarray) -> Tensor:
    """Put the Bragg difference beside each z-scored micrograph.

    Parameters
    ----------
    images
        (N, H, W), any number type and unit; illumination even.

    Returns
    -------
    (N, 2, H, W) float32 tensor
        The z-scored image; and the image less its lattice, divided by twice
        its robust standard deviation (median of the magnitude times 1.4826), so
        that clean lattice has the same noise level in every image.
    """
    import torch

    from .bragg import bragg_filter
    from .preprocess import zscore

    images = zscore(images)
    rest = np.stack([bragg_filter(image, steps=True).difference for image in images])
    spread = 1.4826 * np.median(np.abs(rest), axis=(1, 2), keepdims=True)
    return torch.from_numpy(np.stack([images, rest / (2 * spread)], axis=1).astype(np.float32))
