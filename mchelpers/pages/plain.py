"""The notebook that people open: a chapter in Markdown that every notebook viewer can show.

``chapter.md`` holds roles and directives that only the site understands. The
committed ``chapter.ipynb`` holds the same text with the recorded numbers in
their places, captions below figures, citations and links spelled out, and
solutions folded. Its code cells and outputs are those of the execution.
"""

from __future__ import annotations

import copy
import posixpath
import re
from functools import cached_property
from itertools import count

from ..record.chapter import Chapter, cell_hashes, chapters, read_page
from .references import References

__all__ = ["dump", "glued", "merged", "plain", "render"]

GLUE = "application/papermill.record/text/plain"
ADMONITIONS = "admonition attention caution danger error hint important note seealso tip warning"
# What a solution's code looks like until it is opened: in Jupyter, in older ones, in Colab.
FOLDED = {
    "jupyter": {"source_hidden": True, "outputs_hidden": True},
    "collapsed": True,
    "cellView": "form",
}
SOLUTION = re.compile(r"^```\{solution-(start|end)\}.*?^```$\n?", re.M | re.S)
# Listings and inline code are found too, so that nothing inside them is read as markup.
MARKUP = re.compile(
    r"^(?P<fence>`{3,}|:{3,})(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ ]*(?:\n|\Z)"
    r"|^\((?P<target>[^()\s]+)\)=\n"
    r"|\{(?P<role>[\w:+-]+)\}`(?P<text>[^`]+)`"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|^\$\$(?P<formula>(?:(?!\$\$).)+)\$\$ *\((?P<label>[\w-]+)\)"
    r"|(?<=\]\()(?!https?:|mailto:|\#)(?P<link>[^()\s]+)(?=\))",
    re.M | re.S,
)
RAW = re.compile(r"\{[\w:+-]+\}`|^[`:]{3,}\{.*|\{\{.*?\}\}", re.M)


def dump(notebook) -> str:
    """Write a notebook as text, the same at every execution."""
    import nbformat

    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"  # random ids would change the file at every execution
    # The kernel reports its own exact version there, which says nothing about the chapter.
    notebook.metadata.pop("language_info", None)
    return nbformat.writes(notebook) + "\n"


def merged(chapter: Chapter):
    """Join a chapter's text with its recorded outputs: the notebook that the site shows.

    Raises
    ------
    ValueError
        If the code changed: then only an execution can make the outputs.
    """
    source, notebook = read_page(chapter.source), read_page(chapter.notebook)
    if cell_hashes(source) != cell_hashes(notebook):
        raise ValueError(f"{chapter.name}: the code of text and notebook differ, execute it")
    executed = (c for c in notebook.cells if c.cell_type == "code")
    for cell in source.cells:
        if cell.cell_type == "code":
            old = next(executed)
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    if "widgets" in notebook.metadata:
        source.metadata["widgets"] = notebook.metadata["widgets"]
    return source


