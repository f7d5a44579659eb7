"""Two executions side by side: what moved, by how much, within which tolerance."""

from __future__ import annotations

import ast
import base64
import io
import re
from collections.abc import Mapping

import numpy as np

from ..claims.entries import Claim
from ..claims.judge import tolerance
from .bars import VIEW

__all__ = ["drift", "is_within", "moved", "other_cells"]

MACHINE_UNITS = {"ms", "s", "min", "h", "MB", "1/s", "1/min", "Mpx/s"}
"""Units of times, rates and memory, which no machine repeats."""
RATIOS_OF_TIMES = re.compile(r"speedup|cost_ratio|network_share|^bench\.")  # keys without a unit
CLOCK = re.compile(
    r"perf_counter|process_time|milliseconds|peak_memory|\.seconds\b|\.fps\b|run\.stamp"
)
"""What a cell calls that reads a clock, or asks for memory."""
BAR_SECONDS = re.compile(r"(?<= %, )(\S+ of .*), [\d:]+$", re.M)
"""How long a progress bar took, which follows what it counted; see :mod:`mchelpers.book.bars`."""
CELL_FILE = re.compile(r"/\S*ipykernel_\d+/\d+\.py")  # a kernel's own name of the cell that warns


def moved(
    claims: list[Claim], chapter: str, results: Mapping[str, dict], again: Mapping[str, dict]
) -> list[dict]:
    """List the results that another execution moved, by more than the rounding of records.

    Parameters
    ----------
    claims
        Of the chapter's study.
    chapter
        Name without the study.
    results
        ``chapter:key`` -> result of the study's records.
    again
        key -> result of the other execution.

    Returns
    -------
    list of dict
        key, before, after (None where the key is gone), tolerance (the smallest of the claims
        that rest on it, else half of its recorded 95 % interval; None where there is none),
        claim (which one; None) and measures (``"machine"`` where a move says nothing).
    """
    found = []
    for place, result in results.items():
        where, _, key = place.partition(":")
        if where != chapter:
            continue
        after = again[key]["mean"] if key in again else None
        if key in again and _same(result["values"], again[key]["values"]):
            continue
        resting = [c for c in claims if place in c.keys]
        allowed = [(tolerance(c, results), c.id) for c in resting if c.kind == "number"]
        timed = result["unit"] in MACHINE_UNITS or bool(RATIOS_OF_TIMES.search(key))
        timed = timed or any(a is None for a, _ in allowed)
        known = min(((a, i) for a, i in allowed if a is not None), default=(None, None))
        if known[0] is None and result["ci95"]:
            known = ((result["ci95"][1] - result["ci95"][0]) / 2, None)
        found.append(
            {
                "key": key,
                "before": result["mean"],
                "after": after,
                "tolerance": None if timed else known[0],
                "claim": known[1] or next((c.id for c in resting), None),
                "measures": "machine" if timed else "images",
            }
        )
    return found


def _same(before: list[float], after: list[float]) -> bool:
    """Tell whether values agree in what records keep: six digits, once six decimals."""
    return len(before) == len(after) and np.allclose(before, after, rtol=1e-5, atol=1e-6)


def is_within(change: dict) -> bool:
    """Tell whether a result moved by no more than its tolerance; what a machine gives may."""
    if change["after"] is None:
        return False
    if change["measures"] == "machine":
        return True
    step = abs(change["after"] - change["before"])
    return step <= (change["tolerance"] or 0.0) + 1e-9 * abs(change["before"])


def drift(
    claims: list[Claim], chapter: str, results: Mapping[str, dict], again: Mapping[str, dict]
) -> list[str]:
    """List the claimed results that a re-run moved by more than their tolerance, or lost.

    Parameters are those of :func:`moved`.
    """
    faults = []
    for change in moved(claims, chapter, results, again):
        if change["claim"] is None or is_within(change):
            continue
        if change["after"] is None:
            faults.append(
                f"{change['key']} is gone from the record, but claim {change['claim']!r} needs it"
            )
        elif change["tolerance"] is not None:
            faults.append(
                f"{change['key']} moved from {change['before']:g} to {change['after']:g}, more "
                f"than {change['tolerance']:g} (claim {change['claim']!r})"
            )
    return faults


def other_cells(first, again, elsewhere: bool = False) -> list[dict]:
    """List the code cells of two executions that show something else.

    Parameters
    ----------
    first, again
        Notebooks with the same code.
    elsewhere
        Whether machine or packages were others, which round the last digit otherwise.

    Returns
    -------
    list of dict
        cell (its number, from 1) and reason: ``"a clock"`` where the cell, or one whose names it
        uses, reads a clock or asks for memory; ``"another machine"``; else empty.
    """
    before, after = ([c for c in n.cells if c.cell_type == "code"] for n in (first, again))
    clocked = _clocked([c.source for c in before])
    other = "another machine" if elsewhere else ""
    return [
        {"cell": number, "reason": "a clock" if number in clocked else other}
        for number, (one, two) in enumerate(zip(before, after, strict=True), 1)
        if _shown(one.outputs) != _shown(two.outputs)
    ]


def _shown(outputs: list) -> list:
    """Take outputs as a reader sees them: what was printed, then all that was shown.

    Pictures are their pixels, for they also name their commit; a widget's random name and the
    seconds of a progress bar do not count, nor where a kernel's buffer broke a text in two.
    """
    from PIL import Image

    said = sorted((o for o in outputs if "text" in o), key=lambda o: o["name"])
    shown = [BAR_SECONDS.sub(r"\1", CELL_FILE.sub("cell", "".join(o["text"] for o in said)))]
    for output in (o for o in outputs if "text" not in o):
        data = {k: v for k, v in output.get("data", {}).items() if k != VIEW}
        if "image/png" in data:
            with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
                data["image/png"] = (picture.size, picture.convert("RGBA").tobytes())
        shown.append({**output, "data": data})
    return shown


def _clocked(sources: list[str]) -> set[int]:
    """Number the cells that read a clock, or use a name that such a cell binds."""
    found, timed = set(), set()
    for number, source in enumerate(sources, 1):
        code = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M)
        names = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)]
        used = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        if CLOCK.search(source) or used & timed:
            found.add(number)
            timed |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
            timed |= set(re.findall(r"^def (\w+)", source, re.M))
    return found
