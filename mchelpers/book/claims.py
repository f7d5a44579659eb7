"""The papers' numbers, and the verdict on each, computed from the record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .record import Chapter, load_record
from .schema import first_fault

__all__ = ["Claim", "check_claims", "drift", "judge", "load_claims", "read_claims", "studies"]

ROUNDING = 1e-9  # of the larger number: a tolerance that is met exactly is met


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


def read_claims(root: Path, study: str) -> tuple[list[Claim], list[str]]:
    """Read a study's claims as ``schemas/claims.json`` wants them.

    Returns
    -------
    claims, faults
        The good entries, and one sentence for each that is not.
    """
    import yaml

    path = root / "book" / study / "claims.yml"
    file = path.relative_to(root)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        return [], [f"{file} is not YAML: {' '.join(str(error).split())}"]
    wrong = first_fault("claims", content)
    if None in wrong:
        return [], [f"{file}: {wrong[None]}"]
    claims, faults = [], []
    for number, entry in enumerate(content):
        name = entry.get("id", number + 1) if isinstance(entry, dict) else number + 1
        if number in wrong:
            faults.append(f"{file}: claim {name!r}: {wrong[number]}")
        elif any(c.id == name for c in claims):
            faults.append(f"{file}: claim {name!r} stands there twice")
        else:
            claims.append(Claim(study=study, **entry))
    return claims, faults


def load_claims(root: Path, study: str) -> list[Claim]:
    """Read a study's claims.

    Raises
    ------
    ValueError
        If one is not as it must be; see :func:`read_claims`.
    """
    claims, faults = read_claims(root, study)
    if faults:
        raise ValueError("; ".join(faults))
    return claims


def find_result(root: Path, claim: Claim) -> tuple[dict | None, dict | None]:
    """Look a claim's result up: (result, record), or (None, None) if it is not there."""
    chapter, _, key = claim.result.partition(":")
    record = load_record(Chapter(f"{claim.study}/{chapter}", root))
    if record is None or key not in record["results"]:
        return None, None
    return record["results"][key], record


def within(claim: Claim, a: float, b: float) -> bool:
    """Tell whether two numbers are the same up to the claim's tolerance."""
    return abs(a - b) <= claim.tolerance + ROUNDING * max(abs(a), abs(b))


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
    if within(claim, here, claim.paper):
        return "reproduced"
    if claim.better == "equal":
        return "differs"
    return "exceeded" if (here > claim.paper) == (claim.better == "higher") else "short"


def check_claims(root: Path) -> list[str]:
    """List what is wrong with the claims: unreadable entries, keys without a result."""
    faults = []
    for study in studies(root):
        claims, unreadable = read_claims(root, study)
        faults += unreadable
        for claim in claims:
            try:
                found = claim.comparable == "not-run" or find_result(root, claim)[0]
            except ValueError as error:
                faults.append(str(error))
                continue
            if not found:
                faults.append(
                    f"{study}: claim {claim.id!r}: no result {claim.result!r} in the record"
                )
    return list(dict.fromkeys(faults))  # a damaged record is named once


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
        if not within(claim, after, before):
            faults.append(
                f"{key} moved from {before:g} to {after:g}, more than {claim.tolerance:g}"
                f" (claim {claim.id!r})"
            )
    return faults
