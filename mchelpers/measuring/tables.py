"""Tables: one row an image, an object, a run; what each column means; objects as COCO."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from ..record.files import write_atomically

__all__ = ["COLUMNS", "add_run", "dictionary_text", "write_coco", "write_tables"]

COLUMNS = {  # table -> column -> its type, what it holds; the unit is in the name
    "images": {
        "file": (str, "the file that was named"),
        "study": (str, "whose method measured it"),
        "status": (str, "measured, or failed"),
        "reason": (str, "why it failed"),
        "pixel_size_nm": (float, "edge of a pixel"),
        "pixel_size_source": (str, "who says so"),
        "lattice_pixel_size_nm": (float, "edge of a pixel by the lattice in the image"),
        "height_px": (int, "rows of the image"),
        "width_px": (int, "columns of the image"),
        "method": (str, "what drew the objects"),
        "objects": (int, "connected objects, those at the border too"),
        "border_objects": (int, "objects that the border cuts: left out of D10, D50, D90"),
        "density_per_um2": (float, "objects per square micrometre"),
        "covered_share": (float, "share of the image inside objects, 0 to 1"),
        "covered_share_low": (float, "the same where the network is surer than 0.75"),
        "covered_share_high": (float, "the same where the network gives more than 0.25"),
        "covered_nm2": (float, "area inside objects"),
        "classical_covered_share": (float, "share by the classical method beside the network"),
        "agreement_iou": (float, "overlap of found and second outlines, 0 to 1"),
        "step_nm": (float, "median height of the film above that of its substrate"),
        "d10_nm": (float, "diameter that a tenth of the whole objects stays below"),
        "d50_nm": (float, "median diameter of whole objects"),
        "d90_nm": (float, "diameter that nine tenths of the whole objects stay below"),
        "warnings": (str, "why to doubt the row; empty: nothing was found wrong"),
        "mask": (str, "the labels: TIFF, 0 is background, 1 and more the objects"),
        "seconds": (float, "time to read and measure"),
        "sha256": (str, "of the file"),
    },
    "objects": {
        "file": (str, "as in the table of images"),
        "object": (int, "its number in the mask"),
        "row_px": (float, "of its centre, from 0 at the top"),
        "column_px": (float, "of its centre, from 0 at the left"),
        "area_px": (int, "pixels"),
        "area_nm2": (float, "area"),
        "diameter_nm": (float, "of the circle of equal area"),
        "touches_border": (bool, "the border cuts it: it is larger than measured"),
        "aspect": (float, "long over short axis, 1 or more"),
        "circularity": (float, "4 pi area / perimeter squared, 1 for a circle"),
        "solidity": (float, "share of its convex hull"),
    },
    "runs": {
        "started": (str, "date and time, UTC"),
        "version": (str, "of mchelpers"),
        "study": (str, "whose method measured"),
        "images": (int, "files of the run, those that an earlier run had measured too"),
        "failed": (int, "files that could not be measured"),
        "seconds": (float, "time from start to end"),
        "weights_sha256": (str, "of the network's weights; empty: no network"),
        "answers_sha256": (str, "of all rows of images and objects, seconds aside"),
    },
}


def dictionary_text() -> str:
    """List every column of every table with its type and meaning, as CSV."""
    rows = [
        {"table": table, "column": column, "type": kind.__name__, "meaning": meaning}
        for table, columns in COLUMNS.items()
        for column, (kind, meaning) in columns.items()
    ]
    return _csv_text([list(rows[0]), *(row.values() for row in rows)])


def _csv_text(rows: Iterable[Iterable]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cells(row: Mapping, table: str) -> list:
    """Lay out a row; what it lacks, or is NaN, stays empty."""
    return [_cell(row.get(column)) for column in COLUMNS[table]]


def _cell(value) -> object:
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, ".6g") if isinstance(value, float) else value


def write_tables(results: Iterable[Mapping], out: Path) -> str:
    """Write the tables of images and of objects as CSV, and as Parquet if polars is installed.

    One result is in memory at a time.

    Parameters
    ----------
    results
        ``row`` of the image and ``objects``, its rows.
    out
        Folder of the tables.

    Returns
    -------
    str
        sha256 of all rows but for the seconds.
    """
    parts = {table: out / f".{table}.csv.partial" for table in ("images", "objects")}
    answers = hashlib.sha256()
    with ExitStack() as stack:
        tables = {}
        for table, part in parts.items():
            file = stack.enter_context(part.open("w", encoding="utf-8", newline=""))
            tables[table] = csv.writer(file, lineterminator="\n")
            tables[table].writerow(COLUMNS[table])
        for result in results:
            tables["images"].writerow(_cells(result["row"], "images"))
            tables["objects"].writerows(_cells(row, "objects") for row in result["objects"])
            row = result["row"] | {"seconds": 0}
            answers.update(json.dumps([row, result["objects"]], sort_keys=True).encode())
    for table, part in parts.items():
        _write_parquet(part, table)
        os.replace(part, out / f"{table}.csv")
    return answers.hexdigest()


def _write_parquet(part: Path, table: str) -> None:
    """Write a CSV file as Parquet beside it, the same columns whatever the rows."""
    try:
        import polars
    except ImportError:
        return
    kinds = {column: kind for column, (kind, _) in COLUMNS[table].items()}
    schema = polars.DataFrame(schema=kinds).schema
    unfinished = part.with_name(f".{table}.parquet.partial")
    polars.scan_csv(part, schema=schema).sink_parquet(unfinished)
    os.replace(unfinished, part.with_name(f"{table}.parquet"))


def add_run(row: Mapping, out: Path) -> None:
    """Add a row to the table of runs."""
    path = out / "runs.csv"
    before = path.read_text(encoding="utf-8") if path.exists() else _csv_text([COLUMNS["runs"]])
    write_atomically(path, before + _csv_text([_cells(row, "runs")]))


def write_coco(results: Iterable[Mapping], category: str, out: Path) -> None:
    """Write the outlines of all objects as one file of COCO, one image's in memory at a time.

    Parameters
    ----------
    results
        ``row`` of the image and ``annotations``, its objects without ids.
    category
        What they are called.
    out
        Folder of ``coco.json``; its images are named as they were given.
    """
    images, objects = [], 0
    part = out / ".coco.json.partial"
    with part.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for number, result in enumerate(results, 1):
            row = result["row"]
            if row["status"] == "measured":
                size = {"width": row["width_px"], "height": row["height_px"]}
                images.append(json.dumps({"id": number, "file_name": row["file"]} | size))
            for thing in result["annotations"]:
                file.write(",\n" if objects else "\n")
                objects += 1
                json.dump({"id": objects, "image_id": number} | thing, file)
        file.write(f'],\n"images": [{", ".join(images)}],\n')
        file.write(f'"categories": {json.dumps([{"id": 1, "name": category}])}}}\n')
    os.replace(part, out / "coco.json")
