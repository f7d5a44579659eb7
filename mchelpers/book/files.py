"""Files of the book are written whole, and those that belong together all or none."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_atomically", "write_together"]


def write_together(texts: dict[Path, str]) -> None:
    """Write text files, all or none: a disk that gets full leaves the old ones alone."""
    unfinished = {p: p.with_name(f".{p.name}.{os.getpid()}.partial") for p in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished[path].write_text(text, encoding="utf-8")
        for path, finished in unfinished.items():
            os.replace(finished, path)
    finally:
        for partial in unfinished.values():
            partial.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_together({path: text})
