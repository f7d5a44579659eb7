"""Entries of claims: what is malformed is named, what is sound is read."""

import json

import pytest
from conftest import CLAIMS, REPOSITORY, make_book

from mchelpers.claims import entries, results
from mchelpers.record import chapter as record
from mchelpers.record.schema import first_fault

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


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  where: Table 1\n", "", "'where' is a required property"),
        ("  metric: score\n", "", "'metric' is a required property"),
        ("same-data", "other-setting", "must say why"),
        ("same-data", "nearly", "comparable: 'nearly' is not one of"),
        ("higher", "bigger", "better: 'bigger' is not one of"),
        ("01_first:demo.score", '""', "not-run with a reason"),
        ("01_first:demo.score", "demo.score", "chapter:key"),
        ("same-data\n", "not-run\n  why: x\n", "has no result"),
        ('"0.60"', "0.6", "in quotes: its last digit counts"),
        ('"0.60"', '"6e-1"', "as it is printed"),
        ('"0.60"', '".6 %"', "as it is printed"),
        ('paper: "0.60"', "paper:", "paper: None is not of type 'string'"),
        ("{from: digit}", "0.02", "tolerance: 0.02 is not of type 'object' (its reason"),
        ("{from: digit}", "{from: habit}", "from: 'habit' is not one of"),
        ("{from: digit}", "{from: digit, value: 0.02, why: x}", "has no key and no value"),
        ("{from: digit}", "{from: trainings, value: 0.02}", "'why' is a dependency of 'value'"),
        ("{from: digit}", "{from: trainings, value: 1e-3, why: x}", "write 0.001"),
        ("{from: digit}", "{from: trainings, value: .nan, why: x}", "nan is not of type 'number'"),
        ("{from: digit}", "{from: sets, value: -1, why: x}", "less than or equal to the minimum"),
        ("{from: digit}", "{from: digit}\n  note: x", "'note' was unexpected"),
        ("id: table1-score", "id: 2021-01-01", "is not of type 'string'"),
    ],
)
def test_a_malformed_claim_is_one_fault_and_the_others_are_read(bare, old, new, words):
    assert old in CLAIMS
    write(bare, CLAIMS.replace(old, new).replace("Table 1", "x" * 500) + SOUND)
    (good,), (fault,) = entries.read_claims(bare, "demo")
    assert good.id == "sound"
    assert fault.startswith("book/demo/claims.yml: claim ") and words in fault
    assert "\n" not in fault
    with pytest.raises(ValueError, match="claims.yml"):
        entries.load_claims(bare, "demo")


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
    (fault,) = results.check_claims(bare)
    assert fault.startswith("book/demo/claims.yml") and words in fault
    assert "\n" not in fault


def test_an_entry_that_is_no_claim_and_an_id_that_stands_twice_are_named(bare):
    write(bare, "- just words\n" + SOUND + SOUND)
    (good,), faults = entries.read_claims(bare, "demo")
    assert len(faults) == 2
    assert "claim 1: 'just words' is not of type 'object'" in faults[0]
    assert "claim 'sound' stands there twice" in faults[1]


SENTENCE = """\
- id: ahead
  where: Abstract
  sentence: A is above B
  compare: order
  of: [["01_first:a", "01_first:b"]]
  comparable: same-data
"""


def test_a_sentence_and_its_defaults(bare):
    write(bare, SOUND + SENTENCE)
    number, sentence = entries.load_claims(bare, "demo")
    assert (number.kind, sentence.kind) == ("number", "order")
    assert number.results == (("01_first:demo.score",),)
    assert sentence.results == (("01_first:a", "01_first:b"),)
    assert (number.says, sentence.says) == ("score", "A is above B")
    assert number.tolerance == entries.Tolerance("digit")
    assert sentence.keys == ["01_first:a", "01_first:b"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("order", "likeness", "'likeness' is not one of"),
        ('[["01_first:a", "01_first:b"]]', "[]", "results, or not-run with a reason"),
        ('[["01_first:a", "01_first:b"]]', '["01_first:a"]', "a comparison is a list of keys"),
        ("compare: order", "compare: sign", "a sign has single keys"),
        ("compare: order", "compare: ratio", "'paper' is a required property"),
        ("compare: order", "compare: order\n  bound: about", "'tolerance' is a required property"),
        ("compare: order", "compare: order\n  metric: x", "'metric' was unexpected"),
        ("same-data", "not-run\n  why: x", "what was not run has no result"),
    ],
)
def test_a_malformed_sentence_is_named(bare, old, new, words):
    assert old in SENTENCE
    write(bare, SENTENCE.replace(old, new))
    (fault,) = entries.read_claims(bare, "demo")[1]
    assert words in fault and "\n" not in fault


def test_the_schemas_take_what_the_book_holds():
    for study in entries.studies(REPOSITORY):
        assert entries.read_claims(REPOSITORY, study)[1] == []
    for chapter in record.chapters(REPOSITORY):
        assert first_fault("record", json.loads(chapter.record.read_text())) == {}
