"""Verdicts: known answers for numbers with each tolerance, and for each kind of comparison."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mchelpers.claims.entries import Claim, Tolerance
from mchelpers.claims.judge import OURS, VERDICTS, judge, tolerance
from mchelpers.run import summarise


def result(*values, **more):
    return {**summarise(values, "real"), **more}


def number(**change):
    fields = {
        "study": "s",
        "id": "i",
        "where": "",
        "metric": "F1",
        "paper": "0.80",
        "results": (("c:k",),),
        "better": "higher",
        "tolerance": Tolerance("trainings", value=0.02, why="x"),
        "comparable": "same-data",
    }
    return Claim(**{**fields, **change})


def sentence(kind, *results, **change):
    fields = {"study": "s", "id": "i", "where": "", "comparable": "same-data", "sentence": "x"}
    return Claim(**{**fields, "kind": kind, "results": results, **change})


@pytest.mark.parametrize(
    ("change", "here", "verdict"),
    [
        ({}, 0.81, "reproduced"),
        ({}, 0.9, "exceeded"),
        ({}, 0.7, "short"),
        ({"better": "lower"}, 0.7, "exceeded"),
        ({"better": "lower"}, 0.9, "short"),
        ({"better": "equal"}, 0.9, "differs"),
        ({"better": "equal"}, 0.81, "reproduced"),
        ({"comparable": "other-setting", "why": "x"}, 0.81, "other setting"),
        ({"tolerance": Tolerance("machine")}, 0.8, "other setting"),
        ({"comparable": "not-run", "why": "x", "results": ()}, 0.8, "not run"),
    ],
)
def test_a_number_is_held_against_the_paper_s(change, here, verdict):
    assert judge(number(**change), {"c:k": result(here)}).word == verdict


def test_an_interval_over_images_decides_nothing():
    """The images are the paper's own: what their scores stray by says nothing of a re-run."""
    wide = result(0.5, 0.81, 1.0, 0.93)
    assert judge(number(), {"c:k": wide}).word == "reproduced"


@pytest.mark.parametrize(
    ("paper", "half"), [("0.950", 0.0005), ("0.95", 0.005), ("12", 0.5), ("-1.5", 0.05)]
)
def test_a_digit_counts_as_printed(paper, half):
    claim = number(paper=paper, tolerance=Tolerance("digit"))
    assert tolerance(claim, {}) == pytest.approx(half, rel=1e-12)
    value = float(paper)
    assert judge(claim, {"c:k": result(value + 0.99 * half)}).word == "reproduced"
    assert judge(claim, {"c:k": result(value + 1.01 * half)}).word == "exceeded"


SEEDS = (0.80, 0.82, 0.84)


def test_the_spread_between_trainings_is_where_one_more_would_fall():
    claim = number(tolerance=Tolerance("trainings", key="c:seeds"))
    t, sd = stats.t.ppf(0.975, 2), 0.02
    found = {"c:k": result(0.82), "c:seeds": result(*SEEDS)}
    assert tolerance(claim, found) == pytest.approx(t * sd * np.sqrt(1 + 1 / 3))
    verdict = judge(claim, found)
    half = t * sd / np.sqrt(3)
    assert verdict.interval == pytest.approx((0.82 - half, 0.82 + half))


@pytest.mark.parametrize(
    ("paper", "verdict"),
    [("0.82", "reproduced"), ("0.77", "undecided"), ("0.87", "undecided"), ("0.60", "exceeded")]
    + [("0.99", "short")],
)
def test_a_number_whose_interval_crosses_the_border_is_undecided(paper, verdict):
    """Tolerance 0.099, interval 0.770 to 0.870 around 0.82."""
    claim = number(paper=paper, tolerance=Tolerance("trainings", key="c:k"))
    assert judge(claim, {"c:k": result(*SEEDS)}).word == verdict


def test_a_simulated_set_s_tolerance_is_half_its_interval():
    values = np.linspace(0, 1, 30)
    claim = number(comparable="other-setting", why="x", tolerance=Tolerance("sets"))
    found = {"c:k": result(*values)}
    low, high = found["c:k"]["ci95"]
    assert tolerance(claim, found) == pytest.approx((high - low) / 2)