def glued(notebook) -> dict[str, str]:
    """Collect what ``run.log`` and ``run.glue`` handed to the text: name -> value as text."""
    outputs = (o for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    return {
        o.metadata["scrapbook"]["name"]: o.data[GLUE] for o in outputs if GLUE in o.get("data", {})
    }


def render(chapter: Chapter) -> str:
    """Make the text of the file that is committed.

    Raises
    ------
    ValueError
        If the code changed, or a construct, label, number, page or reference is unknown.
    """
    return dump(plain(chapter, merged(chapter)))


def plain(chapter: Chapter, notebook):
    """Turn a chapter with outputs into a notebook of plain Markdown.

    Parameters
    ----------
    chapter
        The chapter.
    notebook
        Its text with the recorded outputs (see `merged`).

    Returns
    -------
    nbformat.NotebookNode
        Its code cells have the same sources and outputs.

    Raises
    ------
    ValueError
        Naming the chapter and the construct that cannot be shown.
    """
    from nbformat.v4 import new_markdown_cell, new_notebook

    words = _Words(chapter, glued(notebook))
    cells, is_solution, is_folded = [], False, False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text, is_folded, is_solution = words.prose(cell.source, is_solution)
            if text:
                cells.append(new_markdown_cell(text))
            continue
        cells.append(copy.deepcopy(cell))
        if is_folded:
            cells[-1].metadata.update(FOLDED)
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:
            number = words.figures.index(figure["name"]) + 1
            caption = words.spell(figure["caption"].strip())
            cells.append(new_markdown_cell(f"**Figure {number}.** {caption}"))
    if words.references.cited:
        cells.append(new_markdown_cell(f"## References\n\n{words.references.listed()}"))
    kept = {k: notebook.metadata[k] for k in ("kernelspec", "widgets") if k in notebook.metadata}
    return new_notebook(cells=cells, metadata=kept)


def _figures(chapter: Chapter) -> list[str]:
    return re.findall(r"^ +name: (fig-\S+)$", chapter.source.read_text(encoding="utf-8"), re.M)


def _titled(text: str) -> tuple[str, str]:
    """Split ``title <target>``; the title is empty where only a target stands."""
    match = re.fullmatch(r"(.+?)\s*<([^<>]+)>", text, re.S)
    return (match[1], match[2]) if match else ("", text)


class _Words:
    """The words of one chapter, and what they refer to."""

    def __init__(self, chapter: Chapter, numbers: dict[str, str]) -> None:
        self.chapter, self.root, self.numbers = chapter, chapter.root, numbers
        self.references = References(chapter.name, chapter.root)
        self.exercises = count(1)
        self.figures = _figures(chapter)
        text = chapter.source.read_text(encoding="utf-8")
        self.equations = re.findall(r"(?:\$\$ *\(|^:label: )(eq-[\w-]+)", text, re.M)
        self.roles = {
            "cite:p": self.references.cite_aside,
            "cite:t": self.references.cite,
            "doc": self._page,
            "eq": lambda label: f"({self._equation(label)})",
            "glue:text": self._number,
            "math": lambda formula: f"${formula}$",
            "numref": self._figure,
            "ref": self._figure,
            "term": self._code,
        }

    @cached_property
    def address(self) -> str:
        """Where the public repository shows its files."""
        import yaml

        text = (self.root / "_config.yml").read_text(encoding="utf-8")
        repository = yaml.safe_load(text)["repository"]
        return f"{repository['url']}/blob/{repository['branch']}"

    def refuse(self, what: str) -> ValueError:
        """Make the error that names the chapter and what cannot be shown."""
        return ValueError(f"{self.chapter.name}: {what}")

    def prose(self, source: str, is_solution: bool) -> tuple[str, bool, bool]:
        """Spell a Markdown cell, its solutions folded.

        Parameters
        ----------
        source
            Text of the cell.
        is_solution
            Whether a solution that began above goes on here.

        Returns
        -------
        text, is_folded, is_solution
            Whether the code below belongs to a solution; whether that goes on below the code.
        """
        states = [is_solution, *(word == "start" for word in SOLUTION.findall(source))]
        texts = [t.strip() for t in SOLUTION.split(source)[::2]]
        goes_on = states[-1]
        if len(texts) > 2 and not texts[-1] and not goes_on:  # code right below is the solution's
            texts.pop(), states.pop()
        last = len(texts) - 1
        shown = [
            self._solution(self.spell(text), below=n == last) if inside else self.spell(text)
            for n, (text, inside) in enumerate(zip(texts, states, strict=True))
            if text or (inside and n == last)
        ]
        return "\n\n".join(shown).strip(), states[-1], goes_on

    def _solution(self, text: str, below: bool) -> str:
        if not text:
            return "**Solution** (folded below)"
        note = " (its code is folded below)" if below else ""
        return f"<details>\n<summary>Solution{note}</summary>\n\n{text}\n\n</details>"

    def spell(self, text: str) -> str:
        """Replace every construct of the site's markup by plain Markdown."""
        spelled = MARKUP.sub(self._replace, text).strip()
        left = RAW.search(spelled)
        if left:
            raise self.refuse(f"{left[0]} was left as it is; is it closed?")
        return spelled

    def _replace(self, match: re.Match) -> str:
        if match["fence"]:
            return self._block(match)
        if match["target"]:
            return ""
        if match["role"]:
            return self._role(match["role"], match["text"])
        if match["label"]:
            return self._displayed(match["formula"], match["label"])
        if match["link"]:
            return self._address_of(match["link"])
        return match[0]

    def _role(self, role: str, text: str) -> str:
        if role.startswith("py:"):
            return self._code(text)
        if role not in self.roles:
            raise self.refuse(f"unknown role {{{role}}}`{text}`; teach it to mchelpers.pages.plain")
        return self.roles[role](text)

    def _block(self, match: re.Match) -> str:
        directive = re.match(r"\{([\w:-]+)\} *(.*)", match["info"])
        if not directive:
            return match[0]
        kind, argument = directive.groups()
        options = dict(re.findall(r"^:([\w-]+): *(.*)$", match["body"], re.M))
        body = re.sub(r"\A(?::[\w-]+:.*\n)+", "", match["body"])
        if kind == "exercise-start":
            return f"**Exercise {next(self.exercises)}.** "
        if kind == "exercise-end":
            return ""
        if kind == "math":
            return self._displayed(body, options.get("label", "")) + "\n"
        if kind in ADMONITIONS.split():
            lines = [f"**{argument or kind.capitalize()}**", "", *self.spell(body).splitlines()]
            return "\n".join(f"> {line}".rstrip() for line in lines) + "\n"
        raise self.refuse(f"unknown directive {{{kind}}}; teach it to mchelpers.pages.plain")

    def _number(self, text: str) -> str:
        import nbformat
        from myst_nb.core.variables import format_plain_text

        key, _, form = text.rpartition(":") if ":" in text else (text, "", "s")
        page, _, key = key.rpartition("::")
        numbers = self.numbers
        if page:
            path = self.root / self._path(page)
            numbers = glued(nbformat.read(path, as_version=4)) if path.exists() else {}
        if key not in numbers:
            raise self.refuse(f"no number {key!r} in the outputs of {page or 'this chapter'}")
        return format_plain_text(numbers[key], form)

    def _path(self, target: str) -> str:
        """Find a page or file of the book: its path in the repository."""
        path = posixpath.normpath(posixpath.join("/book", self.chapter.name, "..", target))[1:]
        page = re.sub(r"\.(md|ipynb)$", "", path)
        if (self.root / f"{page}.md").exists():
            return page + (".ipynb" if re.search(r"/\d\d_[^/]+$", page) else ".md")
        if not (self.root / path).exists():
            raise self.refuse(f"a link leads to {target}, which is not there")
        return path

    def _address_of(self, target: str) -> str:
        file, hash_sign, anchor = target.partition("#")
        return f"{self.address}/{self._path(file)}{hash_sign}{anchor}"

    def _page(self, text: str) -> str:
        title, target = _titled(text)
        page = (self.root / self._path(target)).with_suffix(".md")
        title = title or re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)[1]
        return f"[{title}]({self._address_of(target)})"

    def _figure(self, text: str) -> str:
        title, label = _titled(text)
        for chapter in [self.chapter, *chapters(self.root)]:
            names = _figures(chapter)
            if label in names:
                said = (title or "Figure %s").replace("%s", str(names.index(label) + 1))
                if chapter == self.chapter:
                    return said
                return f"[{said}]({self._address_of(f'/book/{chapter.name}')})"
        raise self.refuse(f"no figure is called {label!r}")

    def _equation(self, label: str) -> int:
        if label not in self.equations:
            raise self.refuse(f"no equation is called {label!r}; such labels begin with eq-")
        return self.equations.index(label) + 1

    def _displayed(self, formula: str, label: str) -> str:
        tag = f" \\tag{{{self._equation(label)}}}" if label else ""
        return f"$$\n{formula.strip()}{tag}\n$$"

    def _code(self, text: str) -> str:
        title, target = _titled(text)
        short = target.rpartition(".")[2] if target.startswith("~") else target
        return f"`{title or short}`"
