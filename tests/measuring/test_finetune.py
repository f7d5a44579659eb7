"""Own labels: masks find their images, groups stay apart, and the verdict follows the scores."""

import argparse
import json

import numpy as np
import pytest
import tifffile
from lattices import honeycomb

import mchelpers
from mchelpers.measuring import finetune
from mchelpers.measuring.command import add_parsers, run_finetune
from mchelpers.measuring.finetune import Labelled, read_labelled
from mchelpers.measuring.report import methods_paragraph
from mchelpers.measuring.shipped import find_network


def labelled(count, side=128):
    """Lattices with a disk of noise each, at another place."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        rows, columns = np.mgrid[:side, :side]
        mask = np.hypot(rows - 40 - 10 * number, columns - 70) < 25
        image = honeycomb(side, 0.2) * ~mask + rng.normal(size=(side, side)) * (0.2 + 1.5 * mask)
        found.append(Labelled(f"{number}.tif", 30 * image + 128, mask, f"day {number // 2}"))
    return found


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "runs"))


def test_a_network_is_trained_on_tested_and_measured_with(tmp_path, runs):
    images = labelled(4)
    found = finetune.finetune(images, "graphene_hrtem", tmp_path, epochs=2, progress=False)
    assert found == json.loads((tmp_path / "network.json").read_text())
    assert [row["image"] for row in found["scores"]] == ["0.tif", "1.tif", "2.tif", "3.tif"]
    assert found["gain"] == pytest.approx(
        np.mean([row["finetuned"] - row["shipped"] for row in found["scores"]])
    )
    weights = tmp_path / "network.safetensors"
    answer = mchelpers.measure(images[0].pixels, study="graphene_hrtem", weights=weights)
    assert answer.method == "your network" and answer.settings["weights"] == weights.name
    said = methods_paragraph("graphene_hrtem", {"version": "1", **answer.settings})
    assert "trained on with labels of our own" in said
    first = find_network("graphene_hrtem", weights).sha256
    finetune.finetune(images, "graphene_hrtem", tmp_path, epochs=1, progress=False)
    assert find_network("graphene_hrtem", weights).sha256 != first  # not what was there before
    with pytest.raises(ValueError, match="for graphene_hrtem, not for nanoparticles"):
        mchelpers.measure(images[0].pixels, "nanoparticles", 0.02, weights=weights)
    with pytest.raises(ValueError, match="no network reads images of afm_coverage"):
        mchelpers.measure(images[0].pixels, "afm_coverage", 1.0, weights=weights)


def test_weights_without_what_finetune_wrote_beside_them_are_refused(tmp_path):
    (tmp_path / "other.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="no other.json beside it"):
        mchelpers.measure(
            labelled(1)[0].pixels, "graphene_hrtem", weights=tmp_path / "other.safetensors"
        )


@pytest.mark.parametrize(
    ("gains", "words"),
    [((0.1, 0.2, 0.15), "better"), ((-0.1, -0.2, -0.1), "worse"), ((0.1, -0.1, 0.0), "no differ")],
)
def test_the_verdict_follows_the_interval_of_the_gain(gains, words):
    rows = [{"shipped": 0.5, "classical": 0.4, "finetuned": 0.5 + gain} for gain in gains]
    found = finetune._verdict(rows, np.arange(3))
    assert words in found["verdict"]
    assert found["gain_low"] <= found["gain"] <= found["gain_high"]


def test_one_group_is_too_few(tmp_path):
    with pytest.raises(ValueError, match="two groups are needed"):
        finetune.finetune(labelled(2), "graphene_hrtem", tmp_path)


def test_a_study_without_a_network_has_nothing_to_train_on(tmp_path):
    with pytest.raises(ValueError, match="no network is at hand for tmd_optical"):
        finetune.finetune(labelled(4), "tmd_optical", tmp_path)


def test_tiles_cover_every_pixel_and_know_whose_they_are():
    image = np.arange(70 * 100, dtype=np.float32).reshape(70, 100)
    small = np.zeros((64, 64), np.float32)
    tiles, targets, of = finetune._tiles([(image, image > 3), (small, small > 0)])
    assert tiles.shape[1:] == targets.shape[1:] == (1, 64, 64)
    assert set(tiles[of == 0].flatten().tolist()) == set(image.ravel().tolist())
    assert (of == 1).sum() == 1


def test_a_wrong_call_is_one_sentence(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    for words, said in (
        ([str(tmp_path)], "holds no JSON file of Labelme"),
        ([str(tmp_path), "--epochs", "0"], "--epochs is 0"),
    ):
        args = parser.parse_args(["finetune", *words, "--study", "graphene_hrtem"])
        assert run_finetune(args) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


def test_masks_find_their_images_and_folders_are_groups(tmp_path):
    for place, names in (("images/day 1", "ab"), ("images/day 2", "c")):
        (tmp_path / place).mkdir(parents=True)
        for name in names:
            tifffile.imwrite(tmp_path / place / f"{name}.tif", np.zeros((70, 80), np.uint16))
    (tmp_path / "masks").mkdir()
    for name in "abc":
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", np.eye(70, 80, dtype=np.uint8))
    found = read_labelled(tmp_path / "masks", tmp_path / "images")
    assert [(x.name, x.group) for x in found] == [
        ("a.tif", "day 1"), ("b.tif", "day 1"), ("c.tif", "day 2"),
    ]  # fmt: skip
    assert found[0].mask.sum() == 70
    tifffile.imwrite(tmp_path / "masks" / "a.tif", np.zeros((7, 8), np.uint8))
    with pytest.raises(ValueError, match="its image"):
        read_labelled(tmp_path / "masks", tmp_path / "images")
    (tmp_path / "images/day 1/a.tif").unlink()
    with pytest.raises(ValueError, match="no image of its name"):
        read_labelled(tmp_path / "masks", tmp_path / "images")
    with pytest.raises(ValueError, match="--images"):
        read_labelled(tmp_path / "masks")
