"""One file of a run, in whatever process: measured once, left behind whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..record.files import write_atomically, write_together
from .answer import Answer, corrected
from .files import digest
from .one import measure
from .outlines import annotations, outlined, read_rois, roi_zip
from .pictures import mask_tiff, overlay

__all__ = ["CATEGORIES", "Job", "read_mask", "spread"]

DRAWN = (".tif", ".zip")  # by hand: a mask, or ImageJ's ROIs
CATEGORIES = {  # study -> what its objects are called in COCO
    "graphene_hrtem": "contaminant",
    "nanoparticles": "particle",
    "afm_coverage": "film",
    "tmd_optical": "flake",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A file to measure.

    Attributes
    ----------
    number
        Its place in the run, from 0.
    name
        Of what is made of it.
    file
        The image.
    out
        Folder of the run.
    settings
        ``study``, ``pixel_size_nm``, ``weights``, and what else would change the answer.
    masks
        Folder of masks or ROIs drawn by hand; None has none.
    """

    number: int
    name: str
    file: Path
    out: Path
    settings: dict
    masks: Path | None = None

    @property
    def result(self) -> Path:
        """What it leaves behind last: its row, its objects, and what they were made of."""
        return self.out / "results" / f"{self.name}.json"

    @property
    def label(self) -> str:
        """The file, in characters that any table can hold."""
        return str(self.file).encode("utf-8", "backslashreplace").decode()

    @property
    def drawn(self) -> Path | None:
        """The mask or the ROIs drawn by hand, where there are such."""
        places = [] if self.masks is None else [self.masks / f"{self.name}{s}" for s in DRAWN]
        return next((place for place in places if place.exists()), None)

    def do(self) -> str:
        """Measure the file, unless it has been; return what is to be said, "" if nothing is."""
        started = time.perf_counter()
        made_of = self.settings | {"file": self.label, "sha256": digest(self.file)}
        made_of["mask_sha256"] = self.drawn and digest(self.drawn)
        if self._is_done(made_of):
            return ""
        try:
            how = {n: self.settings.get(n) for n in ("study", "pixel_size_nm", "weights")}
            answer = measure(self.file, **how)
            if self.drawn:
                answer = corrected(answer, read_mask(self.drawn, answer.labels.shape))
            objects = outlined(answer.labels)
            made = {
                self.out / "masks" / f"{self.name}.tif": mask_tiff(answer),
                self.out / "overlays" / f"{self.name}.png": overlay(answer),
                self.out / "rois" / f"{self.name}.zip": roi_zip(objects),
            }
        except Exception as error:  # one file, whatever is wrong with it, stops no run
            return self.fail(error, made_of, time.perf_counter() - started)
        result = {
            "made_of": made_of,
            "row": self._row(answer) | {"sha256": made_of["sha256"]},
            "objects": [{"file": self.label, **found} for found in answer.objects],
            "annotations": annotations(answer.labels, objects),
        }
        result["row"]["seconds"] = time.perf_counter() - started
        made[self.result] = json.dumps(result)  # the last one: with it, the file is done
        write_together({path: content for path, content in made.items() if content is not None})
        return f"{self.label}\n{answer}"

    def fail(self, error: Exception, made_of: dict | None = None, seconds: float = 0.0) -> str:
        """Leave behind why the file cannot be measured; return it."""
        words = " ".join(str(error).split()) or type(error).__name__
        known = isinstance(error, ValueError | RuntimeError | ImportError)
        row = {
            "file": self.label,
            "study": self.settings["study"],
            "status": "failed",
            "reason": words if known else f"{type(error).__name__}: {words}",
            "pixel_size_nm": None,
            "sha256": (made_of or {}).get("sha256"),
            "seconds": seconds,
        }
        result = {"made_of": made_of, "row": row, "objects": [], "annotations": []}
        write_atomically(self.result, json.dumps(result))
        return f"{self.label}: failed: {row['reason']}"

    def _is_done(self, made_of: dict) -> bool:
        """Tell whether the same file was measured with the same settings; a failure is no end."""
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
            mask = self.out / result["row"].get("mask", "")
            return result["made_of"] == made_of and mask.is_file()
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def _row(self, answer: Answer) -> dict:
        ruler = answer.ruler
        return {
            "file": self.label,
            "study": answer.study,
            "status": "measured",
            "pixel_size_nm": ruler.nm,
            "pixel_size_source": ruler.source,
            "lattice_pixel_size_nm": ruler.lattice_nm,
            "height_px": answer.labels.shape[0],
            "width_px": answer.labels.shape[1],
            "method": answer.method,
            **answer.image,
            "warnings": "; ".join(answer.warnings),
            "mask": f"masks/{self.name}.tif",
        }


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a mask drawn by hand: a picture, or ImageJ's ROIs in an image of a shape."""
    from ..inputs.pictures import read_picture

    return read_rois(path, shape) if path.suffix == ".zip" else read_picture(path).pixels


def spread(jobs: Iterator[Job], workers: int | str) -> Iterator[tuple[Job, str]]:
    """Do jobs, here or in so many processes on one core each; give each with what it says.

    ``workers`` may be the address of a Dask scheduler, whose workers see the same folders. Only a
    few jobs are under way at a time, however many there are.

    Raises
    ------
    ImportError
        If there is to be more than one worker, and ``distributed`` is not installed.
    """
    if workers == 1:
        for job in jobs:
            yield job, job.do()
        return
    from ..install import need

    need("many")
    import dask
    from distributed import Client, as_completed

    before = dict(os.environ)  # Dask sets variables for its workers, and leaves them set
    # Dask has workers give memory back at once, and page it in again for each next array: of an
    # image's time that is a third.
    kept = {"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}}
    about = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
    # Without a limit of memory: Dask would let a worker that nears it wait for ever.
    about |= {"n_workers": workers, "memory_limit": 0}
    if isinstance(workers, str):
        about = {"address": workers, "timeout": 10}
    try:
        with dask.config.set(kept), Client(**about) as client:
            ready = 2 * max(1, len(client.nthreads()))
            running = {client.submit(Job.do, j, pure=False): j for j in islice(jobs, ready)}
            waiting = as_completed(list(running))
            for done in waiting:
                job, error = running.pop(done), done.exception()
                yield job, job.fail(error) if error else done.result()
                for following in islice(jobs, 1):
                    future = client.submit(Job.do, following, pure=False)
                    running[future] = following
                    waiting.add(future)
    finally:
        os.environ.clear()
        os.environ.update(before)
