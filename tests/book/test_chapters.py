"""Every chapter has the skeleton that a reader knows from the others."""

import re

import jupytext
import pytest
from conftest import REPOSITORY

from mchelpers.claims.entries import load_claims
from mchelpers.record.chapter import chapters

CHAPTERS = chapters(REPOSITORY)


@pytest.fixture(params=CHAPTERS, ids=lambda c: c.name)
def chapter(request):
    return request.param


@pytest.fixture
def text(chapter):
    return chapter.source.read_text(encoding="utf-8")


@pytest.fixture
def cells(chapter):
    return jupytext.read(chapter.source).cells


def test_it_begins_with_a_question_and_a_plan(text):
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)) == 1
    assert "| You will learn | You need | Time |" in text


BOX = re.compile(r"```\{admonition\} The answer\n:class: answer\n(.*?)^```$", re.M | re.S)


def test_its_answer_stands_at_the_top_in_numbers_of_the_record(text):
    (box,) = BOX.findall(text)
    assert text.index(box) < text.index("{code-cell}")
    assert "{glue:text}`" in box


@pytest.mark.parametrize("study", sorted({c.name.partition("/")[0] for c in CHAPTERS}))
def test_a_study_s_answer_stands_on_its_first_page(study):
    text = (REPOSITORY / "book" / study / "index.md").read_text(encoding="utf-8")
    (box,) = BOX.findall(text)
    assert text.index(box) < text.index("\n## ")
    assert re.search(r"\{glue:text\}`\S+\.ipynb::", box)


@pytest.mark.parametrize("study", sorted({c.name.partition("/")[0] for c in CHAPTERS}))
def test_three_claims_carry_a_paper(study):
    """None do in a study that was only laid down."""
    assert sum(c.headline for c in load_claims(REPOSITORY, study)) in (0, 3)


def test_it_starts_a_run_of_its_own_name_and_stamps_it(chapter, cells):
    code = [c.source for c in cells if c.cell_type == "code"]
    assert f'mchelpers.start("{chapter.name}")' in code[0]
    assert code[-1].strip() == "run.stamp()"


def test_it_has_exercises_with_folded_solutions_and_a_check(text):
    exercises = re.findall(r"\{exercise-start\}\n:label: (\S+)", text)
    solutions = re.findall(r"\{solution-start\} (\S+)\n:class: dropdown", text)
    assert len(exercises) >= 2
    assert exercises == solutions
    assert "def check_" in text


def test_it_ends_with_what_was_learned(text):
    assert "## What we learned" in text


def test_every_captioned_figure_has_a_name_and_alt_text(cells):
    for cell in cells:
        note = cell.metadata.get("mystnb", {})
        if "figure" in note:
            assert note["figure"]["caption"].strip().endswith(".")
            assert note["figure"]["name"].startswith("fig-")
            assert len(note["image"]["alt"]) > 20


def test_labels_are_unique_across_the_book():
    labels = []
    for chapter in CHAPTERS:
        text = chapter.source.read_text(encoding="utf-8")
        labels += re.findall(r"name: (fig-\S+)", text) + re.findall(
            r"^:label: (\S+)", text, flags=re.M
        )
    assert len(labels) == len(set(labels))


def test_cells_are_short(cells):
    for cell in cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 40, cell.source[:80]
