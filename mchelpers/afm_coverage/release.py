"""What the WSe2 coverage study released: its predictions, and its micrographs.

Source: Moses, Wu and Reinhart, *Crystal Growth Characterization of WSe2 Thin
Film Using Machine Learning*, Mater. Today Adv. 22, 100483 (2024); predictions
from ``reinhart-group/wse2_coverage`` on GitHub, micrographs from Zenodo,
10.5281/zenodo.10784189.
"""

from __future__ import annotations

import csv
import hashlib
import pickle
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..downloads import DataError, data_folder, fetch_all, fetch_record, registry
from ..inputs.pictures import read_picture

__all__ = [
    "MODELS",
    "CoverageTable",
    "FilmImage",
    "fetch_wse2",
    "load_wse2_results",
    "load_wse2_zenodo",
    "standin_results",
]

MODELS = {
    "cnn_i": "CNN-I",
    "cnn_m": "CNN-M",
    "seg50": "SEG50",
    "seg101": "SEG101",
    "seg18_i": "SEG18-I",
    "seg18_m": "SEG18-M",
}
"""The six released models: key of the record -> name in the paper."""

_SAMPLES = {  # images of each test sample in the released order, from the executed notebooks
    "200821A": 4,
    "200831A": 3,
    "200910A": 4,
    "201016A": 4,
    "210910A": 4,
    "211029A": 4,
}
_FILES = {"cnn_i": "Image", "cnn_m": "Micro", "seg50": "SEG50", "seg101": "SEG101"}
_FILES |= {"seg18_i": "SEG18I", "seg18_m": "SEG18M"}


@dataclass(frozen=True)
class CoverageTable:
    """Coverages of N images: the label's, and each model's.

    Attributes
    ----------
    truth
        (N,) float in 0..1, share of the image above the label's threshold.
    samples
        (N,) str, the growth sample that the image shows.
    predicted
        Model (key of :data:`MODELS`) -> (N,) float.
    iou
        Segmentation model -> (N,) float, intersection over union with the label.
    kind
        ``"real"`` or ``"simulated"``.
    sha256
        One hash over all files or arrays.
    """

    truth: np.ndarray
    samples: np.ndarray
    predicted: dict[str, np.ndarray]
    iou: dict[str, np.ndarray]
    kind: str
    sha256: str

    def __len__(self) -> int:
        return len(self.truth)


