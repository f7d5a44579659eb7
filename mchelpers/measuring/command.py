"""The commands ``measure``, files in, tables and a report out; and ``finetune``, labels in."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

__all__ = ["add_parsers", "run_finetune", "run_measure"]


def add_parsers(commands) -> None:
    """Add the commands to a parser's sub-commands."""
    measure = commands.add_parser("measure", help="measure your own images by a study's method")
    measure.add_argument("files", nargs="*", help="images; folders of them; patterns in quotes")
    measure.add_argument("--study", help="graphene_hrtem, or another study's name")
    measure.add_argument("--out", type=Path, help="default: measured; goes on with what is there")
    measure.add_argument("--pixel-size-nm", type=float, help="default: what each file says")
    measure.add_argument("--masks", type=Path, help="folder of corrected masks or ROIs, as in OUT")
    measure.add_argument("--weights", type=Path, help="network.safetensors of finetune")
    measure.add_argument(
        "--workers", type=_workers, default=1, help="processes, or tcp://... of a Dask scheduler"
    )
    how = measure.add_mutually_exclusive_group()
    how.add_argument("--watch", action="store_true", help="measure what arrives, until Ctrl-C")
    how.add_argument(
        "--again", type=Path, metavar="RUN.JSON", help="repeat a run, say what changed"
    )
    measure.set_defaults(command=run_measure)
    finetune = commands.add_parser("finetune", help="train a shipped network on with your labels")
    finetune.add_argument(
        "labels", type=Path, help="masks, named as their images; or COCO, YOLO, Labelme, CVAT"
    )
    finetune.add_argument(
        "--study", required=True, help="graphene_hrtem, or another with a network"
    )
    finetune.add_argument("--images", type=Path, help="folder of images; folders in it are groups")
    finetune.add_argument("--out", type=Path, default=Path("finetuned"), help="default: finetuned")
    finetune.add_argument("--pixel-size-nm", type=float, help="default: what each file says")
    finetune.add_argument("--epochs", type=int, default=30, help="default: 30")
    finetune.set_defaults(command=run_finetune)


def _workers(text: str) -> int | str:
    """Read how many, or an address; 0 is none that can be."""
    if "://" in text:
        return text
    return int(text) if text.isdecimal() else 0


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
        if args.workers == 0 or (args.watch and args.workers != 1):
            raise ValueError(f"--workers is {args.workers}; it must be 1 or more, 1 with --watch")
        files, out, how = _again(args) if args.again else _new(args)
        out.mkdir(parents=True, exist_ok=True)
        failed, count = measure_files(files, out=out, **how, workers=args.workers, say=tqdm.write)
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


def run_finetune(args) -> int:
    """Train a shipped network on with labelled images, and say whether it was worth it.

    Returns
    -------
    int
        0, or 2 if the call is wrong, 130 if it was interrupted.
    """
    from ..downloads import DataError
    from .finetune import COMPARED, finetune, read_labelled

    try:
        if args.epochs < 1:
            raise ValueError(f"--epochs is {args.epochs}; it must be 1 or more")
        labelled = read_labelled(args.labels, args.images)
        found = finetune(labelled, args.study, args.out, args.pixel_size_nm, epochs=args.epochs)
    except (OSError, ValueError, ImportError, DataError) as error:
        print(f"- {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    print("Overlap with your masks, on images that the network did not see:")
    for name in COMPARED:
        print(f"  {name:<10} {found[f'{name}_overlap']:.3f}")
    low, high = found["gain_low"], found["gain_high"]
    print(
        f"Gain {found['gain']:+.3f} (95 % interval {low:+.3f} to {high:+.3f}): {found['verdict']}."
    )
    network = args.out / "network.safetensors"
    print(f"To use it: measure FILES --study {args.study} --weights {network}")
    return 0


def _new(args) -> tuple:
    """Read the call of a new run: files, folder, and how to measure."""
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
    how = {"study": args.study, "pixel_size_nm": args.pixel_size_nm}
    return files, out, how | {"masks": args.masks, "weights": args.weights}


def _again(args) -> tuple:
    """Read the run that is to be repeated, and say what has changed since."""
    from .again import changes, read_run

    run, before = read_run(args.again), args.again.resolve().parent
    out = args.out or before.with_name(f"{before.name}-again")
    if out.resolve() == before:
        raise ValueError(f"{out} holds the run to repeat; give another folder with --out")
    for words in changes(run) or ["Files, versions and weights are those of the run."]:
        print(words)
    how = dict(run["arguments"])
    for name in ("masks", "weights"):
        how[name] = how.get(name) and Path(how[name])
    return [Path(file) for file in run["files"]], out, how


def _answers(path: Path) -> str:
    return json.loads(path.read_text(encoding="utf-8"))["answers_sha256"]
