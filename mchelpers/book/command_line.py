"""Command line of the book: execute chapters, check the record, build the site."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from pathlib import Path

from .. import __version__
from ..install import DISTRIBUTION, install_line
from ..measuring.command import add_parsers, run_finetune, run_measure
from ..record.chapter import Chapter, chapters, find_root, load_record
from ..record.checkout import trial_copy
from ..run import TIERS, choose_tier
from .lock import check_chapter


def default_tier() -> str:
    """Take ``MCHELPERS_TIER``, else ``full`` with a GPU, else ``laptop``."""
    import torch

    return choose_tier(torch.cuda.is_available())


def said_before(chosen: list[Chapter], tier: str) -> str:
    """Say how long chapters took at a tier when they were recorded."""
    records = []
    for chapter in chosen:
        with contextlib.suppress(ValueError):  # a damaged record knows no time
            records.append(load_record(chapter))
    taken = [r for r in records if r and r["tier"] == tier]
    if not taken:
        return f"No time is recorded at the {tier} tier."
    wall, training = (sum(r[k] for r in taken) / 60 for k in ("wall_s", "training_s"))
    said = f"Recorded at the {tier} tier: {wall:.0f} min"
    if len(chosen) > 1:
        said += f" for {len(taken)} of {len(chosen)} chapters"
    if training:
        said += f", and {training:.0f} min of training, which a kept training spares"
    return said + "."


def command_execute(root: Path, args) -> list[str]:
    """Execute chapters and write notebooks, records and generated pages.

    The smoke tier runs in a copy: its outputs are no results and must not
    stand where results stand.
    """
    from ..claims.results import check_claims
    from ..pages.generate import write_pages
    from .execute import execute_all

    tier = args.tier or default_tier()
    chosen = chapters(root, args.name)
    print(said_before(chosen, tier), file=sys.stderr)
    if tier == "smoke":
        root = trial_copy(root)
        print(f"A trial, apart from the record: {root}", file=sys.stderr)
    failures = execute_all([Chapter(c.name, root) for c in chosen], tier, args.accept_drift)
    if waiting := check_claims(root) or write_pages(root):
        print("Not all pages could be brought up to date:", *waiting, sep="\n- ")
    return failures


def command_verify(root: Path, args) -> list[str]:
    """Execute chapters a second time and say what came out otherwise.

    At the smoke tier, which is not recorded, both executions are made here.
    """
    from ..pages.generate import write_pages
    from .verify import faults, run_twice, verify

    found = []
    for chapter in chapters(root, args.name):
        tier = args.tier or (load_record(chapter) or {}).get("tier") or default_tier()
        again = run_twice(chapter, tier) if tier == "smoke" else verify(chapter, tier, args.kept)
        others = [f"{c['cell']} ({c['reason'] or 'no reason'})" for c in again["cells"]]
        print(
            f"{chapter.name}: {again['same']} results the same, {len(again['moved'])} moved; "
            f"cells that show something else: {', '.join(others) or 'none'}",
            flush=True,
        )
        found += faults(chapter, again)
    return found if args.tier == "smoke" else found + write_pages(root)


def command_check(root: Path, args) -> list[str]:
    """Hold every page against the record and the claims."""
    from ..claims.results import check_claims
    from ..pages.generate import check_pages
    from ..pages.weights import check_weights

    faults = [f for c in chapters(root) for f in check_chapter(c, args.allow_smoke)]
    faults += check_claims(root) + check_install_lines(root) + check_weights(root)
    return faults or check_pages(root)


def check_install_lines(root: Path) -> list[str]:
    """List chapters whose Colab install line names another repository than ``_config.yml``."""
    import yaml

    url = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    line = re.compile(rf'%pip install -q "{DISTRIBUTION}(\[[a-z,]+\])? @ git\+{re.escape(url)}"')
    return [
        f'{c.name}: the set-up cell must install "{DISTRIBUTION} @ git+{url}"'
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
        except (ChapterError, ValueError) as error:
            failures.append(str(error))
    return failures


def command_pages(root: Path, args) -> list[str]:
    """Write the generated pages and the words of the notebooks."""
    from ..claims.results import check_claims
    from ..pages.generate import write_pages

    return check_claims(root) or write_pages(root)


def command_new(root: Path, args) -> list[str]:
    """Lay down a new study, and say what to do next."""
    from .new import lay_down

    written = lay_down(root, args.name)
    print("Written:", *(path.relative_to(root) for path in written), sep="\n- ")
    print(
        "The study runs on a simulated stand-in. Next:\n"
        "1. commit it, for the record names the commit that ran\n"
        f"2. make chapter NAME={args.name}/ TIER=laptop   (a minute: notebooks, record, pages)\n"
        "3. make test\n"
        "Then fill it: CONTRIBUTING.md, 'Add a study'."
    )
    return []


def command_pack(root: Path, args) -> list[str]:
    """Pack the trainings that chapters ask for, to make them on another machine."""
    from .pack import pack

    chosen = [c for name in args.names for c in chapters(root, name)]
    packed, left = pack(chosen, args.tier, None if args.plan else args.out, args.only)
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


def command_ship(root: Path, args) -> list[str]:
    """Copy kept trainings to the weights that ship with the book, and register them."""
    from ..pages.weights import ship

    for name in args.names:
        print(f"{ship(root, name)}: write its card in weights/cards.yml")
    return []


def command_book(root: Path, args) -> list[str]:
    """Check the record (after executing at a tier, if one is given) and build the site."""
    from .site import build

    trial = args.tier == "smoke"
    # A trial's outputs are no results: they are made and built apart from the record.
    tree, target = root, root
    if trial:
        tree, target = root / "_build" / "smoke-tree", root / "_build" / "smoke"
    if args.tier:
        args.name = ""
        if failures := command_execute(root, args):
            return failures
    args.allow_smoke = trial
    if faults := command_check(tree, args):
        return faults
    if (page := build(tree, target)) is None:
        return ["the site was not built without warnings, see above"]
    print(f"Open {page}")
    return []


EXAMPLES = """\
examples:
  python -m mchelpers execute graphene_hrtem/02_bragg --tier smoke   try a chapter quickly
  python -m mchelpers execute graphene_hrtem/02_bragg                execute and record it
  python -m mchelpers check                                          hold pages against records
  python -m mchelpers book                                           check, then build the site
  python -m mchelpers new sem_grains                                 lay down a new study
  python -m mchelpers measure *.tif --study graphene_hrtem           measure your own images