def _column(path: Path, name: str, count: int) -> np.ndarray:
    """Read one column of numbers of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        values = np.array([float(row[name]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} lacks a column {name!r} of numbers; is it the release?") from error
    if len(values) != count or not np.isfinite(values).all():
        raise DataError(f"{path} must hold {count} finite numbers in {name!r}, got {len(values)}")
    return values


def load_wse2_results() -> CoverageTable:
    """Load the released predictions of six models on the 23 full test images.

    Returns
    -------
    CoverageTable
        In the released order, which is the image number in the paper's text.

    Raises
    ------
    DataError
        If a file is missing and cannot be downloaded, or is not the released one.
    """
    names = [f"wse2_results/Results/{stem}_cov.csv" for stem in _FILES.values()]
    files = dict(zip(_FILES, fetch_all(names)))
    count = sum(_SAMPLES.values())
    return CoverageTable(
        truth=_column(files["cnn_m"], "label", count),
        samples=np.repeat(list(_SAMPLES), list(_SAMPLES.values())),
        predicted={k: _column(f, f"{_FILES[k]}_cov", count) for k, f in files.items()},
        iou={k: _column(f, f"{_FILES[k]}_iou", count) for k, f in files.items() if k[:3] == "seg"},
        kind="real",
        sha256=hashlib.sha256("".join(registry()[n][0] for n in names).encode()).hexdigest(),
    )


def standin_results(seed: int = 0) -> CoverageTable:
    """Make a table up that has the form of the released one, for quick checks without data.

    The numbers are drawn, not measured, and say nothing about any model: two
    regressions that fall short at high coverage, and four segmentations that
    miss more and more of the film and invent almost nothing.
    """
    rng = np.random.default_rng(seed)
    samples = np.repeat(list(_SAMPLES), list(_SAMPLES.values()))
    level = dict(zip(_SAMPLES, (0.05, 0.15, 0.45, 0.4, 0.85, 0.5)))
    truth = np.array([level[s] for s in samples]) * rng.uniform(0.9, 1.1, len(samples))
    predicted, iou = {}, {}
    for key, short in {"cnn_i": 0.05, "cnn_m": 0.1}.items():
        noise = rng.normal(0, 0.01, len(truth))
        predicted[key] = np.clip(truth - short * truth**2 + noise, 0.001, 0.999)
    for key, found in {"seg50": 0.9, "seg101": 0.2, "seg18_i": 0.4, "seg18_m": 0.4}.items():
        inside = truth * np.clip(found * rng.uniform(0.5, 1.3, len(truth)), 0.01, 0.99)
        outside = (1 - truth) * rng.uniform(0, 0.01, len(truth))
        predicted[key], iou[key] = inside + outside, inside / (truth + outside)
    drawn = np.concatenate([truth, *predicted.values(), *iou.values()])
    digest = hashlib.sha256(drawn.tobytes()).hexdigest()
    return CoverageTable(truth, samples, predicted, iou, "simulated", digest)


@dataclass(frozen=True)
class FilmImage:
    """One whole micrograph of the study, cropped, grey, its shorter side 512 px.

    Attributes
    ----------
    name, sample
        File and folder as the record spells them; the folder is growth run and
        day of imaging, e.g. ``MCV2-200821A-TM_200824``.
    grey
        (H, W) uint8, luminance.
    mask
        (H, W) bool, luminance above the hand-chosen threshold.
    position
        ``"centre"``, ``"edge"`` or ``""``, read off the file's name.
    split
        ``"train"``, ``"val"``, ``"test"``, or ``""`` where the record does not say.
    temperature_c, pressure_torr, time_s
        Growth; NaN where unknown.
    kind
        ``"real"``.
    """

    name: str
    sample: str
    grey: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    position: str = ""
    split: str = ""
    temperature_c: float = np.nan
    pressure_torr: float = np.nan
    time_s: float = np.nan
    kind: str = "real"

    @property
    def growth_run(self) -> str:
        """The sample's name without the day of imaging: one growth was imaged on two days."""
        return self.sample.split("_")[0]

    @property
    def coverage(self) -> float:
        """Share of the mask."""
        return float(self.mask.mean())

    def lightness(self) -> np.ndarray:
        """Return the grey image, (H, W) uint8."""
        return self.grey


_DOI = "10.5281/zenodo.10784189"


def fetch_wse2(folder: Path) -> None:
    """Download all files of the study's record, and unpack archives.

    Parameters
    ----------
    folder
        Where the files go once all are there; what came before a cut is kept
        beside it, in ``<folder>.partial``, for the next try.

    Raises
    ------
    DataError
        As for :func:`mchelpers.downloads.fetch_record`.
    """
    unfinished = folder.with_name(f"{folder.name}.partial")
    for file in fetch_record(_DOI, unfinished):
        where = unfinished / f"{file.stem} unpacked"
        if file.suffix == ".zip":
            shutil.unpack_archive(file, where)
        elif file.suffix in (".tar", ".gz"):
            shutil.unpack_archive(file, where, filter="data")
    unfinished.rename(folder)


