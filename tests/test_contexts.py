"""Globals come back, also after an error; and the guard of all tests sees one that does not."""

import logging
import os
import warnings

import matplotlib
import numpy as np
import pooch
import pytest
import torch
from conftest import left_changed, process_globals

from mchelpers import contexts, downloads


class Failure(Exception):
    pass


def test_threads_come_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(Failure), contexts.threads(before + 2):
        assert torch.get_num_threads() == before + 2
        raise Failure
    assert torch.get_num_threads() == before


def test_seeded_draws_are_the_same_and_others_go_on():
    torch.manual_seed(0)
    torch.rand(3)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(3)
    drawn = []
    for _ in range(2):
        with pytest.raises(Failure), contexts.seeded(7):
            drawn.append(torch.rand(5))
            raise Failure
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(3), expected)


def test_pooch_is_quiet_and_speaks_again(tmp_path):
    logger = pooch.get_logger()
    before = logger.level
    with pytest.raises(Failure), downloads._downloading("somewhere", tmp_path / "file"):
        assert not logger.isEnabledFor(logging.INFO) and logger.isEnabledFor(logging.WARNING)
        raise Failure
    assert logger.level == before


def change_threads():
    torch.set_num_threads(torch.get_num_threads() + 1)


def change_folder():
    os.chdir(os.pardir)


def change_environment():
    os.environ["MCHELPERS_LEFT"] = "1"


def take_from_environment():
    del os.environ["PATH"]


def change_style():
    matplotlib.rcParams["font.size"] = 5


def silence_logging():
    logging.disable(logging.CRITICAL)


def silence_warnings():
    warnings.simplefilter("ignore")


def change_seed():
    torch.manual_seed(99)


def change_type():
    torch.set_default_dtype(torch.float64)


def change_printing():
    np.set_printoptions(precision=2)


CHANGES = [v for k, v in dict(globals()).items() if k.startswith(("change_", "silence_", "take_"))]


@pytest.fixture
def put_back():
    """Undo the change of a test before the guard of all tests looks."""
    environment, folder, level = dict(os.environ), os.getcwd(), logging.root.manager.disable
    kind, count, printing = torch.get_default_dtype(), torch.get_num_threads(), np.printoptions()
    with warnings.catch_warnings(), matplotlib.rc_context(), printing, contexts.seeded(0):
        yield
    os.environ.update(environment)
    os.environ.pop("MCHELPERS_LEFT", None)
    os.chdir(folder)
    logging.disable(level)
    torch.set_default_dtype(kind)
    torch.set_num_threads(count)


@pytest.mark.parametrize("change", CHANGES)
def test_the_guard_of_all_tests_sees_a_change(change, put_back):
    before = process_globals()
    change()
    assert len(left_changed(before, process_globals())) == 1


def test_the_guard_lets_pass_what_is_no_change(put_back):
    before = process_globals()
    torch.rand(3)
    warnings.filterwarnings("ignore", message="one that is known")
    assert left_changed(before, process_globals()) == []
    assert left_changed({}, {"torch threads": 2}) == []  # imported in between


def test_the_guard_is_on(request):
    assert "nothing_left_changed" in request.fixturenames
