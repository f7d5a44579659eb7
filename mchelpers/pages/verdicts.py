"""Pages of verdicts: the sentences that the papers stand on, every claim, and the count."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ..claims.entries import Claim, studies
from ..claims.judge import VERDICTS, Comparison, Verdict, judge
from ..claims.results import judge_all, load_results
from ..record.chapter import chapters, load_record

__all__ = [
    "missed_page",
    "results_page",
    "sentences_page",
    "verdict_table",
]

REASONS = {
    "digit": "last printed digit",
    "trainings": "spread between trainings",
    "sets": "spread between redrawn sets",
    "machine": "a machine: never judged",
}
JOINED = {"order": " against ", "trend": ", ", "ratio": " / ", "sign": ""}
LED = {"order": ": difference ", "trend": ": a step ", "ratio": " = ", "sign": ""}


def table(header: list[str], rows: list[list[str]]) -> str:
    """Write a table in Markdown."""
    lines = ["| " + " | ".join(r) + " |" for r in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def study_title(root: Path, study: str) -> str:
    """Read the title of a study from its index page."""
    text = (root / "book" / study / "index.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    raise ValueError(f"book/{study}/index.md has no title, a line that begins with '# '")


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _slug(heading: str) -> str:
    """Spell a heading as GitHub and MyST spell its anchor."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _link(study: str, key: str, result: dict) -> str:
    """Link a result's number to the section of the cell that logged it."""
    anchor = f"#{_slug(result['heading'])}" if result.get("heading") else ""
    page = f"/book/{study}/{key.partition(':')[0]}.ipynb"
    return f"[{_number(result['mean'])}]({page}{anchor})"


def _between(interval: tuple[float, float]) -> str:
    low, high = (f"{v:.3g}" if abs(v) < 1000 else f"{v:,.0f}" for v in interval)
    return f"{low} to {high}"


def _here(claim: Claim, verdict: Verdict, results: dict[str, dict]) -> str:
    """Say our number, its interval, what that is over, and the tier."""
    key = claim.results[0][0]
    result = results[key]
    unit = f" {claim.unit}" if claim.unit else ""
    interval, over = verdict.interval, claim.over or f"{result['n']} values"
    if claim.tolerance.key and verdict.interval:
        over = f"{results[claim.tolerance.key]['n']} trainings"
    elif interval is None and result["ci95"]:
        interval = result["ci95"]
    spread = f"; {_between(interval)} over {over}" if interval else ""
    return f"{_link(claim.study, key, result)}{unit} ({result['tier']}{spread})"


def _comparison(claim: Claim, made: Comparison, results: dict[str, dict]) -> str:
    """Say the results, what lies between them with its interval, and a border if there is one."""
    said = JOINED[claim.kind].join(_link(claim.study, k, results[k]) for k in made.keys)
    if claim.kind != "sign":
        said += LED[claim.kind] + _number(made.shown)
    if made.shown_interval:
        said += f" ({_between(made.shown_interval)})"
    return said + (f", held against {claim.bound} {claim.paper}" if claim.paper else "")


def _setting(claim: Claim, results: dict[str, dict]) -> str:
    """Name the tier, what an interval is over, and whether the images are simulated."""
    used = [results[k] for k in claim.keys]
    tiers = "/".join(sorted({r["tier"] for r in used}))
    simulated = ", simulated" if any(r["data"] == "simulated" for r in used) else ""
    return f"{tiers}{simulated}" + (f"; over {claim.over}" if claim.over else "")


def _verdict(claim: Claim, verdict: Verdict, why: str | None = None) -> str:
    said = f"**{verdict.word}**{_in_words(claim, verdict)}"
    why = claim.why if why is None else why
    return f"{said}: {why}" if why else said


def _in_words(claim: Claim, verdict: Verdict) -> str:
    """Compare without a number: where the setting is another, a difference would mislead."""
    if claim.kind != "number" or verdict.word != "other setting":
        return ""
    paper = float(claim.paper)
    if verdict.tolerance is not None and abs(verdict.here - paper) <= verdict.tolerance:
        return ", about as in the paper"
    return f", {'higher' if verdict.here > paper else 'lower'} than in the paper"


