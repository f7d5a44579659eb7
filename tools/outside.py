"""Ask what the book needs of other hosts: links that answer, data that comes with its hash.

``python tools/outside.py`` writes a report in Markdown and ends with 1 if something is wrong.
Nothing is executed, and nothing of the book's is installed for it.
"""

from __future__ import annotations

import re
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"https?://[^\s<>\"'`|{}]*[^\s<>\"'`|{}.,;:!?*_\]\)]")
# Publishers refuse programs, whatever is behind the link.
REFUSALS = (401, 403, 405, 406, 418, 429, 503)
NO_LINK = ("https://colab.research.google.com/", "https://x.y/", "http://localhost")


def find_links(files: Iterable[Path]) -> dict[str, list[str]]:
    """Map each address to the files that name it."""
    found: dict[str, list[str]] = {}
    for file in files:
        for link in LINK.findall(file.read_text(encoding="utf-8")):
            if not link.startswith(NO_LINK):
                names = found.setdefault(link, [])
                names += [file.name] if file.name not in names else []
    return found


def ask(link: str, seconds: float = 30) -> str | None:
    """Open an address; return what is wrong with it, None if it answers or refuses a program."""
    request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        return None if error.code in REFUSALS else f"{error.code} {error.reason}"
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None


def check_data(paths: Iterable[str], folder: Path, fetch) -> dict[str, str]:
    """Fetch registered files into an empty folder; map each that does not come to its error."""
    faults = {}
    for path in paths:
        try:
            fetch(path, folder)
        except Exception as error:  # whatever it is, the file did not come
            faults[path] = f"{type(error).__name__}: {error}".splitlines()[0]
    return faults


def main() -> int:
    """Look, write the report, and say whether all is well."""
    sys.path.insert(0, str(ROOT))
    from mchelpers.downloads import fetch, registry

    pages = [*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md"), ROOT / "book/references.bib"]
    links = find_links(sorted(pages))
    faults = {link: fault for link in links if (fault := ask(link))}
    with tempfile.TemporaryDirectory() as folder:
        lost = check_data(registry(), Path(folder), fetch)
    print(f"{len(links)} links, {len(faults)} do not answer.\n")
    for link, fault in faults.items():
        print(f"- {link} ({', '.join(links[link])}): {fault}")
    print(f"\n{len(registry())} registered files, {len(lost)} do not come.\n")
    for path, fault in lost.items():
        print(f"- `{path}`: {fault}")
    return int(bool(faults or lost))


if __name__ == "__main__":
    sys.exit(main())
