"""Two executions side by side: what moved, by how much, and whether it may."""

import base64
import copy
import io
import json

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mchelpers.book import execute, repeat, verify
from mchelpers.claims.entries import Claim, Tolerance
from mchelpers.pages import runs
from mchelpers.record import chapter as record
from mchelpers.run import summarise


def claim(key="k", **change):
    fields = {
        "study": "s",
        "id": "i",
        "where": "",
        "metric": "F1",
        "paper": "0.8",
        "results": ((f"c:{key}",),),
        "tolerance": Tolerance("trainings", value=0.02, why="x"),
        "comparable": "same-data",
    }
    return Claim(**{**fields, **change})


def results(**values):
    return {k: summarise(v, "real", "ms" if k == "time" else None) for k, v in values.items()}


def placed(found):
    return {f"c:{k}": r for k, r in found.items()}


def test_what_did_not_move_is_not_listed():
    first = results(k=[0.5, 0.7], other=0.1)
    assert repeat.moved([claim()], "c", placed(first), copy.deepcopy(first)) == []


def test_values_that_changed_places_have_moved():
    (change,) = repeat.moved(
        [], "c", placed(results(k=[0.5, 0.7, 0.9])), results(k=[0.9, 0.7, 0.5])
    )
    assert change["before"] == change["after"]


def test_drift_allows_what_the_tolerance_allows():
    old = placed(results(k=0.864))
    assert repeat.drift([claim()], "c", old, results(k=0.884)) == []
    (fault,) = repeat.drift([claim()], "c", old, results(k=0.885))
    assert fault == "k moved from 0.864 to 0.885, more than 0.02 (claim 'i')"
    (fault,) = repeat.drift([claim()], "c", old, {})
    assert "k is gone from the record, but claim 'i' needs it" in fault
    assert repeat.drift([], "c", old, results(k=2)) == []


def test_the_smallest_tolerance_counts():
    wide = claim(id="wide", tolerance=Tolerance("trainings", value=0.5, why="x"))
    (fault,) = repeat.drift([wide, claim()], "c", placed(results(k=0.8)), results(k=0.9))
    assert "more than 0.02 (claim 'i')" in fault


def test_times_and_memory_may_move():
    old, new = placed(results(time=5.0, speed=3.0)), results(time=50.0, speed=30.0)
    timed = claim("speed", tolerance=Tolerance("machine"))
    assert {c["measures"] for c in repeat.moved([timed], "c", old, new)} == {"machine"}
    assert all(repeat.is_within(c) for c in repeat.moved([timed], "c", old, new))
    assert repeat.drift([timed], "c", old, new) == []


def test_an_unclaimed_result_may_move_within_its_own_interval():
    old = placed(results(k=np.linspace(0, 1, 30), alone=0.5))
    near, far = (
        results(k=np.linspace(0, 1.1, 30), alone=0.5),
        results(k=np.linspace(1, 2, 30), alone=0.6),
    )
    assert [repeat.is_within(c) for c in repeat.moved([], "c", old, near)] == [True]
    assert [repeat.is_within(c) for c in repeat.moved([], "c", old, far)] == [False, False]


def test_the_results_of_other_chapters_stay_out():
    assert repeat.moved([], "c", {"d:k": summarise(1, "real")}, {}) == []


def picture(shade, commit):
    file, text = io.BytesIO(), PngInfo()
    text.add_text("Provenance", commit)
    Image.fromarray(np.full((2, 2), shade, np.uint8)).save(file, "PNG", pnginfo=text)
    return base64.b64encode(file.getvalue()).decode()


def notebook(*cells):
    made = []
    for source, shown in cells:
        kind = "image/png" if len(shown) > 20 else "text/plain"
        made.append(new_code_cell(source, outputs=[new_output("display_data", {kind: shown})]))
    return new_notebook(cells=made)


def test_cells_that_show_something_else_are_named():
    sources = ("a = 1", "b = 2", "c = 3")
    first = notebook(*zip(sources, "xyz"))
    assert repeat.other_cells(first, notebook(*zip(sources, "xyz"))) == []
    again = notebook(*zip(sources, "xYz"))
    assert repeat.other_cells(first, again) == [{"cell": 2, "reason": ""}]
    assert repeat.other_cells(first, again, elsewhere=True)[0]["reason"] == "another machine"


def test_a_clock_is_a_reason_also_for_the_cells_that_use_its_times():
    sources = (
        "%matplotlib inline\nimport time",
        "def milliseconds(f):\n    return time.perf_counter()",
        "times = [milliseconds(f) for f in methods]",
        "show.table(times)",
        "show.table(scores)",
    )
    first, again = notebook(*zip(sources, "abcde")), notebook(*zip(sources, "vwxyz"))
    assert [c["reason"] for c in repeat.other_cells(first, again)] == [
        "",
        "a clock",
        "a clock",
        "a clock",
        "",
    ]