def test_one_value_has_no_spread():
    claim = number(tolerance=Tolerance("trainings", key="c:k"))
    with pytest.raises(ValueError, match="'c:k' has one value.*give the tolerance a value"):
        judge(claim, {"c:k": result(0.8)})


def test_a_result_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="claim 'i': no result 'c:k'"):
        judge(number(), {})


@pytest.mark.parametrize("here", [0.884, 0.844])
def test_a_tolerance_that_is_met_exactly_is_met(here):
    """0.884 - 0.864 is a little more than 0.02 for a computer."""
    assert judge(number(paper="0.864"), {"c:k": result(here)}).word == "reproduced"


def test_half_and_double_tolerance():
    found = {"c:k": result(0.83)}
    assert [judge(number(), found, s).word for s in (0.5, 1, 2)] == [
        "exceeded",
        "exceeded",
        "reproduced",
    ]
    found = {"c:k": result(0.815)}
    assert [judge(number(), found, s).word for s in (0.5, 1)] == ["exceeded", "reproduced"]


@settings(max_examples=50, deadline=None)
@given(
    here=st.lists(st.floats(0, 1), min_size=2, max_size=20),
    paper=st.integers(0, 100),
    scale=st.floats(0.1, 10),
)
def test_a_wider_tolerance_never_turns_reproduced_into_another_verdict(here, paper, scale):
    claim = number(paper=f"{paper / 100:.2f}", tolerance=Tolerance("trainings", key="c:k"))
    found = {"c:k": result(*here)}
    word = judge(claim, found).word
    assert word in VERDICTS
    if word == "reproduced":
        assert judge(claim, found, 1 + scale).word == "reproduced"


def rising(*steps, n=40, noise=0.01):
    """Return results c:0, c:1, ... of the same images: each a step above the first."""
    rng = np.random.default_rng(0)
    images = rng.normal(0.5, 0.2, n)  # images differ far more than methods
    return {
        f"c:{i}": result(*(images + step + rng.normal(0, noise, n))) for i, step in enumerate(steps)
    }


def test_an_order_is_judged_on_paired_differences():
    found = rising(0.02, 0.0)
    assert judge(sentence("order", ("c:0", "c:1")), found).word == "reproduced"
    assert judge(sentence("order", ("c:1", "c:0")), found).word == "differs"
    unpaired = sentence("order", ("c:0", "c:1"), paired=False)
    assert judge(unpaired, found).word == "undecided"


def test_an_order_of_equals_is_undecided():
    assert judge(sentence("order", ("c:0", "c:1")), rising(0.0, 0.0, noise=0.1)).word == "undecided"


def test_every_neighbour_of_an_order_counts():
    found = rising(0.2, 0.1, 0.0)
    three = judge(sentence("order", ("c:0", "c:1", "c:2")), found)
    assert three.word == "reproduced"
    assert [c.keys for c in three.comparisons] == [("c:0", "c:1"), ("c:1", "c:2")]
    assert judge(sentence("order", ("c:0", "c:2", "c:1")), found).word == "differs"
    both = sentence("order", ("c:0", "c:1"), ("c:2", "c:1"))
    assert judge(both, found).word == "differs"


def test_groups_are_drawn_whole():
    """Ten images of one series are one observation, not ten."""
    rng = np.random.default_rng(1)
    shifts = np.repeat(rng.normal(0.1, 0.3, 4), 10)
    groups = [int(g) for g in np.repeat(range(4), 10)]
    a, b = result(*shifts), result(*np.zeros(40))
    claim = sentence("order", ("c:a", "c:b"))
    alone = judge(claim, {"c:a": a, "c:b": b}).comparisons[0].interval
    grouped = {k: {**r, "groups": groups} for k, r in (("c:a", a), ("c:b", b))}
    together = judge(claim, grouped).comparisons[0].interval
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_few_values_are_judged_by_student_s_t():
    found = {"c:a": result(1.0, 1.2, 1.4), "c:b": result(0.9, 1.0, 1.1)}
    (compared,) = judge(sentence("order", ("c:a", "c:b")), found).comparisons
    differences = stats.ttest_1samp([0.1, 0.2, 0.3], 0).confidence_interval(0.95)
    assert compared.interval == pytest.approx(tuple(differences))


