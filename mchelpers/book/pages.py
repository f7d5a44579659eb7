"""Pages made from the record: verdicts, runs, the table in the README, words of notebooks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..inputs.page import inputs_page
from ..record.chapter import Chapter, changed_helpers, chapters, load_record
from ..record.files import write_together
from ..record.machine import describe
from .api import api_page
from .plain import render
from .verdicts import missed_page, results_page, sentences_page, table, verdict_table
from .weights import weights_page

__all__ = ["check_pages", "generate", "write_pages"]

NOTICE = "<!-- Made by `python -m mchelpers pages` from the record; do not edit. -->\n"
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"


def _runs_page(root: Path) -> str:
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
            NOTICE,
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
    counted = verdict_table(root)
    return {
        record / "sentences.md": sentences_page(root, NOTICE),
        record / "missed.md": missed_page(root, NOTICE),
        record / "results.md": results_page(root, NOTICE),
        record / "runs.md": _runs_page(root),
        record / "_verdicts.md": NOTICE + "\n" + counted,
        root / "book" / "reference" / "api.md": api_page(root, NOTICE),
        root / "book" / "reference" / "inputs.md": inputs_page(NOTICE),
        readme: f"{before}{BEGIN}\n{counted}{END}{after}",
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
