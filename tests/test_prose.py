"""Prose types no number that a run should make: such numbers come from the record.

A decimal with three or more digits behind the point is a measurement. In the words of a page it
has to be glue, or a number that the paper of the study prints and a claim holds, or one of
``TYPED``, each with its reason.
"""

import re
from functools import cache

import pytest
import yaml
from conftest import REPOSITORY

BOOK = REPOSITORY / "book"
PAGES = [f for f in sorted(BOOK.rglob("*.md")) if f.parent.name not in ("record", "reference")]
DECIMAL = re.compile(r"(?<![\w.,/-])-?\d*\.\d{3,}(?![\w/])")
NO_PROSE = re.compile(
    r"\{[\w:+-]+\}`[^`]*`|`[^`]+`|\$\$.*?\$\$|\$[^$\n]+\$|https?://\S+|<!--.*?-->", re.S
)
FENCE = re.compile(r"(`{3,}|~{3,})(?:\{([\w:-]+)\})?")
LISTINGS = ("", "code-cell", "code-block", "math", "include", "bibliography")
CAPTION = re.compile(r"^ +(?:caption|alt): *(.*)$", re.M)

TYPED: dict[str, dict[str, str]] = {
    "nanoparticles/02_classical": {
        "0.085": "cycles a pixel: the {111} planes of gold at 0.02 nm a pixel",
        "0.098": "cycles a pixel: the {200} planes of gold at 0.02 nm a pixel",
        "0.013": "cycles a pixel: between those two",
        "0.081": "cycles a pixel: the widest planes of CdSe at 0.03 nm a pixel",
        "0.086": "cycles a pixel: the widest planes of CdSe at 0.03 nm a pixel",
    },
    "graphene_hrtem/01_data": {
        "0.142": "length of graphene's bond in nm",
        "0.213": "spacing of graphene's {100} planes in nm",
    },
}
"""page -> number -> why it may be typed: a constant of nature, or of the instrument."""


@cache
def printed(study: str) -> set[str]:
    """Collect the numbers that the paper of a study prints, with and without the leading zero."""
    file = BOOK / study / "claims.yml"
    claims = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else []
    numbers = {c["paper"] for c in claims if "paper" in c}
    return numbers | {n.replace("0.", ".", 1) for n in numbers if n.startswith("0.")}


def words(text: str) -> str:
    """Take a page's words: no listing, no cell, no front matter."""
    kept, inside = [], []  # fences that are open, with whether they hold a listing
    body = re.sub(r"\A---\n.*?^---$", "", text, count=1, flags=re.M | re.S)
    for line in body.splitlines():
        fence = FENCE.match(line)
        if fence and inside and line.strip() == inside[-1][0]:
            inside.pop()
        elif fence and not any(listing for _, listing in inside):
            inside.append((fence[1], (fence[2] or "") in LISTINGS))
        elif not any(listing for _, listing in inside):
            kept.append(line)
    return NO_PROSE.sub(" ", "\n".join(kept))


def typed_decimals(text: str) -> list[str]:
    """List the decimals in a page's words, captions and descriptions of figures."""
    captions = "\n".join(CAPTION.findall(text))
    return [n for part in (words(text), captions) for n in DECIMAL.findall(part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(BOOK)))
def test_no_number_that_a_run_should_make_is_typed(page):
    name = page.relative_to(BOOK).with_suffix("").as_posix()
    known = printed(page.parent.name) | TYPED.get(name, {}).keys()
    assert [n for n in typed_decimals(page.read_text(encoding="utf-8")) if n not in known] == []


def test_every_exception_is_still_needed_and_has_a_reason():
    for name, numbers in TYPED.items():
        text = (BOOK / f"{name}.md").read_text(encoding="utf-8")
        assert set(numbers) <= set(typed_decimals(text)), name
        assert all(len(why.split()) > 2 for why in numbers.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("F1 rose to 0.871, then .8725.", ["0.871", ".8725"]),
        ("by {glue:text}`unet.f1:.3f` at `lr=0.001` and $x = 0.125$", []),
        (
            "```{code-cell} ipython3\n---\nmystnb:\n    caption: It is 0.125.\n---\nx\n```",
            ["0.125"],
        ),
        ("```{code-cell} ipython3\nrate = 0.001\n```\nand 0.99", []),
        ("```{admonition} The answer\n0.871\n```", ["0.871"]),
        (":::{note}\n0.871\n:::", ["0.871"]),
        ("doi 10.1017/S1431 and https://x.org/0.12345 and 3.11.1234", []),
    ],
)
def test_what_counts_as_typed(text, found):
    assert typed_decimals(text) == found
