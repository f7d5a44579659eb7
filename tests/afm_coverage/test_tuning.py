"""The search finds what is cheap to find, and says the same twice."""

import logging

import numpy as np
import pytest

from mchelpers.afm_coverage import tuning

SPACE = {"lr": tuple(1e-4 * 2.0**k for k in range(9)), "batch_size": (4, 8)}


def bowl(setting):
    return 0.1 + 0.02 * np.log2(setting["lr"] / 16e-4) ** 2 + 0.001 * setting["batch_size"]


@pytest.fixture(scope="module")
def found():
    level = logging.root.manager.disable
    result = tuning.search(bowl, SPACE, 5, known=[{"lr": 1e-4, "batch_size": 8}], spread=3)
    assert logging.root.manager.disable == level
    return result


def test_known_settings_come_first_and_the_model_last(found):
    assert [t.origin for t in found.trials] == ["known", "spread", "spread"] + 2 * ["model"]
    assert found.trials[0].settings == {"lr": 1e-4, "batch_size": 8}
    assert all(t.score == bowl(t.settings) for t in found.trials)


def test_it_improves_on_the_known_setting(found):
    assert found.best.score < bowl({"lr": 1e-4, "batch_size": 8}) - 0.1


def test_proposals_are_on_the_ladders(found):
    for setting in [*(t.settings for t in found.trials), found.upcoming]:
        assert setting["lr"] in SPACE["lr"] and setting["batch_size"] in SPACE["batch_size"]


def test_the_model_knows_what_it_saw_and_doubts_the_rest(found):
    seen, sd = found.predict([found.trials[0].settings, found.best.settings])
    assert seen[1] == pytest.approx(found.best.score, abs=0.05)
    assert seen[0] > seen[1] + 0.1
    _, everywhere = found.predict([{"lr": lr, "batch_size": 4} for lr in SPACE["lr"]])
    assert (sd > 0).all() and everywhere.max() > sd.min()


def test_the_same_seed_makes_the_same_trials(found):
    again = tuning.search(bowl, SPACE, 5, known=[{"lr": 1e-4, "batch_size": 8}], spread=3)
    assert again.trials == found.trials and again.upcoming == found.upcoming


def test_what_is_not_on_a_ladder_is_refused(found):
    with pytest.raises(ValueError, match="not on its ladder"):
        found.predict([{"lr": 3e-4, "batch_size": 4}])
    with pytest.raises(ValueError, match="names"):
        found.predict([{"lr": 1e-4}])
    with pytest.raises(ValueError, match="must rise"):
        tuning.search(bowl, {"lr": (2, 1)})
    with pytest.raises(ValueError, match="left to the model"):
        tuning.search(bowl, SPACE, trials=3, spread=3)