def _answer(claim: Claim, verdict: Verdict, results: dict[str, dict]) -> str:
    """Say what was found here, whatever the kind of claim."""
    if verdict.word == "not run":
        return "–"
    if claim.kind == "number":
        return _here(claim, verdict, results)
    compared = {c.keys: _comparison(claim, c, results) for c in verdict.comparisons}
    said = "; ".join(compared.values())  # a ratio with two borders is told once
    return f"{said} ({_setting(claim, results)})"


def _tolerance(claim: Claim, verdict: Verdict) -> str:
    reason = REASONS[claim.tolerance.source]
    if verdict.word == "other setting" or verdict.tolerance is None:
        return reason
    why = f": {claim.tolerance.why}" if claim.tolerance.why else ""
    return f"± {_number(verdict.tolerance)}, {reason}{why}"


def _paper(claim: Claim) -> str:
    return f"{claim.paper}{' ' + claim.unit if claim.unit else ''}"


def _number_rows(judged: list[tuple[Claim, Verdict]], results: dict[str, dict]) -> str:
    parts = []
    for where in dict.fromkeys(c.where for c, _ in judged):
        here = [(c, v) for c, v in judged if c.where == where]
        reasons = {c.why for c, _ in here}
        shared = reasons.pop() if len(here) > 1 and len(reasons) == 1 else ""
        why = "" if shared else None  # else each row says its own
        rows = [
            [c.metric, _paper(c), _answer(c, v, results), _tolerance(c, v), _verdict(c, v, why)]
            for c, v in here
        ]
        parts.append(f"**{where}**{': ' if shared else ''}{shared}\n")
        parts.append(table(["metric", "paper", "here", "tolerance", "verdict"], rows))
    return "\n".join(parts)


def _sentence_rows(judged: list[tuple[Claim, Verdict]], results: dict[str, dict]) -> str:
    rows = [[c.sentence, c.where, _answer(c, v, results), _verdict(c, v)] for c, v in judged]
    return table(["sentence", "place", "here", "verdict"], rows)


def _folded(claims: list[Claim]) -> str:
    """Fold what was not run, with the reason that the rows share."""
    parts = []
    for why in dict.fromkeys(c.why for c in claims):
        rows = [[c.says, c.where, _paper(c), "**not run**"] for c in claims if c.why == why]
        parts.append(f":::{{dropdown}} Not run: {len(rows)}, {why}")
        parts.append(table(["metric or sentence", "place", "paper", "verdict"], rows) + ":::\n")
    return "\n".join(parts)


def _sensitivity(claims: list[Claim], results: dict[str, dict]) -> str:
    """Say how many verdicts hang on the width of the tolerance."""
    numbers = [c for c in claims if c.kind == "number" and c.comparable == "same-data"]
    words = {s: [judge(c, results, s).word for c in numbers] for s in (0.5, 1.0, 2.0)}
    judged = sum(w != "other setting" for w in words[1.0])
    if not judged:
        return "No number of this paper is judged: none was measured on its own data.\n"
    half, double = (sum(a != b for a, b in zip(words[s], words[1.0])) for s in (0.5, 2.0))
    return (
        f"Numbers on the paper's own data that are judged: {judged}. With another verdict at half "
        f"the tolerance: {half}, at double: {double}.\n"
    )


