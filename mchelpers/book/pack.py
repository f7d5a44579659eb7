"""Take trainings to another machine, and take what was trained there back.

``pack`` executes a chapter's cells without training anything, and packs the trainings that they
ask for and that are not kept: code, data and ``run.py``. ``adopt`` files what comes back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from .. import kept
from ..kept import save_tensors
from ..record.chapter import Chapter, read_page
from ..record.checkout import python_path
from ..record.files import write_atomically
from ..train import History, run_folder
from . import plan

__all__ = ["adopt", "only_plan", "pack"]

MAX_BYTES = 60_000_000
# Binds no name that a chapter might use for something else.
PRELUDE = "import mchelpers.book.pack; mchelpers.book.pack.only_plan()"


def only_plan() -> None:
    """Write trainings down in this process instead of making them; refuse all others."""
    import joblib
    import torch

    def refuse(*args, **kwargs):
        raise plan.PlanError("a training that is no kept.Training cannot be packed")

    load, shapes = kept.load_network, {}

    def load_network(model: torch.nn.Module, file: Path) -> torch.nn.Module:
        network = load(model, file)
        if file.parent.name == plan.PLACEHOLDERS:
            network.forward = partial(_unknown, shapes, file, weakref.ref(network))
        return network

    kept.make_instead, kept.load_network = plan.write_down, load_network
    torch.optim.Optimizer.zero_grad = refuse
    joblib.parallel_config(backend="threading")  # a process of its own would not know


def _unknown(shapes: dict, file: Path, network: weakref.ref, images):
    """Predict NaN; its shape is found out once for all networks and images of one kind."""
    kind = (file, images.shape[1:])
    if kind not in shapes:
        shapes[kind] = type(network()).forward(network(), images[:1]).shape[1:]
    return images[:0].float().new_full((len(images), *shapes[kind]), float("nan"))


def plan_chapter(chapter: Chapter, tier: str, place: Path) -> list[str]:
    """Execute a chapter's cells; its trainings are planned in a folder.

    Returns
    -------
    list of str
        The cells that stopped, a sentence each: they may depend on what is only planned.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = read_page(chapter.source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PRELUDE))
    environment = {**os.environ, "MCHELPERS_TIER": tier, plan.FOLDER: str(place)}
    with tempfile.TemporaryDirectory() as beside, tempfile.TemporaryDirectory() as work:
        environment["PYTHONPATH"] = python_path(chapter.root, Path(beside))
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": work}},
        )
        client.execute(env=environment)
    return [
        f"{chapter.name}, the cell that begins {cell.source.splitlines()[0]!r}: "
        f"{output.ename}: {output.evalue.splitlines()[0] if output.evalue else ''}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]


def pack(
    chosen: Sequence[Chapter], tier: str, out: Path | None, only: Sequence[str] = ("*",)
) -> tuple[list[dict], list[str]]:
    """Pack the missing trainings of chapters into one archive.

    Parameters
    ----------
    chosen
        Chapters, the most urgent first.
    tier
        ``smoke``, ``laptop`` or ``full``.
    out
        The archive; None only plans.
    only
        Patterns of the names of trainings to pack, as of files.

    Returns
    -------
    packed
        The trainings, the most urgent first.
    left
        A sentence for each that was left out, and for each cell that stopped.

    Raises
    ------
    PlanError
        If nothing is left to train, or the archive would be too large.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        left = [fault for chapter in chosen for fault in plan_chapter(chapter, tier, place)]
        jobs = [j for j in plan.jobs(place) if any(fnmatch(j["name"], f"{o}*") for o in only)]
        write_atomically(place / "plan.json", json.dumps(jobs))
        package = Path(plan.__file__).parents[1]
        shutil.copytree(package, place / "mchelpers")
        shutil.copy(package / "book" / "run_there.py", place / "run.py")
        faults = _check(place)
        left += [f"{name} cannot be made there ({fault})" for name, fault in faults.items()]
        jobs = [j for j in jobs if j["name"] not in faults]
        if not jobs:
            raise plan.PlanError("\n- ".join(["no training is left to be packed", *left]))
        write_atomically(place / "plan.json", json.dumps(jobs))
        if out is not None:
            _archive(place, jobs, out)
            known = _packed() | {j["name"]: j["shapes"] for j in jobs}
            write_atomically(run_folder() / "packed.json", json.dumps(known))
    return jobs, left


def _check(place: Path) -> dict[str, str]:
    """Build the packed trainings in a process that has nothing but what the other machine has."""
    command = [sys.executable, place / "run.py", "--check"]
    ran = subprocess.run(command, cwd=place, capture_output=True, text=True)
    if ran.returncode:
        raise plan.PlanError(f"run.py does not start:\n{ran.stderr[-2000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def _archive(place: Path, jobs: list[dict], out: Path) -> None:
    """Write what the trainings need as one file: arrays that none needs stay behind."""
    sources = sorted(f for f in (place / "mchelpers").rglob("*.*") if f.suffix != ".pyc")
    sources += [place / "run.py", place / "plan.json", *sorted(place.glob("cell_*.py"))]
    arrays = [a for a in sorted((place / "arrays").iterdir()) if f'"{a.stem}"' in json.dumps(jobs)]
    unfinished = out.with_name(f".{out.name}.partial")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_LZMA) as archive:
            for file in [*sources, *arrays]:
                archive.write(file, file.relative_to(place))
            sizes = {Path(i.filename).stem: i.compress_size for i in archive.infolist()}
        if unfinished.stat().st_size > MAX_BYTES:
            raise plan.PlanError(_too_large(sizes, jobs, unfinished.stat().st_size))
        os.replace(unfinished, out)
    finally:
        unfinished.unlink(missing_ok=True)


def _too_large(sizes: dict[str, int], jobs: list[dict], total: int) -> str:
    large = sorted(sizes, key=sizes.get)[-3:][::-1]
    users = {n: [j["name"] for j in jobs if f'"{n}"' in json.dumps(j)] for n in large}
    told = "; ".join(f"{sizes[n] / 1e6:.0f} MB for {', '.join(u[:3])}" for n, u in users.items())
    return (
        f"the archive has {total / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}: {told}. "
        "Name fewer trainings with --only"
    )


def _packed() -> dict[str, dict]:
    """Read what was packed here: name of a training -> shapes of its weights."""
    file = run_folder() / "packed.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def adopt(files: Iterable[Path]) -> tuple[list[str], list[str]]:
    """File what was trained elsewhere among the kept trainings.

    Returns
    -------
    adopted
        Names of trainings.
    faults
        A sentence for each file or training that is none.
    """
    import torch

    adopted, faults, packed = [], [], _packed()
    for file in files:
        try:
            items = list(torch.load(file, map_location="cpu", weights_only=True).items())
        except Exception as error:  # what a cut or foreign file raises depends on its bytes
            faults.append(f"{file} is cut, or no file that run.py wrote ({repr(error)[:100]})")
            continue
        for name, content in items:
            try:
                _check_training(name, content, packed.get(name))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                faults.append(f"{file}: {str(name)[:80]!r} is no training of this book ({error})")
                continue
            save_tensors(content["tensors"], run_folder() / f"{name}.safetensors", content["note"])
            adopted.append(name)
    return adopted, faults


def _check_training(name: str, content: dict, shapes: dict | None) -> None:
    import torch

    if not re.fullmatch(r"[\w.+-]+-[0-9a-f]{16}", name):
        raise ValueError("its name does not end in a key")
    tensors, note = content.get("tensors"), content.get("note")
    if not tensors or not all(torch.isfinite(t).all() for t in tensors.values()):
        raise ValueError("it has no tensors, or they are not finite")
    if shapes is not None and shapes != {k: list(t.shape) for k, t in tensors.items()}:
        raise ValueError("its weights have other shapes than those of the network that was packed")
    if not History(**json.loads(note["history"])).loss or not note["trained_on"]:
        raise ValueError("it does not say how and where it was trained")
