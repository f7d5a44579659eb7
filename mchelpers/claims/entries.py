"""Claims: the numbers and the sentences of a paper, and what goes beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..record.schema import first_fault

__all__ = ["Claim", "Tolerance", "load_claims", "read_claims", "studies"]


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may lie apart and still be the same, and the reason for it.

    Attributes
    ----------
    source
        ``digit``: half of the last digit that the paper prints, for what follows from released
        data. ``trainings``: the spread between trainings. ``sets``: the spread between redrawn
        simulated sets. ``machine``: a time or a memory, which is never judged.
    key
        ``chapter:key`` of a result with one value per training, from which it is computed.
    value
        The number, where the record does not hold what it could be computed from.
    why
        Where such a number comes from.
    """

    source: str
    key: str = ""
    value: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Claim:
    """A number or a sentence of a paper, and the results that answer it.

    Attributes
    ----------
    id, where
        Name, and place in the paper (rows of one place stand together).
    metric
        What the paper measured; empty for a sentence.
    sentence
        What the paper says of its numbers; empty for a number.
    paper
        The paper's number as printed; empty for a sentence without one.
    unit
        Of the paper's number and of ours; empty for a pure number.
    results
        Comparisons, each a tuple of ``chapter:key``: for an order the greatest first, for a
        trend in the order in which the results shall rise, for a ratio the numerator first.
        A number has one result. Empty if not run.
    kind
        ``number``, ``order``, ``ratio``, ``trend`` or ``sign``.
    better
        Of a number: ``higher``, ``lower`` or ``equal`` (a parameter, to be met).
    bound
        Of a ratio or a sign: it lies ``above``, ``below`` or ``about`` the paper's number
        (0 where the paper has none).
    paired
        Whether values at the same place belong together, where there are as many of each.
    exact
        Whether a comparison is of counts, or of numbers that follow from released data, which
        have no spread.
    over
        What the values are, so that the page can say what an interval is over.
    comparable
        ``same-data``, ``other-setting`` or ``not-run``.
    why
        Reason, needed unless ``same-data``.
    ours
        Whether this book says it, and not the paper.
    headline
        Whether the paper stands on it.
    """

    study: str
    id: str
    where: str
    comparable: str
    kind: str = "number"
    metric: str = ""
    sentence: str = ""
    paper: str = ""
    unit: str = ""
    results: tuple[tuple[str, ...], ...] = ()
    better: str = "equal"
    bound: str = "above"
    paired: bool = True
    exact: bool = False
    over: str = ""
    tolerance: Tolerance | None = None
    why: str = ""
    ours: bool = False
    headline: bool = False

    @property
    def says(self) -> str:
        """What is claimed, in words."""
        return self.sentence or self.metric

    @property
    def keys(self) -> list[str]:
        """Every result that the claim needs, once."""
        spread = [self.tolerance.key] if self.tolerance and self.tolerance.key else []
        return list(dict.fromkeys([k for keys in self.results for k in keys] + spread))


def studies(root: Path) -> list[str]:
    """Name the studies that have a claims file."""
    return sorted(f.parent.name for f in (root / "book").glob("*/claims.yml"))


def _claim(study: str, entry: dict) -> Claim:
    """Make a claim of an entry that the schema has passed."""
    fields = dict(entry)
    result, compared = fields.pop("result", ""), fields.pop("compare", None)
    if compared:
        fields["kind"] = compared
        groups = fields.pop("of", [])
        fields["results"] = tuple((g,) if isinstance(g, str) else tuple(g) for g in groups)
    elif result:
        fields["results"] = ((result,),)
    if tolerance := fields.pop("tolerance", None):
        about = dict(tolerance)  # YAML gives one and the same to entries that share it
        fields["tolerance"] = Tolerance(about.pop("from"), **about)
    return Claim(study=study, **fields)


def read_claims(root: Path, study: str) -> tuple[list[Claim], list[str]]:
    """Read a study's claims as ``schemas/claims.json`` wants them.

    Returns
    -------
    claims, faults
        The good entries, and one sentence for each that is not; none of a study without a file.
    """
    import yaml

    path = root / "book" / study / "claims.yml"
    file = path.relative_to(root)
    if not path.exists():
        return [], []
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
            claims.append(_claim(study, entry))
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
