"""Many files, measured into a folder: it never asks and never stops at a broken one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import __version__
from ..record.files import write_atomically, write_together
from ..record.machine import describe, machine, versions
from .answer import Answer
from .one import measure
from .pictures import mask_tiff, overlay
from .report import report_page
from .tables import COLUMNS, csv_text, dictionary_rows, parquet_bytes

__all__ = ["measure_files"]

MONTAGE = 60  # pictures on the page; all are in the folder


def measure_files(
    files: Sequence[Path],
    study: str,
    out: Path,
    pixel_size_nm: float | None = None,
    say: Callable[[str], object] = print,
) -> int:
    """Measure files and write tables, masks, overlays and a report into a folder.

    Parameters
    ----------
    files
        Any; one that cannot be measured becomes a row with its reason.
    study, pixel_size_nm
        As for :func:`mchelpers.measuring.one.measure`.
    out
        The folder; made if it is not there. Files of an earlier run are replaced.
    say
        Gets each answer in words.

    Returns
    -------
    int
        How many files failed.
    """
    images, objects, overlays = [], [], {}
    settings: dict = {}
    names = _distinct([file.stem for file in files])
    for file, name in zip(files, names):
        started = time.perf_counter()
        row = {"file": str(file), "study": study}
        try:
            answer = measure(file, study, pixel_size_nm)
            picture = overlay(answer)
            row |= _measured(answer, file) | {"mask": f"masks/{name}.tif"}
        except Exception as error:  # one file, whatever is wrong with it, stops no run
            row |= {"status": "failed", "reason": _reason(error), "pixel_size_nm": None}
            say(f"{file}: failed: {row['reason']}")
        else:
            write_atomically(out / "masks" / f"{name}.tif", mask_tiff(answer))
            write_atomically(out / "overlays" / f"{name}.png", picture)
            if len(overlays) < MONTAGE:
                overlays[row["file"]] = picture
            objects += [{"file": row["file"], **found} for found in answer.objects]
            settings = answer.settings
            say(f"{file}\n{answer}")
        row["seconds"] = time.perf_counter() - started
        images.append(row)
    facts = {"version": __version__, "study": study, "pixel_size_nm given": pixel_size_nm}
    facts |= {k: settings[k] for k in ("weights", "weights_sha256") if k in settings}
    facts |= {"machine": describe(machine()), "packages": json.dumps(versions())}
    page = report_page(study, images, objects, overlays, facts)
    write_together(_tables(images, objects, out) | {out / "report.html": page})
    return sum(row["status"] == "failed" for row in images)


def _measured(answer: Answer, file: Path) -> dict:
    ruler = answer.ruler
    return {
        "status": "measured",
        "pixel_size_nm": ruler.nm,
        "pixel_size_source": ruler.source,
        "lattice_pixel_size_nm": ruler.lattice_nm,
        "height_px": answer.labels.shape[0],
        "width_px": answer.labels.shape[1],
        "method": answer.method,
        **answer.image,
        "warnings": "; ".join(answer.warnings),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    known = isinstance(error, ValueError | RuntimeError | ImportError)
    return words if known else f"{type(error).__name__}: {words}"


def _distinct(stems: Sequence[str]) -> list[str]:
    """Number the names that come more than once: two folders may hold an image of one name."""
    return [f"{s}-{n}" if stems.count(s) > 1 else s for n, s in enumerate(stems)]


def _tables(images: list[dict], objects: list[dict], out: Path) -> dict[Path, str | bytes]:
    files: dict[Path, str | bytes] = {}
    for table, rows in (("images", images), ("objects", objects)):
        files[out / f"{table}.csv"] = csv_text(rows, list(COLUMNS[table]))
        if (parquet := parquet_bytes(rows, table)) is not None:
            files[out / f"{table}.parquet"] = parquet
    meanings = dictionary_rows()
    files[out / "dictionary.csv"] = csv_text(meanings, list(meanings[0]))
    return files
