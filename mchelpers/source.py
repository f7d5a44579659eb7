"""Which code of the package another piece of code reaches, read from its source alone.

The digest of a definition is that of its canonical syntax tree: comments, docstrings, the words of
errors, the fields that newer Pythons add, and the names of modules do not count, so that a pure
move changes nothing and every Python agrees. What a definition reaches are the functions, classes,
constants and packaged data files that it names, and what those name.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["NAME", "Package", "Place", "canonical", "digest", "first_line", "literal"]

NAME = __name__.partition(".")[0]
# What keeps results, writes them down, finds files (by their hash) or installs makes none of them.
_BOOKKEEPING = ".need run record book downloads install key simulate.cache source".split()
# The registry names files by their hash: a file counts where it is used.
_UNCOUNTED = ("registry.csv", "py.typed")
_NAMES = (ast.Name, ast.Attribute, ast.Constant)
_DATA = "data file"  # stands for the module of a packaged data file
Place = tuple[str, str]  # module below the package ("" is the package itself), name in it


def digest(content: str | bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


def literal(node: ast.AST | None):
    """Return the value of a literal, or the node itself if it is none."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return node


def first_line(node: ast.AST) -> int | None:
    """Return the line that a definition begins on, decorators included."""
    decorators = getattr(node, "decorator_list", None)
    return decorators[0].lineno if decorators else getattr(node, "lineno", None)


def canonical(node, marks: dict[int, str], own_name: str = ""):
    """Turn a syntax tree into nested tuples without what does not count.

    Parameters
    ----------
    node
        A tree, a list of trees, or the value of a field.
    marks
        ``id`` of a node -> what stands for it, for names of the package.
    own_name
        Left out, so that a renamed definition is the same.
    """
    if isinstance(node, list):
        return tuple(canonical(n, marks, own_name) for n in node if not _is_silent(n))
    if not isinstance(node, ast.AST):
        return "" if own_name and node == own_name else repr(node)
    if id(node) in marks:
        return ("code", marks[id(node)])
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        return ("Raise", canonical(node.exc.func, marks, own_name))  # not in which words
    parts = (
        (name, canonical(value, marks, own_name))
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("ctx", "kind", "type_comment")
    )
    return (type(node).__name__, *parts)


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """As ``ast.walk``, but for the words of errors."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            waiting.append(node.exc.func)
        else:
            waiting += ast.iter_child_nodes(node)


def _is_silent(node) -> bool:
    """Whether a statement does nothing to a result: a docstring, an import of the package."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.ImportFrom) and _is_own(node)


def _is_own(node: ast.ImportFrom) -> bool:
    return bool(node.level) or (node.module or "").partition(".")[0] == NAME


def _is_bookkeeping(place: Place) -> bool:
    """Whether code keeps results, writes them down or installs, and so makes none."""
    here = ".".join(place)
    return any(here == own or here.startswith(f"{own}.") for own in _BOOKKEEPING)


