"""The papers' numbers, and the verdict on each, computed from the record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .record import Chapter, load_record

__all__ = ["Claim", "check_claims", "drift", "judge", "load_claims", "studies"]

COMPARABLE = ("same-data", "other-data", "simulated", "not-run")
BETTER = ("higher", "lower", "equal")
FIELDS = {"id", "where", "metric", "paper", "result", "better", "tolerance", "comparable", "why"}


@dataclass(frozen=True)
class Claim:
    """One number of a paper and where this book's number stands.

    Attributes
    ----------
    id, where, metric
        Name, place in the paper (rows of one place stand together), and what
        was measured.
    paper
        The paper's number.
    result
        ``chapter:key`` in the record; empty if not run.
    better
        ``higher``, ``lower`` or ``equal`` (a parameter, to be met).
    tolerance
        Difference that still counts as reproduced.
    comparable
        ``same-data``, ``other-data``, ``simulated`` or ``not-run``.
    why
        Reason, needed unless ``same-data``.
    unit
        Unit of both numbers; empty for a pure number.
    """

    study: str
    id: str
    where: str
    metric: str
    paper: float
    result: str
    better: str
    tolerance: float
    comparable: str
    why: str
    unit: str = ""


def studies(root: Path) -> list[str]:
    """Name the studies that have a claims file."""
    return sorted(f.parent.name for f in (root / "book").glob("*/claims.yml"))


def load_claims(root: Path, study: str) -> list[Claim]:
    """Read a study's claims.

    Raises
    ------
    ValueError
        If an entry lacks a field, has an unknown word, or gives no reason
        where one is needed.
    """
    import yaml

    path = root / "book" / study / "claims.yml"
    claims, seen = [], set()
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        name = f"{path.name}: claim {entry.get('id')!r}"
        missing = FIELDS - entry.keys()
        if missing:
            raise ValueError(f"{name} lacks {', '.join(sorted(missing))}")
        if entry["comparable"] not in COMPARABLE or entry["better"] not in BETTER:
            raise ValueError(f"{name}: comparable is one of {COMPARABLE}, better one of {BETTER}")
        if entry["comparable"] != "same-data" and not entry["why"]:
            raise ValueError(f"{name} must say why it is {entry['comparable']}")
        if (entry["comparable"] == "not-run") == bool(entry["result"]):
            raise ValueError(f"{name}: a result, or not-run with a reason")
        if entry["id"] in seen:
            raise ValueError(f"{name} stands there twice")
        seen.add(entry["id"])
        claims.append(Claim(study=study, **entry))
    return claims


def find_result(root: Path, claim: Claim) -> tuple[dict | None, dict | None]:
    """Look a claim's result up: (result, record), or (None, None) if it is not there."""
    chapter, _, key = claim.result.partition(":")
    record = load_record(Chapter(f"{claim.study}/{chapter}", root))
    if record is None or key not in record["results"]:
        return None, None
    return record["results"][key], record


def judge(claim: Claim, here: float | None) -> str:
    """Give the verdict on a claim.

    Returns
    -------
    str
        ``exceeded``, ``reproduced``, ``short``, ``differs`` (a parameter that
        was not met), ``other data``, ``simulated`` or ``not run``.
    """
    if claim.comparable != "same-data":
        return claim.comparable.replace("-", " ")
    if here is None:
        raise ValueError(f"claim {claim.id!r} points to {claim.result!r}, which has no record")
    gain = here - claim.paper
    if abs(gain) <= claim.tolerance:
        return "reproduced"
    if claim.better == "equal":
        return "differs"
    return "exceeded" if (gain > 0) == (claim.better == "higher") else "short"


def check_claims(root: Path) -> list[str]:
    """List what is wrong with the claims: unreadable entries, keys without a result."""
    faults = []
    for study in studies(root):
        try:
            claims = load_claims(root, study)
        except ValueError as error:
            faults.append(f"{study}: {error}")
            continue
        for claim in claims:
            if claim.comparable != "not-run" and find_result(root, claim)[0] is None:
                faults.append(
                    f"{study}: claim {claim.id!r}: no result {claim.result!r} in the record"
                )
    return faults


def drift(claims: list[Claim], chapter: str, old: dict, new: dict) -> list[str]:
    """List the claimed results that a re-run moved by more than their tolerance.

    Parameters
    ----------
    claims
        Of the chapter's study.
    chapter
        Name without the study.
    old, new
        Records of two executions at the same tier.
    """
    faults = []
    for claim in claims:
        where, _, key = claim.result.partition(":")
        if where != chapter or key not in old["results"]:
            continue
        if key not in new["results"]:
            faults.append(f"{key} is gone from the record, but claim {claim.id!r} needs it")
            continue
        before, after = old["results"][key]["mean"], new["results"][key]["mean"]
        if abs(after - before) > claim.tolerance:
            faults.append(
                f"{key} moved from {before:g} to {after:g}, more than {claim.tolerance:g}"
                f" (claim {claim.id!r})"
            )
    return faults
