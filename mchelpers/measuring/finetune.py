"""Your labels: the shipped network trained on, and whether that was worth it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..inputs.pictures import is_grey, read_picture
from ..record.files import write_together
from .answer import as_grey, overlap
from .files import SUFFIXES
from .graphene import GRAPHENE
from .particles import PARTICLES
from .ranges import ranges_of
from .ruler import read_ruler
from .shipped import build, find_network
from .work import read_mask

__all__ = ["Labelled", "finetune", "read_labelled"]

METHODS = {"graphene_hrtem": GRAPHENE, "nanoparticles": PARTICLES}
SIDE = 256  # px, of the tiles to learn from
EPOCHS = 30
FOLDS = 5  # or as many as there are groups
COMPARED = ("shipped", "finetuned", "classical")


@dataclass(frozen=True, eq=False)
class Labelled:
    """An image with its mask.

    Attributes
    ----------
    name
        Of the image.
    pixels, mask
        (H, W), and (H, W) bool.
    group
        Images of one group, a session say, are never on both sides of a test.
    pixel_size_nm
        As the file says; NaN if it does not.
    """

    name: str
    pixels: np.ndarray
    mask: np.ndarray
    group: str
    pixel_size_nm: float = math.nan


def read_labelled(labels: Path, images: Path | None = None) -> list[Labelled]:
    """Read labelled images.

    Parameters
    ----------
    labels
        A folder of masks (TIFF, PNG or ImageJ's ROIs, as ``measure`` writes them, corrected),
        named as their images; or what :func:`mchelpers.inputs.labels.read_labels` reads.
    images
        Folder of the images. Below it, each folder is a group; images beside each other are
        groups of their own.

    Raises
    ------
    ValueError
        If a mask has no image or another size.
    DataError
        If a file cannot be read.
    """
    from ..inputs.labels import read_labels

    masks = sorted(p for p in labels.glob("*") if p.suffix.lower() in (".tif", ".png", ".zip"))
    if not labels.is_dir() or not masks or (labels / "data.yaml").exists():
        found = []
        for image in read_labels(labels, images):
            if not is_grey(image.image):
                raise ValueError(f"{image.name} is in colour; a grey-scale micrograph is needed")
            mask = image.masks.any(0)
            nm = 1000 * image.pixel_um
            found.append(Labelled(image.name, image.image, mask, image.group or image.name, nm))
        return found
    if images is None:
        raise ValueError(f"{labels} holds masks; give the folder of their images with --images")
    beside = {p.stem: p for p in images.rglob("*") if p.suffix.lower()[1:] in SUFFIXES}
    found = []
    for path in masks:
        if path.stem not in beside:
            raise ValueError(f"{path} has no image of its name in {images}")
        file = beside[path.stem]
        picture = read_picture(file)
        mask = read_mask(path, picture.pixels.shape[:2]) > 0
        if mask.shape != picture.pixels.shape[:2]:
            raise ValueError(f"{path} has {mask.shape} px, its image {picture.pixels.shape[:2]} px")
        group = file.parent.name if file.parent != images else file.stem
        found.append(Labelled(file.name, picture.pixels, mask, group, picture.pixel_size_nm))
    return found


def finetune(
    labelled: Sequence[Labelled],
    study: str,
    out: Path,
    pixel_size_nm: float | None = None,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: bool = True,
) -> dict:
    """Train a shipped network on with labelled images, and test it on those it did not see.

    Parameters
    ----------
    labelled
        From :func:`read_labelled`; two groups at least.
    study
        ``graphene_hrtem`` or ``nanoparticles``.
    out
        Folder for ``network.safetensors``, trained on all images; and ``network.json``: the
        ranges that it knows, scores and verdict.
    pixel_size_nm
        Of all images; None takes what each file says.

    Returns
    -------
    dict
        What ``network.json`` holds. ``scores`` has for each image the overlap (intersection over
        union) with its mask: of the shipped network, of a finetuned one that saw nothing of its
        group, of the classical method.

    Raises
    ------
    ValueError
        If no network ships for the study, there are fewer than two groups, or an image cannot be
        measured.
    """
    from .. import kept, train
    from ..models import bce_dice

    if study not in METHODS or (shipped := find_network(study)) is None:
        raise ValueError(f"no network is at hand for {study}; there is nothing to train on")
    groups = np.array([image.group for image in labelled])
    if len(set(groups)) < 2:
        raise ValueError(
            f"{len(labelled)} labelled images of {len(set(groups))} group: two groups are needed "
            "at least, so that each is tested by a network that did not see it"
        )
    seen = [_prepared(image, study, pixel_size_nm) for image in labelled]
    tiles, targets, of = _tiles([(s["ready"], s["mask"]) for s in seen])
    settings = train.Fit(
        epochs, lr=5e-4, batch_size=4, weight_decay=1e-2, schedule="cosine", average=0.99, seed=seed
    )
    how = dict(loss=bce_dice, augment=_view, start=kept.load_tensors(shipped.path)[0])
    make = partial(build, study)
    folds = train.kfold(len(tiles), min(FOLDS, len(set(groups))), seed, groups[of])
    tested = kept.cross_validate(
        make, tiles, targets, folds, settings, name=f"finetune-{study}", progress=progress, **how
    )
    networks = [kept.load_network(make(), file) for file in tested.weights]
    rows = []
    for number, (image, s) in enumerate(zip(labelled, seen)):
        unseen = next(n for n, fold in zip(networks, folds) if number in of[fold])
        rows.append(
            {
                "image": image.name,
                "group": image.group,
                "shipped": overlap(_predicted(shipped.module, s["ready"]), s["mask"]),
                "finetuned": overlap(_predicted(unseen, s["ready"]), s["mask"]),
                "classical": overlap(METHODS[study].classical(s["image"]), s["mask"]),
            }
        )
    everything = kept.Training(
        f"finetune-{study}-all", make, tiles, targets, np.arange(len(tiles)), settings, **how
    )
    content = {
        "study": study,
        "trained_from": shipped.facts,
        "epochs": epochs,
        "seed": seed,
        "ranges": {k: list(v) for k, v in ranges_of([s["about"] for s in seen]).items()},
        "scores": rows,
        **_verdict(rows, groups),
    }
    write_together(
        {
            out / "network.safetensors": everything.make().read_bytes(),
            out / "network.json": json.dumps(content, indent=1) + "\n",
        }
    )
    return content


def _prepared(image: Labelled, study: str, pixel_size_nm: float | None) -> dict:
    """Bring an image and its mask to what the network sees, and describe it."""
    from ..afm_coverage.whole import rescale

    method = METHODS[study]
    try:
        raw = as_grey(image.pixels)
        ruler = read_ruler(study, image.pixel_size_nm, pixel_size_nm)
        seen, ruler, _ = method.prepare(raw, ruler)
    except ValueError as error:
        raise ValueError(f"{image.name}: {error}") from error
    mask = image.mask
    if seen.shape != mask.shape:
        mask = rescale(mask.astype(np.float32), seen.shape) > 0.5
    about = method.describe(seen, raw, ruler) | {"covered_share": float(mask.mean())}
    return {"image": seen, "ready": method.ready(seen), "mask": mask, "about": about}


def _tiles(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple:
    """Cut images and masks into tiles that cover them: (N, C, S, S) each, and whose each is."""
    import torch

    side = min(SIDE, *(min(mask.shape) for _, mask in pairs)) // 32 * 32
    if side == 0:
        raise ValueError("an image is smaller than 32 px where the network sees it")
    images, masks, of = [], [], []
    for number, (image, mask) in enumerate(pairs):
        rows, columns = (
            np.linspace(0, length - side, -(-length // side)).astype(int) for length in mask.shape
        )
        for row in rows:
            for column in columns:
                part = np.s_[row : row + side, column : column + side]
                images.append(image.reshape(-1, *mask.shape)[:, *part])
                masks.append(mask[None][:, *part])
                of.append(number)
    tiles, targets = (torch.from_numpy(np.stack(x)).float() for x in (images, masks))
    return tiles, targets, np.array(of)


def _view(images, targets, generator):
    """Draw a new view of each tile."""
    from ..augment import affine, symmetry

    changed = affine(images, targets, generator, share=0.5, zoom=(0.8, 1.25), shift=0.1)
    return symmetry(*changed, generator)


def _predicted(network, image: np.ndarray) -> np.ndarray:
    from ..whole import predict_whole

    return predict_whole(network, image, 1024, 192) > 0.5


def _verdict(rows: Sequence[dict], groups: np.ndarray) -> dict:
    """Say whether the finetuned network is better on images that it did not see."""
    from ..metrics import bootstrap

    gain = np.array([row["finetuned"] - row["shipped"] for row in rows])
    low, high = bootstrap(gain, groups)
    words = (
        "the finetuned network is better: use it"
        if low > 0
        else "the finetuned network is worse: stay with the shipped one"
        if high < 0
        else "no difference is shown: label more, or stay with the shipped one"
    )
    means = {f"{m}_overlap": float(np.mean([r[m] for r in rows])) for m in COMPARED}
    return {
        **means,
        "gain": float(gain.mean()),
        "gain_low": low,
        "gain_high": high,
        "verdict": words,
    }
