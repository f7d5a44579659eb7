"""Progress bars in recorded outputs, written as text."""

from __future__ import annotations

import html
import re

__all__ = ["bars_to_text"]

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
PREFIX, RICH = "IPY_MODEL_", "OutputModel"  # the package rich draws its bars as text in one
# What tqdm writes left and right of a bar: "train:  40%" and "2/5 [00:03<00:04, 1.50fold/s]".
LEFT = re.compile(r"(?:(?P<name>.*): )? *(?P<percent>\d+)%")
RIGHT = re.compile(
    r"(?P<n>\S+)/(?P<total>\S+) \[(?P<time>[\d:]+)<[^,]*, *[\d.?]+"
    r"(?:s/(?P<slow>[^\],]+)|(?P<fast>[^\],]+)/s)"
)


def bars_to_text(notebook) -> None:
    """Replace each recorded progress bar by a line of text, and drop its widgets, in place.

    A bar that hid itself at its end leaves nothing. A notebook without any
    other widget keeps no widget state, so that its page needs no script.
    """
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    views = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            name = output.get("data", {}).get(VIEW, {}).get("model_id")
            if name in state and _is_bar(state, name):
                if not _is_hidden(state, name):
                    _print(outputs, _line(*_labels(state, name)))
                for gone in _models(state, name):
                    del state[gone]
            else:
                views += name is not None
                outputs.append(output)
        cell.outputs = outputs
    if not views:
        notebook.metadata.pop("widgets", None)


def _children(state: dict, name: str) -> list[str]:
    return [c.removeprefix(PREFIX) for c in state[name]["state"].get("children", [])]


def _is_bar(state: dict, name: str) -> bool:
    kinds = [state[c]["model_name"] for c in _children(state, name)]
    return "FloatProgressModel" in kinds or state[name]["model_name"] == RICH


def _is_hidden(state: dict, name: str) -> bool:
    layout = state[name]["state"]["layout"].removeprefix(PREFIX)
    return state[name]["model_name"] == RICH or state[layout]["state"]["visibility"] == "hidden"


def _labels(state: dict, name: str) -> tuple[str, str]:
    left, _, right = _children(state, name)
    texts = (html.unescape(state[c]["state"]["value"]) for c in (left, right))
    left, right = (t.replace("\u2007", " ").strip() for t in texts)
    return left, right


def _models(state: dict, name: str) -> list[str]:
    """List a bar's own models: its box, its parts, their layouts and styles."""
    parts = [name, *_children(state, name)]
    looks = [state[p]["state"].get(kind) for p in parts for kind in ("layout", "style")]
    return parts + [look.removeprefix(PREFIX) for look in looks if look]


def _line(left: str, right: str) -> str:
    begin, end = LEFT.fullmatch(left), RIGHT.match(right)
    if not begin or not end:  # a bar without a total, say
        return f"{left} {right}"
    unit = end["slow"] or end["fast"]
    parts = [
        f"{begin['percent']} %",
        f"{end['n']} of {end['total']}" + (f" {unit.strip()}s" if unit != "it" else ""),
        end["time"].removeprefix("0"),
    ]
    if end["n"] != end["total"]:
        parts.append("never moved" if end["n"] == "0" else "not finished")
    return (f"{begin['name']}: " if begin["name"] else "") + ", ".join(parts)


def _print(outputs: list, line: str) -> None:
    from nbformat.v4 import new_output

    last = outputs[-1] if outputs else {}
    if last.get("name") == "stdout":
        last["text"] += line + "\n"
    else:
        outputs.append(new_output("stream", name="stdout", text=line + "\n"))
