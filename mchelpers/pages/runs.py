"""Pages of what ran: executions, where a chapter works, what moved; and the banner of a page."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ..record.chapter import Chapter, changed_helpers, chapters, load_record
from ..record.machine import describe
from .verdicts import table

__all__ = ["banner", "changes_page", "runs_page", "status_page"]

ELSEWHERE = "elsewhere.json"


def runs_page(root: Path, notice: str) -> str:
    """Make the page of what ran, where, for how long."""
    rows, changed, amended, machines = [], [], {}, Counter()
    for chapter in chapters(root):
        if (record := load_record(chapter)) is None:
            continue
        m, p, at = record["machine"], record["packages"], record["commit"] or "none"
        machine = f"{m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB, GPU: {m['gpu'] or 'none'}"
        machines[f"{machine}; Python {p['python']}, torch {p.get('torch', '-')}"] += 1
        older = changed_helpers(chapter, record)
        if at.endswith("-dirty"):
            changed.append(chapter.name)
        if "amended" in record:
            amended.setdefault(record["amended"], []).append(chapter.name)
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
    return "\n".join(
        [
            "# What ran, where, for how long\n",
            notice,
            "*Wall* is the time of the recorded execution from start to end. *Training* is the "
            "sum over all training epochs when they ran, each counted in full where several ran "
            "side by side; trainings that an execution found finished were not done again, so "
            "training can exceed wall time. *Trained on* names the machines, where it was "
            "recorded. *MB* is the peak memory of the chapter's process. *Helper* names functions "
            "that the page uses and whose code changed since.\n",
            table(header, rows),
            *([dirty] if changed else []),
            *(f"Amended on {what}: {', '.join(where)}.\n" for what, where in amended.items()),
            "Machines and versions of these records:\n",
            "\n".join(f"- {name}" for name in sorted(machines)) + "\n",
        ]
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def status_page(root: Path, notice: str) -> str:
    """Make the matrix of where each chapter was executed, and what it needed there."""
    file = root / "book" / "record" / ELSEWHERE
    places = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    rows = []
    for chapter in chapters(root):
        if (record := load_record(chapter)) is None:
            continue
        where = "GPU" if record["machine"]["gpu"] else "CPU"
        took = f"{record['tier']}: {_minutes(record['wall_s'])}, {record['peak_memory_mb']:,.0f} MB"
        cells = {"CPU": "–", "GPU": "not yet", where: took}
        ran = [place["chapters"].get(chapter.name) for place in places]
        told = ["–" if r is None else r["fault"] or f"{r['seconds']:.0f} s" for r in ran]
        rows.append([f"[{chapter.name}](/book/{chapter.name}.ipynb)", *cells.values(), *told])
    names = [f"{place['name']} ({place['executed_at'][:10]})" for place in places]
    return "\n".join(
        [
            "# Where each chapter works\n",
            notice,
            "*CPU* and *GPU* are the recorded executions, with the peak memory of the chapter's "
            "process. The other columns are executions at the smoke tier of each notebook as it "
            "is downloaded, from an empty folder, in a fresh environment with the installed "
            "package and no repository on disk, as in Colab; the versions that were there are "
            "below. What stands instead of seconds is the reason why it did not run.\n",
            table(["chapter", "CPU", "GPU", *names], rows),
            *(f"- **{place['name']}**: {_versions(place['versions'])}" for place in places),
            "",
        ]
    )


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def changes_page(root: Path, notice: str) -> str:
    """Make the page of each chapter's executions and of the claimed results that moved."""
    parts = [
        "# What changed, chapter by chapter\n",
        notice,
        "Each recorded execution of a chapter, the newest first: how many results came and went, "
        "and which of those that a claim rests on moved since the execution before.\n",
    ]
    for chapter in chapters(root):
        history = (load_record(chapter) or {}).get("history", [])
        rows = [
            [
                made["executed_at"][:10],
                made["tier"],
                made["commit"] or "none",
                str(made["new"]),
                str(made["gone"]),
                _moved(made["moved"]),
            ]
            for made in reversed(history)
        ]
        if rows:
            head = ["executed", "tier", "commit", "new", "gone", "claimed results that moved"]
            parts += [f"## [{chapter.name}](/book/{chapter.name}.ipynb)\n", table(head, rows)]
    return "\n".join(parts)


def _moved(moved: dict[str, list[float]]) -> str:
    return _listed([f"`{k}` {a:.4g} → {b:.4g}" for k, (a, b) in moved.items()]) or "none"


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
    if "again" in record:
        said.append(_again(record))
    changed = changed_helpers(chapter, record)
    if changed:
        said.append(
            f"Recorded with an older helper: since then the code of {_listed(changed)} changed, "
            "which this page uses. What it shows is what the older code made; to see what today's "
            f"makes: make chapter NAME={chapter.name} TIER={record['tier']}"
        )
    return said


def _again(record: dict) -> str:
    """Say what a second execution of a chapter made."""
    again = record["again"]
    timed = sum(m["measures"] == "machine" for m in again["moved"])
    beyond = [m["key"] for m in again["moved"] if not m["within"]]
    said = (
        f"Executed twice: again on {again['executed_at'][:10]} ({describe(again['machine'])}), "
        f"trainings {again['trainings']}. Of its results {again['same']} came out the same, "
        f"{timed} are times or memory, {len(again['moved']) - timed - len(beyond)} moved within "
        f"their tolerance, {len(beyond)} beyond"
    )
    return f"{said}: {_listed(beyond)}." if beyond else f"{said}."


def _listed(names: list[str], most: int = 6) -> str:
    """Name the first few of a list and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
