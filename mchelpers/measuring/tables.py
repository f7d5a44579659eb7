"""Tables of a run: one row an image, one row an object, and what each column means."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

__all__ = ["COLUMNS", "csv_text", "dictionary_rows", "parquet_bytes"]

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
        "agreement_iou": (float, "overlap of network and classical method, 0 to 1"),
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
}


def dictionary_rows() -> list[dict[str, str]]:
    """List every column of every table with its type and meaning."""
    return [
        {"table": table, "column": column, "type": kind.__name__, "meaning": meaning}
        for table, columns in COLUMNS.items()
        for column, (kind, meaning) in columns.items()
    ]


def csv_text(rows: Sequence[Mapping], columns: Sequence[str]) -> str:
    """Write rows as CSV; what a row lacks, or is NaN, stays empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _cell(value) -> object:
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return ""
    return format(value, ".6g") if isinstance(value, float) else value


def parquet_bytes(rows: Sequence[Mapping], table: str) -> bytes | None:
    """Write rows as Parquet, the same columns whatever the rows; None without polars."""
    try:
        import polars
    except ImportError:
        return None
    columns = COLUMNS[table]
    values = {c: [_none_for_nan(row.get(c)) for row in rows] for c in columns}
    frame = polars.DataFrame(values, schema={c: kind for c, (kind, _) in columns.items()})
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def _none_for_nan(value):
    return None if isinstance(value, float) and math.isnan(value) else value
