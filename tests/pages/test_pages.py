"""Generated pages: they follow the record, and never delete what is not theirs."""

import json

import pytest

from mchelpers.pages import generate as pages
from mchelpers.record import chapter as record


def test_pages_follow_the_record(done):
    results = (done.root / "book" / "record" / "results.md").read_text()
    assert "**reproduced**" in results
    assert "/book/demo/01_first.ipynb#a-number" in results
    readme = (done.root / "README.md").read_text()
    assert readme.startswith("# D") and readme.rstrip().endswith("end")
    assert "The demo study" in readme
    (done.root / "README.md").write_text(readme.replace("| 1 |", "| 2 |"))
    assert any("README.md" in f for f in pages.check_pages(done.root))


BOTH = "<!-- verdicts:begin -->\n<!-- verdicts:end -->\n"


@pytest.mark.parametrize(
    "marks",
    [
        "<!-- verdicts:begin -->\n<!-- verdicts: end -->\n",
        "<!-- verdict:begin -->\n<!-- verdicts:end -->\n",
        "<!-- verdicts:end -->\n<!-- verdicts:begin -->\n",
        BOTH + BOTH,
        "",
    ],
    ids=["misspelt end", "misspelt begin", "reversed", "double", "missing"],
)
def test_marks_that_are_not_right_are_refused_and_nothing_is_written(done, marks):
    readme = done.root / "README.md"
    text = f"# D\n{marks}a long text\n"
    readme.write_text(text)
    results = done.root / "book" / "record" / "results.md"
    results.write_text("old")
    with pytest.raises(ValueError, match="README.md needs one line"):
        pages.write_pages(done.root)
    assert (readme.read_text(), results.read_text()) == (text, "old")
    assert "README.md needs one line" in pages.check_pages(done.root)[0]


def test_a_study_without_a_title_is_named(done):
    (done.root / "book" / "demo" / "index.md").write_text("words\n")
    assert "demo/index.md has no title" in pages.check_pages(done.root)[0]


def test_the_page_of_runs_says_commit_hours_and_where_the_training_ran(done):
    ran = record.load_record(done)
    about = {"commit": "abc1234", "training_s": 5400, "trained_on": ["GPU A", "GPU B"]}
    done.record.write_text(json.dumps({**ran, **about}))
    text = pages.generate(done.root)[done.root / "book" / "record" / "runs.md"]
    assert "| abc1234 |" in text and "| 1.5 | GPU A, GPU B |" in text
    assert "that their commit does not hold" not in text
    done.record.write_text(json.dumps({**ran, **about, "commit": "abc1234-dirty"}))
    text = pages.generate(done.root)[done.root / "book" / "record" / "runs.md"]
    assert "| abc1234-dirty |" in text
    assert "that their commit does not hold" in text and "text: demo/01_first.\n" in text
    old = {k: v for k, v in ran.items() if k != "trained_on"}  # recorded before it was asked for
    done.record.write_text(json.dumps({**old, "commit": None}))
    text = pages.generate(done.root)[done.root / "book" / "record" / "runs.md"]
    assert "| none |" in text
