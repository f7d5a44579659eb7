"""Time the methods on this machine: median and 95th percentile, after a warm-up.

Run by ``make bench``. The images are simulated, for the time does not depend on
what they show.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mchelpers import models, train
from mchelpers.data import zscore
from mchelpers.graphene_hrtem import bragg
from mchelpers.graphene_hrtem.images import lattice_micrographs

SIZE = 256
WARM_UP = 10


def milliseconds(function: Callable[[np.ndarray], object], images, repeats: int) -> np.ndarray:
    """Time single calls on one image after another: (repeats,) float."""
    times = []
    for n in range(WARM_UP + repeats):
        image = images[n % len(images)]
        started = time.perf_counter()
        function(image)
        times.append(1e3 * (time.perf_counter() - started))
    return np.array(times[WARM_UP:])


def main() -> None:
    """Print the table."""
    images = lattice_micrographs(8, SIZE).images
    rows = []
    with threadpool_limits(1):
        rows.append(("Bragg filter", 1, milliseconds(bragg.bragg_filter, images, 300)))

    torch.set_num_threads(2)
    network = models.UNet()
    tensors = torch.from_numpy(zscore(images))[:, None]  # (N, 1, H, W)
    rows.append(
        (
            "U-Net, 7 blocks from 32 features",
            torch.get_num_threads(),
            milliseconds(lambda i: train.predict(network, i[None], batch_size=1), tensors, 60),
        )
    )
    print(f"one {SIZE} x {SIZE} image at a time, ms")
    print(f"{'method':34}{'CPU threads':>12}{'median':>9}{'p95':>9}{'calls':>7}")
    for name, threads, times in rows:
        p50, p95 = np.percentile(times, (50, 95))
        print(f"{name:34}{threads:>12}{p50:>9.2f}{p95:>9.2f}{len(times):>7}")


if __name__ == "__main__":
    main()
