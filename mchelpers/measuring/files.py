"""Which files a run measures: named, in folders, by patterns, or as they arrive."""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["arriving", "digest", "find_images", "named"]

SUFFIXES = (  # of images, in a folder; others are taken if they are named
    "asd bmp dm3 dm4 emd emi gif gwy h5 h5-jpk hdf5 ibw jpeg jpg jpk mrc npy png ser spm tif tiff "
    "webp"
).split()


def find_images(wanted: Sequence[str], out: Path) -> list[Path]:
    """List files, those in folders (and folders in them), and those that patterns match.

    Parameters
    ----------
    wanted
        Files, folders, patterns such as ``"day1/*.dm4"``. A file need not exist.
    out
        What lies in this folder is left out.

    Raises
    ------
    ValueError
        If a folder holds no image, or a pattern matches no file.
    """
    found: dict[Path, None] = {}
    for pattern in wanted:
        files = _listed(pattern, out)
        if not files:
            raise ValueError(f"there is no image in {pattern}; name files, folders or patterns")
        found |= dict.fromkeys(files)
    return list(found)


def _listed(pattern: str, out: Path) -> list[Path]:
    path, out = Path(pattern), out.resolve()
    if path.is_dir():
        inside = (p for p in path.rglob("*") if p.suffix.lower()[1:] in SUFFIXES)
        files = [p for p in inside if not p.name.startswith(".")]
    elif path.exists() or not glob.has_magic(pattern):
        return [path]
    else:
        files = [Path(p) for p in glob.glob(pattern, recursive=True)]
    return sorted(p for p in files if p.is_file() and out not in p.resolve().parents)


def arriving(wanted: Sequence[str], out: Path, every_s: float = 1.0) -> Iterator[Path]:
    """Give each file once, as soon as it has grown no more for a while; never ends.

    Parameters
    ----------
    wanted, out
        As for :func:`find_images`; nothing need be there yet.
    every_s
        How often to look.
    """
    given: set[Path] = set()
    before: dict[Path, tuple] = {}
    while True:
        found = {}
        for path in (p for w in wanted for p in _listed(w, out) if p not in given and p.exists()):
            about = path.stat()
            found[path] = (about.st_size, about.st_mtime_ns)
        for path in found:
            if found[path][0] and before.get(path) == found[path]:
                given.add(path)
                yield path
        before = found
        time.sleep(every_s)


def named(files: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Give each file a name of its own for what is made of it: two folders may hold one name."""
    taken = set()
    for file in files:
        name = file.stem
        if name.casefold() in taken:  # some disks take A for a
            name += "-" + hashlib.sha256(bytes(file)).hexdigest()[:8]
        taken.add(name.casefold())
        yield name, file


def digest(file: Path) -> str | None:
    """Compute the sha256 of a file; None if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None
