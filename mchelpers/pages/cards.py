"""Tables on the page of data: what the registry holds, and which data the record was made with."""

from __future__ import annotations

import csv
from pathlib import Path

from ..record.chapter import chapters, load_record
from .verdicts import table

__all__ = ["data_page"]

BEGIN, END = "<!-- data:begin -->", "<!-- data:end -->"


def data_page(root: Path) -> dict[Path, str]:
    """Make the tables of the page of data between its marks: path -> text.

    Raises
    ------
    ValueError
        If the page's marks are not as they must be.
    """
    page = root / "book" / "start" / "data.md"
    if not page.exists():  # a book without one
        return {}
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"book/start/data.md needs a line {BEGIN} and a line {END} below it")
    return {page: f"{before}{BEGIN}\n{_registered(root)}\n{_used(root)}{END}{after}"}


def _registered(root: Path) -> str:
    """Count the registered files of each set."""
    with (root / "mchelpers" / "registry.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sets = dict.fromkeys(row["path"].partition("/")[0] for row in rows)
    told = []
    for name in sets:
        own = [row for row in rows if row["path"].startswith(f"{name}/")]
        size = sum(int(row["bytes"]) for row in own) / 1e6
        sources = dict.fromkeys(_source(row["url"]) for row in own)
        told.append([f"`{name}`", str(len(own)), f"{max(size, 0.1):.1f}", ", ".join(sources)])
    return table(["registered", "files", "MB", "from"], told)


def _source(url: str) -> str:
    """Link to the version of the repository that a raw file of GitHub belongs to."""
    owner, repository, version = url.split("/")[3:6]
    place = f"https://github.com/{owner}/{repository}/tree/{version}"
    return f"[{owner}/{repository}, {version[:7]}]({place})"


def _used(root: Path) -> str:
    """List the data that recorded executions were made with, by their hashes."""
    used: dict[tuple[str, str, str], list[str]] = {}
    for chapter in chapters(root):
        for name, data in ((load_record(chapter) or {}).get("data") or {}).items():
            key = name, data["kind"], data["sha256"][:12]
            used.setdefault(key, []).append(f"[{chapter.name}](/book/{chapter.name}.ipynb)")
    rows = [[f"`{n}`", kind, f"`{sha256}`", ", ".join(c)] for (n, kind, sha256), c in used.items()]
    return table(["in the record", "kind", "sha256 begins with", "chapters"], sorted(rows))
