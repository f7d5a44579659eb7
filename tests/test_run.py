"""Tiers, results, and what an import costs."""

import json
import math
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mchelpers import kept
from mchelpers.record.files import write_atomically, write_together
from mchelpers.record.machine import describe, machine
from mchelpers.run import Run, choose_tier, summarise


def make(tier="laptop"):
    return Run(chapter="demo/01", tier=tier, seed=0, device="cpu", workers=2)


@pytest.mark.parametrize(("tier", "value"), [("smoke", 1), ("laptop", 2), ("full", 3)])
def test_pick_follows_the_tier(tier, value):
    assert make(tier).pick(smoke=1, laptop=2, full=3) == value


def test_smoke_is_never_real():
    assert make("smoke").data_kind == "simulated"
    assert make("full").data_kind == "real"


def test_the_tier_follows_the_device_unless_it_is_set(monkeypatch):
    assert choose_tier(cuda=True) == "full"
    assert choose_tier(cuda=False) == "laptop"
    monkeypatch.setenv("MCHELPERS_TIER", "smoke")
    assert choose_tier(cuda=True) == "smoke"
    monkeypatch.setenv("MCHELPERS_TIER", "huge")
    with pytest.raises(ValueError, match="smoke, laptop, full"):
        choose_tier(cuda=True)


def test_summary_of_known_values():
    result = summarise([1.0, 2.0, 3.0], "real", unit="nm")
    assert (result["mean"], result["sd"], result["n"], result["unit"]) == (2.0, 1.0, 3, "nm")
    assert 1 <= result["ci95"][0] <= 2 <= result["ci95"][1] <= 3


def test_a_single_value_has_no_spread():
    result = summarise(0.25, "simulated")
    assert (result["sd"], result["ci95"], result["n"]) == (None, None, 1)


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.inf]])
def test_results_must_be_finite(values):
    with pytest.raises(ValueError, match="finite"):
        summarise(values, "real")


def test_results_must_say_what_data_made_them():
    with pytest.raises(ValueError, match="'real' or 'simulated'"):
        summarise(1.0, "measured")


def test_numbers_keep_six_significant_digits():
    result = summarise([2.3456789e-11, 2.4e-11, 2.5e-11], "real", unit="m")
    assert result["values"] == [2.34568e-11, 2.4e-11, 2.5e-11]
    assert result["mean"] == pytest.approx(2.41523e-11, rel=1e-5)
    assert result["sd"] > 0 and result["ci95"][0] > 0
    assert summarise(3e-7, "real")["mean"] == 3e-7
    assert summarise(0, "real")["mean"] == 0
    assert summarise(1925058, "real")["mean"] == 1925058  # a count stays itself
    assert summarise(-1234567.8, "real")["mean"] == -1234568


def test_a_single_value_may_bring_its_interval():
    assert summarise(0.5, "real", interval=(0.25, 0.75))["ci95"] == [0.25, 0.75]
    for values, interval in ((0.5, (0.7, 0.3)), (0.5, (math.nan, 1)), ([0.4, 0.5], (0.3, 0.6))):
        with pytest.raises(ValueError, match="must rise, and stand beside one value"):
            summarise(values, "real", interval=interval)


def test_groups_are_kept_as_numbers():
    groups = np.array(["b", "a", "b"])
    assert summarise([1.0, 2.0, 4.0], "real", groups=groups)["groups"] == [1, 0, 1]
    assert "groups" not in summarise([1.0, 2.0, 4.0], "real")


def test_values_of_a_single_group_have_no_interval():
    result = summarise([1.0, 2.0, 4.0], "real", groups=np.zeros(3))
    assert result["ci95"] is None and result["sd"] > 0
    assert summarise([1.0, 2.0, 4.0], "real", groups=np.array([0, 0, 1]))["ci95"] is not None


def test_the_interval_of_a_result_draws_whole_groups():
    result = summarise([0.0] * 10 + [5.0] * 10, "real", groups=np.repeat([0, 1], 10))
    assert result["ci95"] == [0, 5]  # both times the one group, or the other


def test_a_dictionary_is_several_results_of_one_prefix():
    run = make()
    means = run.log("unet", {"f1": [0.5, 0.7], "jaccard": 0.4}, data="real", unit="%")
    assert means == {"f1": 0.6, "jaccard": 0.4}
    assert list(run.results) == ["unet.f1", "unet.jaccard"]
    assert run.results["unet.f1"]["unit"] == "%"


