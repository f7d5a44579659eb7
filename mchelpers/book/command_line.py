"""Command line of the book: ``python -m mchelpers --help``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ..run import TIERS
from .record import chapters, check_chapter, find_root


def default_tier() -> str:
    """Take ``MCHELPERS_TIER``, else ``full`` with a GPU, else ``laptop``."""
    import torch

    from ..run import choose_tier

    return choose_tier(torch.cuda.is_available())


def command_execute(root: Path, args) -> list[str]:
    """Execute chapters and write notebooks, records and generated pages.

    The smoke tier runs in a copy: its outputs are no results and must not
    stand where results stand.
    """
    from .claims import check_claims
    from .execute import execute_all
    from .pages import write_pages

    tier = args.tier or default_tier()
    if tier == "smoke":
        root = smoke_copy(root)
        print(f"A trial, apart from the record: {root}", file=sys.stderr)
    failures = execute_all(chapters(root, args.name), tier, args.accept_drift)
    missing = check_claims(root)
    if missing:
        print("The pages made from the record wait for other chapters:", *missing, sep="\n- ")
    else:
        write_pages(root)
    return failures


def command_check(root: Path, args) -> list[str]:
    """Hold every page against the record and the claims."""
    from .claims import check_claims
    from .pages import check_pages

    faults = [f for c in chapters(root) for f in check_chapter(c, args.allow_smoke)]
    faults += check_claims(root) + check_install_lines(root)
    return faults or check_pages(root)


def check_install_lines(root: Path) -> list[str]:
    """List chapters whose Colab install line names another repository than ``_config.yml``."""
    import yaml

    url = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    line = re.compile(rf'%pip install -q "mchelpers(\[[a-z,]+\])? @ git\+{re.escape(url)}"')
    return [
        f'{c.name}: the set-up cell must install "mchelpers @ git+{url}"'
        for c in chapters(root)
        if not line.search(c.source.read_text(encoding="utf-8"))
    ]


def command_text(root: Path, args) -> list[str]:
    """Bring the words of notebooks up to date where the code did not change."""
    from .execute import ChapterError, update_text

    failures = []
    for chapter in chapters(root, args.name):
        try:
            update_text(chapter)
        except ChapterError as error:
            failures.append(str(error))
    return failures


def command_pages(root: Path, args) -> list[str]:
    """Write the generated pages."""
    from .pages import write_pages

    write_pages(root)
    return []


def command_new(root: Path, args) -> list[str]:
    """Lay down a new study, and say what to do next."""
    from .new import lay_down

    try:
        written = lay_down(root, args.name)
    except ValueError as error:
        return [str(error)]
    print("Written:", *(path.relative_to(root) for path in written), sep="\n- ")
    print(
        "The study runs on a simulated stand-in. Next, within a minute or two:\n"
        f"1. make chapter NAME={args.name}/ TIER=laptop   (notebooks, record, pages)\n"
        "2. make test\n"
        "Then fill it: CONTRIBUTING.md, 'Add a study'."
    )
    return []


def command_book(root: Path, args) -> list[str]:
    """Check the record (after executing at a tier, if one is given) and build the site."""
    trial = args.tier == "smoke"
    # A trial's outputs are no results: they are made and built apart from the record.
    tree, target = root, root
    if trial:
        tree, target = root / "_build" / "smoke-tree", root / "_build" / "smoke"
    if args.tier:
        args.name = ""
        failures = command_execute(root, args)
        if failures:
            return failures
    args.allow_smoke = trial
    faults = command_check(tree, args)
    if faults:
        return faults
    start = "from jupyter_book.cli.main import main; main()"  # it has no `python -m` of its own
    command = [sys.executable, "-c", start, "build", str(tree), "-W", "-n"]
    command += ["--keep-going", "--path-output", str(target)]
    page = target / "_build" / "html" / "book" / "index.html"
    page.unlink(missing_ok=True)
    failed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tree)}).returncode
    if failed or not page.exists():
        return ["the site was not built without warnings, see above"]
    print(f"Open {page}")
    return []


def smoke_copy(root: Path) -> Path:
    """Copy what git tracks, and new files it does not ignore, to a folder for a trial."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    copy = root / "_build" / "smoke-tree"
    shutil.rmtree(copy, ignore_errors=True)
    for name in listed:
        if (root / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
    return copy


def main() -> int:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m mchelpers", description=__doc__)
    commands = parser.add_subparsers(required=True)

    execute = commands.add_parser("execute", help="execute chapters and record them")
    execute.add_argument("name", nargs="?", default="", help="chapter, study, or nothing for all")
    execute.add_argument("--tier", choices=TIERS)
    execute.add_argument(
        "--accept-drift", action="store_true", help="keep claimed results that moved"
    )
    execute.set_defaults(command=command_execute)

    check = commands.add_parser("check", help="hold the pages against record and claims")
    check.add_argument("--allow-smoke", action="store_true")
    check.set_defaults(command=command_check)

    text = commands.add_parser("text", help="take changed words over into executed notebooks")
    text.add_argument("name", nargs="?", default="", help="chapter, study, or nothing for all")
    text.set_defaults(command=command_text)

    pages = commands.add_parser("pages", help="write the pages made from the record")
    pages.set_defaults(command=command_pages)

    book = commands.add_parser("book", help="check, then build the site")
    book.add_argument("--tier", choices=TIERS, help="execute every chapter first")
    book.add_argument("--accept-drift", action="store_true")
    book.set_defaults(command=command_book)

    new = commands.add_parser("new", help="lay down a new study that runs on a simulated stand-in")
    new.add_argument("name", help="its folder in book, mchelpers and tests, e.g. sem_grains")
    new.set_defaults(command=command_new)

    args = parser.parse_args()
    faults = args.command(find_root(), args)
    for fault in faults:
        print(f"- {fault}", file=sys.stderr)
    return int(bool(faults))
