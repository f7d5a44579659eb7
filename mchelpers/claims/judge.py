"""Verdicts: computed from a claim and from recorded results, never typed.

A number is held against the paper's, give or take the tolerance. A comparison is a weighted sum
of results that has to lie above zero: of paired differences where the values are paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ..metrics import bootstrap
from .entries import Claim

__all__ = ["VERDICTS", "Comparison", "Verdict", "judge", "printed", "tolerance"]

VERDICTS = (
    "exceeded",
    "reproduced",
    "short",
    "undecided",
    "differs",
    "other setting",
    "not run",
)
OURS = {"reproduced": "holds", "differs": "fails"}
"""What a verdict is called where this book made the claim."""
ROUNDING = 1e-9  # of the larger number: a border that is met exactly is met
FEW = 10  # values below which a bootstrap is too narrow, and Student's t stands in
Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim: a weighted sum of results, which has to lie above zero.

    Attributes
    ----------
    value, interval
        The sum and its 95 % interval; None where no spread is known.
    shown, shown_interval
        What the reader is told: of a ratio the ratio, of a sign the result, else the sum itself.
    """

    keys: tuple[str, ...]
    value: float
    interval: Interval | None
    shown: float
    shown_interval: Interval | None


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes
    ----------
    word
        One of :data:`VERDICTS`; of a claim of this book ``holds``, ``undecided`` or ``fails``.
    here
        Our number; None for a comparison and where nothing was run.
    interval
        95 % interval of our number that was held against the tolerance; None if there is none.
    tolerance
        As computed; None where nothing is judged.
    comparisons
        Empty for a number.
    """

    word: str
    here: float | None = None
    interval: Interval | None = None
    tolerance: float | None = None
    comparisons: tuple[Comparison, ...] = ()


def printed(number: str) -> float:
    """Return the value of a number as a paper prints it."""
    return float(number) if number else 0.0


def half_last_digit(number: str) -> float:
    """Return half of the last printed digit: 0.0005 for ``"0.950"``, 0.5 for ``"12"``."""
    return float(Decimal(1).scaleb(Decimal(number).as_tuple().exponent) / 2)


def _students(values: np.ndarray) -> tuple[float, float]:
    """Return the standard deviation and how many of it 95 % of such values stray (Student's t)."""
    from scipy.stats import t

    return float(np.std(values, ddof=1)), float(t.ppf(0.975, len(values) - 1))


def mean_interval(values: Iterable[float], groups: list[int] | None = None) -> Interval | None:
    """Return the 95 % interval of a mean; None for a single value."""
    values = np.asarray(list(values), float)
    if len(values) < 2:
        return None
    if len(values) < FEW:
        sd, strays = _students(values)
        half = strays * sd / math.sqrt(len(values))
        return float(values.mean() - half), float(values.mean() + half)
    return bootstrap(values, None if groups is None else np.asarray(groups))


def _recorded_interval(result: dict) -> Interval | None:
    """Return a result's 95 % interval: as recorded, unless a bootstrap of a few values made it."""
    if result["ci95"] is None or 1 < result["n"] < FEW:
        return mean_interval(result["values"])
    return tuple(result["ci95"])


def tolerance(claim: Claim, results: Mapping[str, dict]) -> float | None:
    """Compute how far our number may lie from the paper's; None where that is not judged.

    Of trainings: where the value of one more training falls, 95 times in 100.

    Raises
    ------
    ValueError
        If the record does not hold what it is computed from.
    """
    said = claim.tolerance
    if said is None or said.source == "machine":
        return None
    if said.value is not None:
        return said.value
    if said.source == "digit":
        return half_last_digit(claim.paper)
    key = said.key or claim.results[0][0]
    values = np.asarray(results[key]["values"])
    if len(values) < 2:
        raise ValueError(
            f"claim {claim.id!r}: {key!r} has one value, from which no spread can be computed; "
            "give the tolerance a value, and say why"
        )
    if said.source == "sets":  # each micrograph of a simulated set is drawn anew
        low, high = _recorded_interval(results[key])
        return (high - low) / 2
    sd, strays = _students(values)
    return strays * sd * math.sqrt(1 + 1 / len(values))


def _judge_number(claim: Claim, results: Mapping[str, dict], scale: float) -> Verdict:
    result = results[claim.results[0][0]]
    here, paper = result["mean"], printed(claim.paper)
    allowed = tolerance(claim, results)
    if claim.comparable == "other-setting" or allowed is None:
        return Verdict("other setting", here, _recorded_interval(result), allowed)
    allowed *= scale
    interval = None
    if claim.tolerance.key:
        interval = mean_interval(results[claim.tolerance.key]["values"])
    low, high = interval or (here, here)
    slack = ROUNDING * max(abs(here), abs(paper))
    inside = low >= paper - allowed - slack and high <= paper + allowed + slack
    above, below = low > paper + allowed + slack, high < paper - allowed - slack
    if inside:
        word = "reproduced"
    elif not (above or below):
        word = "undecided"
    elif claim.better == "equal":
        word = "differs"
    else:
        word = "exceeded" if above == (claim.better == "higher") else "short"
    return Verdict(word, here, interval, allowed)


def _sum(results: list[dict], weights: list[float], paired: bool) -> tuple[float, Interval | None]:
    """Return a weighted sum of means, and its 95 % interval."""
    value = float(sum(w * r["mean"] for w, r in zip(weights, results)))
    if len(results) == 1:
        interval = _recorded_interval(results[0])
        return value, interval and tuple(sorted(weights[0] * v for v in interval))
    counts = {r["n"] for r in results}
    if 1 in counts:
        return value, None
    if paired and len(counts) == 1:
        sums = np.asarray([r["values"] for r in results]).T @ weights
        groups = results[0].get("groups")
        alike = all(r.get("groups") == groups for r in results)
        return value, mean_interval(sums, groups if alike else None)
    # Welch: each result strays by itself.
    from scipy.stats import t

    parts = [(w * r["sd"]) ** 2 / r["n"] for w, r in zip(weights, results)]
    if not sum(parts):
        return value, (value, value)
    freedom = sum(parts) ** 2 / sum(p**2 / (r["n"] - 1) for p, r in zip(parts, results))
    half = float(t.ppf(0.975, freedom)) * math.sqrt(sum(parts))
    return value, (value - half, value + half)


def _weights(
    claim: Claim, keys: tuple[str, ...], allowed: float
) -> list[tuple[tuple[str, ...], list[float]]]:
    """Say which weighted sums have to lie above zero."""
    if claim.kind == "order":
        return [((a, b), [1.0, -1.0]) for a, b in zip(keys, keys[1:])]
    if claim.kind == "trend":  # the slope of a straight line through the means
        steps = np.arange(len(keys)) - (len(keys) - 1) / 2
        return [(keys, list(steps / (steps**2).sum()))]
    side, paper = -1.0 if claim.bound == "below" else 1.0, printed(claim.paper)
    if claim.kind == "sign":
        return [(keys, [side])]
    if claim.bound == "about":
        return [(keys, [1.0, allowed - paper]), (keys, [-1.0, allowed + paper])]
    return [(keys, [side, -side * paper])]


def _compare(claim: Claim, results: Mapping[str, dict], scale: float) -> list[Comparison]:
    allowed = scale * (tolerance(claim, results) or 0.0)
    made = []
    sums = [s for keys in claim.results for s in _weights(claim, keys, allowed)]
    for keys, weights in sums:
        chosen = [results[k] for k in keys]
        value, interval = _sum(chosen, weights, claim.paired)
        shown, shown_interval = value, interval
        if claim.kind == "ratio":
            shown, shown_interval = chosen[0]["mean"] / chosen[1]["mean"], None
        if claim.kind == "sign":
            shown, shown_interval = chosen[0]["mean"], _recorded_interval(chosen[0])
            border = weights[0] * printed(claim.paper)
            value, interval = value - border, interval and tuple(v - border for v in interval)
        made.append(Comparison(keys, value, interval, shown, shown_interval))
    return made


def _word(claim: Claim, comparison: Comparison) -> str:
    if claim.exact:
        return "reproduced" if comparison.value > 0 else "differs"
    if comparison.interval is None:
        return "undecided"
    low, high = comparison.interval
    return "reproduced" if low > 0 else "differs" if high < 0 else "undecided"


def judge(claim: Claim, results: Mapping[str, dict], scale: float = 1.0) -> Verdict:
    """Give the verdict on a claim.

    Parameters
    ----------
    claim
        The claim.
    results
        ``chapter:key`` -> result of the study's records.
    scale
        Of the tolerance, to see how much hangs on it.

    Raises
    ------
    ValueError
        If a result is missing, or the record cannot give the tolerance.
    """
    if claim.comparable == "not-run":
        return Verdict("not run")
    missing = [k for k in claim.keys if k not in results]
    if missing:
        raise ValueError(f"claim {claim.id!r}: no result {missing[0]!r} in the record")
    if claim.kind == "number":
        return _judge_number(claim, results, scale)
    compared = _compare(claim, results, scale)
    words = {_word(claim, c) for c in compared}
    word = next(w for w in ("differs", "undecided", "reproduced") if w in words)
    return Verdict(OURS.get(word, word) if claim.ours else word, comparisons=tuple(compared))
