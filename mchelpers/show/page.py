"""Code and tables as outputs of a cell."""

from __future__ import annotations

import ast
import html
import inspect
import numbers
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def source(function: Callable, docstring: bool = False) -> None:
    """Display the code of a function or class, as it is at this moment.

    Parameters
    ----------
    function
        A function or class written in Python.
    docstring
        Show the docstring whole; by default only its first line.
    """
    from IPython.display import Markdown, display

    code = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    if not docstring:
        code = _shorten_docstrings(code)
    fence = "`" * 4  # longer than any fence inside a docstring
    display(Markdown(f"{fence}python\n{code.rstrip()}\n{fence}"))


def _shorten_docstrings(code: str) -> str:
    """Keep the first line of each docstring."""
    lines = code.splitlines()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [n for n in ast.walk(ast.parse(code)) if isinstance(n, kinds) and ast.get_docstring(n)]
    for node in sorted(found, key=lambda n: n.lineno, reverse=True):  # from below: lines move up
        text = node.body[0]
        if text.end_lineno > text.lineno:
            lines[text.lineno - 1 : text.end_lineno] = [lines[text.lineno - 1].rstrip() + '"""']
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]], digits: int = 3) -> None:
    """Display rows as a table, in HTML and as plain text.

    Parameters
    ----------
    rows
        One mapping per row, column -> value. A column missing in a row, None
        and NaN are shown as a dash; floats with ``digits`` decimals.
    digits
        Decimals of floats.

    Raises
    ------
    ValueError
        If there is no row.
    """
    from IPython.display import display

    if not rows:
        raise ValueError("a table needs at least one row")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(c), digits) for c in columns] for row in rows]
    right = [any(_is_number(row.get(c)) for row in rows) for c in columns]
    display(
        {"text/html": _html(columns, cells, right), "text/plain": _plain(columns, cells, right)},
        raw=True,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def _cell(value: Any, digits: int) -> str:
    if value is None or (_is_number(value) and not np.isfinite(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value)}"
    return f"{float(value):.{digits}f}" if _is_number(value) else str(value)


def _html(columns: list[str], cells: list[list[str]], right: list[bool]) -> str:
    def row(tag: str, values: list[str]) -> str:
        sides = ["right" if r else "left" for r in right]
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(str(v))}</{tag}>'
            for v, side in zip(values, sides, strict=True)
        )

    body = "".join(f"<tr>{row('td', values)}</tr>" for values in cells)
    return (
        f'<table class="dataframe"><thead><tr>{row("th", columns)}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _plain(columns: list[str], cells: list[list[str]], right: list[bool]) -> str:
    lines = [[str(c) for c in columns], *cells]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    return "\n".join(
        "  ".join(
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