def _root(node: ast.AST) -> str:
    """Name the ``x`` of ``x``, ``x.y`` and ``x[0].y()``."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _bound(node: ast.stmt) -> list[str]:
    """Name what a statement at the top of a module defines or changes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        parts = (t.elts if isinstance(t, ast.Tuple | ast.List) else [t] for t in node.targets)
        return [_root(target) for targets in parts for target in targets]
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return [_root(node.target)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [_root(node.value.func)]
    return []


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """List the statements of a module, those under ``if``, ``try`` and ``with`` too."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            parts = [node, *getattr(node, "handlers", [])]
            for part in parts:
                yield from _statements(part.body)
            yield from _statements(getattr(node, "orelse", []))
        else:
            yield node


@dataclass
class _Module:
    """What a module defines, and which parts of the package its names were imported from."""

    name: str
    is_package: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Place | str] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, text: str, is_package: bool = False) -> _Module:
        module = cls(name, is_package)
        tree = ast.parse(text)
        module.imports = module.imported(ast.walk(tree))
        for node in _statements(tree.body):
            for bound in _bound(node):
                # A call or += changes what was defined above, but defines nothing.
                if bound in module.definitions or not isinstance(node, ast.Expr | ast.AugAssign):
                    module.definitions.setdefault(bound, []).append(node)
        return module

    def imported(self, nodes: Iterable[ast.AST]) -> dict[str, Place | str]:
        """Map each name that an import of the package binds to a module or (module, name)."""
        found: dict[str, Place | str] = {}
        for node in nodes:
            if isinstance(node, ast.Import):
                own = (a for a in node.names if a.name.partition(".")[0] == NAME)
                for alias in own:
                    below = alias.name.partition(".")[2] if alias.asname else ""
                    found[alias.asname or NAME] = below
            elif isinstance(node, ast.ImportFrom) and _is_own(node):
                base = self.name.split(".") if self.name else []
                base = base[: len(base) - node.level + self.is_package] if node.level else []
                path = (node.module or "").removeprefix(NAME).lstrip(".")
                where = ".".join(filter(None, [*base, path]))
                for alias in node.names:
                    found[alias.asname or alias.name] = (where, alias.name)
        return found


class Package:
    """The source of the package in a folder, read without importing it.

    Parameters
    ----------
    folder
        That of the package's ``__init__.py``.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        files = (f for f in self.folder.rglob("*") if f.suffix and f.suffix not in (".py", ".pyc"))
        self._files = {f.name: f for f in files if f.name not in _UNCOUNTED}
        self._modules: dict[str, _Module | None] = {}
        self._marks: dict[Place, str] = {}
        self._visited: dict[Place, tuple[str, set[Place]]] = {}
        self._found: dict[ast.AST, dict[int, Place]] = {}
        moved = self._module("_moved")
        tables = {n: moved.definitions[n][0].value for n in ("MODULES", "OBJECTS")} if moved else {}
        self._moved = literal(tables["MODULES"]) if moved else {}
        self._moved_objects = literal(tables["OBJECTS"]) if moved else {}

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            path = self.folder.joinpath(*filter(None, name.split(".")))
            is_package = (path / "__init__.py").exists()
            file = path / "__init__.py" if is_package else path.with_suffix(".py")
            text = file.read_text(encoding="utf-8") if file.exists() else None
            self._modules[name] = None if text is None else _Module.parse(name, text, is_package)
        return self._modules[name]

    def nodes(self, place: Place) -> list[ast.stmt]:
        """Return the statements that define and change what is at a place."""
        return self._module(place[0]).definitions[place[1]]

    def find(self, module: str, name: str) -> Place | str | None:
        """Find where a name of a module is defined; a string if it is a module itself."""
        if (module, name) in self._moved_objects:
            return self.find(self._moved_objects[module, name], name)
        home = self._module(module) or self._module(self._moved.get(module, "none of that name"))
        if home is None:
            return None
        if name in home.definitions:
            return home.name, name
        if name in home.imports:
            return self._follow(home.imports[name])
        return self._below(home.name, name)

    def _follow(self, target: Place | str) -> Place | str | None:
        if isinstance(target, str):
            return target
        return self._below(*target) or self.find(*target)

    def _below(self, module: str, name: str) -> str | None:
        below = ".".join(filter(None, (module, name)))
        return below if self._module(below) or below in self._moved else None

    def _targets(self, tree: ast.AST, home: _Module) -> dict[int, Place]:
        """Map the ``id`` of each node that names a definition of the package to its place."""
        if tree not in self._found:
            nodes = list(_walk(tree))
            local = home.imported(nodes)
            found = ((id(n), self._look(n, local, home)) for n in nodes if isinstance(n, _NAMES))
            self._found[tree] = {i: place for i, place in found if isinstance(place, tuple)}
        return self._found[tree]

    def _look(self, node: ast.AST, local: dict, home: _Module) -> Place | str | None:
        """Find what a name, an attribute or a file's name stands for; a string for a module."""
        if isinstance(node, ast.Name):
            known = node.id in local
            return self._follow(local[node.id]) if known else self.find(home.name, node.id)
        if isinstance(node, ast.Attribute):
            base = self._look(node.value, local, home)
            return self.find(base, node.attr) if isinstance(base, str) else None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = re.split(r"[/\\]", node.value)[-1]
            return (_DATA, name) if name in self._files else None
        return None

    def _mark(self, place: Place) -> str:
        """Return what stands for a definition where another names it: the same after a move."""
        if _is_bookkeeping(place):
            return ""
        if place[0] == _DATA:
            return place[1]
        if place not in self._marks:
            home = self._module(place[0])
            blank = [
                canonical(node, dict.fromkeys(self._targets(node, home), ""), place[1])
                for node in self.nodes(place)
            ]
            self._marks[place] = digest(repr(blank))
        return self._marks[place]

    def _visit(self, place: Place) -> tuple[str, set[Place]]:
        """Digest one definition, and list the places that it names."""
        if place[0] == _DATA:
            return digest(self._files[place[1]].read_bytes()), set()
        if place not in self._visited:
            named, texts = set(), []
            for node in self.nodes(place):
                targets = self._targets(node, self._module(place[0]))
                named |= {t for t in targets.values() if not _is_bookkeeping(t)}
                marks = {i: self._mark(t) if t != place else "" for i, t in targets.items()}
                texts.append(canonical(node, marks, place[1]))
            self._visited[place] = digest(repr(texts)), named
        return self._visited[place]

    def reach(self, roots: Iterable[Place]) -> dict[Place, str]:
        """Digest the definitions that ``roots`` reach, themselves among them."""
        found, waiting = {}, list(roots)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found[place], named = self._visit(place)
                waiting += named
        return found

    def reach_of_cells(self, cells: list[str]) -> dict[str, str]:
        """Digest what a chapter's code cells reach: ``module.name`` -> digest."""
        # Lines of IPython's own do nothing here.
        lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", x) for x in "\n".join(cells).splitlines()]
        text = "\n".join(lines)
        outside = _Module.parse("(cells)", text)
        roots = self._targets(ast.parse(text), outside).values()
        found = self.reach({place for place in roots if not _is_bookkeeping(place)})
        return {".".join(filter(None, place)): found[place] for place in sorted(found)}
