"""Tiers, results, and what an import costs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mchelpers.run import Run, choose_tier, summarise, write_atomically


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


def test_an_atomic_write_replaces_whole_files(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_import_is_cheap():
    """Heavy libraries are imported where they are used, not by ``import mchelpers``."""
    code = "import sys, mchelpers; print(sorted(m for m in sys.modules if '.' not in m))"
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    for heavy in ("torch", "numpy", "matplotlib", "scipy", "skimage"):
        assert f"'{heavy}'" not in out.stdout
