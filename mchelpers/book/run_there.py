"""Make packed trainings on a machine that has PyTorch and no book.

``python run.py --minutes 9`` trains what lies beside it, first packed first; called again it goes
on. What is finished comes back in ``results/trained-*.pt``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES, FILE_BYTES = 8, 16_000_000  # what comes back
CLOSING = 5  # seconds to end in
# What the book is made with, and a machine with PyTorch need not have.
ABSENT = (
    "AFMReader", "abtem", "ase", "distributed", "h5py", "imagecodecs", "ipywidgets",
    "IPython", "jupytext", "matplotlib_scalebar", "monai", "mss", "nbclient", "nbformat", "onnx",
    "onnxruntime", "openvino", "pooch", "psutil", "roifile", "rsciio", "safetensors",
    "segmentation_models_pytorch", "timm", "tqdm", "ultralytics", "yaml",
)  # fmt: skip


def read_plan() -> list[dict]:
    """Read the packed trainings, the most urgent first."""
    return json.loads((HERE / "plan.json").read_text(encoding="utf-8"))


def check() -> dict[str, str]:
    """Build each training without what a bare machine lacks; return what is wrong by name."""
    sys.modules.update(dict.fromkeys(ABSENT))  # None: cannot be imported
    from mchelpers.book.plan import decode

    faults = {}
    for job in read_plan():
        try:
            training = decode(job["training"], HERE)
            training.make_model()
            if not job["name"].endswith(training.key):
                faults[job["name"]] = (
                    "its key is another one there: it uses more of its chapter than could be packed"
                )
        except Exception as error:  # whatever it is, the training cannot be made there
            faults[job["name"]] = f"{type(error).__name__}: {error}"
    return faults


def make(job: dict, device: str, work: Path) -> None:
    """Make one training, or go on with it, and leave it in the work folder."""
    import torch

    from mchelpers.book.plan import decode

    checkpoint = work / f"{job['name']}.pt"
    state, note = decode(job["training"], HERE).train(checkpoint, device)
    unfinished = work / f"{job['name']}.part"
    torch.save({job["name"]: {"tensors": state, "note": note}}, unfinished)
    os.replace(unfinished, work / f"{job['name']}.done")
    checkpoint.unlink(missing_ok=True)


def keep_making(queue, device: str, work: Path) -> None:
    """Take one training after the other, in a process of its own."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    while (job := queue.get()) is not None:
        try:
            make(job, device, work)
            print(f"{job['name']}: finished", flush=True)
        except Exception as error:  # the others can still be made
            print(f"{job['name']}: {type(error).__name__}: {error}", flush=True)


def say(jobs: list[dict], work: Path, since: float) -> None:
    """Print a line for each training that ended an epoch since a time."""
    import torch

    for job in jobs:
        file = work / f"{job['name']}.pt"
        if not file.exists() or file.stat().st_mtime < since:
            continue
        try:
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except FileNotFoundError:  # it has just finished
            continue
        loss, _, seconds = state["history"]
        left = (job["epochs"] - len(loss)) * statistics.median(seconds[-20:]) / 60
        print(
            f"{job['name']}: epoch {len(loss)} of {job['epochs']}, loss {loss[-1]:.4f}, "
            f"about {left:.1f} min left",
            flush=True,
        )


def bundle(jobs: list[dict], work: Path, out: Path) -> None:
    """Put the finished trainings into few files of a size that travels."""
    import torch

    bundles, sizes = [], []
    for job in jobs:
        file = work / f"{job['name']}.done"
        size = file.stat().st_size if file.exists() else 0
        if size > FILE_BYTES:
            print(f"{file} has {size / 1e6:.0f} MB: fetch it by itself, adopt takes it as it is")
        elif size:
            if not sizes or sizes[-1] + size > FILE_BYTES:
                bundles.append({})
                sizes.append(0)
            bundles[-1].update(torch.load(file, weights_only=True))
            sizes[-1] += size
    for number, content in enumerate(bundles[:FILES], 1):
        torch.save(content, out / f"trained-{number}.pt")
    for content in bundles[FILES:]:
        print(f"{', '.join(content)}: no room in {FILES} files; fetch them from {work}")


def run() -> None:
    """Read the command line, train, and stop in time."""
    started = time.time()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="stop before so many are over")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--beside", type=int, help="trainings at once; default: cores, 5 on a GPU")
    parser.add_argument("--check", action="store_true", help="build all, train nothing")
    args = parser.parse_args()
    if args.check:
        print(json.dumps(check()))
        return
    if args.minutes is None:
        parser.error("--minutes: how long may it take?")
    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    work = args.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    jobs = read_plan()
    missing = [j for j in jobs if not (work / f"{j['name']}.done").exists()]
    beside = min(args.beside or (cores if device == "cpu" else 5), len(missing))
    print(f"{len(missing)} of {len(jobs)} trainings to make, {beside} at once, on {device}")
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for job in [*missing, *[None] * beside]:
        queue.put(job)
    processes = [
        context.Process(target=keep_making, args=(queue, device, work)) for _ in range(beside)
    ]
    said = started
    try:
        for process in processes:
            process.start()
        while any(p.is_alive() for p in processes):
            if time.time() > started + 60 * args.minutes - CLOSING:
                break
            time.sleep(0.2)
            if time.time() > said + 60:
                say(missing, work, said)
                said = time.time()
    finally:  # a checkpoint is written after each epoch: what is stopped goes on from there
        for process in processes:
            process.kill()
            process.join()
        queue.cancel_join_thread()
        bundle(jobs, work, args.out)
    done = sum((work / f"{j['name']}.done").exists() for j in jobs)
    print(f"{done} of {len(jobs)} finished, {time.time() - started:.0f} s; call again to go on")


if __name__ == "__main__":
    run()
