"""Where a chapter works, and what moved in it: both follow what is on disk."""

import json

from mchelpers.book.execute import execute
from mchelpers.pages import runs
from mchelpers.record.chapter import load_record


def test_the_matrix_has_a_column_a_place_and_says_why_a_chapter_did_not_run(done):
    text = runs.status_page(done.root, "notice")
    assert "| chapter | CPU | GPU |" in text and "| not yet |" in text
    ran = {"seconds": 7.4, "fault": None}
    places = [
        {
            "name": "Colab-like",
            "executed_at": "2026-11-29T00:00:00Z",
            "versions": {"Python": "3.12.1", "torch": "2.14.1"},
            "chapters": {"demo/01_first": ran},
        },
        {
            "name": "no torch",
            "executed_at": "2026-11-28T00:00:00Z",
            "versions": {"Python": "3.13.0"},
            "chapters": {"demo/01_first": {**ran, "fault": "needs torch"}},
        },
        {"name": "none", "executed_at": "2026-11-27", "versions": {}, "chapters": {}},
    ]
    (done.root / "book" / "record" / "elsewhere.json").write_text(json.dumps(places))
    text = runs.status_page(done.root, "notice")
    assert "| Colab-like (2026-11-29) | no torch (2026-11-28) | none (2026-11-27) |" in text
    assert "| not yet | 7 s | needs torch | – |" in text
    assert "- **Colab-like**: Python 3.12.1, torch 2.14.1" in text


def test_an_execution_is_added_to_the_history_with_the_claimed_results_that_moved(done):
    first = load_record(done)
    assert [h["new"] for h in first["history"]] == [1]
    more = '0.9], data="real"); run.log("demo.other", 1.0, data="real"'
    text = done.source.read_text()
    done.source.write_text(text.replace('0.7], data="real"', more))
    execute(done, "laptop", accept_drift=True)
    old, new = load_record(done)["history"]
    assert old == first["history"][0]
    assert (new["new"], new["gone"]) == (1, 0)
    assert list(new["moved"]) == ["demo.score"]
    page = runs.changes_page(done.root, "notice")
    assert "| 1 | 0 | `demo.score` 0.6 → 0.7 |" in page
    assert page.index("0.6 → 0.7") < page.index("| 1 | 0 | none |")


def test_a_damaged_record_begins_a_new_history(done):
    done.record.write_text("{")
    execute(done, "laptop")
    assert len(load_record(done)["history"]) == 1
