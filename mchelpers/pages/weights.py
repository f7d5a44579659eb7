"""Trained networks that ship with the book: files in ``weights``, each with a card and a hash."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from ..record.chapter import Chapter, load_record
from ..record.files import write_atomically
from ..record.schema import first_fault

__all__ = ["check_weights", "ship", "weights_page"]

MAX_FILE_BYTES, MAX_BYTES = 16_000_000, 100_000_000
BEGIN, END = "<!-- weights:begin -->", "<!-- weights:end -->"


def _files(root: Path) -> list[Path]:
    return sorted((root / "weights").glob("*.safetensors"))


def _cards(root: Path) -> dict[str, dict]:
    """Read the cards: file name -> what its user must know."""
    import yaml

    file = root / "weights" / "cards.yml"
    if not file.exists():
        return {}
    cards = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    for name, fault in first_fault("weights", cards).items():
        raise ValueError(f"weights/cards.yml, {name or 'as a whole'}: {fault}")
    return cards


def _row(root: Path, file: Path) -> str:
    """Spell a file's row of the registry."""
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    raw = config["url"].replace("https://github.com/", "https://raw.githubusercontent.com/")
    content = file.read_bytes()
    path = f"weights/{file.name}"
    sha256 = hashlib.sha256(content).hexdigest()
    return f"{path},{sha256},{len(content)},{raw}/{config['branch']}/{path}"


def check_weights(root: Path) -> list[str]:
    """List shipped files without a card, cards without a file, wrong hashes, and what is too large.

    Returns
    -------
    list of str
        One sentence per fault.
    """
    files = _files(root)
    try:
        cards = _cards(root)
    except ValueError as error:
        return [str(error)]
    names = {f.name for f in files}
    faults = [f"weights/{n} has no card in weights/cards.yml" for n in sorted(names - set(cards))]
    faults += [f"weights/cards.yml: there is no file {n}" for n in sorted(set(cards) - names)]
    registered = (root / "mchelpers" / "registry.csv").read_text(encoding="utf-8").splitlines()
    for file in files:
        if file.stat().st_size > MAX_FILE_BYTES:
            faults.append(f"weights/{file.name} has more than {MAX_FILE_BYTES / 1e6:.0f} MB")
        if _row(root, file) not in registered:
            faults.append(
                f"weights/{file.name} is not the registered file; if it is meant to change: "
                f"python -m mchelpers ship {file.stem}"
            )
    if sum(f.stat().st_size for f in files) > MAX_BYTES:
        faults.append(f"the files of weights have more than {MAX_BYTES / 1e6:.0f} MB in all")
    return faults


def ship(root: Path, name: str) -> Path:
    """Copy a kept training into ``weights`` and write its row of the registry.

    Parameters
    ----------
    root
        Of the book.
    name
        Of the kept file, without its ending.

    Raises
    ------
    ValueError
        If there is none, or it is too large.
    """
    from ..train import run_folder

    file, kept = root / "weights" / f"{name}.safetensors", run_folder() / f"{name}.safetensors"
    source = kept if kept.exists() else file  # that one is only registered anew
    if not source.exists():
        raise ValueError(f"{kept} is not there: train it, or adopt it, first")
    if source.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{source} has more than {MAX_FILE_BYTES / 1e6:.0f} MB")
    if source != file:
        file.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, file)
    registry = root / "mchelpers" / "registry.csv"
    lines = registry.read_bytes().decode().splitlines(keepends=True)
    rows = [r for r in lines if not r.startswith(f"weights/{file.name},")]
    end = rows[0].removeprefix(rows[0].rstrip())  # as the file has it
    write_atomically(registry, "".join([*rows, _row(root, file) + end]))
    return file


def weights_page(root: Path) -> dict[Path, str]:
    """Make the page of the shipped weights from its words and the cards: path -> text.

    Raises
    ------
    ValueError
        If a card or the page's marks are not as they must be, or a score is in no record.
    """
    page = root / "book" / "start" / "weights.md"
    if not page.exists():  # a book without one
        return {}
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"book/start/weights.md needs a line {BEGIN} and a line {END} below it")
    cards = _cards(root)
    told = [_told(root, f, cards[f.name]) for f in _files(root) if f.name in cards]
    total = sum(f.stat().st_size for f in _files(root)) / 1e6
    table = f"{len(told)} of them, {total:.1f} MB in all.\n" if told else "None yet.\n"
    return {page: f"{before}{BEGIN}\n" + "\n".join([table, *told]) + f"{END}{after}"}


def _told(root: Path, file: Path, card: dict) -> str:
    """Tell one card in Markdown."""
    score = card["score"].strip()
    if "result" in card:
        name, _, key = card["result"].partition(":")
        record = load_record(Chapter(name, root))
        if not record or key not in record["results"]:
            raise ValueError(f"weights/cards.yml, {file.name}: no result {card['result']} recorded")
        score = f"{record['results'][key]['mean']:.3g} ({{doc}}`/book/{name}`, `{key}`): {score}"
    return f"""### {card["title"]}

`{file.name}`, {file.stat().st_size / 1e6:.1f} MB

Data
: {card["data"].strip()}

Training
: {card["trained"].strip()}

Score
: {score}

Good for
: {card["range"].strip()}

Licence
: {card["licence"].strip()}

```python
from mchelpers import kept, models

file = kept.find_file("{file.name}")
network = kept.load_network({card["network"].strip()}, file)
```

```{{dropdown}} How it was trained
~~~python
{card["made_by"].strip()}
~~~
```
"""
