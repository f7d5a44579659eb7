"""Augmented copies of labelled images, which remember their parents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..inputs.objects import Instance, LabelledImage

__all__ = ["augmented_copies"]


def augmented_copies(
    images: Iterable[LabelledImage], copies: int = 2, seed: int = 0
) -> list[LabelledImage]:
    """Make flipped, turned and brightened copies; each remembers its parent and its group.

    Parameters
    ----------
    images
        Originals; they are not part of the result.
    copies
        Of each.
    seed
        Of the copies.

    Returns
    -------
    list of LabelledImage
    """
    rng, made = np.random.default_rng(seed), []
    for original in images:
        for k in range(copies):
            quarters, flip, gain = (
                int(rng.integers(4)),
                bool(rng.integers(2)),
                rng.uniform(0.8, 1.2),
            )

            def move(array, quarters=quarters, flip=flip):
                array = np.rot90(array, quarters)
                return np.ascontiguousarray(array[:, ::-1] if flip else array)

            image = np.clip(move(original.image) * gain, 0, 255).round().astype(np.uint8)
            instances = [
                replace(
                    Instance.of(i.category, move(i.mask(original.shape))),
                    layers=i.layers,
                    area_um2=i.area_um2,
                )
                for i in original.instances
            ]
            name = f"{original.name}_copy{k}"
            made.append(
                replace(original, name=name, image=image, instances=instances, parent=original.name)
            )
    return made
