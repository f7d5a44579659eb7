"""A second execution beside the first: what moved, by how much, within which tolerance."""

from __future__ import annotations

from collections.abc import Mapping

from ..claims.entries import Claim
from ..claims.judge import tolerance

__all__ = ["drift", "moved"]

MACHINE_UNITS = {"ms", "s", "min", "h", "MB", "1/s", "1/min", "Mpx/s"}
"""Units of times, rates and memory, which no machine repeats."""


def moved(
    claims: list[Claim], chapter: str, results: Mapping[str, dict], again: Mapping[str, dict]
) -> list[dict]:
    """List the results that another execution moved.

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
        if after == result["mean"] and again[key]["values"] == result["values"]:
            continue
        resting = [c for c in claims if place in c.keys]
        allowed = [(tolerance(c, results), c.id) for c in resting if c.kind == "number"]
        timed = result["unit"] in MACHINE_UNITS or any(a is None for a, _ in allowed)
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