"""
TIER_HELP = "budget of a chapter; default: MCHELPERS_TIER, else full with a GPU, else laptop"
DRIFT_HELP = "keep results that moved by more than a claim's tolerance; default: refuse them"
KEPT_HELP = "take finished trainings from the run folder; default: make each training again"
TRIAL_HELP = "take smoke executions for results (in a trial that is not published)"
NAME_HELP = "chapter or study, or the beginning of a name, e.g. graphene_hrtem/02_bragg"


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mchelpers",
        description="Execute the book's chapters, hold its pages against what ran, build it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    execute = commands.add_parser("execute", help="execute chapters and record them")
    which = execute.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", default="", help=NAME_HELP)
    which.add_argument("--all", action="store_true", help="every chapter of the book")
    execute.add_argument("--tier", choices=TIERS, help=TIER_HELP)
    execute.add_argument("--accept-drift", action="store_true", help=DRIFT_HELP)
    execute.set_defaults(command=command_execute)

    verify = commands.add_parser("verify", help="execute again, and compare with the record")
    verify.add_argument("name", nargs="?", default="", help=f"{NAME_HELP}; default: all")
    verify.add_argument("--tier", choices=TIERS, help="default: that of the record")
    verify.add_argument("--kept", action="store_true", help=KEPT_HELP)
    verify.set_defaults(command=command_verify)

    check = commands.add_parser("check", help="hold the pages against record and claims")
    check.add_argument("--allow-smoke", action="store_true", help=TRIAL_HELP)
    check.set_defaults(command=command_check)

    text = commands.add_parser("text", help="take changed words over into executed notebooks")
    text.add_argument("name", nargs="?", default="", help=f"{NAME_HELP}; default: all")
    text.set_defaults(command=command_text)

    pages = commands.add_parser("pages", help="write what is made from the record: pages, words")
    pages.set_defaults(command=command_pages)

    book = commands.add_parser("book", help="check, then build the site")
    book.add_argument(
        "--tier", choices=TIERS, help="execute every chapter first; default: execute none"
    )
    book.add_argument("--accept-drift", action="store_true", help=DRIFT_HELP)
    book.set_defaults(command=command_book)

    new = commands.add_parser("new", help="lay down a new study that runs on a simulated stand-in")
    new.add_argument("name", help="its folder in book, mchelpers and tests, e.g. sem_grains")
    new.set_defaults(command=command_new)

    pack = commands.add_parser("pack", help="pack trainings, to make them on another machine")
    pack.add_argument("names", nargs="+", help=f"{NAME_HELP}; the most urgent first")
    pack.add_argument("--tier", choices=TIERS, default="full", help="default: full")
    pack.add_argument("--only", nargs="+", default=["*"], help="beginnings of trainings' names")
    pack.add_argument("--out", type=Path, default=Path("pack.zip"), help="default: pack.zip")
    pack.add_argument("--plan", action="store_true", help="only list the trainings")
    pack.set_defaults(command=command_pack)

    adopt = commands.add_parser("adopt", help="take back what was trained on another machine")
    adopt.add_argument("files", nargs="+", type=Path, help="results/trained-*.pt of run.py")
    adopt.set_defaults(command=command_adopt)

    ship = commands.add_parser("ship", help="let kept trainings ship with the book")
    ship.add_argument("names", nargs="+", help="NAME-KEY, as the kept file is called")
    ship.set_defaults(command=command_ship)

    add_parsers(commands)
    return parser


def main() -> int:
    """Parse the command line and run one command."""
    args = make_parser().parse_args()
    if args.command in (run_measure, run_finetune):  # they need no checkout of the book
        return args.command(args)
    try:
        faults = args.command(find_root(), args)
    except (OSError, ValueError) as error:
        faults = [str(error)]
    except ImportError as error:
        faults = [f"{error}; {install_line('book')}"]
    for fault in dict.fromkeys(faults):
        print(f"- {fault}", file=sys.stderr)
    return int(bool(faults))
