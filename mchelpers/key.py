"""Keys: what a kept training, a simulated image or an exported engine was made of.

The code that made it counts by :mod:`mchelpers.source`, arguments by their content, arrays by
every byte. The same content has the same key in every process and on every Python.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import numpy as np

from .source import NAME, Package, Place, canonical, digest, first_line, literal

__all__ = ["fingerprint"]


@cache
def _package() -> Package:
    """The source of the package that runs."""
    return Package(Path(__file__).parent)


def fingerprint(*parts: object) -> str:
    """Hash settings, arrays, tensors, functions and classes into one key.

    A function or class of the package counts with all code that it reaches there, one from
    elsewhere (a chapter's cell) with its own code and what that names; a ``partial`` with its
    arguments, a dataclass with its fields.

    Raises
    ------
    TypeError
        For what has no content to tell, such as an open file or a random generator.
    """
    return digest(repr(_describe(parts, frozenset())))


def _describe(part, seen: frozenset[int]):
    """Tell the content of something in tuples and strings."""
    torch = sys.modules.get("torch")
    if isinstance(part, np.generic):
        return _describe(part.item(), seen)
    if part is None or isinstance(part, bool | int | float | complex | str | bytes):
        return (type(part).__name__, repr(part))
    if torch and isinstance(part, torch.Tensor):
        flat = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return _array(part.dtype, part.shape, flat.numpy())
    if isinstance(part, np.ndarray) and part.dtype != object:
        return _array(
            part.dtype.str, part.shape, np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        )
    if isinstance(part, list | tuple):
        return ("list", *(_describe(p, seen) for p in part))
    if isinstance(part, set | frozenset):
        return ("set", *sorted(repr(_describe(p, seen)) for p in part))
    if isinstance(part, dict):
        return ("dict", *sorted(repr(_describe(pair, seen)) for pair in part.items()))
    if isinstance(part, partial):
        return ("partial", _describe((part.func, part.args, part.keywords), seen))
    if isinstance(part, MethodType):
        return ("method", part.__name__, _describe(part.__self__, seen))
    if isinstance(part, FunctionType | type):
        return _describe_code(part, seen)
    if hasattr(part, "__wrapped__"):  # such as one that functools.cache wraps
        return ("wrapped", _describe(inspect.unwrap(part), seen))
    if callable(part) and hasattr(part, "__qualname__"):  # compiled: of Python or a library
        return ("library", part.__module__, part.__qualname__)
    if torch and isinstance(part, torch.nn.Module):
        return ("network", repr(part), _describe((type(part), dict(part.state_dict())), seen))
    if torch and isinstance(part, torch.dtype | torch.device):
        return ("torch", str(part))
    if is_dataclass(part):
        values = {f.name: getattr(part, f.name) for f in fields(part)}
        return ("dataclass", _describe((type(part), values), seen))
    raise TypeError(
        f"a {type(part).__name__} cannot be part of a key, for its content cannot be told; "
        "pass plain settings, arrays, functions or dataclasses"
    )


def _array(kind, shape, flat: np.ndarray):
    return ("array", str(kind), tuple(shape), hashlib.sha256(flat).hexdigest())


def _describe_or_name(value, seen: frozenset[int]):
    """As :func:`_describe`; an object whose content cannot be told counts by its kind."""
    try:
        return _describe(value, seen)
    except TypeError:
        return ("object", type(value).__qualname__)


def _describe_code(part, seen: frozenset[int]):
    """Tell a function or class by its code."""
    if id(part) in seen:
        return ("again", part.__qualname__)
    seen = seen | {id(part)}
    place = _place(part)
    if place is not None and not _is_replaced(part, place):
        found = _package().reach([place])
        inner = part.__qualname__.partition(".")[2]  # a method, or made inside a function
        changes = [_changed(p, seen) for p in sorted(found)]
        return (
            "code",
            sorted(found.values()),
            inner,
            [c for c in changes if c],
            _carried(part, seen),
        )
    if _is_library(part):
        return ("library", part.__module__, part.__qualname__)
    if isinstance(part, type):
        bases = [b for b in part.__bases__ if b is not object]
        members = {n: _describe_or_name(_plain(m), seen) for n, m in _members(part).items()}
        return ("class", _describe(bases, seen), sorted(members.items()))
    node = _node(part)
    named = {
        ast.unparse(n): _describe_or_name(_value(n, part.__globals__), seen)
        for n in ast.walk(node)
        if isinstance(n, ast.Name | ast.Attribute)
    }
    return ("function", canonical(node, {}), sorted(named.items()), _carried(part, seen))


def _place(part) -> Place | None:
    """Find a function or class in the package's source."""
    top, _, module = (part.__module__ or "").partition(".")
    found = _package().find(module, part.__qualname__.partition(".")[0]) if top == NAME else None
    return found if isinstance(found, tuple) else None


def _members(kind: type) -> dict[str, object]:
    """What a class body binds, without what Python adds of itself."""
    ours = {n: m for n, m in vars(kind).items() if not (n.startswith("__") and n.endswith("__"))}
    return ours | _methods(kind)


def _plain(member: object) -> object:
    """Return the function in a property, a static method or a class method."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def _methods(kind: type) -> dict[str, FunctionType]:
    return {n: m for n, m in vars(kind).items() if isinstance(m, FunctionType)}


def _carried(part, seen: frozenset[int]):
    """Tell what a function carries beside its code: its closure and its defaults."""
    if not isinstance(part, FunctionType):
        return ()
    cells = [cell.cell_contents for cell in part.__closure__ or ()]
    return tuple(
        _describe_or_name(v, seen) for v in (*cells, part.__defaults__, part.__kwdefaults__)
    )


def _value(node: ast.AST, names: dict):
    """Return what a global name, or an attribute of one, stands for; None for a module."""
    found = _look_up(node, names)
    return None if isinstance(found, ModuleType) else found


def _look_up(node: ast.AST, names: dict):
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_look_up(node.value, names), node.attr, None)
    return None


def _is_library(part) -> bool:
    """Whether code comes with Python or an installed package: it is named, not read."""
    file = getattr(sys.modules.get(part.__module__), "__file__", None) or ""
    return "site-packages" in file or file.startswith(sys.base_prefix)


def _node(function: FunctionType) -> ast.AST:
    """Find the syntax tree of a function or lambda."""
    name, first = function.__qualname__, function.__code__.co_firstlineno
    try:
        tree = ast.parse("".join(inspect.findsource(function)[0]))
    except (OSError, SyntaxError) as error:
        raise TypeError(f"{name} cannot be part of a key: no source ({error})") from None
    kind = ast.Lambda if function.__name__ == "<lambda>" else ast.FunctionDef
    found = [n for n in ast.walk(tree) if isinstance(n, kind) and first_line(n) == first]
    if not found:
        raise TypeError(f"{name} cannot be part of a key: its source has changed")
    return ast.Module(found, [])  # two lambdas of one line cannot be told apart: both count


def _is_replaced(part, place: Place) -> bool:
    """Whether a running process put something else where the source defines a thing."""
    functions = [part] if isinstance(part, FunctionType) else _methods(part).values()
    for code in (inspect.unwrap(f).__code__ for f in functions):
        inside = any(
            first_line(n) <= code.co_firstlineno <= n.end_lineno for n in _package().nodes(place)
        )
        ours = code.co_filename.startswith(str(_package().folder))
        if not (ours and inside) and not code.co_filename.startswith("<"):  # <string>: a dataclass
            return True
    return False


def _changed(place: Place, seen: frozenset[int]):
    """Tell what a running process made of a definition, if not what its source says."""
    module = sys.modules.get(".".join(filter(None, (NAME, place[0]))))
    if module is None or place[1] not in vars(module):
        return None
    live = inspect.unwrap(vars(module)[place[1]])
    if isinstance(live, FunctionType | type):
        if _place(live) != place or _is_replaced(live, place):
            live = _methods(live) if _place(live) == place and isinstance(live, type) else live
            return (place[1], _describe_or_name(live, seen))
        return None
    nodes = _package().nodes(place)
    written = literal(getattr(nodes[0], "value", None))
    if len(nodes) > 1 or isinstance(written, ast.AST) or repr(written) == repr(live):
        return None
    return (place[1], _describe_or_name(live, seen))
