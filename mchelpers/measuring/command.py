"""The command ``measure``: files in, a folder of tables and a report out."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

__all__ = ["add_parser", "run_measure"]


def add_parser(commands) -> None:
    """Add the command to a parser's sub-commands."""
    measure = commands.add_parser("measure", help="measure your own images by a study's method")
    measure.add_argument("files", nargs="*", help="images; folders of them; patterns in quotes")
    measure.add_argument("--study", help="graphene_hrtem, or another study's name")
    measure.add_argument("--out", type=Path, help="default: measured; goes on with what is there")
    measure.add_argument("--pixel-size-nm", type=float, help="default: what each file says")
    measure.add_argument("--masks", type=Path, help="folder of corrected masks or ROIs, as in OUT")
    measure.add_argument("--workers", type=int, default=1, help="processes; default: 1")
    how = measure.add_mutually_exclusive_group()
    how.add_argument("--watch", action="store_true", help="measure what arrives, until Ctrl-C")
    how.add_argument(
        "--again", type=Path, metavar="RUN.JSON", help="repeat a run, say what changed"
    )
    measure.set_defaults(command=run_measure)


def run_measure(args) -> int:
    """Measure files.

    Returns
    -------
    int
        0 if all were measured, 1 if some failed, 2 if the call is wrong, 130 if it was
        interrupted.
    """
    from tqdm.auto import tqdm

    from .folder import measure_files

    try:
        if args.workers < 1 or (args.watch and args.workers > 1):
            raise ValueError(f"--workers is {args.workers}; it must be 1 or more, 1 with --watch")
        files, study, pixel_size_nm, masks, out = _again(args) if args.again else _new(args)
        out.mkdir(parents=True, exist_ok=True)
        failed, count = measure_files(
            files, study, out, pixel_size_nm, masks=masks, workers=args.workers, say=tqdm.write
        )
        if args.again:
            then, now = (_answers(p) for p in (args.again, out / "run.json"))
            print(f"The answers are {'the same' if then == now else 'not the same'} as then.")
    except (OSError, ValueError, ImportError) as error:
        print(f"- {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    print(f"{count - failed} of {count} measured: {out / 'report.html'}")
    return int(failed > 0)


def _new(args) -> tuple:
    """Read the call of a new run."""
    from .files import arriving, find_images
    from .one import check_study
    from .ruler import read_ruler

    if not args.files or not args.study:
        raise ValueError("name images and a --study, or a run to repeat with --again RUN.JSON")
    read_ruler(check_study(args.study), math.nan, args.pixel_size_nm)
    if args.masks and not args.masks.is_dir():
        raise ValueError(f"{args.masks} is no folder; give the one that holds your masks")
    out = args.out or Path("measured")
    files = (arriving if args.watch else find_images)(args.files, out)
    return files, args.study, args.pixel_size_nm, args.masks, out


def _again(args) -> tuple:
    """Read the run that is to be repeated, and say what has changed since."""
    from .again import changes, read_run

    run, before = read_run(args.again), args.again.resolve().parent
    out = args.out or before.with_name(f"{before.name}-again")
    if out.resolve() == before:
        raise ValueError(f"{out} holds the run to repeat; give another folder with --out")
    for words in changes(run) or ["Files, versions and weights are those of the run."]:
        print(words)
    arguments = run["arguments"]
    masks = arguments["masks"] and Path(arguments["masks"])
    files = [Path(file) for file in run["files"]]
    return files, arguments["study"], arguments["pixel_size_nm"], masks, out


def _answers(path: Path) -> str:
    return json.loads(path.read_text(encoding="utf-8"))["answers_sha256"]
