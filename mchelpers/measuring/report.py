"""The report of a run: one HTML page that opens without a network."""

from __future__ import annotations

import base64
import html
import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .pictures import histogram

__all__ = ["methods_paragraph", "report_page"]

MONTAGE = 60  # pictures on the page; all are in the folder
LISTED = 500  # rows on the page; all are in the tables
SHOWN = (
    "file status pixel_size_nm objects covered_share classical_covered_share agreement_iou "
    "step_nm d10_nm d50_nm d90_nm border_objects"
).split()
QUANTITY = {"nanoparticles": "diameter_nm", "tmd_optical": "diameter_nm"}  # else the share covered
METHODS = Path(__file__).with_name("methods.json")  # study -> how it measures
STYLE = """body{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222;
background:#fff}table{border-collapse:collapse;font-size:13px}td,th{padding:3px 8px;border-bottom:
1px solid #ccc;text-align:left}.wide{overflow-x:auto}figure{display:inline-block;width:320px;margin:
8px;vertical-align:top}img{max-width:100%}figcaption{font-size:13px;overflow-wrap:anywhere}.warn{color:#a33}code{font-size:
12px}"""


def methods_paragraph(study: str, facts: Mapping) -> str:
    """Describe how a run measured, to paste into a paper."""
    from .graphene import DEVIATION, RADII
    from .shipped import SHIPPED

    numbers = {"low": RADII[0], "high": RADII[1], "deviation": DEVIATION}
    text = json.loads(METHODS.read_text(encoding="utf-8"))[study].format(**numbers)
    weights = facts.get("weights_sha256")
    made = f" Weights sha256 {weights[:16]}." if weights else ""
    if study in SHIPPED and not weights:
        text += " No network was at hand: the threshold alone was used."
    elif weights and facts["weights"] != SHIPPED[study][0]:
        text += " The network was trained on with labels of our own."
    return f"{text} Made with mchelpers {facts['version']} (Micrographs, Measured).{made}"


def report_page(study: str, results: Iterable[Mapping], out: Path, facts: Mapping) -> str:
    """Lay out a run as one page: of a long one its beginning, and what sums up all of it.

    Parameters
    ----------
    results
        ``row`` of each image and ``objects``, its rows.
    out
        Folder of the run: its overlays are shown.
    facts
        Provenance: name -> value.
    """
    counts = dict.fromkeys(("images", "failed", "doubted"), 0)
    rows, failed, figures = [], [], []
    rulers: dict[str, None] = {}
    values = array("d")
    for result in results:
        row = result["row"]
        counts["images"] += 1
        counts["failed"] += row["status"] == "failed"
        counts["doubted"] += bool(row.get("warnings"))
        if len(rows) < LISTED:
            rows.append(row)
        if row["status"] == "failed":
            failed += [f"{row['file']}: {row['reason']}"] * (len(failed) < LISTED)
            continue
        if len(rulers) < LISTED:
            rulers[_ruler(row)] = None
        if len(figures) < MONTAGE:
            figures.append(_figure(row, out))
        values.extend(_values(study, result))
    columns = [c for c in SHOWN if any(_known(row.get(c)) for row in rows)]
    head = "".join(f"<th>{c}</th>" for c in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(row.get(c))}</td>' for c in columns)}</tr>" for row in rows
    )
    more = f" {len(rows)} of them are listed; all are in images.csv."
    parts = [
        f"<h1>{counts['images']} images measured by {study}</h1>",
        f"<p>{_rulers(list(rulers))} {counts['failed']} failed; {counts['doubted']} carry a "
        f"warning.{more if counts['images'] > LISTED else ''}</p>",
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>',
        _listed("Failed", failed),
        "<h2>Images</h2><p>Orange: what was found. Blue: the second opinion, where there is one: "
        f"the classical method, or what your mask replaced. {len(figures)} are shown; all are in "
        "overlays.</p>",
        *figures,
        _histogram_part(study, values),
        f"<h2>Methods</h2><p>{_text(methods_paragraph(study, facts))}</p>",
        _listed("Provenance", [f"{name}: {value}" for name, value in facts.items()]),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{study}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _known(value) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _text(value) -> str:
    if not _known(value):
        return ""
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _ruler(row: Mapping) -> str:
    if not _known(row["pixel_size_nm"]):
        return "unknown"
    return f"{row['pixel_size_nm']:.4g} nm, {row['pixel_size_source']}"


def _rulers(found: Sequence[str]) -> str:
    """Name the pixel sizes of a run and their sources: the first line of the page."""
    more = " and others" if len(found) > 3 else ""
    return f"Pixel size: {_text('; '.join(found[:3]) or 'none')}{more}."


def _listed(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if lines else ""


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{_text(alt)}" src="data:image/png;base64,{data}">'


def _figure(row: Mapping, out: Path) -> str:
    png = (out / "overlays" / f"{Path(row['mask']).stem}.png").read_bytes()
    said = f"{_text(row['file'])}<br>{row['objects']} objects, {row['covered_share']:.1%} covered"
    doubts = f'<br><span class="warn">{_text(row["warnings"])}</span>' if row["warnings"] else ""
    picture = _picture(png, f"{row['file']} with outlines of what was found")
    return f"<figure>{picture}<figcaption>{said}{doubts}</figcaption></figure>"


def _values(study: str, result: Mapping) -> list[float]:
    """Take what the histogram shows: of whole objects, or of the image."""
    if study not in QUANTITY:
        return [result["row"]["covered_share"]]
    return [row[QUANTITY[study]] for row in result["objects"] if not row["touches_border"]]


def _histogram_part(study: str, values: Sequence[float]) -> str:
    name = QUANTITY.get(study, "covered_share")
    if not values:
        return ""
    png, said = histogram(values, name)
    return f"<h2>{name}</h2>{_picture(png, said)}<p>{_text(said)}</p>"
