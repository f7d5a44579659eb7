"""Every built page in a browser: no other host, not heavy, not too wide, open to everybody.

``python tests/browser/test_pages.py`` prints the table; ``pytest tests/browser`` fails where a page
is not as it must be. Both look at ``_build/html``, so build first.
"""

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))  # run as a program, pytest's path is not there
from chromium import browser, find_chromium, served  # noqa: E402

SITE = Path(os.environ.get("MCHELPERS_SITE", REPOSITORY / "_build" / "html"))
AXE = Path(__file__).with_name("axe.min.js")  # axe-core 4.14.1, MPL-2.0; only here, not published
MOST_BYTES = 3_000_000  # that travel when a page is opened for the first time
NARROW = 390  # CSS pixels: a telephone
SERIOUS = ("serious", "critical")
MODES = ("light", "dark")

RUN_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then(result => result.violations.map(
  v => ({id: v.id, impact: v.impact, places: v.nodes.map(n => n.target.join(" "))})))
"""
# Wider than the window, and neither in a box that scrolls by itself nor hidden from the eye.
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def pages() -> list[str]:
    """List the built pages of the book; ``PAGES`` takes those whose names begin with a word."""
    names = sorted(str(p.relative_to(SITE)) for p in (SITE / "book").rglob("*.html"))
    return [n for n in names if n.startswith(f"book/{os.environ.get('PAGES', '')}")]


def look_at(page, address: str, name: str) -> dict:
    """Open a page; collect what is wrong with it, and what it weighs."""
    page.size(1280)
    page.open(f"{address}/{name}")
    asked = page.requests()
    found = {
        "bytes": sum(asked.values()),
        "other hosts": sorted({u for u in asked if not u.startswith(address)}),
        "not there": sorted(page.missing()),
    }
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for mode in MODES:
        page.evaluate(f"document.documentElement.dataset.theme = '{mode}'; void 0")
        found[mode] = page.evaluate(RUN_AXE)
    page.size(NARROW, 844)
    found["too wide"] = page.evaluate(TOO_WIDE)
    return found


def serious(found: dict) -> list[str]:
    """List the serious violations of a page in words, each once for the modes that have it."""
    said: dict[str, list[str]] = {}
    for mode in MODES:
        for v in found[mode]:
            if v["impact"] in SERIOUS:
                said.setdefault(f"{v['id']} at {', '.join(v['places'][:3])}", []).append(mode)
    return [f"{what} ({' and '.join(modes)})" for what, modes in said.items()]


@pytest.fixture(scope="module")
def tab():
    if find_chromium() is None:
        pytest.skip("there is no Chromium here: install one, or name it with CHROMIUM")
    with served(SITE) as address, browser() as page:
        yield page, address


@pytest.mark.skipif(not pages(), reason="there is no built page: python -m mchelpers book")
@pytest.mark.parametrize("name", pages())
def test_a_page_is_light_narrow_and_open_to_everybody(tab, name):
    found = look_at(*tab, name)
    assert found["other hosts"] == []
    assert found["not there"] == []
    assert serious(found) == []
    assert found["too wide"] <= 0
    assert found["bytes"] <= MOST_BYTES


def main() -> None:
    """Print a line for each page, and what is serious below it."""
    print(f"{'page':44} {'MB':>5} {'hosts':>5} {'wide':>5} {'light':>5} {'dark':>5} {'serious':>7}")
    with served(SITE) as address, browser() as page:
        for name in pages():
            found = look_at(page, address, name)
            counts = [sum(len(v["places"]) for v in found[mode]) for mode in MODES]
            print(
                f"{name:44} {found['bytes'] / 1e6:5.2f} {len(found['other hosts']):5} "
                f"{found['too wide']:5} {counts[0]:5} {counts[1]:5} {len(serious(found)):7}",
                *serious(found),
                *found["not there"],
                sep="\n    ",
                flush=True,
            )


if __name__ == "__main__":
    main()
