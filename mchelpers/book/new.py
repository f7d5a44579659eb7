"""Lay down a new study: chapters, a room of the package, its tests, and the pages that list them.

The text lies in ``template/``: a file of ``template/<room>/`` becomes one of
``<room>/<name>/``, without the ending ``.txt`` that keeps tools from reading it as code.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from ..install import DISTRIBUTION
from ..record.files import write_together

__all__ = ["lay_down"]

TEMPLATE = Path(__file__).with_name("template")
ROOMS = ("book", "mchelpers", "tests")
AFTER_STUDIES = "  - caption: The record\n"


def _words(root: Path, name: str) -> dict[str, str]:
    """Make what the placeholders of the template stand for."""
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "requirement": f"{DISTRIBUTION} @ git+{config['repository']['url']}",
    }


def _filled(template: Path, words: dict[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _refusal(root: Path, name: str) -> str | None:
    """Say in a sentence why there can be no study of this name."""
    import mchelpers

    needed = ("_config.yml", "_toc.yml", "mchelpers")
    lacking = [n for n in needed if not (root / n).exists()]
    if lacking:
        return f"{root} is no checkout of this book, for it lacks {lacking[0]}; run this inside one"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        return (
            f"{name!r} cannot name a study: take a word of lower-case letters, digits and _ that "
            "begins with a letter and means nothing in Python, e.g. sem_grains"
        )
    there = [f"{room}/{name}" for room in ROOMS if (root / room / name).exists()]
    if there:
        return f"{there[0]} is there already: remove it or choose another name; nothing was written"
    if hasattr(mchelpers, name):
        return f"mchelpers.{name} is a name of the package itself: choose another one"
    if AFTER_STUDIES not in (root / "_toc.yml").read_text(encoding="utf-8"):
        return f"_toc.yml lacks the line {AFTER_STUDIES.strip()!r}, above which the study would go"
    return None


def lay_down(root: Path, name: str) -> list[Path]:
    """Write every file of a new study, and its lines in the contents.

    Parameters
    ----------
    root
        Folder of the book's repository.
    name
        Of the study: its folder in ``book``, ``mchelpers`` and ``tests``.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        If the name cannot be used, or something of that name is there. Then
        nothing was written.
    """
    refusal = _refusal(root, name)
    if refusal:
        raise ValueError(refusal)
    words = _words(root, name)
    templates = [t for room in ROOMS for t in sorted((TEMPLATE / room).iterdir())]
    files = {
        root / t.parent.name / name / t.name.removesuffix(".txt"): _filled(t, words)
        for t in templates
    }
    contents = root / "_toc.yml"
    before, line, after = contents.read_text(encoding="utf-8").partition(AFTER_STUDIES)
    files[contents] = before + _filled(TEMPLATE / "toc.yml", words) + line + after
    write_together(files)
    return list(files)