def used(kind):
    return SimpleNamespace(kind=kind, sha256="0")


def test_results_rest_on_the_data_in_use():
    run = make()
    with pytest.raises(ValueError, match=r"'a' rests on.*run.use\(\) was not called"):
        run.log("a", 1)
    run.use("one", used("simulated"))
    run.log("a", 1)
    run.log("b", 1, data="real")
    run.use("two", used("simulated"))
    run.log("c", {"d": 1})
    assert [r["data"] for r in run.results.values()] == ["simulated", "real", "simulated"]
    run.use("three", used("real"))
    with pytest.raises(ValueError, match="'e' rests on.*real and simulated data are in use"):
        run.log("e", 1)
    assert "e" not in run.results


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.float64(0.5), "0.5"), (np.float32(0.5), "0.5"), (np.int64(3), "3"), (np.str_("a"), "'a'")],
)
def test_the_text_shows_plain_numbers(value, shown, monkeypatch):
    outputs = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda data, **more: outputs.append(data))
    make().glue("name", value)
    assert list(outputs[0].values()) == [shown]


def test_the_text_shows_the_parts_of_a_result(monkeypatch):
    run, shown = make(), {}
    monkeypatch.setattr(run, "glue", shown.__setitem__)
    run.log("a", [1.0, 2.0, 6.0], data="real")
    low, high = run.results["a"]["ci95"]
    assert low < high
    expected = {"a": 3.0, "a.n": 3, "a.sd": 2.64575, "a.low": low, "a.high": high}
    assert shown == pytest.approx(expected)


def test_trainings_say_how_long_and_where():
    run = make()
    history = SimpleNamespace(seconds=[1.0, 2.0])
    run.trained([history, history], where=["GPU B"])
    run.trained([history])
    here = describe(machine())
    assert run.training_s == 9
    assert run.trained_on == sorted(["GPU B", here])
    run.trained([])
    assert len(run.trained_on) == 2
    assert describe({"gpu": "G", "cpu": "c", "cores": 2}) == "G"
    assert describe({"gpu": None, "cpu": "c", "cores": 2}) == "c, 2 cores"


def test_a_kept_file_says_where_it_was_trained(tmp_path):
    run = make()
    there, silent = tmp_path / "there.safetensors", tmp_path / "silent.safetensors"
    kept.save_tensors({"w": torch.ones(1)}, there, {"trained_on": "GPU C"})
    kept.save_tensors({"w": torch.ones(1)}, silent, {"history": "{}"})
    run.trained([SimpleNamespace(seconds=[1.0])], [there, silent])
    assert run.trained_on == ["GPU C"] and set(run.weights) == {there.name, silent.name}


def test_a_key_has_one_result():
    run = make()
    assert run.log("a.b", [1, 3], data="real") == 2
    with pytest.raises(ValueError, match="logged before"):
        run.log("a.b", 1, data="real")


def test_results_reach_the_file_of_the_execution(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RESULTS", str(tmp_path / "r.json"))
    run = make()
    run.log("a", [1.0, 2.0], data="real")
    run.stamp()
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["results"]["a"]["mean"] == 1.5
    assert saved["peak_memory_mb"] > 0
    assert saved["packages"]["numpy"] == np.__version__
    assert saved["packages"]["python"] == platform.python_version()
    assert saved["machine"]["cores"] >= 1


def test_an_atomic_write_replaces_whole_files(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_files_are_written_together_or_not_at_all(tmp_path):
    old, other = tmp_path / "old.txt", tmp_path / "other.txt"
    old.write_text("old")
    with pytest.raises(UnicodeEncodeError):  # the second can not be written
        write_together({old: "new", other: "\ud800"})
    assert [p.name for p in tmp_path.iterdir()] == ["old.txt"]
    assert old.read_text() == "old"
    write_together({old: "new", other: "new"})
    assert (old.read_text(), other.read_text()) == ("new", "new")


def test_import_is_cheap():
    """Heavy libraries are imported where they are used, not by ``import mchelpers``."""
    code = "import sys, mchelpers; print(sorted(m for m in sys.modules if '.' not in m))"
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    for heavy in ("torch", "numpy", "matplotlib", "scipy", "skimage"):
        assert f"'{heavy}'" not in out.stdout
