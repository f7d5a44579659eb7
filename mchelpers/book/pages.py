"""Pages made from the record: verdicts, runs, the table in the README, words of notebooks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from .api import api_page
from .claims import Claim, find_result, judge, load_claims, studies
from .files import write_together
from .machine import describe
from .plain import render
from .record import Chapter, changed_helpers, chapters, load_record
from .weights import weights_page

__all__ = ["check_pages", "generate", "write_pages"]

NOTICE = "<!-- Made by `python -m mchelpers pages` from the record; do not edit. -->\n"
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"
VERDICTS = (
    "exceeded",
    "reproduced",
    "short",
    "differs",
    "other data",
    "simulated",
    "not run",
)


def _table(header: list[str], rows: list[list[str]]) -> str:
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


def _claim_row(root: Path, claim: Claim) -> list[str]:
    result, record = (None, None)
    if claim.comparable != "not-run":
        result, record = find_result(root, claim)
        if result is None:
            raise ValueError(f"claim {claim.id!r}: no result {claim.result!r} in the record")
    unit = f" {claim.unit}" if claim.unit else ""
    here, difference = "", ""
    if result is not None:
        chapter = claim.result.partition(":")[0]
        anchor = f"#{_slug(result['heading'])}" if result.get("heading") else ""
        link = f"[{_number(result['mean'])}{unit}](/book/{claim.study}/{chapter}.ipynb{anchor})"
        spread = f" ± {result['sd']:.2g}" if result["sd"] else ""
        number = f", n = {result['n']}" if result["n"] > 1 else ""
        here = f"{link}{spread} ({record['tier']}{number})"
        difference = f"{result['mean'] - claim.paper:+.3g}"
    verdict = f"**{judge(claim, result['mean'] if result else None)}**"
    why = f"{verdict}: {claim.why}" if claim.why else verdict
    return [claim.metric, f"{_number(claim.paper)}{unit}", here, difference, why]


def _study_verdicts(root: Path, study: str) -> list[str]:
    verdicts = []
    for claim in load_claims(root, study):
        result = None if claim.comparable == "not-run" else find_result(root, claim)[0]
        verdicts.append(judge(claim, result["mean"] if result else None))
    return verdicts


def _tiers(root: Path, study: str) -> str:
    records = [load_record(c) for c in chapters(root, f"{study}/")]
    return ", ".join(sorted({r["tier"] for r in records if r})) or "-"


def _verdict_table(root: Path) -> str:
    counts = {study: Counter(_study_verdicts(root, study)) for study in studies(root)}
    given = [v for v in VERDICTS if any(c[v] for c in counts.values())]
    rows = [
        [study_title(root, study), *(str(c[v] or "-") for v in given), _tiers(root, study)]
        for study, c in counts.items()
    ]
    return _table(["Study", *given, "tier"], rows)


def _results_page(root: Path) -> str:
    parts = [
        "# Paper and here, number by number\n",
        NOTICE,
        "Each row is one number of a paper. *Here* is the mean of the recorded execution (a "
        "link to the place that made it), its standard deviation, the tier and the number of "
        "values. The verdict is computed from the difference and the tolerance in the study's "
        "`claims.yml`; {doc}`/book/start/read` explains the words.\n",
    ]
    for study in studies(root):
        parts.append(f"## {study_title(root, study)}\n")
        claims = load_claims(root, study)
        for where in dict.fromkeys(c.where for c in claims):
            rows = [_claim_row(root, c) for c in claims if c.where == where]
            parts.append(f"**{where}**\n")
            parts.append(_table(["metric", "paper", "here", "difference", "verdict"], rows))
    return "\n".join(parts)


def _runs_page(root: Path) -> str:
    rows, changed, machines = [], [], Counter()
    for chapter in chapters(root):
        record = load_record(chapter)
        if record is None:
            continue
        m, p, at = record["machine"], record["packages"], record["commit"] or "none"
        machine = f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, GPU: {m['gpu'] or 'none'}"
        machines[f"{machine}; Python {p['python']}, torch {p.get('torch', '-')}"] += 1
        older = changed_helpers(chapter, record)
        if at.endswith("-dirty"):
            changed.append(chapter.name)
        rows.append(
            [
                f"[{chapter.name}](/book/{chapter.name}.ipynb)",
                record["tier"],
                record["executed_at"][:10],
                at,
                f"{record['wall_s'] / 60:.1f}",
                f"{record['training_s'] / 3600:.1f}" if record["training_s"] else "-",
                ", ".join(record.get("trained_on", [])) or "-",
                f"{record['peak_memory_mb']:,.0f}",
                f"{record['peak_gpu_memory_mb']:,.0f}" if record["peak_gpu_memory_mb"] else "-",
                _listed([f"`{n}`" for n in older]) or "same",
            ]
        )
    header = [
        "chapter",
        "tier",
        "executed",
        "commit",
        "wall, min",
        "training, h",
        "trained on",
        "MB",
        "GPU, MB",
        "helper",
    ]
    dirty = (
        "Executed with changes that their commit does not hold, in the helper package or in the "
        f"chapter's text: {', '.join(changed)}.\n"
    )
    listed = "\n".join(f"- {name}" for name in sorted(machines))
    return "\n".join(
        [
            "# What ran, where, for how long\n",
            NOTICE,
            "*Wall* is the time of the recorded execution from start to end. *Training* is the "
            "sum over all training epochs when they ran, each counted in full where several ran "
            "side by side; trainings that an execution found finished were not done again, so "
            "training can exceed wall time. *Trained on* names the machines, where it was "
            "recorded. *MB* is the peak memory of the chapter's process. *Helper* names functions "
            "that the page uses and whose code changed since.\n",
            _table(header, rows),
            *([dirty] if changed else []),
            "Machines and versions of these records:\n",
            listed + "\n",
        ]
    )


def generate(root: Path) -> dict[Path, str]:
    """Make the text of every generated page: path -> text.

    Raises
    ------
    ValueError
        If a claim, a record, a title or the README's marks are not as they must be.
    """
    record = root / "book" / "record"
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or not mark:
        raise ValueError(f"README.md needs one line {BEGIN} and one line {END} below it")
    table = _verdict_table(root)
    return {
        record / "results.md": _results_page(root),
        record / "runs.md": _runs_page(root),
        record / "_verdicts.md": NOTICE + "\n" + table,
        root / "book" / "reference" / "api.md": api_page(root, NOTICE),
        readme: f"{before}{BEGIN}\n{table}{END}{after}",
        **weights_page(root),
    }


def write_pages(root: Path) -> list[str]:
    """Write every generated page, and the words of every notebook.

    Returns
    -------
    list of str
        One sentence per notebook that stays as it is: its code changed, or a word is unknown.
    """
    files, failures = generate(root), []
    for chapter in chapters(root):
        try:
            if chapter.notebook.exists():
                files[chapter.notebook] = render(chapter)
        except ValueError as error:
            failures.append(str(error))
    write_together(files)
    return failures


def check_pages(root: Path) -> list[str]:
    """List generated pages that are not what the record makes."""
    try:
        pages = generate(root)
    except ValueError as error:
        return [str(error)]
    faults = []
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            name = path.relative_to(root)
            faults.append(f"{name} is not what the record makes; run: python -m mchelpers pages")
    return faults


def banner(chapter: Chapter) -> list[str] | None:
    """Say in sentences what made a page, and what changed since of the helpers that it uses."""
    record = load_record(chapter)
    if record is None:
        return None
    at = f", commit {record['commit']}" if record["commit"] else ""
    said = [
        f"Executed at the {record['tier']} tier on {record['executed_at'][:10]} "
        f"({describe(record['machine'])}{at})."
    ]
    changed = changed_helpers(chapter, record)
    if changed:
        said.append(
            f"Recorded with an older helper: since then the code of {_listed(changed)} changed, "
            "which this page uses. What it shows is what the older code made; to see what today's "
            f"makes: make chapter NAME={chapter.name} TIER={record['tier']}"
        )
    return said


def _listed(names: list[str], most: int = 6) -> str:
    """Name the first few of a list and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
