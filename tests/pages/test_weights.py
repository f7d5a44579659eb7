"""Weights that ship: each file has a card, a row in the registry, and a size that travels."""

import pytest
import torch
import yaml
from conftest import REPOSITORY

from mchelpers import kept
from mchelpers.pages import weights

NAME = "net-0123456789abcdef"
CARD = {
    "title": "A net", "network": "models.UNet()", "data": "simulated", "trained": "for a minute",
    "score": "not known", "range": "nothing", "licence": "MIT", "made_by": "train()",
}  # fmt: skip


@pytest.fixture
def shipped(book, tmp_path):
    """Return a book that ships one network."""
    file = tmp_path / "runs" / f"{NAME}.safetensors"
    kept.save_tensors({"w": torch.ones(3).half()}, file, {"trained_on": "here"})
    (book / "_config.yml").write_text(
        "repository:\n  url: https://github.com/o/r\n  branch: main\n"
    )
    (book / "book" / "start").mkdir()
    (book / "book" / "start" / "weights.md").write_text(
        "# Words\n<!-- weights:begin -->\n<!-- weights:end -->\nmore words\n"
    )
    weights.ship(book, NAME)
    write_cards(book, {f"{NAME}.safetensors": CARD})
    return book


def write_cards(book, cards):
    (book / "weights" / "cards.yml").write_text(yaml.safe_dump(cards))


def test_what_ships_has_a_card_a_row_and_a_place_on_the_page(shipped):
    assert weights.check_weights(shipped) == []
    rows = (shipped / "mchelpers" / "registry.csv").read_text().splitlines()
    (row,) = [r for r in rows if r.startswith("weights/net")]
    file = shipped / "weights" / f"{NAME}.safetensors"
    path, _, size, url = row.split(",")
    assert (path, int(size)) == (f"weights/{file.name}", file.stat().st_size)
    assert url == f"https://raw.githubusercontent.com/o/r/main/weights/{file.name}"
    ((_, text),) = weights.weights_page(shipped).items()
    assert text.startswith("# Words\n") and text.endswith("-->\nmore words\n")
    assert "### A net" in text and "not known" in text and file.name in text
    weights.ship(shipped, NAME)  # again changes nothing
    assert (shipped / "mchelpers" / "registry.csv").read_text().splitlines() == rows


def test_faults_are_named(shipped, monkeypatch):
    file = shipped / "weights" / f"{NAME}.safetensors"
    other = file.with_name("other-0123456789abcdef.safetensors")
    write_cards(shipped, {other.name: CARD})
    assert [f.split(":")[0] for f in weights.check_weights(shipped)] == [
        f"weights/{file.name} has no card in weights/cards.yml",
        "weights/cards.yml",
    ]
    write_cards(shipped, {file.name: CARD})
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    (fault,) = weights.check_weights(shipped)
    assert "not the registered file" in fault
    file.write_bytes(content)
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(weights, "MAX_BYTES", 20)
    assert [f"has more than {0.00001:.0f} MB" in f for f in weights.check_weights(shipped)][0]
    assert "in all" in weights.check_weights(shipped)[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"title": ""}, "title"), ({"colour": "red"}, "colour"), ({"score": None}, "score")],
)
def test_a_card_that_is_not_as_it_must_be_is_named(shipped, change, words):
    write_cards(shipped, {f"{NAME}.safetensors": {**CARD, **change}})
    (fault,) = weights.check_weights(shipped)
    assert "cards.yml" in fault and NAME in fault and words in fault


def test_a_score_is_that_of_the_record(shipped):
    card = {**CARD, "result": "demo/01_first:demo.score"}
    write_cards(shipped, {f"{NAME}.safetensors": card})
    with pytest.raises(ValueError, match="no result demo/01_first:demo.score recorded"):
        weights.weights_page(shipped)


def test_only_what_is_kept_and_small_ships(book, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="train it, or adopt it"):
        weights.ship(book, NAME)
    kept.save_tensors({"w": torch.ones(3)}, tmp_path / "runs" / f"{NAME}.safetensors", {})
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="more than"):
        weights.ship(book, NAME)
    assert not (book / "weights").exists()


def test_the_weights_of_this_book_are_in_order():
    assert weights.check_weights(REPOSITORY) == []
