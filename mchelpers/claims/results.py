"""Claims held against what is recorded."""

from __future__ import annotations

from pathlib import Path

from ..record.chapter import Chapter, load_record
from .entries import Claim, load_claims, read_claims, studies
from .judge import Verdict, judge

__all__ = ["check_claims", "judge_all", "load_results"]


def load_results(root: Path, study: str) -> dict[str, dict]:
    """Collect the results of a study's records: ``chapter:key`` -> result, with its tier."""
    found = {}
    for source in sorted((root / "book" / study).glob("[0-9][0-9]_*.md")):
        record = load_record(Chapter(f"{study}/{source.stem}", root))
        for key, result in record["results"].items() if record else ():
            found[f"{source.stem}:{key}"] = {**result, "tier": record["tier"]}
    return found


def check_claims(root: Path) -> list[str]:
    """List what is wrong with the claims: unreadable entries, keys without a result."""
    faults = []
    for study in studies(root):
        claims, unreadable = read_claims(root, study)
        faults += unreadable
        try:
            results = load_results(root, study)
        except ValueError as error:  # a damaged record
            faults.append(str(error))
            continue
        for claim in claims:
            try:
                judge(claim, results)
            except ValueError as error:
                faults.append(f"{study}: {error}")
    return faults


def judge_all(root: Path, study: str) -> list[tuple[Claim, Verdict]]:
    """Hold each claim of a study against its recorded results."""
    results = load_results(root, study)
    return [(claim, judge(claim, results)) for claim in load_claims(root, study)]
