"""The page of inputs is made by reading, names no folder of this machine, and repeats."""

import re

from mchelpers.inputs.page import inputs_page


def test_the_page_says_what_happens_to_each_file():
    page = inputs_page("notice")
    rows = re.findall(r"^\| (.+) \| (read|refused): (.+) \|$", page, re.M)
    found = {what: (outcome, words) for what, outcome, words in rows}
    assert len(found) == len(rows) == page.count("\n| ") - 1 > 30
    assert found["JPEG with the EXIF orientation 6"][1].startswith("64 x 48")
    assert found["TIFF of ImageJ, 50 pixels a nm"][1].endswith("pixel size 0.02 nm")
    assert found["PNG, RGB"][1].endswith("pixel size unknown")
    assert "decompression bomb" in found["PNG whose header asks for 30 GB"][1]
    assert all("*the file*" in words for kind, words in found.values() if kind == "refused")
    assert "/tmp" not in page and page == inputs_page("notice")
