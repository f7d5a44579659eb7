"""The plain notebook: every construct of the text, the lock over it, and bars as text."""

import copy
import html
import json
import re

import jupytext
import nbformat
import pytest
from conftest import CHAPTER, REPOSITORY
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mchelpers.book import execute
from mchelpers.book.bars import STATE, VIEW, bars_to_text
from mchelpers.book.lock import check_chapter
from mchelpers.pages import generate
from mchelpers.pages.plain import GLUE, dump, merged, plain, render
from mchelpers.record import chapter as record

HEAD = CHAPTER[: CHAPTER.index("# First")]
RAW = re.compile(r"\{(?:glue:\w+|doc|cite:?\w*|numref|ref|term|eq)\}`|^```\{", re.M)
BIBLIOGRAPHY = """\
@article{one2001, author = {One, Ann}, title = {First}, journal = {J}, year = {2001},
  doi = {10.1/a_b}}
@misc{two2002, author = {One, Ann and von Two, Bo}, title = {Second}, year = {2002}}
@misc{three2003, author = {Three, C. and One, A. and Two, B.}, title = {Third}, year = {2003},
  note = {arXiv:2301.00001}}
"""
FIGURE = """
```{code-cell} ipython3
---
mystnb:
  figure:
    caption: A curve of {glue:text}`score:.1f`.
    name: %s
---
draw()
```
"""
MAIN = "https://github.com/o/r/blob/main"


def glue(name, value):
    note = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
    return new_output("display_data", {GLUE: repr(value)}, metadata=note)


def write(root, name, text, numbers=None):
    """Write a chapter, and a notebook whose first code cell glued the numbers."""
    chapter = record.Chapter(name, root)
    chapter.source.write_text(HEAD + text)
    notebook = jupytext.read(chapter.source)
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.execution_count = count
        cell.outputs = [glue(*item) for item in (numbers or {}).items()] if count == 1 else []
    chapter.notebook.write_text(dump(notebook))
    return chapter


@pytest.fixture
def study(book):
    """A book of two chapters with an address and a bibliography."""
    address = "repository:\n  url: https://github.com/o/r\n  branch: main\n"
    (book / "_config.yml").write_text(address)
    (book / "book" / "references.bib").write_text(BIBLIOGRAPHY)
    text = "# Second\n" + FIGURE % "fig-other" + FIGURE % "fig-another"
    write(book, "demo/02_second", text, {"score": 0.25, "name": "otsu"})
    return book


def cells(root, text, numbers=None):
    chapter = write(root, "demo/01_first", text, numbers)
    return plain(chapter, merged(chapter)).cells


def words(root, text, numbers=None):
    """Spell a text; return what its Markdown cells say."""
    shown = [c.source for c in cells(root, text, numbers) if c.cell_type == "markdown"]
    return "\n---\n".join(shown)


CODE = "\n```{code-cell} ipython3\nrun()\n```\n"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("score:.3f", "0.123"),
        ("score:.1%", "12.3%"),
        ("score:+.1f", "+0.1"),
        ("score", "0.12345"),
        ("many:,.0f", "1,234"),
        ("method", "otsu"),
        ("02_second.ipynb::score:.2f", "0.25"),
        ("02_second.ipynb::name:s", "otsu"),
    ],
)
def test_numbers_stand_where_glue_stood(study, form, said):
    numbers = {"score": 0.12345, "many": 1234.4, "method": "otsu"}
    assert words(study, f"F1 {{glue:text}}`{form}` here.{CODE}", numbers) == f"F1 {said} here."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{doc}`/book/demo/02_second`", f"[Second]({MAIN}/book/demo/02_second.ipynb)"),
        ("{doc}`02_second`", f"[Second]({MAIN}/book/demo/02_second.ipynb)"),
        ("{doc}`more </book/demo/index>`", f"[more]({MAIN}/book/demo/index.md)"),
        ("[a](index.md#the-demo)", f"[a]({MAIN}/book/demo/index.md#the-demo)"),
        ("[a](/book/references.bib)", f"[a]({MAIN}/book/references.bib)"),
        ("[a](https://x.org/b) and [c](#d)", "[a](https://x.org/b) and [c](#d)"),
        ("{numref}`fig-own`", "Figure 1"),
        ("{ref}`the curve <fig-own>`", "the curve"),
        ("{numref}`fig-another`", f"[Figure 2]({MAIN}/book/demo/02_second.ipynb)"),
        ("{term}`fold`", "`fold`"),
        ("{py:func}`mchelpers.data.load`", "`mchelpers.data.load`"),
        ("{py:func}`~mchelpers.data.load`", "`load`"),
        ("{py:mod}`the data <mchelpers.data>`", "`the data`"),
        ("{math}`x^2`", "$x^2$"),
        ("see {eq}`eq-b`", "see (2)"),
        ("(here)=\n## A heading", "## A heading"),
        ("`(a)=` and ``a `b` c``", "`(a)=` and ``a `b` c``"),
        ("```python\nx = {doc: 1}  # $$ (no)\n```", "```python\nx = {doc: 1}  # $$ (no)\n```"),
        (":::{note}\nBe *careful*.\n\nTwice.\n:::", "> **Note**\n>\n> Be *careful*.\n>\n> Twice."),
        ("```{tip} Try\n:class: x\nit\n```", "> **Try**\n>\n> it"),
        ("```{math}\n:label: eq-a\na = b\n```", "$$\na = b \\tag{1}\n$$"),
        ("$$x$$ and\n\n$$\ny\n$$ (eq-c)", "$$x$$ and\n\n$$\ny \\tag{1}\n$$"),
    ],
)
def test_each_construct_becomes_plain_markdown(study, text, said):
    labels = "\n\n$$a$$ (eq-a)\n\n$$b$$ (eq-b)\n"
    result = words(study, f"{text}{CODE}{FIGURE % 'fig-own'}{labels}", {"score": 0.5})
    assert result.startswith(said + "\n---\n**Figure 1.** A curve of 0.5.")


