"""One image, measured: from a file or an array to an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..inputs.pictures import read_picture
from .answer import Answer, corrected
from .ruler import PLAUSIBLE_NM, read_ruler
from .shipped import find_network

__all__ = ["check_study", "measure"]


def check_study(study: str) -> str:
    """Return the name of a study that can be measured, or say which there are (ValueError)."""
    if study not in PLAUSIBLE_NM:
        raise ValueError(f"study is {study!r}; it must be one of {', '.join(PLAUSIBLE_NM)}")
    return study


def measure(
    image: np.ndarray | Path | str,
    study: str,
    pixel_size_nm: float | None = None,
    mask: np.ndarray | None = None,
    weights: Path | str | None = None,
) -> Answer:
    """Measure a micrograph of your own by the method of a study.

    Parameters
    ----------
    image
        (H, W), or (H, W, 3) for ``tmd_optical``; or a file of any kind that
        :func:`mchelpers.inputs.pictures.read_picture` reads.
    study
        ``graphene_hrtem``, ``nanoparticles``, ``afm_coverage`` or ``tmd_optical``.
    pixel_size_nm
        Edge of a pixel. None takes what the file says.
    mask
        (H, W), drawn by hand: taken in place of what is found; see
        :func:`mchelpers.measuring.answer.corrected`.
    weights
        Of a network that :func:`mchelpers.measuring.finetune.finetune` trained on your labels.
        None takes the one that ships, where one does.

    Returns
    -------
    Answer
        Printed, its first line is the pixel size and who says so; then what was found, and why
        to doubt it.

    Raises
    ------
    DataError
        If the file cannot be read.
    ValueError
        If there is no such study, it is no such image, its pixel size is missing or cannot be
        right, or the mask is of another size.
    """
    from . import graphene, others, particles

    check_study(study)
    stated_nm, z_unit, notes = np.nan, None, ()
    if isinstance(image, str | Path):
        picture = read_picture(image)
        image, stated_nm, z_unit = picture.pixels, picture.pixel_size_nm, picture.z_unit
        notes = tuple(note for note in picture.notes if "pixel size" in note)
    ruler = read_ruler(study, stated_nm, pixel_size_nm)
    ruler = replace(ruler, warnings=notes + ruler.warnings)
    networks = {
        "graphene_hrtem": graphene.measure_graphene,
        "nanoparticles": particles.measure_particles,
    }
    if study in networks:
        answer = networks[study](image, ruler, find_network(study, weights and Path(weights)))
    elif weights is not None:
        raise ValueError(f"no network reads images of {study}; leave weights out")
    elif study == "afm_coverage":
        answer = others.measure_film(image, ruler, z_unit)
    else:
        answer = others.measure_flakes(image, ruler)
    return answer if mask is None else corrected(answer, mask)
