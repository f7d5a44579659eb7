"""What claims and records must look like: the JSON schemas in ``schemas``."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources

__all__ = ["first_fault"]


@cache
def _validator(name: str):
    from jsonschema import Draft202012Validator, validators

    def finite(checker, value) -> bool:
        return (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        )

    checker = Draft202012Validator.TYPE_CHECKER.redefine("number", finite)
    strict = validators.extend(Draft202012Validator, type_checker=checker)
    text = (resources.files(__package__) / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    return strict(json.loads(text))


def first_fault(name: str, content: object) -> dict[object, str]:
    """Hold content against a schema.

    Parameters
    ----------
    name
        ``"claims"`` or ``"record"``.
    content
        What YAML or JSON gave.

    Returns
    -------
    dict
        First part of the path (an index, a key; None for the whole) -> what is wrong with
        it first. Empty if the content is as the schema wants it.
    """
    faults: dict[object, str] = {}
    for error in _validator(name).iter_errors(content):
        first, *rest = [*error.absolute_path] or [None]
        said = error.message
        if len(said) > 160:  # it repeats the content
            said = f"{said[:80]} ... {said[-80:]}"
        hint = error.schema.get("description")
        where = "".join(f"{part}: " for part in rest)
        faults.setdefault(first, where + said + (f" ({hint})" if hint else ""))
    return faults
