"""Make each mistake of mutants.yml in a copy of the project: its test must notice.

A mutant is a small change of the package after which the book would say something untrue.
Run as ``python tests/mutate.py [-n 2] [PART_OF_NAME]``.
"""

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
import yaml
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("mutants.yml")
PASSED, FAILED = "0", "1"  # pytest's verdicts
# Imported once and for all, which takes longer than most tests; each test runs in a fork.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["hypothesis", "skimage.measure", "sklearn.ensemble", "torch"])


def mutated(mutant: dict, folder: Path = ROOT) -> tuple[Path, str, str]:
    """Return the file of a mutant, its text, and its text with the mistake.

    Raises
    ------
    ValueError
        If the text that is to be changed does not stand there exactly once.
    """
    file = folder / "mchelpers" / mutant["file"]
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text.count(mutant["old"]) != 1:
        raise ValueError(f"{mutant['name']}: {mutant['file']} must hold `old` exactly once")
    return file, text, text.replace(mutant["old"], mutant["new"])


def copy(folder: Path) -> Path:
    """Copy the working tree into a new folder."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def run_here(folder: Path, tests: list[str]) -> None:
    """Run tests with the package of a copy, and write pytest's verdict down there."""
    os.chdir(folder)
    sys.stdout = sys.stderr = open("pytest.txt", "w")
    sys.path.insert(0, str(folder))
    # No byte code: Python would take it for that of the next mutant of the same second.
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    import mchelpers

    assert Path(mchelpers.__file__).is_relative_to(folder), "the package is not the copy's"
    verdict = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
    Path("verdict.txt").write_text(str(int(verdict)))


def run(folder: Path, tests: list[str]) -> tuple[str, str]:
    """Run tests in a process of their own: the verdict, "" if it died, and what it printed."""
    # In a file, for two threads that ask for the exit codes of such processes disturb each other.
    written = folder / "verdict.txt"
    written.write_text("")
    process = FORKS.Process(target=run_here, args=(folder, tests))
    process.start()
    process.join()
    return written.read_text(), (folder / "pytest.txt").read_text()


def fault(mutant: dict, folder: Path) -> str | None:
    """Make the mistake in a copy and run its test; return a sentence unless that fails."""
    try:
        file, text, wrong = mutated(mutant, folder)
    except ValueError as error:
        return str(error)
    file.write_text(wrong, encoding="utf-8")
    verdict, shown = run(folder, mutant["test"].split())
    file.write_text(text, encoding="utf-8")
    _, _, last = shown.strip().rpartition("\n")
    return None if verdict == FAILED else f"{mutant['name']}: survived, {last}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", default="", help="of a name; all without it")
    parser.add_argument("-n", type=int, default=1, help="how many at a time")
    given = parser.parse_args()
    mutants = [m for m in yaml.safe_load(LIST.read_text()) if given.part in m["name"]]
    with tempfile.TemporaryDirectory() as above, ThreadPoolExecutor(given.n) as pool:
        folders = [copy(Path(above).resolve() / str(number)) for number in range(given.n)]
        verdict, shown = run(folders[0], sorted({t for m in mutants for t in m["test"].split()}))
        if verdict != PASSED or "skipped" in shown:
            print(f"{shown}\nWithout a mutant all these tests must run and pass.")
            return 1
        free = SimpleQueue()
        for folder in folders:
            free.put(folder)

        def one(mutant: dict) -> str | None:
            folder = free.get()
            try:
                return fault(mutant, folder)
            finally:
                free.put(folder)

        found = list(tqdm(pool.map(one, mutants), total=len(mutants), unit="mutant"))
    survived = [sentence for sentence in found if sentence]
    print(*survived, f"caught {len(mutants) - len(survived)} of {len(mutants)}", sep="\n")
    return bool(survived)


if __name__ == "__main__":
    sys.exit(main())
