"""The list of mutants is in order; ``make mutants`` runs it."""

import pytest
import yaml
from mutate import LIST, ROOT, mutated

MUTANTS = yaml.safe_load(LIST.read_text(encoding="utf-8"))


def test_there_are_many_and_each_has_a_name_of_its_own():
    names = [m["name"] for m in MUTANTS]
    assert len(names) >= 60 and len(set(names)) == len(names)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m["name"])
def test_a_mutant_is_whole_and_other_code_that_compiles(mutant):
    assert set(mutant) == {"name", "file", "old", "new", "test"}
    file, text, wrong = mutated(mutant)
    assert wrong != text
    compile(wrong, str(file), "exec")
    for test in mutant["test"].split():
        assert (ROOT / test.partition("::")[0]).exists(), test


@pytest.mark.parametrize(
    ("file", "old"), [("metrics.py", "no such text"), ("metrics.py", "import"), ("gone.py", "x")]
)
def test_old_text_that_is_not_there_once_is_named(file, old):
    with pytest.raises(ValueError, match=f"m: {file} must hold `old` exactly once"):
        mutated({"name": "m", "file": file, "old": old, "new": ""})
