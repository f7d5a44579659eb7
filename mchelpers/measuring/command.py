"""The command ``measure``: files in, a folder of tables and a report out."""

from __future__ import annotations

import math
import sys
from pathlib import Path

__all__ = ["add_parser", "run_measure"]


def add_parser(commands) -> None:
    """Add the command to a parser's sub-commands."""
    measure = commands.add_parser("measure", help="measure your own images by a study's method")
    measure.add_argument("files", nargs="+", type=Path, help="images of any kind, one each")
    measure.add_argument("--study", required=True, help="graphene_hrtem, or another study's name")
    measure.add_argument("--out", type=Path, default=Path("measured"), help="default: measured")
    measure.add_argument("--pixel-size-nm", type=float, help="default: what each file says")
    measure.set_defaults(command=run_measure)


def run_measure(args) -> int:
    """Measure files; return 0 if all were measured, 1 if some failed, 2 if the call is wrong."""
    from .folder import measure_files
    from .one import check_study
    from .ruler import read_ruler

    try:
        read_ruler(check_study(args.study), math.nan, args.pixel_size_nm)
        args.out.mkdir(parents=True, exist_ok=True)
        failed = measure_files(args.files, args.study, args.out, args.pixel_size_nm)
    except (OSError, ValueError) as error:
        print(f"- {error}", file=sys.stderr)
        return 2
    print(f"{len(args.files) - failed} of {len(args.files)} measured: {args.out / 'report.html'}")
    return int(failed > 0)
