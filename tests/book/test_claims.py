"""Claims: what is malformed is named, what is sound is judged."""

import json

import pytest
from conftest import CLAIMS, REPOSITORY, make_book

from mchelpers.book import claims, record
from mchelpers.book.schema import first_fault

SOUND = CLAIMS.replace("table1-score", "sound")


def write(root, text):
    (root / "book" / "demo" / "claims.yml").write_bytes(
        text if isinstance(text, bytes) else text.encode()
    )


@pytest.fixture
def bare(tmp_path):
    """Return a tiny book whose study has one sound claim, and no record."""
    root = make_book(tmp_path)
    write(root, SOUND)
    return root


def test_a_claim_without_a_result_is_refused(done):
    path = done.root / "book" / "demo" / "claims.yml"
    path.write_text(path.read_text().replace("demo.score", "demo.gone"))
    (fault,) = claims.check_claims(done.root)
    assert "demo.gone" in fault


def claim(**change):
    entry = {
        "study": "s",
        "id": "i",
        "where": "",
        "metric": "",
        "paper": 0.8,
        "result": "c:k",
        "better": "higher",
        "tolerance": 0.02,
        "comparable": "same-data",
        "why": "",
    }
    return claims.Claim(**{**entry, **change})


@pytest.mark.parametrize(
    ("change", "here", "verdict"),
    [
        ({}, 0.81, "reproduced"),
        ({}, 0.9, "exceeded"),
        ({}, 0.7, "short"),
        ({"better": "lower"}, 0.7, "exceeded"),
        ({"better": "lower"}, 0.9, "short"),
        ({"better": "equal"}, 0.9, "differs"),
        ({"comparable": "other-data", "why": "x"}, 0.9, "other data"),
        ({"comparable": "not-run", "why": "x", "result": ""}, None, "not run"),
    ],
)
def test_verdicts(change, here, verdict):
    assert claims.judge(claim(**change), here) == verdict


def test_a_claim_without_a_record_has_no_verdict():
    with pytest.raises(ValueError, match="no record"):
        claims.judge(claim(), None)


@pytest.mark.parametrize("here", [0.884, 0.844])
def test_a_tolerance_that_is_met_exactly_is_met(here):
    """0.884 - 0.864 is a little more than 0.02 for a computer."""
    assert claims.judge(claim(paper=0.864), here) == "reproduced"


def test_rounding_is_relative_so_that_small_numbers_keep_their_verdict():
    small = claim(paper=2.0e-11, tolerance=1.0e-12)
    assert claims.judge(small, 2.1e-11) == "reproduced"
    assert claims.judge(small, 2.2e-11) == "exceeded"


def test_drift_allows_what_the_tolerance_allows():
    old, new, far = ({"results": {"k": {"mean": m}}} for m in (0.864, 0.884, 0.885))
    assert claims.drift([claim()], "c", old, new) == []
    (fault,) = claims.drift([claim()], "c", old, far)
    assert "moved from 0.864 to 0.885" in fault
    (fault,) = claims.drift([claim()], "c", old, {"results": {}})
    assert "is gone" in fault


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('  why: ""\n', "", "'why' is a required property"),
        ("same-data", "other-data", "must say why"),
        ("same-data", "nearly", "comparable: 'nearly' is not one of"),
        ("higher", "bigger", "better: 'bigger' is not one of"),
        ("01_first:demo.score", '""', "not-run with a reason"),
        ("01_first:demo.score", "demo.score", "chapter:key"),
        ('same-data\n  why: ""', "not-run\n  why: x", "has no result"),
        ("paper: 0.6", 'paper: "0.6"', "paper: '0.6' is not of type 'number'"),
        ("paper: 0.6", "paper: .nan", "paper: nan is not of type 'number'"),
        ("paper: 0.6", "paper: yes", "paper: True is not of type 'number'"),
        ("paper: 0.6", "paper:", "paper: None is not of type 'number'"),
        ("tolerance: 0.02", "tolerance: 1e-3", "write 0.001"),
        ("tolerance: 0.02", "tolerance: -1", "less than the minimum"),
        ("tolerance: 0.02", "tolerance: 0.02\n  note: x", "'note' was unexpected"),
        ("id: table1-score", "id: 2021-01-01", "is not of type 'string'"),
    ],
)
def test_a_malformed_claim_is_one_fault_and_the_others_are_read(bare, old, new, words):
    assert old in CLAIMS
    write(bare, CLAIMS.replace(old, new).replace("Table 1", "x" * 500) + SOUND)
    (good,), (fault,) = claims.read_claims(bare, "demo")
    assert good.id == "sound"
    assert fault.startswith("book/demo/claims.yml: claim ") and words in fault
    assert "\n" not in fault
    with pytest.raises(ValueError, match="claims.yml"):
        claims.load_claims(bare, "demo")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "None is not of type 'array'"),
        ("a: 1", "is not of type 'array'"),
        ("[]", "(a list of claims)"),
        ("- {a: ]", "is not YAML"),
        ("- !!python/object/apply:os.system [true]", "is not YAML"),
        ("- 2021-13-77", "is not YAML"),
        ("<<<<<<< HEAD\n" + CLAIMS, "is not YAML"),
        (b"- \xff\xfe", "is not YAML"),
    ],
)
def test_a_malformed_file_is_one_fault(bare, text, words):
    write(bare, text)
    (fault,) = claims.check_claims(bare)
    assert fault.startswith("book/demo/claims.yml") and words in fault
    assert "\n" not in fault


def test_an_entry_that_is_no_claim_and_an_id_that_stands_twice_are_named(bare):
    write(bare, "- just words\n" + SOUND + SOUND)
    (good,), faults = claims.read_claims(bare, "demo")
    assert len(faults) == 2
    assert "claim 1: 'just words' is not of type 'object'" in faults[0]
    assert "claim 'sound' stands there twice" in faults[1]


def test_the_schemas_take_what_the_book_holds():
    for study in claims.studies(REPOSITORY):
        assert claims.read_claims(REPOSITORY, study)[1] == []
    for chapter in record.chapters(REPOSITORY):
        assert first_fault("record", json.loads(chapter.record.read_text())) == {}
