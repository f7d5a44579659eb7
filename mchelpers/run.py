"""What one execution of a chapter knows: its tier, seed, device and results."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import __version__
from .install import REPOSITORY
from .record.files import write_atomically
from .record.machine import describe, machine, versions
from .record.provenance import code_commit, label_shown_figures, labelled, notebook_shell

if TYPE_CHECKING:
    from .data import Micrographs
    from .train import History

__all__ = ["TIERS", "Run", "summarise"]

TIERS = ("smoke", "laptop", "full")
T = TypeVar("T")


def round_significant(value: float) -> float:
    """Round to six significant digits, but never more coarsely than to a whole number."""
    if value == 0:
        return 0.0
    return round(float(value), max(0, 5 - math.floor(math.log10(abs(value)))))


def choose_tier(cuda: bool) -> str:
    """Read ``MCHELPERS_TIER``; unset, take ``full`` with a GPU, else ``laptop``."""
    tier = os.environ.get("MCHELPERS_TIER") or ("full" if cuda else "laptop")
    if tier not in TIERS:
        raise ValueError(f"MCHELPERS_TIER is {tier!r}; it must be one of {', '.join(TIERS)}")
    return tier


def summarise(
    values: float | Iterable[float],
    data: str,
    unit: str | None = None,
    groups: np.ndarray | None = None,
    interval: tuple[float, float] | None = None,
) -> dict:
    """Summarise the values of one result.

    Parameters
    ----------
    values
        A number, or one per image, fold or seed.
    data
        ``"real"`` or ``"simulated"``.
    unit
        Unit of the values; None for a pure number.
    groups
        One label per value; the interval draws whole groups.
    interval
        95 % interval of a number that was computed from all images at once, as average
        precision is: redrawn by the chapter, for one value has none.

    Returns
    -------
    dict
        mean, sd (of the sample; None for a single value), n, values, ci95
        (bootstrap; None below three values and for a single group), unit, data, and
        groups as numbers if there are any. Numbers have six significant digits.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or ``data`` is neither word; if an interval is
        given for several values, or does not rise.
    """
    from .metrics import bootstrap

    array = np.atleast_1d(np.asarray(values, float)).ravel()
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"a result needs finite values, got {array.tolist()[:5]}")
    if data not in ("real", "simulated"):
        raise ValueError(f"data must be 'real' or 'simulated', got {data!r}")
    if interval is not None:
        if array.size > 1 or not interval[0] <= interval[1]:
            raise ValueError(f"{interval} must rise, and stand beside one value, not {array.size}")
        interval = [round_significant(v) for v in interval]
    elif array.size >= 3 and (groups is None or np.unique(groups).size > 1):
        interval = [round_significant(v) for v in bootstrap(array, groups, draws=1000)]
    labels = None if groups is None else np.unique(groups, return_inverse=True)[1].tolist()
    return {
        "mean": round_significant(array.mean()),
        "sd": round_significant(array.std(ddof=1)) if array.size > 1 else None,
        "n": int(array.size),
        "values": [round_significant(v) for v in array],
        "ci95": interval,
        "unit": unit,
        "data": data,
        **({} if labels is None else {"groups": labels}),
    }


@dataclass
class Run:
    """One execution of one chapter.

    Attributes
    ----------
    chapter
        ``study/chapter`` as in the table of contents.
    tier
        ``smoke``, ``laptop`` or ``full``.
    seed
        Of everything random in the chapter.
    device
        ``"cuda"`` or ``"cpu"``.
    workers
        Folds to train side by side: CPU cores, or 1 on a GPU.
    commit
        Of the code that runs; None if unknown.
    """

    chapter: str
    tier: str
    seed: int
    device: str
    workers: int
    commit: str | None = None
    results: dict[str, dict] = field(default_factory=dict)
    data: dict[str, dict] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    training_s: float = 0.0
    trained_on: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def begin(cls, chapter: str, seed: int = 0) -> Run:
        """Choose tier and device, seed everything, set the figure style, say so in a line."""
        import torch

        from . import show

        cuda = torch.cuda.is_available()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        device, workers = ("cuda", 1) if cuda else ("cpu", cores)
        run = cls(chapter, choose_tier(cuda), seed, device, workers, code_commit(chapter))
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global generator
        show.style()
        real = "simulated stand-ins" if run.smoke else "real data where the page says so"
        print(f"{chapter} | tier {run.tier} | device {run.device} | seed {seed} | {real}")
        label_shown_figures(run.provenance)
        return run

    @property
    def smoke(self) -> bool:
        """Whether this is the quick check on simulated stand-ins."""
        return self.tier == "smoke"

    @property
    def data_kind(self) -> str:
        """What stands for the study's data; ``"simulated"`` at the smoke tier, else ``"real"``."""
        return "simulated" if self.smoke else "real"

    def pick(self, *, smoke: T, laptop: T, full: T) -> T:
        """Return the value of the current tier; ``full`` is the paper's own."""
        return {"smoke": smoke, "laptop": laptop, "full": full}[self.tier]

    def use(self, name: str, micrographs: Micrographs) -> None:
        """Write down which data this chapter used; later results rest on it."""
        self.data[name] = {"kind": micrographs.kind, "sha256": micrographs.sha256}
        self._save()

    def trained(
        self,
        histories: Iterable[History],
        files: Iterable[Path] = (),
        where: Iterable[str] = (),
    ) -> None:
        """Write down what trainings cost when they ran, and the hashes of their weights.

        Parameters
        ----------
        histories
            One per training; its seconds are those of the original training.
        files
            Kept weights.
        where
            The machines that trained, in a few words each; none means those that the files
            name, else this one.
        """
        import hashlib

        from .kept import trained_on

        files = list(files)
        where = list(where) or [named for named in map(trained_on, files) if named]
        seconds = sum(sum(h.seconds) for h in histories)
        self.training_s += seconds
        if seconds:
            self.trained_on = sorted({*self.trained_on, *(where or [describe(machine())])})
        self.weights |= {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        self._save()

    def log(
        self,
        key: str,
        values: float | Iterable[float] | dict[str, float | Iterable[float]],
        data: str | None = None,
        unit: str | None = None,
        groups: np.ndarray | None = None,
        interval: tuple[float, float] | None = None,
    ) -> float | dict[str, float]:
        """Record a result, and make it available to the text as glue.

        Parameters
        ----------
        key
            Name in the record, e.g. ``"unet.f1"``.
        values, unit, groups, interval
            As for :func:`summarise`. A dictionary records several results at once:
            ``log("unet", {"f1": ...})`` is ``log("unet.f1", ...)``.
        data
            ``"real"`` or ``"simulated"``; None takes the kind of the data in use.

        Returns
        -------
        float, or a dictionary of them
            The mean. The text can show ``key``, ``key.sd``, ``key.n``,
            ``key.low`` and ``key.high``.

        Raises
        ------
        ValueError
            If the key was logged before in this execution, or ``data`` is None and no
            data or data of both kinds are in use.
        """
        if isinstance(values, dict):
            if interval is not None:
                raise ValueError(f"{key}: an interval belongs to one value; log each by itself")
            return {k: self.log(f"{key}.{k}", v, data, unit, groups) for k, v in values.items()}
        if key in self.results:
            raise ValueError(f"{key!r} was logged before; a result has one name")
        result = summarise(values, data or self._kind_in_use(key), unit, groups, interval)
        self.results[key] = result
        low, high = result["ci95"] or (None, None)
        shown = {key: result["mean"], f"{key}.n": result["n"], f"{key}.sd": result["sd"]}
        for name, value in {**shown, f"{key}.low": low, f"{key}.high": high}.items():
            if value is not None:
                self.glue(name, value)
        self._save()
        return result["mean"]

    def _kind_in_use(self, key: str) -> str:
        kinds = sorted({used["kind"] for used in self.data.values()})
        if len(kinds) != 1:
            used = " and ".join(kinds) + " data are in use" if kinds else "run.use() was not called"
            raise ValueError(f"say which data {key!r} rests on with data=...: {used}")
        return kinds[0]

    def glue(self, name: str, value: float | str) -> None:
        """Make a number or short text available to the prose (MyST-NB's glue)."""
        # Of a NumPy or torch scalar, the text shows the plain number.
        value = value.item() if hasattr(value, "item") else value
        if notebook_shell() is None:
            return
        from IPython.display import display

        mime = "application/papermill.record/text/plain"
        note = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
        display({mime: repr(value)}, raw=True, metadata=note)

    def stamp(self) -> None:
        """Print what ran and where; the last cell of every chapter."""
        memory, gpu = peak_memory_mb()
        seconds = time.perf_counter() - self.started
        names = ("numpy", "scipy", "torch")
        shown = " | ".join(f"{n} {sys.modules[n].__version__}" for n in names if n in sys.modules)
        training = f" | training {self.training_s / 60:.1f} min" if self.training_s else ""
        on_gpu = f" | peak GPU memory {gpu:.0f} MB" if gpu else ""
        print(
            f"tier {self.tier} | this run {seconds:.0f} s{training} | peak memory {memory:.0f} MB"
            f"{on_gpu}\nPython {platform.python_version()} | {shown}"
        )
        peaks = {"peak_memory_mb": memory, "peak_gpu_memory_mb": gpu}
        self._save(**peaks, machine=machine(), packages=versions())

    @property
    def provenance(self) -> dict:
        """What a file says of where it comes from, as far as it is known at this moment."""
        facts = {name: getattr(self, name) for name in ("chapter", "tier", "seed", "commit")}
        facts |= {"version": __version__, "book": REPOSITORY}
        data = {k: {**v, "sha256": v["sha256"][:12]} for k, v in self.data.items()}
        return {**facts, "data": data, "weights": {k: v[:12] for k, v in self.weights.items()}}

    def save(self, thing: Any, path: str | Path, dpi: float = 300) -> None:
        """Save a figure or a table that says where it comes from; print its path.

        Parameters
        ----------
        thing
            A figure; or rows, one mapping each, as for ``show.table``.
        path
            A figure goes to ``.png``, ``.pdf`` or ``.svg``, which hold the provenance in a field
            (Description; Subject of a PDF); rows go to ``.csv``, below lines that begin
            with ``#``. A file that is there is replaced, once the new one is whole.
        dpi
            Pixels per inch of a figure.

        Raises
        ------
        ValueError
            If the thing is neither, or the ending belongs to the other.
        """
        facts = {**self.provenance, "saved": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        write_atomically(Path(path), labelled(thing, Path(path), facts, dpi))
        print(f"wrote {path}: {self.chapter}, tier {self.tier}, commit {self.commit or 'unknown'}")

    def _save(self, **more) -> None:
        label_shown_figures(self.provenance)
        names = ("chapter", "tier", "seed", "data", "weights", "trained_on", "results")
        content = {n: getattr(self, n) for n in names} | {"training_s": round(self.training_s, 1)}
        if target := os.environ.get("MCHELPERS_RESULTS"):  # set by `python -m mchelpers execute`
            write_atomically(Path(target), json.dumps({**content, **more}))


def peak_memory_mb() -> tuple[float, float | None]:
    """Return the peak memory of this process, and of its GPU use, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands the parent's ru_maxrss down to a new process
        high = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        peak, per_mb = int(high.split()[1]), 1024
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        per_mb = 1024**2 if sys.platform == "darwin" else 1024
    cuda = "torch" in sys.modules and sys.modules["torch"].cuda
    gpu = round(cuda.max_memory_allocated() / 1024**2, 1) if cuda and cuda.is_available() else None
    return round(peak / per_mb, 1), gpu
