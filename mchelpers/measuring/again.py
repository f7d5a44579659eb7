"""A run again: the same files and arguments, and what is no longer as it was."""

from __future__ import annotations

import json
from pathlib import Path

from .files import digest
from .folder import provenance

__all__ = ["changes", "read_run"]


def read_run(path: Path) -> dict:
    """Read the ``run.json`` that a run leaves.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        run["arguments"]["study"], dict(run["files"]), dict(run["made_with"])
        return run
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is no run.json of a run; give the one in its folder") from error


def changes(run: dict) -> list[str]:
    """Say which files, versions and weights are not those of a run, a sentence each."""
    said = []
    for file, sha256 in run["files"].items():
        now = digest(Path(file))
        if now != sha256:
            words = "is not there" if now is None else "has changed"
            said.append(f"{file} {words}" if sha256 else f"{file} could not be read then")
    arguments = run["arguments"]
    weights = arguments.get("weights")
    then, now = run["made_with"], provenance(arguments["study"], weights and Path(weights))
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            said.append(f"{name} was {then.get(name)}, and is {now.get(name)}")
    return said
