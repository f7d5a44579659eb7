"""The tables on the page of data follow registry and record."""

import json

import pytest

from mchelpers.pages.cards import data_page
from mchelpers.record.chapter import load_record


def test_a_row_a_set_and_a_row_a_version(done):
    page = done.root / "book" / "start" / "data.md"
    page.parent.mkdir()
    page.write_text("# Data\n<!-- data:begin -->\nold\n<!-- data:end -->\nlast\n")
    used = {"grains": {"kind": "simulated", "sha256": "0123456789abcdef" * 4}}
    done.record.write_text(json.dumps({**load_record(done), "data": used}))
    text = data_page(done.root)[page]
    assert text.startswith("# Data\n") and text.endswith("<!-- data:end -->\nlast\n")
    assert "old" not in text
    row = "| `grains` | simulated | `0123456789ab` | [demo/01_first](/book/demo/01_first.ipynb) |"
    assert row in text
    assert "| `graphene_hrtem` | 263 |" in text


def test_marks_are_needed_and_a_book_without_the_page_has_none(done):
    assert data_page(done.root) == {}
    page = done.root / "book" / "start" / "data.md"
    page.parent.mkdir()
    page.write_text("# Data\n")
    with pytest.raises(ValueError, match="needs a line"):
        data_page(done.root)