def test_a_picture_is_its_pixels_whatever_commit_it_names():
    first = notebook(("plot", picture(3, "abc")))
    assert repeat.other_cells(first, notebook(("plot", picture(3, "def")))) == []
    assert len(repeat.other_cells(first, notebook(("plot", picture(4, "abc"))))) == 1


def test_the_seconds_of_a_progress_bar_do_not_count():
    def bar(text):
        return new_notebook(
            cells=[new_code_cell("x", outputs=[new_output("stream", name="stdout", text=text)])]
        )

    first = bar("fold: 100 %, 5 of 5 epochs, 0:03\nF1, 0:1\n")
    assert repeat.other_cells(first, bar("fold: 100 %, 5 of 5 epochs, 1:04:03\nF1, 0:1\n")) == []
    assert repeat.other_cells(first, bar("fold: 80 %, 4 of 5 epochs, 0:03\nF1, 0:1\n"))
    assert repeat.other_cells(first, bar("fold: 100 %, 5 of 5 epochs, 0:03\nF1, 0:2\n"))


def test_a_warning_names_its_cell_and_not_the_kernel():
    def warned(file, text):
        shown = new_output("stream", name="stderr", text=f"/tmp/{file}:3: RuntimeWarning: {text}")
        return new_notebook(cells=[new_code_cell("x", outputs=[shown])])

    first = warned("ipykernel_13523/3095890637.py", "Mean of empty slice")
    again = warned("ipykernel_22092/3095890637.py", "Mean of empty slice")
    assert repeat.other_cells(first, again) == []
    assert repeat.other_cells(first, warned("ipykernel_22092/3095890637.py", "overflow"))


def test_where_a_buffer_broke_a_text_in_two_does_not_count():
    def printed(*parts):
        shown = [new_output("stream", name=name, text=text) for name, text in parts]
        shown.insert(1, new_output("display_data", {"text/plain": "0.5"}))
        return new_notebook(cells=[new_code_cell("x", outputs=shown)])

    first = printed(("stderr", "overflow\nclipped\n"), ("stdout", "F1\n"))
    again = printed(("stdout", "F1\n"), ("stderr", "overflow\ncli"), ("stderr", "pped\n"))
    assert repeat.other_cells(first, again) == []
    assert repeat.other_cells(first, printed(("stderr", "overflow\n"), ("stdout", "F1\n")))


def test_a_second_execution_stands_beside_the_first(done):
    before = record.load_record(done)
    again = verify.verify(done, "laptop")
    assert (again["same"], again["moved"]) == (1, [])
    assert [c["reason"] for c in again["cells"]] in ([], ["a clock"])  # the stamp tells seconds
    assert verify.faults(done, again) == []
    after = record.load_record(done)
    assert after.pop("again") == again
    assert after == before
    assert any(s.startswith("Executed twice: again on ") for s in runs.banner(done))
    assert "Of its results 1 came out the same, 0 are times" in " ".join(runs.banner(done))


def test_what_a_second_execution_made_otherwise_is_a_fault(done):
    ran = json.loads(done.record.read_text())
    ran["results"]["demo.score"] |= {"mean": 0.5, "values": [0.4, 0.6]}
    done.record.write_text(json.dumps(ran))
    again = verify.verify(done, "laptop")
    assert verify.faults(done, again) == ["demo/01_first: demo.score moved: 0.5 to 0.6"]
    assert "0 moved within their tolerance, 1 beyond: demo.score." in " ".join(runs.banner(done))


def test_only_what_was_recorded_at_that_tier_can_be_verified(done):
    with pytest.raises(execute.ChapterError, match="no record at the full tier to verify"):
        verify.verify(done, "full")


def test_a_chapter_is_executed_two_times_and_the_book_stays_as_it_is(done):
    before = done.notebook.read_bytes(), done.record.read_bytes()
    again = verify.run_twice(done, "smoke")
    assert (again["same"], again["moved"], verify.faults(done, again)) == (1, [], [])
    assert (done.notebook.read_bytes(), done.record.read_bytes()) == before


def test_a_set_of_words_comes_in_one_order(done):
    text = done.source.read_text().replace(
        "import mchelpers\n", "import mchelpers\nprint(set('abcdefghij'))\n"
    )
    done.source.write_text(text)
    assert verify.faults(done, verify.run_twice(done, "smoke")) == []


def test_a_chapter_that_does_not_repeat_is_a_fault(done):
    text = done.source.read_text().replace("[0.5, 0.7]", "[0.5, time.time_ns() % 10**6]")
    done.source.write_text(text.replace("import mchelpers\n", "import time\nimport mchelpers\n"))
    (fault, cell) = verify.faults(done, verify.run_twice(done, "smoke"))
    assert "demo.score moved" in fault and "code cell 2 shows something else" in cell
