"""Networks that ship: each has its card, and others are None."""

import yaml
from conftest import REPOSITORY

from mchelpers.measuring.shipped import SHIPPED, find_network


def test_each_network_is_one_that_ships():
    cards = yaml.safe_load((REPOSITORY / "weights/cards.yml").read_text())
    assert {file for file, _ in SHIPPED.values()} <= cards.keys()


def test_a_study_without_a_network_has_none():
    assert find_network("afm_coverage") is None
