"""Citations of one chapter in plain Markdown, and the list of what it cites."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

__all__ = ["References"]


class References:
    """What one chapter cites from ``book/references.bib``.

    Attributes
    ----------
    cited
        Keys of the entries that were cited so far.
    """

    def __init__(self, chapter: str, root: Path) -> None:
        self.chapter, self.file = chapter, root / "book" / "references.bib"
        self.cited: set[str] = set()

    @cached_property
    def bibliography(self):
        """All entries of the book."""
        from pybtex.database import parse_file

        return parse_file(str(self.file))

    def cite(self, keys: str) -> str:
        """Write ``One and Two (2021)``, linked; keys are separated by commas."""
        sources = map(self._source, keys.split(","))
        return ", ".join(_linked(f"{names} ({year})", where) for names, year, where in sources)

    def cite_aside(self, keys: str) -> str:
        """Write ``(One and Two, 2021)``, linked; keys are separated by commas."""
        sources = map(self._source, keys.split(","))
        cited = "; ".join(_linked(f"{names}, {year}", where) for names, year, where in sources)
        return f"({cited})"

    def _source(self, key: str) -> tuple[str, str, str]:
        """Look an entry up: names, year, and its address (may be empty)."""
        key = key.strip()
        if key not in self.bibliography.entries:
            raise ValueError(f"{self.chapter}: {key!r} is not in book/references.bib")
        self.cited.add(key)
        entry = self.bibliography.entries[key]
        people = [p.rich_prelast_names + p.rich_last_names for p in entry.persons["author"]]
        names = [" ".join(map(str, p)) for p in people]
        if len(names) > 2 or names[-1] == "others":
            names = [f"{names[0]} et al."]
        return " and ".join(names), entry.fields["year"], _address(entry.fields)

    def listed(self) -> str:
        """List what was cited, as the bibliography of the site does."""
        from pybtex.plugin import find_plugin

        style = find_plugin("pybtex.style.formatting", "plain")()
        backend = find_plugin("pybtex.backends", "markdown")()
        entries = style.format_bibliography(self.bibliography, sorted(self.cited))
        lines = (" ".join(entry.text.render(backend).split()) for entry in entries)
        # Needless escapes would only disturb who reads the file itself.
        return "\n".join("- " + re.sub(r"\\([-.()])", r"\1", line) for line in lines)


def _address(fields) -> str:
    preprint = re.search(r"arXiv:(\S+)", fields.get("note", ""))
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url") or (f"https://arxiv.org/abs/{preprint[1]}" if preprint else "")


def _linked(text: str, address: str) -> str:
    return f"[{text}]({address})" if address else text
