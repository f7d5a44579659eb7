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


def command_pack(root: Path, args) -> list[str]:
    """Pack the trainings that chapters ask for, to make them on another machine."""
    from ..plan import PlanError
    from .pack import pack

    chosen = [c for name in args.names for c in chapters(root, name)]
    try:
        packed, left = pack(chosen, args.tier, None if args.plan else args.out, args.only)
    except PlanError as error:
        return [str(error)]
    for job in packed:
        print(f"{job['name']}: {job['epochs']} epochs of {job['images']} images")
    if not args.plan:
        print(f"{args.out}: {len(packed)} trainings, {args.out.stat().st_size / 1e6:.1f} MB")
    if left:
        print("Not packed; pack again after adopting if it waits for these:", *left, sep="\n- ")
    return []


def command_adopt(root: Path, args) -> list[str]:
    """File trainings that were made on another machine among the kept ones."""
    from .pack import adopt

    adopted, faults = adopt(args.files)
    for name in adopted:
        print(f"{name}: adopted")
    return faults


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

    pack = commands.add_parser("pack", help="pack trainings for another machine")
    pack.add_argument("names", nargs="+", help="chapters or studies, the most urgent first")
    pack.add_argument("--tier", choices=TIERS, default="full")
    pack.add_argument("--only", nargs="+", default=["*"], help="beginnings of trainings' names")
    pack.add_argument("--out", type=Path, default=Path("pack.zip"))
    pack.add_argument("--plan", action="store_true", help="list the trainings, pack nothing")
    pack.set_defaults(command=command_pack)

    adopt = commands.add_parser("adopt", help="file what was trained on another machine")
    adopt.add_argument("files", nargs="+", type=Path)
    adopt.set_defaults(command=command_adopt)

    args = parser.parse_args()
    faults = args.command(find_root(), args)
    for fault in faults:
        print(f"- {fault}", file=sys.stderr)
    return int(bool(faults))