def test_citations_are_spelled_out_and_listed(study):
    text = "{cite:t}`one2001`, {cite:t}`two2002`, {cite:t}`three2003` {cite:p}`one2001,two2002`"
    said, listed = words(study, text).split("\n---\n")
    one = "https://doi.org/10.1/a_b"
    assert said == (
        f"[One (2001)]({one}), One and von Two (2002), "
        f"[Three et al. (2003)](https://arxiv.org/abs/2301.00001) ([One, 2001]({one}); "
        "One and von Two, 2002)"
    )
    assert listed.startswith("## References\n\n- Ann One. First. *J*, 2001.")
    assert one in listed and listed.count("\n- ") == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{abbr}`HRTEM`", "{abbr}"),
        ("```{mermaid}\na\n```", "{mermaid}"),
        (":::{card} A\nb\n:::", "{card}"),
        ("{glue:figure}`a`", "{glue:figure}"),
        ("{glue:text}`nowhere:.2f`", "nowhere"),
        ("{glue:text}`02_second.ipynb::nowhere:.2f`", "02_second.ipynb"),
        ("{glue:text}`09_none.ipynb::score:.2f`", "09_none.ipynb"),
        ("{doc}`/book/nowhere`", "/book/nowhere"),
        ("[a](nowhere.md)", "nowhere.md"),
        ("{numref}`fig-nowhere`", "fig-nowhere"),
        ("{eq}`eq-nowhere`", "eq-nowhere"),
        ("{cite:t}`nobody1999`", "nobody1999"),
        ("{{ repository }}", "{{ repository }}"),
        ("```{note}\nnever closed", "{note}"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(study, text, named):
    with pytest.raises(ValueError, match=rf"^demo/01_first: .*{re.escape(named)}"):
        words(study, text)


EXERCISE = """\
```{exercise-start}
:label: ex-a
```
How many?
```{exercise-end}
```
"""
START = "```{solution-start} ex-a\n:class: dropdown\n```\n"
END = "```{solution-end}\n```\n"


def test_exercises_are_numbered_and_a_solution_of_words_is_folded(study):
    said = words(study, f"{EXERCISE}{CODE}{START}Three.\n\nOr four.\n{END}\n{EXERCISE}\n## After\n")
    assert said == (
        "**Exercise 1.** How many?\n---\n"
        "<details>\n<summary>Solution</summary>\n\nThree.\n\nOr four.\n\n</details>\n\n"
        "**Exercise 2.** How many?\n\n## After"
    )


@pytest.mark.parametrize("between", [START + CODE + END, START + END + CODE])
def test_code_of_a_solution_is_folded_and_announced(study, between):
    made = cells(study, f"{CODE}\n{between}\n## After\n{CODE}")
    folded = [c.metadata.get("jupyter", {}).get("source_hidden") for c in made]
    assert [c.cell_type for c in made] == ["code", "markdown", "code", "markdown", "code"]
    assert folded == [None, None, True, None, None]
    assert made[2].metadata["jupyter"]["outputs_hidden"] and made[2].metadata["collapsed"]
    assert made[2].source == "run()"
    assert made[1].source == "**Solution** (folded below)"
    assert made[3].source == "## After"


def test_words_and_code_of_one_solution(study):
    made = cells(study, f"{START}Because.\n{CODE}\nSo it is.\n{END}\n## After\n{CODE}")
    assert made[0].source.startswith("<details>\n<summary>Solution (its code is folded below)")
    assert made[1].metadata["jupyter"]["source_hidden"]
    assert made[2].source.startswith("<details>\n<summary>Solution</summary>\n\nSo it is.")
    assert made[2].source.endswith("</details>\n\n## After")
    assert "jupyter" not in made[3].metadata


def test_code_and_outputs_stay_as_they_were_executed(study):
    chapter = write(study, "demo/01_first", f"a\n{CODE}{FIGURE % 'fig-own'}", {"score": 0.5})
    before = nbformat.read(chapter.notebook, 4)
    chapter.notebook.write_text(render(chapter))
    after = nbformat.read(chapter.notebook, 4)
    nbformat.validate(after)
    code = [[c for c in n.cells if c.cell_type == "code"] for n in (before, after)]
    for old, new in zip(*code, strict=True):
        assert (old.source, old.outputs, old.metadata) == (new.source, new.outputs, new.metadata)
        assert old.execution_count == new.execution_count
    assert record.outputs_hash(before) == record.outputs_hash(after)
    assert render(chapter) == chapter.notebook.read_text()  # made from itself, it is the same


def lock(chapter):
    """Record a chapter as an execution would, and write its words."""
    notebook = nbformat.read(chapter.notebook, 4)
    shown = {
        "chapter": chapter.name,
        "tier": "laptop",
        "executed_at": "2026-01-01T00:00:00Z",
        "cells": record.cell_hashes(notebook),
        "outputs": record.outputs_hash(notebook),
        "machine": {"cpu": "one", "cores": 2, "memory_gb": 4, "gpu": None},
        "packages": {"python": "3.11"},
        **dict.fromkeys(("helper", "commit"), "0" * 8),
        **dict.fromkeys(("code", "data", "weights", "results"), {}),
        **dict.fromkeys(("seed", "wall_s", "training_s", "peak_memory_mb"), 1),
        "peak_gpu_memory_mb": None,
    }
    chapter.record.parent.mkdir(parents=True, exist_ok=True)
    chapter.record.write_text(json.dumps(shown))
    execute.update_text(chapter)
    return chapter


def test_the_lock_sees_stale_words_and_the_pages_command_refreshes_them(study, monkeypatch):
    text = f"It is {{glue:text}}`02_second.ipynb::score:.2f`.\n{CODE}"
    chapter = lock(write(study, "demo/01_first", text, {"mine": 1}))
    assert check_chapter(chapter) == []
    other = record.Chapter("demo/02_second", study)
    other.notebook.write_text(other.notebook.read_text().replace("0.25", "0.75"))
    (fault,) = check_chapter(chapter)
    assert "differ" in fault and "mchelpers text demo/01_first" in fault
    monkeypatch.setattr(generate, "generate", lambda root: {})
    assert generate.write_pages(study) == []
    assert check_chapter(chapter) == []
    assert "It is 0.75." in chapter.notebook.read_text()


def test_the_lock_sees_edited_words_metadata_and_constructs_it_does_not_know(study, monkeypatch):
    chapter = lock(write(study, "demo/01_first", f"Words.\n{CODE}", {"mine": 1}))
    good = chapter.notebook.read_text()
    notebook = nbformat.reads(good, 4)
    notebook.cells[1].metadata["tags"] = ["remove-input"]
    for text in (good.replace("Words.", "Wards."), nbformat.writes(notebook) + "\n"):
        chapter.notebook.write_text(text)
        assert any("differ" in f for f in check_chapter(chapter))
    chapter.source.write_text(chapter.source.read_text().replace("Words.", "{abbr}`W`"))
    (fault,) = check_chapter(chapter)
    assert fault.startswith("demo/01_first: unknown role {abbr}")
    with pytest.raises(execute.ChapterError, match="abbr"):
        execute.update_text(chapter)
    monkeypatch.setattr(generate, "generate", lambda root: {})
    assert any("abbr" in failure for failure in generate.write_pages(study))


def bar(state, name, left, right, hidden=False):
    """Put a recorded tqdm bar into a widget state; return its output."""
    left, right = (html.escape(t).replace(" ", "\u2007") for t in (left, right))
    visibility = "hidden" if hidden else None
    models = {
        "": ("HBoxModel", {"children": [f"IPY_MODEL_{name}{k}" for k in "lbr"]}),
        "l": ("HTMLModel", {"value": left}),
        "b": ("FloatProgressModel", {"value": 1.0, "max": 5.0}),
        "r": ("HTMLModel", {"value": right}),
    }
    for part, (kind, content) in models.items():
        content["layout"] = f"IPY_MODEL_{name}{part}-layout"
        state[name + part] = {"model_name": kind, "state": content}
        look = {"visibility": visibility}
        state[f"{name}{part}-layout"] = {"model_name": "LayoutModel", "state": look}
    return new_output("display_data", {VIEW: {"model_id": name}, "text/plain": "  0%|  |"})


def with_state(outputs, state):
    notebook = new_notebook(cells=[new_code_cell("run()", outputs=outputs)])
    notebook.metadata["widgets"] = {STATE: {"state": state}}
    return notebook


@pytest.mark.parametrize(
    ("left", "right", "line"),
    [
        ("net: 100%", "5/5 [03:20<00:00,  1.5fold/s]", "net: 100 %, 5 of 5 folds, 3:20"),
        ("a b: 100%", "8/8 [1:05:02<00:00, 31.88s/epoch]", "a b: 100 %, 8 of 8 epochs, 1:05:02"),
        ("100%", "7/7 [00:02<00:00,  3.22it/s]", "100 %, 7 of 7, 0:02"),
        ("net:   0%", "0/4 [00:00<?, ?it/s]", "net: 0 %, 0 of 4, 0:00, never moved"),
        ("net:  75%", "3/4 [00:09<00:03,  3.00s/it]", "net: 75 %, 3 of 4, 0:09, not finished"),
        ("net: ", "12it [00:09,  1.3it/s]", "net: 12it [00:09,  1.3it/s]"),
    ],
)
def test_a_progress_bar_becomes_one_line(left, right, line):
    state = {}
    notebook = with_state([bar(state, "x", left, right)], state)
    bars_to_text(notebook)
    (output,) = notebook.cells[0].outputs
    assert (output.output_type, output.name, output.text) == ("stream", "stdout", line + "\n")
    assert "widgets" not in notebook.metadata


def test_bars_join_what_was_printed_and_hidden_ones_leave_nothing():
    state, full = {}, "2/2 [00:01<00:00, 2.0it/s]"
    outputs = [
        new_output("stream", name="stdout", text="before\n"),
        bar(state, "x", "a: 100%", full),
        bar(state, "y", "gone: 100%", full, hidden=True),
        glue("k", 1.0),
        bar(state, "z", "b: 100%", full),
    ]
    notebook = with_state(outputs, state)
    bars_to_text(notebook)
    printed = [o.get("text") for o in notebook.cells[0].outputs]
    assert printed == ["before\na: 100 %, 2 of 2, 0:01\n", None, "b: 100 %, 2 of 2, 0:01\n"]
    again = copy.deepcopy(notebook)
    bars_to_text(again)
    assert again == notebook


def test_a_slider_keeps_its_state_and_bars_leave_it():
    state = {
        "slider": {"model_name": "VBoxModel", "state": {"children": [], "layout": "IPY_MODEL_l"}},
        "l": {"model_name": "LayoutModel", "state": {"visibility": None}},
        "link": {"model_name": "LinkModel", "state": {}},
    }
    kept = dict(state)
    shown = new_output("display_data", {VIEW: {"model_id": "slider"}, "image/png": "AAAA"})
    line = bar(state, "x", "100%", "2/2 [00:01<00:00, 2.0it/s]")
    notebook = with_state([line, shown], state)
    bars_to_text(notebook)
    assert notebook.metadata["widgets"][STATE]["state"] == kept
    assert notebook.cells[0].outputs[1] == shown


COMMITTED = record.chapters(REPOSITORY)


@pytest.mark.parametrize("chapter", COMMITTED, ids=lambda c: c.name)
def test_committed_notebooks_show_no_markup_and_no_bar(chapter):
    notebook = nbformat.read(chapter.notebook, 4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not RAW.search(cell.source), cell.source[:200]
            assert not re.search(r"\{[\w:+-]+\}`|^:{3,}|^\([\w-]+\)=$", cell.source, re.M)
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    kinds = {model["model_name"] for model in state.values()}
    assert "FloatProgressModel" not in kinds
    assert bool(kinds) == ("show.slider(" in chapter.source.read_text(encoding="utf-8"))
