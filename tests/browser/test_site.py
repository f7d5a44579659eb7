"""The built site asks no other host: what its pages load lies beside them."""

import re

import pytest
from conftest import REPOSITORY

SITE = REPOSITORY / "_build" / "html"
BUILT = pytest.mark.skipif(
    not (SITE / "book" / "index.html").exists(),
    reason="there is no built page: python -m mchelpers book",
)

LOADS = re.compile(
    r"<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\ssrc=[\"']((?:https?:)?//[^\"']*)"
    r"|<link\b(?![^>]*rel=[\"'](?:canonical|search|next|prev))[^>]*?href=[\"']((?:https?:)?//[^\"']*)"
    r"|@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"')]*)"
    r"|url\([\"']?((?:https?:)?//[^\"')]*)"
)


def loaded(text):
    return {next(filter(None, found)) for found in LOADS.findall(text)}


def test_what_is_loaded_is_told_from_what_is_linked():
    text = """<a href="https://a.b">x</a> <img alt="y" src="https://c.d/e.png">
    <link rel="stylesheet" href="//f.g/h.css" /> <style>@import "https://i.j"; p {
    background: url(https://k.l)}</style> <script src="../m.js"></script>"""
    assert loaded(text) == {"https://c.d/e.png", "//f.g/h.css", "https://i.j", "https://k.l"}


@BUILT
def test_no_page_and_no_style_sheet_loads_from_another_host():
    files = [*SITE.rglob("*.html"), *SITE.rglob("*.css")]
    found = {str(f.relative_to(SITE)): loaded(f.read_text(encoding="utf-8")) for f in files}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}


@BUILT
def test_formulae_come_with_the_fonts_that_they_ask_for():
    script = SITE / "_static" / "mathjax" / "tex-chtml.js"
    names = set(re.findall(r"MathJax_[\w-]+(?=\.woff)", script.read_text(encoding="utf-8")))
    fonts = script.parent / "output" / "chtml" / "fonts" / "woff-v2"
    assert names and names <= {f.stem for f in fonts.glob("*.woff")}
