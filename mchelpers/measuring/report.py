"""The report of a run: one HTML page that opens without a network."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence

from .pictures import histogram

__all__ = ["methods_paragraph", "report_page"]

SHOWN = (
    "file",
    "status",
    "pixel_size_nm",
    "objects",
    "covered_share",
    "classical_covered_share",
    "agreement_iou",
    "step_nm",
    "d10_nm",
    "d50_nm",
    "d90_nm",
    "border_objects",
)
QUANTITY = {"nanoparticles": "diameter_nm", "tmd_optical": "diameter_nm"}  # else the share covered
METHODS = {
    "graphene_hrtem": (
        "Each image was brought to a lattice of {low} to {high} px^-1 and z-scored; contaminants "
        "were outlined by a U-Net trained on the 131 labelled images of Sadre et al. (2021), and, "
        "beside it, where the local standard deviation exceeded 1.18 times its median."
    ),
    "nanoparticles": (
        "Crystalline particles were outlined where one set of lattice planes outshines the film "
        "(a bank of Gabor filters, one threshold fitted on simulated particles), touching ones "
        "parted at their necks; diameters are those of circles of equal area."
    ),
    "afm_coverage": (
        "Heights were levelled line by line on what is not film, and divided by Otsu's threshold."
    ),
    "tmd_optical": (
        "Flakes were outlined where their colour, in CIE Lab and under evened light, differs from "
        "the wafer's by more than Otsu's threshold, and parted at their necks."
    ),
}
STYLE = """body{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222;
background:#fff}table{border-collapse:collapse;font-size:13px}td,th{padding:3px 8px;border-bottom:
1px solid #ccc;text-align:left}.wide{overflow-x:auto}figure{display:inline-block;width:320px;margin:
8px;vertical-align:top}img{max-width:100%}figcaption{font-size:13px}.warn{color:#a33}code{font-size:
12px}"""


def methods_paragraph(study: str, facts: Mapping) -> str:
    """Describe how a run measured, to paste into a paper."""
    from .graphene import RADII

    text = METHODS[study].format(low=RADII[0], high=RADII[1])
    weights = facts.get("weights_sha256")
    made = f" Weights sha256 {weights[:16]}." if weights else ""
    return f"{text} Made with mchelpers {facts['version']} (Micrographs, Measured).{made}"


def report_page(
    study: str, images: Sequence[Mapping], objects: Sequence[Mapping], overlays: Mapping, facts
) -> str:
    """Lay out a run as one page.

    Parameters
    ----------
    images, objects
        Rows of the tables.
    overlays
        File -> PNG.
    facts
        Provenance: name -> value.
    """
    failed = [row for row in images if row["status"] == "failed"]
    doubted = [row for row in images if row.get("warnings")]
    columns = [c for c in SHOWN if any(_known(row.get(c)) for row in images)]
    head = "".join(f"<th>{c}</th>" for c in columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_text(row.get(c))}</td>' for c in columns)}</tr>" for row in images
    )
    parts = [
        f"<h1>{len(images)} images measured by {study}</h1>",
        f"<p>{_rulers(images)} {len(failed)} failed; {len(doubted)} carry a warning.</p>",
        f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>',
        _listed("Failed", [f"{row['file']}: {row['reason']}" for row in failed]),
        "<h2>Images</h2><p>Orange: what was found. Blue: the classical method, where a network "
        f"drew the orange. {len(overlays)} are shown; all are in overlays.</p>",
        *(_figure(row, overlays[row["file"]]) for row in images if row["file"] in overlays),
        _histogram_part(study, images, objects),
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


def _rulers(images: Sequence[Mapping]) -> str:
    """Name the pixel sizes of a run and their sources: the first line of the page."""
    found = dict.fromkeys(
        f"{row['pixel_size_nm']:.4g} nm, {row['pixel_size_source']}"
        if _known(row["pixel_size_nm"])
        else "unknown"
        for row in images
        if row["status"] == "measured"
    )
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Pixel size: {_text('; '.join(list(found)[:3]) or 'none')}{more}."


def _listed(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if lines else ""


def _picture(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{_text(alt)}" src="data:image/png;base64,{data}">'


def _figure(row: Mapping, png: bytes) -> str:
    said = f"{_text(row['file'])}<br>{row['objects']} objects, {row['covered_share']:.1%} covered"
    doubts = f'<br><span class="warn">{_text(row["warnings"])}</span>' if row["warnings"] else ""
    picture = _picture(png, f"{row['file']} with outlines of what was found")
    return f"<figure>{picture}<figcaption>{said}{doubts}</figcaption></figure>"


def _histogram_part(study: str, images: Sequence[Mapping], objects: Sequence[Mapping]) -> str:
    name = QUANTITY.get(study, "covered_share")
    whole = [row for row in objects if not row["touches_border"]]
    rows = whole if study in QUANTITY else [r for r in images if r["status"] == "measured"]
    values = [row[name] for row in rows]
    if not values:
        return ""
    png, said = histogram(values, name)
    return f"<h2>{name}</h2>{_picture(png, said)}<p>{_text(said)}</p>"