def results_page(root: Path, notice: str) -> str:
    """Make the page with every claim of every study."""
    parts = [
        "# Paper and here, claim by claim\n",
        notice,
        "A row is a number or a sentence of a paper. *Here* is the mean of the recorded execution "
        "(a link to the place that made it), the tier, and the 95 % interval with what it is "
        "over. An interval over images tells how the number would move on other images; where "
        "the images are the paper's own, what counts is the spread between trainings, and an "
        "interval over trainings is the one that is held against the tolerance. *Tolerance* is "
        "what still counts as the same, and its reason. {doc}`/book/start/read` explains the "
        "words.\n",
        '<div class="claim-filter"></div>\n',  # filled by claims.js in the reader's browser
    ]
    for study in studies(root):
        results, judged = load_results(root, study), judge_all(root, study)
        run = [(c, v) for c, v in judged if v.word != "not run"]
        sections = {
            "Numbers of the paper": [(c, v) for c, v in run if c.kind == "number"],
            "Sentences of the paper": [(c, v) for c, v in run if c.sentence and not c.ours],
            "Beyond the paper": [(c, v) for c, v in run if c.ours],
        }
        parts += [f"## {study_title(root, study)}\n", _sensitivity([c for c, _ in judged], results)]
        for title, rows in sections.items():
            if rows:
                written = _number_rows if title.startswith("Numbers") else _sentence_rows
                parts += [f"### {title}\n", written(rows, results)]
        parts.append(_folded([c for c, v in judged if v.word == "not run"]))
    return "\n".join(parts)


def sentences_page(root: Path, notice: str) -> str:
    """Make the page of the few claims that each paper stands on."""
    parts = [
        "# What the papers stand on\n",
        notice,
        "The claims that would have to hold for each paper to hold, in our words, with what this "
        "book found and the verdict. All other claims: {doc}`/book/record/results`.\n",
    ]
    for study in studies(root):
        chosen = [pair for pair in judge_all(root, study) if pair[0].headline]
        parts += _chapter(root, study, _rows(root, study, chosen))
    return "\n".join(parts)


def missed_page(root: Path, notice: str) -> str:
    """Make the page of what could not be reproduced: claims that failed, reasons of the rest."""
    parts = [
        "# What we could not reproduce\n",
        notice,
        "Claims of the papers that came out otherwise here, with the reason where one is known; "
        "and what was not run, by its reason. A claim of another setting is in neither: "
        "{doc}`/book/record/results`.\n",
    ]
    for study in studies(root):
        theirs = [(c, v) for c, v in judge_all(root, study) if not c.ours]
        failed = [(c, v) for c, v in theirs if v.word in ("short", "differs")]
        parts += _chapter(root, study, _rows(root, study, failed))
        reasons = Counter(c.why for c, v in theirs if v.word == "not run")
        if reasons:
            counted = [[why, str(count)] for why, count in reasons.most_common()]
            parts.append(table(["not run, because", "claims"], counted))
    return "\n".join(parts)


def _rows(root: Path, study: str, judged: list[tuple[Claim, Verdict]]) -> list[list[str]]:
    results = load_results(root, study)
    return [
        [c.says, c.paper if c.kind == "number" else "–", _answer(c, v, results), _verdict(c, v)]
        for c, v in judged
    ]


def _chapter(root: Path, study: str, rows: list[list[str]]) -> list[str]:
    """Head a study's table; nothing where it has no row."""
    head = ["the paper says", "paper", "here", "verdict"]
    return [f"## {study_title(root, study)}\n", table(head, rows)] if rows else []


def verdict_table(root: Path) -> str:
    """Count the verdicts: a row a verdict, a column a study."""
    names = studies(root)
    counts = {s: Counter((c.ours, v.word) for c, v in judge_all(root, s)) for s in names}
    rows = [
        [word, *(str(counts[s][False, word] or "–") for s in names)]
        for word in VERDICTS
        if any(counts[s][False, word] for s in names)
    ]
    beyond = {s: sum(n for (ours, _), n in counts[s].items() if ours) for s in names}
    if any(beyond.values()):
        held = (f"{counts[s][True, 'holds']} of {beyond[s]}" if beyond[s] else "–" for s in names)
        rows.append(["beyond the paper: holds", *held])
    rows.append(["tier", *(_tiers(root, s) for s in names)])
    return table(["Verdict", *(study_title(root, s).partition(":")[0] for s in names)], rows)


def _tiers(root: Path, study: str) -> str:
    records = [load_record(c) for c in chapters(root, f"{study}/")]
    return ", ".join(sorted({r["tier"] for r in records if r})) or "–"