def load_wse2_zenodo(folder: Path | None = None) -> list[FilmImage]:
    """Load the study's own micrographs, 221 of 52 samples, from its Zenodo record.

    The layout is the one that the released notebooks read: exports
    ``FullDataset/<sample>/<file>.tif`` with thresholds in
    ``labels-full-wfr.csv``, or what the notebooks made of them,
    ``sample_<sample>_image_<file>_full_.png`` with ``..._mask_.png`` (0 and 1).
    If both are there, the latter are read. The split (``WSe2_sample_labels``)
    and the growth (``WSe2_MCV2_parameters.csv``) are added where they are found.

    Parameters
    ----------
    folder
        The unpacked record, at whatever depth. By default ``wse2_zenodo`` in
        the data folder, downloaded if it is not there.

    Returns
    -------
    list of FilmImage
        Sorted by sample and name.

    Raises
    ------
    DataError
        If there are no micrographs in the folder, or one is unreadable.
    """
    if folder is None:
        folder = data_folder() / "wse2_zenodo"
        if not folder.exists():
            fetch_wse2(folder)
    folder = Path(folder)
    pairs = _processed(folder) or _exported(folder)
    if not pairs:
        raise DataError(
            f"{folder} holds neither ..._full_.png files nor labels-full-wfr.csv with FullDataset; "
            f"unpack the record https://doi.org/{_DOI} there"
        )
    splits, growth = _splits(folder), _growth(folder)
    images = []
    for sample, name, grey, mask in sorted(pairs, key=lambda pair: pair[:2]):
        place = re.match(r"(centre|center|edge)", name, re.IGNORECASE)
        temperature, pressure, time = growth.get(sample.split("_")[0], (np.nan,) * 3)
        images.append(
            FilmImage(
                name=name,
                sample=sample,
                grey=grey,
                mask=mask,
                position={"c": "centre", "e": "edge"}[place[1][0].lower()] if place else "",
                split=splits.get(sample, ""),
                temperature_c=temperature,
                pressure_torr=pressure,
                time_s=time,
            )
        )
    return images


def _processed(folder: Path) -> list[tuple]:
    """Read what the labelling notebook wrote: grey images and masks of 0 and 1."""
    pairs = []
    for file in folder.rglob("sample_*_image_*_full_.png"):
        sample, name = re.fullmatch(r"sample_(.+?)_image_(.+)_full_\.png", file.name).groups()
        partner = file.with_name(file.name.replace("_full_", "_mask_"))
        grey, mask = (read_picture(f).pixels for f in (file, partner))
        grey, mask = (a[..., 0] if a.ndim == 3 else a for a in (grey, mask))
        if grey.shape != mask.shape:
            raise DataError(f"{file} is {grey.shape} px, its mask {mask.shape}")
        pairs.append((sample, name, grey.astype(np.uint8), mask > 0))
    return pairs


def _exported(folder: Path) -> list[tuple]:
    """Crop the exports, bring the shorter side to 512 px and apply the label's threshold."""
    from PIL import Image

    from .labels import crop_export

    pairs = []
    for table in folder.rglob("labels-full-wfr.csv"):
        for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
            sample, name = row["filename"].split("/")
            file = table.parent / "FullDataset" / sample / name
            export = read_picture(file, background=1).pixels  # a page is white
            if export.dtype != np.uint8:
                raise DataError(f"{file} holds {export.dtype}; the study's exports have 8 bits")
            export = export if export.ndim == 3 else np.dstack([export] * 3)
            cropped = np.ascontiguousarray(export[crop_export(export, rule="study")])
            height, width = cropped.shape[:2]
            # In the study's order: resize in colour, the longer side cut to whole pixels, then
            # luminance.
            longer = int(512 / min(height, width) * max(height, width))
            size = (512, longer) if width < height else (longer, 512)
            grey = np.asarray(Image.fromarray(cropped).resize(size)) @ (0.299, 0.587, 0.114)
            pairs.append((sample, name, grey.astype(np.uint8), grey > float(row["L_star"])))
    return pairs


class _PlainUnpickler(pickle.Unpickler):
    """Read lists, dictionaries and words only: a pickle from elsewhere could run code."""

    def find_class(self, module, name):
        raise DataError(f"the pickle asks for {module}.{name}; only lists of names are read")


def _splits(folder: Path) -> dict[str, str]:
    """Sample -> train, val or test."""
    for file in folder.rglob("WSe2_sample_labels"):
        try:
            with file.open("rb") as stream:
                lists = _PlainUnpickler(stream).load()
        except (pickle.UnpicklingError, EOFError) as error:
            raise DataError(f"{file} is damaged ({error}); unpack the record again") from error
        return {sample: split for split in ("train", "val", "test") for sample in lists[split]}
    return {}


def _growth(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Growth run -> temperature (C), pressure (Torr), time (s)."""
    for file in folder.rglob("WSe2_MCV2_parameters.csv"):
        rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        return {
            r["sampleLabel"]: tuple(float(r[k] or "nan") for k in ("T", "P", "time")) for r in rows
        }
    return {}
