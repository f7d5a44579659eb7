"""Execute every notebook as a reader does who has no repository: python tools/elsewhere.py --help

A fresh environment gets what the reader's machine has already (other versions than the book's, if
so asked), each notebook runs at the smoke tier from an empty folder, and its first cell installs
the package, from the last commit here in place of the public address. What came out stands in
book/record/elsewhere.json, one entry a name; `python -m mchelpers pages` makes the page from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mchelpers.install import REPOSITORY  # noqa: E402
from mchelpers.record.chapter import chapters  # noqa: E402
from mchelpers.record.files import write_atomically  # noqa: E402

RECORD = ROOT / "book" / "record" / "elsewhere.json"
KERNEL = "elsewhere"
VERSIONS = """
import importlib.metadata as m, json, platform, sys
found = {d.metadata["Name"]: d.version for d in m.distributions()}
print(json.dumps({"Python": platform.python_version(), **{n: found.get(n) for n in sys.argv[1:]}}))
"""


def lay_environment(python: str, packages: list[str], folder: Path) -> Path:
    """Make an environment with a kernel; return its Python."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    own = folder / "venv" / "bin" / "python"
    subprocess.run([own, "-m", "pip", "install", "-q", "ipykernel", "pip", *packages], check=True)
    spec = folder / "jupyter" / "kernels" / KERNEL / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(own), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}))
    return own


def surroundings(folder: Path) -> dict[str, str]:
    """Set what a notebook finds around it: no data, no trainings, the commit for the address."""
    settings = folder / "gitconfig"
    settings.write_text(
        f'[url "{ROOT.as_uri()}"]\n\tinsteadOf = {REPOSITORY}\n[safe]\n\tdirectory = *\n'
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MCHELPERS_", "PYTHON"))}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": str(settings),
        "HOME": str(folder / "home"),
        "MCHELPERS_DATA": str(folder / "data"),
        "MCHELPERS_RUNS": str(folder / "runs"),
        "MCHELPERS_TIER": "smoke",
    }


def run_notebook(file: Path, folder: Path, environment: dict[str, str]) -> dict:
    """Run one notebook from an empty folder: seconds of the first cell and of the rest, a fault."""
    empty = Path(tempfile.mkdtemp(dir=folder))
    notebook = nbformat.read(file, as_version=4)
    resources = {"metadata": {"path": str(empty)}}
    client = NotebookClient(notebook, timeout=900, kernel_name=KERNEL, resources=resources)
    first = next(n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    fault, started, installed = None, time.monotonic(), None
    try:
        with client.setup_kernel(env=environment):
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
                if number == first:
                    installed = time.monotonic()
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        fault = str(error).strip().splitlines()[-1][:120]
    ended = time.monotonic()
    installed = installed or ended
    took = {"install_s": installed - started, "seconds": ended - installed}
    return {**{name: round(s, 1) for name, s in took.items()}, "fault": fault}


def versions(python: Path, names: list[str]) -> dict[str, str]:
    """Ask an environment for its versions."""
    command = [python, "-c", VERSIONS, *names]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def main() -> int:
    """Run all, say what failed, write the entry."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="of the column, e.g. 'Colab-like'")
    parser.add_argument("--python", default=sys.executable, help="what makes the environment")
    parser.add_argument("--has", nargs="*", default=[], help="what is there already: torch==2.14.1")
    parser.add_argument("--only", default="", help="chapters whose name begins so; writes nothing")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="elsewhere"))
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
    (folder / "home").mkdir()
    python = lay_environment(chosen.python, chosen.has, folder)
    names = [requirement.split("=")[0] for requirement in chosen.has]
    there = versions(python, names)
    made = {}
    for chapter in chapters(ROOT, chosen.only):
        made[chapter.name] = run_notebook(chapter.notebook, folder, surroundings(folder))
        print(chapter.name, made[chapter.name], flush=True)
    after = versions(python, names)
    if after != there:
        print(f"versions changed: {there} became {after}")
    failed = [name for name, ran in made.items() if ran["fault"]]
    if not chosen.only:
        entry = {
            "name": chosen.name,
            "executed_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "versions": after,
            "kept": after == there,
            "chapters": made,
        }
        others = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else []
        others = [e for e in others if e["name"] != chosen.name]
        write_atomically(RECORD, json.dumps([*others, entry], indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return len(failed) + (after != there)


if __name__ == "__main__":
    sys.exit(main())
