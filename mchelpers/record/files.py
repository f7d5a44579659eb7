"""Files of the book are written whole, and those that belong together all or none."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_atomically", "write_together"]


def write_together(files: dict[Path, str | bytes]) -> None:
    """Write files, all or none: a disk that gets full leaves the old ones alone."""
    unfinished = {p: p.with_name(f".{p.name}.{os.getpid()}.partial") for p in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished[path].write_bytes(content.encode() if isinstance(content, str) else content)
        for path, finished in unfinished.items():
            os.replace(finished, path)
    finally:
        for partial in unfinished.values():
            partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; a text in UTF-8."""
    write_together({path: content})
