"""How to install what is missing."""

from __future__ import annotations

import re
from importlib import metadata

__all__ = ["install_line", "need"]

DISTRIBUTION = "micrographs-measured"
REPOSITORY = "https://github.com/micrographs-measured/micrographs-measured"


def install_line(*extras: str) -> str:
    """Spell the command that installs this package with extras, e.g. ``"simulate"``."""
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"pip install '{DISTRIBUTION}{chosen} @ git+{REPOSITORY}'"


def need(*extras: str) -> None:
    """Make sure that every package of these extras is installed.

    Raises
    ------
    ImportError
        If one is missing, with the command that installs it.
    """
    try:
        requirements, missing = metadata.requires(DISTRIBUTION) or [], []
    except metadata.PackageNotFoundError:
        requirements, missing = [], [DISTRIBUTION]
    for requirement in requirements:
        if set(re.findall(r"""extra == ['"]([\w-]+)""", requirement)) & set(extras):
            package = re.match(r"[\w.-]+", requirement)[0]
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                missing.append(package)
    if missing:
        raise ImportError(f"{', '.join(missing)} is missing here: {install_line(*extras)}")
