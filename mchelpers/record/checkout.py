"""The folder that the book lies in: what git says of it, and a copy of it for a trial."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .chapter import Chapter

__all__ = ["commit", "python_path", "trial_copy"]

NOT_COPIED = (".*", "_build", "build", "dist", "env", "venv", "__pycache__", "*.egg-info")


def _git(root: Path, *arguments: str) -> str | None:
    """Ask git; None where it is not there, fails, or ``root`` is no checkout of its own."""
    answers = []
    for question in (("rev-parse", "--show-toplevel"), arguments):
        command = ["git", "-C", str(root), *question]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="surrogateescape"
            )
        except FileNotFoundError:
            return None
        if done.returncode:
            return None
        answers.append(done.stdout)
    return answers[1] if Path(answers[0].rstrip("\n")).resolve() == root.resolve() else None


def commit(chapter: Chapter) -> str | None:
    """Name the commit that holds the code a chapter runs.

    Returns
    -------
    str or None
        Short hash, with ``-dirty`` where the helper package or the chapter's text differ
        from it; None without git.
    """
    source = str(chapter.source.relative_to(chapter.root))
    head = _git(chapter.root, "rev-parse", "--short", "HEAD")
    changed = _git(chapter.root, "status", "--porcelain", "-uall", "--", "mchelpers", source)
    return head and head.strip() + ("-dirty" if changed else "")


def trial_copy(root: Path) -> Path:
    """Copy what git tracks, and new files it does not ignore, to a folder for a trial.

    Without git: everything but environments, builds and hidden folders.
    """
    copy = root / "_build" / "smoke-tree"
    shutil.rmtree(copy, ignore_errors=True)
    listed = _git(root, "ls-files", "-coz", "--exclude-standard")
    if listed is None:
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        return copy
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # not one that was deleted, nor a checkout inside this one
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
    return copy


def python_path(root: Path, folder: Path) -> str:
    """Return what ``PYTHONPATH`` must be for the root's own helper to be imported.

    The variable is cut at each colon: a root with one is reached over a link in ``folder``.
    """
    if os.pathsep not in str(root):
        return str(root)
    link = folder / "checkout"
    link.symlink_to(root, target_is_directory=True)
    return str(link)