def test_values_that_do_not_belong_together_are_judged_by_welch_s_t():
    a, b = [1.0, 1.2, 1.4, 1.1], [0.9, 1.0, 0.8]
    (compared,) = judge(
        sentence("order", ("c:a", "c:b")), {"c:a": result(*a), "c:b": result(*b)}
    ).comparisons
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert compared.interval == pytest.approx(tuple(expected), rel=1e-4)


def test_single_numbers_have_no_spread_unless_they_are_exact():
    found = {"c:a": result(0.9), "c:b": result(0.1)}
    assert judge(sentence("order", ("c:a", "c:b")), found).word == "undecided"
    assert judge(sentence("order", ("c:a", "c:b"), exact=True), found).word == "reproduced"
    assert judge(sentence("order", ("c:b", "c:a"), exact=True), found).word == "differs"


def test_a_trend_is_the_slope_through_the_means():
    found = rising(0.0, 0.1, 0.05, 0.3)
    keys = tuple(found)
    claim = judge(sentence("trend", keys), found)
    means = [found[k]["mean"] for k in keys]
    assert claim.word == "reproduced"
    assert claim.comparisons[0].shown == pytest.approx(np.polyfit(range(4), means, 1)[0], rel=1e-4)
    assert judge(sentence("trend", keys[::-1]), found).word == "differs"


@pytest.mark.parametrize(
    ("paper", "bound", "verdict"),
    [
        ("1.8", "above", "reproduced"),
        ("2.2", "above", "differs"),
        ("2.2", "below", "reproduced"),
        ("1.8", "below", "differs"),
        ("2.05", "about", "reproduced"),
        ("2.5", "about", "differs"),
        ("1.5", "about", "differs"),
    ],
)
def test_a_ratio(paper, bound, verdict):
    rng = np.random.default_rng(0)
    b = rng.normal(1, 0.1, 50)
    found = {"c:a": result(*(2 * b + rng.normal(0, 0.01, 50))), "c:b": result(*b)}
    claim = sentence(
        "ratio",
        ("c:a", "c:b"),
        paper=paper,
        bound=bound,
        tolerance=Tolerance("trainings", value=0.1, why="x"),
    )
    found_here = judge(claim, found)
    assert found_here.word == verdict
    assert found_here.comparisons[0].shown == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("paper", "bound", "verdict"),
    [
        ("", "above", "reproduced"),
        ("", "below", "differs"),
        ("0.10", "above", "undecided"),
        ("0.30", "above", "differs"),
        ("0.30", "below", "reproduced"),
    ],
)
def test_a_sign_is_judged_by_the_recorded_interval(paper, bound, verdict):
    gain = {**result(*np.linspace(0, 0.2, 30)), "ci95": [0.06, 0.14]}  # groups were drawn whole
    claim = sentence("sign", ("c:g",), paper=paper, bound=bound)
    assert judge(claim, {"c:g": gain}).word == verdict


def test_a_single_number_may_bring_its_interval():
    drop = summarise(30.0, "real", interval=(20.0, 40.0))
    assert judge(sentence("sign", ("c:g",)), {"c:g": drop}).word == "reproduced"
    claim = sentence("sign", ("c:g",), paper="25", bound="below")
    assert judge(claim, {"c:g": drop}).word == "undecided"


def test_our_own_claims_hold_or_fail():
    found = rising(0.1, 0.0)
    assert judge(sentence("order", ("c:0", "c:1"), ours=True), found).word == "holds"
    assert judge(sentence("order", ("c:1", "c:0"), ours=True), found).word == "fails"
    assert set(OURS) <= set(VERDICTS)
