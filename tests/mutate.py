"""Make each mistake of mutants.yml in a copy of the project: its test must notice.

A mutant is a small change of the package after which the book would say something untrue.
Run as ``python tests/mutate.py [-n 2] [PART_OF_NAME]``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import yaml
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("mutants.yml")


def mutated(mutant: dict, folder: Path = ROOT) -> tuple[Path, str, str]:
    """Return the file of a mutant, its text, and its text with the mistake.

    Raises
    ------
    ValueError
        If the text that is to be changed does not stand there exactly once.
    """
    file = folder / "mchelpers" / mutant["file"]
    text = file.read_text(encoding="utf-8")
    if text.count(mutant["old"]) != 1:
        raise ValueError(f"{mutant['name']}: {mutant['file']} must hold `old` exactly once")
    return file, text, text.replace(mutant["old"], mutant["new"])


def copy(folder: Path) -> Path:
    """Copy the working tree, and see that the package of the copy is the one that runs."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    where = run(folder, "-c", "import mchelpers; print(mchelpers.__file__)").stdout
    assert Path(where.strip()).is_relative_to(folder), f"not the copy is imported, but {where}"
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """Run Python in a copy, with the package of the copy."""
    # No byte code, which Python would take for that of the next mutant of the same second.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def run_tests(folder: Path, tests: list[str]) -> subprocess.CompletedProcess:
    return run(folder, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)


def verdict(mutant: dict, folder: Path) -> str | None:
    """Make the mistake in a copy and run its test; return a fault unless that fails."""
    try:
        file, text, wrong = mutated(mutant, folder)
    except ValueError as error:
        return str(error)
    file.write_text(wrong, encoding="utf-8")
    code = run_tests(folder, mutant["test"].split()).returncode
    file.write_text(text, encoding="utf-8")
    return None if code == 1 else f"{mutant['name']}: survived (pytest ended with {code})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", default="", help="of a name; all without it")
    parser.add_argument("-n", type=int, default=1, help="how many at a time")
    given = parser.parse_args()
    mutants = [m for m in yaml.safe_load(LIST.read_text()) if given.part in m["name"]]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.n) as pool:
        free = SimpleQueue()
        for number in range(given.n):
            free.put(copy(Path(folder).resolve() / str(number)))

        def one(mutant: dict) -> str | None:
            folder = free.get()
            try:
                return verdict(mutant, folder)
            finally:
                free.put(folder)

        tests = sorted({t for m in mutants for t in m["test"].split()})
        plain = run_tests(Path(folder).resolve() / "0", tests)
        if plain.returncode or "skipped" in plain.stdout:
            print(f"without any mutant all tests must pass\n{plain.stdout}")
            return 1
        faults = list(tqdm(pool.map(one, mutants), total=len(mutants), unit="mutant"))
    faults = [fault for fault in faults if fault]
    print(*faults, f"caught {len(mutants) - len(faults)} of {len(mutants)}", sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
