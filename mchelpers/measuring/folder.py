"""Many files, measured into a folder: it never asks and never stops at a broken one.

Each measured file leaves one small result behind, from which tables and report are made at the
end. A run that was killed finds them and goes on; what it holds in memory does not grow.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from .. import __version__
from ..record.files import write_atomically
from ..record.machine import describe, machine, versions
from .files import named
from .report import report_page
from .shipped import find_network
from .tables import add_run, dictionary_text, write_coco, write_tables
from .work import CATEGORIES, Job, spread

__all__ = ["measure_files", "provenance"]


def measure_files(
    files: Iterable[Path],
    study: str,
    out: Path,
    pixel_size_nm: float | None = None,
    *,
    masks: Path | None = None,
    weights: Path | None = None,
    workers: int | str = 1,
    say: Callable[[str], object] = print,
) -> tuple[int, int]:
    """Measure files and write tables, masks, overlays and a report into a folder.

    Parameters
    ----------
    files
        Any; one that cannot be measured becomes a row with its reason. Where they are no sequence
        but arrive, an interrupt from the keyboard ends them.
    study, pixel_size_nm
        As for :func:`mchelpers.measuring.one.measure`.
    out
        The folder; made if it is not there. What it holds of the same files, measured with the
        same settings, is kept.
    masks
        Folder of TIFF masks drawn by hand, named as in ``out / "masks"``.
    weights
        As for :func:`mchelpers.measuring.one.measure`.
    workers
        Processes, or the address of a Dask scheduler; the answers do not depend on it.
    say
        Gets each answer in words.

    Returns
    -------
    int, int
        How many files failed, of how many.
    """
    from tqdm.auto import tqdm

    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    facts = provenance(study, weights)
    settings = {"study": study, "pixel_size_nm": pixel_size_nm, "version": __version__}
    settings["weights"] = weights and str(weights)
    settings["weights_sha256"] = facts["weights_sha256"]
    total = len(files) if isinstance(files, Sequence) else None
    jobs = (
        Job(number, name, file, out, settings, masks)
        for number, (name, file) in enumerate(named(files))
    )
    done = []
    quiet = None if total and total > 1 else True  # None: where there is no terminal
    try:
        for job, words in tqdm(spread(jobs, workers), total=total, unit="image", disable=quiet):
            done.append(job)
            if words:
                say(words)
    except KeyboardInterrupt:
        if total is not None:
            raise
    done.sort(key=lambda job: job.number)

    failed = 0
    hashes = {}
    for result in _results(done):
        failed += result["row"]["status"] == "failed"
        hashes[result["row"]["file"]] = result["row"]["sha256"]
    answers = write_tables(_results(done), out)
    write_coco(_results(done), CATEGORIES[study], out)
    write_atomically(out / "dictionary.csv", dictionary_text())
    shown = facts | {"pixel_size_nm given": pixel_size_nm, "machine": describe(machine())}
    shown = {name: value for name, value in shown.items() if value is not None}
    write_atomically(out / "report.html", report_page(study, _results(done), out, shown))
    arguments = {"study": study, "pixel_size_nm": pixel_size_nm, "masks": masks and str(masks)}
    arguments["weights"] = settings["weights"]
    run = {"arguments": arguments, "made_with": facts, "files": hashes, "answers_sha256": answers}
    write_atomically(out / "run.json", json.dumps(run, indent=1) + "\n")
    about = {
        "started": started.isoformat(" ", "seconds").removesuffix("+00:00"),
        "images": len(done),
        "failed": failed,
        "seconds": time.perf_counter() - clock,
        "answers_sha256": answers,
    }
    add_run(settings | about, out)
    return failed, len(done)


def _results(jobs: Sequence[Job]) -> Iterator[dict]:
    return (json.loads(job.result.read_text(encoding="utf-8")) for job in jobs)


def provenance(study: str, weights: Path | None = None) -> dict[str, str | None]:
    """Name what answers depend on besides images and arguments: versions and weights."""
    network = find_network(study, weights)
    facts = network.facts if network else {"weights": None, "weights_sha256": None}
    return {"version": __version__, **facts, **versions()}
