"""Real micrographs of peeled flakes, 18 of them with hand-made instance masks.

Source: ``Jaluus/MaskTerial`` on GitHub, demo data (MIT); Uslu et al.,
*MaskTerial: a foundation model for automated 2D material flake detection*,
Digital Discovery (2025), arXiv 2412.09333.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data import DataError, fetch_all, registry
from ..inputs.objects import Instance, LabelledImage
from ..inputs.pictures import read_picture
from ..inputs.rgb import read_image

__all__ = ["FLAKE_MATERIALS", "FlakeSet", "load_flakes"]

FLAKE_MATERIALS = {"GrapheneH": "graphene", "MoSe2": "MoSe2", "WS2": "WS2", "WSe2": "WSe2"}
"""Folder of the release -> material, which is also the group and the class."""

_STEM = "flakes/demo/"


class FlakeSet(list):
    """A list of labelled images that a run can write down; a slice of it is a plain list."""

    kind = "real"

    def __init__(self, images, sha256: str):
        super().__init__(images)
        self.sha256 = sha256
        """Hash over the registered hashes of all files read."""


def _read_instances(path: Path, category: str, shape: tuple[int, int]) -> list[Instance]:
    """Read an instance-id mask: 0 is background (and every thick flake), 1.. the flakes."""
    ids = read_picture(path).pixels
    if ids.shape != shape:
        raise DataError(f"{path} has shape {ids.shape}, its image has {shape}")
    return [Instance.of(category, ids == n) for n in np.unique(ids) if n > 0]


def load_flakes(labelled: bool = True, materials: Sequence[str] | None = None) -> FlakeSet:
    """Load micrographs of flakes on oxidised silicon.

    Parameters
    ----------
    labelled
        The 18 images with masks, or the 22 without.
    materials
        Any of ``"graphene"``, ``"MoSe2"``, ``"WS2"`` and ``"WSe2"``; only
        graphene (10) and WSe2 (8) have labelled images. By default all.

    Returns
    -------
    FlakeSet
        A list of :class:`~mchelpers.inputs.objects.LabelledImage`, 1200 x 1920 px,
        sorted by material and name; group and class are the material. Only
        thin flakes are labelled, thick ones are background; one labelled image
        has none. Pixel size and oxide thickness were not published.

    Raises
    ------
    ValueError
        If a material is not one of the four.
    DataError
        If a file is missing and cannot be downloaded, is not the registered
        one, or an image and its mask do not fit.
    """
    materials = list(FLAKE_MATERIALS.values()) if materials is None else list(materials)
    if unknown := set(materials) - set(FLAKE_MATERIALS.values()):
        raise ValueError(f"no flakes of {sorted(unknown)}; {[*FLAKE_MATERIALS.values()]}")
    folders = [k for k, v in FLAKE_MATERIALS.items() if v in materials]
    paths = [p for p in sorted(registry()) if p.startswith(f"{_STEM}images/")]
    paths = [p for p in paths if p.split("/")[3] in folders]
    mask_of = {p: p.replace("/images/", "/instance_masks/").replace(".jpg", ".png") for p in paths}
    paths = [p for p in paths if (mask_of[p] in registry()) == labelled]
    wanted = paths + [mask_of[p] for p in paths if labelled]
    files = dict(zip(wanted, fetch_all(wanted)))
    images = []
    for path in paths:
        material = FLAKE_MATERIALS[path.split("/")[3]]
        image = read_image(files[path])
        instances = []
        if labelled:
            instances = _read_instances(files[mask_of[path]], material, image.shape[:2])
        images.append(LabelledImage(Path(path).stem, image, instances, group=material))
    digest = hashlib.sha256("".join(registry()[p][0] for p in wanted).encode())
    return FlakeSet(images, digest.hexdigest())
