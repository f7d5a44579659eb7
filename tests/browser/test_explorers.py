"""Each study has a picture that the reader changes, in the built book, by keyboard alone.

``MCHELPERS_SITE`` names the folder of a built book; ``make test`` sets it once that stands.
"""

import os
from pathlib import Path

import pytest
from chromium import browser, find_chromium
from conftest import needs

SITE = os.environ.get("MCHELPERS_SITE")
pytestmark = [
    needs("tornado"),
    pytest.mark.skipif(not SITE, reason="MCHELPERS_SITE names no built book"),
    pytest.mark.skipif(
        find_chromium() is None, reason="no Chromium here: the page needs a browser"
    ),
]
EXPLORERS = {  # page -> what its first slider changes
    "graphene_hrtem/02_bragg": "mask threshold",
    "afm_coverage/01_labels": "threshold L*",
    "nanoparticles/01_data": "underfocus",
    "tmd_optical/06_live": "round",
}
SEEN = "[...document.querySelectorAll('img.widget-image')].find((i) => i.offsetParent)"


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_arrow_key_shows_another_picture(name):
    with browser() as page:
        page.open((Path(SITE).resolve() / "book" / f"{name}.html").as_uri())
        page.wait("document.querySelector('.noUi-handle')?.ariaLabel")
        page.wait(SEEN)
        handle = "document.querySelector('.noUi-handle')"
        assert page.evaluate(f"{handle}.ariaLabel") == EXPLORERS[name]
        assert page.evaluate(f"{handle}.tabIndex") == 0
        frames, words = [], []
        for _ in range(3):
            page.evaluate(f"{handle}.focus()")
            frames.append(page.evaluate(f"{SEEN}.src"))
            words.append(page.evaluate(f"{handle}.ariaValueText"))
            page.press("ArrowRight")
            page.wait(f"{SEEN}.src !== {frames[-1]!r}")
        assert len(set(frames)) == len(set(words)) == 3
        assert page.evaluate(f"{SEEN}.alt").endswith(f"{page.evaluate(f'{handle}.ariaValueText')})")
