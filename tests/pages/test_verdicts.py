"""Pages of verdicts: what a reader is told of each claim."""

import json

import pytest

from mchelpers.claims.results import check_claims
from mchelpers.pages import verdicts
from mchelpers.record import chapter as record

CLAIMS = """\
- id: score
  where: Table 1
  metric: score
  paper: "0.60"
  result: 01_first:demo.score
  better: higher
  tolerance: {from: trainings, value: 0.02, why: "seeds of a sibling"}
  comparable: same-data
  over: "2 images"
  headline: true
- id: time
  where: Table 1
  metric: time
  paper: "0.5"
  unit: s
  result: 01_first:demo.score
  better: lower
  tolerance: {from: machine}
  comparable: same-data
- id: simulated
  where: Table 2
  metric: score, simulated
  paper: "9.0"
  result: 01_first:demo.score
  better: higher
  tolerance: {from: sets}
  comparable: other-setting
  why: "simulated images"
- id: lost
  where: Table 3
  metric: score of the large network
  paper: "0.7"
  result: ""
  better: higher
  tolerance: {from: trainings}
  comparable: not-run
  why: "no GPU"
- id: also-lost
  where: Abstract
  sentence: Larger is better
  compare: order
  of: []
  comparable: not-run
  why: "no GPU"
- id: ahead
  where: Abstract
  sentence: The score is above a quarter
  compare: sign
  of: ["01_first:demo.score"]
  paper: "0.25"
  comparable: same-data
  ours: true
"""


@pytest.fixture
def page(done):
    (done.root / "book" / "demo" / "claims.yml").write_text(CLAIMS)
    return verdicts.results_page(done.root, "")


def row(page, begins):
    (found,) = [line for line in page.splitlines() if line.startswith(f"| {begins} |")]
    return found


LINK = "[0.6](/book/demo/01_first.ipynb#a-number)"


def test_a_judged_number_shows_interval_tolerance_and_reason(page):
    said = row(page, "score")
    assert f"| 0.60 | {LINK} (laptop)" in said
    assert "± 0.02, spread between trainings: seeds of a sibling" in said
    assert said.endswith("| **reproduced** |")


def test_an_interval_says_what_it_is_over(done):
    text = CLAIMS.replace('why: "seeds of a sibling"', 'why: "x"')
    (done.root / "book" / "demo" / "claims.yml").write_text(text)
    ran = json.loads(done.record.read_text())
    ran["results"]["demo.score"] |= {"n": 12, "values": [0.6] * 12, "ci95": [0.58, 0.62]}
    done.record.write_text(json.dumps(ran))
    assert "(laptop; 0.58 to 0.62 over 2 images)" in row(
        verdicts.results_page(done.root, ""), "score"
    )


def test_what_is_not_judged_is_compared_in_words_and_without_a_difference(page):
    assert "**other setting**, lower than in the paper: simulated images |" in row(
        page, "score, simulated"
    )
    assert "| a machine: never judged | **other setting**, higher than in the paper |" in row(
        page, "time"
    )
    assert "-0.3" not in page and "+0.1" not in page


def test_what_was_not_run_is_folded_with_the_reason_that_rows_share(page):
    _, fold = page.split(":::{dropdown} Not run: 2, no GPU\n")
    assert "score of the large network" in fold and "Larger is better" in fold
    assert page.count(":::{dropdown}") == 1


def test_the_page_counts_what_hangs_on_the_tolerance(page):
    assert "own data that are judged: 1. With another verdict at half the tolerance: 0" in page


def test_the_first_page_holds_what_the_paper_stands_on_and_nothing_else(done, page):
    first = verdicts.sentences_page(done.root, "")
    assert f"| score | 0.60 | {LINK}" in first
    assert "simulated" not in first and "quarter" not in first


def test_what_could_not_be_reproduced_is_told_with_its_reason(done, page):
    path = done.root / "book" / "demo" / "claims.yml"
    missed = verdicts.missed_page(done.root, "")
    assert f"| score | 0.60 | {LINK}" not in missed and "| no GPU | 2 |" in missed
    path.write_text(path.read_text().replace('paper: "0.60"', 'paper: "0.95"'))
    assert f"| score | 0.95 | {LINK}" in verdicts.missed_page(done.root, "")


def test_verdicts_are_counted_by_study(done, page):
    counted = verdicts.verdict_table(done.root)
    assert "| reproduced | 1 |" in counted and "| other setting | 2 |" in counted
    assert "| not run | 2 |" in counted
    assert "| beyond the paper: holds | 0 of 1 |" in counted  # two values: no verdict on them


def test_a_claim_on_what_no_cell_logged_is_a_fault(done):
    path = done.root / "book" / "demo" / "claims.yml"
    path.write_text(path.read_text().replace("demo.score", "demo.gone"))
    assert check_claims(done.root) == [
        "demo: claim 'table1-score': no result '01_first:demo.gone' in the record"
    ]
    done.record.unlink()
    assert record.load_record(done) is None
    assert len(check_claims(done.root)) == 1


def test_a_reason_that_all_rows_of_a_place_share_stands_above_them_once(done):
    two = CLAIMS.replace("id: time\n  where: Table 1", "id: time\n  where: Table 2").replace(
        "from: machine}\n  comparable: same-data",
        'from: machine}\n  comparable: other-setting\n  why: "simulated images"',
    )
    (done.root / "book" / "demo" / "claims.yml").write_text(two)
    page = verdicts.results_page(done.root, "")
    assert "**Table 2**: simulated images\n" in page
    assert page.count("simulated images") == 1
