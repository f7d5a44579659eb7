"""Contaminants on graphene: the user's pixels and nanometres come back, and a second opinion."""

import math

import microscope_files
import numpy as np
import pytest
import tifffile
import torch
from lattices import honeycomb
from PIL import Image
from scipy.ndimage import gaussian_filter

import mchelpers
from mchelpers.afm_coverage.whole import rescale
from mchelpers.kept import load_network
from mchelpers.measuring import graphene, one
from mchelpers.measuring.shipped import find_network
from mchelpers.models import UNet
from mchelpers.train import predict

BLOB = np.hypot(*(np.mgrid[:256, :256] - np.array([120, 140])[:, None, None])) < 50


@pytest.fixture(scope="module")
def sample():
    """Lattice of 5 px, with a disk of 50 px in which there is something else."""
    rng = np.random.default_rng(3)
    grain = rescale(rng.normal(size=(64, 64)), (256, 256))
    image = honeycomb(256, 0.2) * ~BLOB + 6 * grain * BLOB + 0.2 * rng.normal(size=(256, 256))
    return (30 * image + 128).astype(np.float32)


@pytest.fixture
def without_network(monkeypatch):
    monkeypatch.setattr(one, "find_network", lambda study, weights: None)


def test_the_network_finds_the_disk_in_nanometres(sample):
    answer = mchelpers.measure(sample, study="graphene_hrtem", pixel_size_nm=0.0426)
    assert str(answer).startswith("Pixel size: 0.0426 nm, as you gave it; the lattice")
    true = BLOB.sum() * 0.0426**2
    assert answer.image["covered_nm2"] == pytest.approx(true, rel=0.3)
    low, high = answer.image["covered_share_low"], answer.image["covered_share_high"]
    assert low <= answer.image["covered_share"] <= high
    assert len(answer.settings["weights_sha256"]) == 64


def test_the_classical_answer_stands_alone_where_no_network_is(sample, without_network):
    answer = mchelpers.measure(sample, study="graphene_hrtem")
    union = (answer.mask | BLOB).sum()
    assert (answer.mask & BLOB).sum() / union > 0.7
    assert "no network is at hand" in str(answer)
    largest = max(answer.objects, key=lambda row: row["area_px"])
    assert largest["diameter_nm"] == pytest.approx(100 * answer.ruler.nm, rel=0.2)
    assert not largest["touches_border"]


def test_results_do_not_depend_on_how_finely_the_image_is_sampled(sample, without_network):
    fine = rescale(sample, scale=4)
    one, other = (mchelpers.measure(i, study="graphene_hrtem") for i in (sample, fine))
    assert other.labels.shape == (1024, 1024)
    assert other.ruler.nm == pytest.approx(one.ruler.nm / 4, rel=0.02)
    assert other.image["covered_nm2"] == pytest.approx(one.image["covered_nm2"], rel=0.1)


def test_a_disagreement_is_said(sample, monkeypatch):
    monkeypatch.setattr(graphene, "_probability", lambda network, image: 1.0 - BLOB)
    answer = mchelpers.measure(sample, study="graphene_hrtem")
    assert answer.image["agreement_iou"] < 0.2
    assert any("network and classical method disagree" in words for words in answer.warnings)


def test_uneven_light_is_taken_out(sample, without_network):
    answer = mchelpers.measure(sample * np.linspace(0.5, 1.5, 256), study="graphene_hrtem")
    assert answer.settings["flattened"]
    assert (answer.mask & BLOB).sum() / (answer.mask | BLOB).sum() > 0.7


def test_an_image_too_small_to_show_a_lattice_is_refused():
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 6)
    with pytest.raises(ValueError, match="too little to see a lattice in"):
        mchelpers.measure(smooth, study="graphene_hrtem", pixel_size_nm=0.003)


def write_dm4(path, image):
    microscope_files.dm(path, [(image.astype(np.float32), "one", 0.0426, "nm")])


def write_tiff(path, image):
    about = {"resolution": (1 / 0.0426, 1 / 0.0426), "metadata": {"unit": "nm"}}
    tifffile.imwrite(path, image, imagej=True, **about)


@pytest.mark.parametrize(
    ("name", "write", "source"),
    [
        ("one.dm4", write_dm4, "as the file says; the lattice in the image agrees"),
        ("one.tif", write_tiff, "as the file says; the lattice in the image agrees"),
        ("one.jpg", lambda p, i: Image.fromarray(i).save(p, quality=90), "from the lattice"),
        ("one.npy", np.save, "from the lattice"),
    ],
)
def test_files_bring_their_pixel_size_or_the_lattice_does(
    sample, without_network, tmp_path, name, write, source
):
    write(tmp_path / name, sample.clip(0, 255).astype(np.uint8))
    answer = mchelpers.measure(tmp_path / name, study="graphene_hrtem")
    assert source in answer.ruler.line
    assert answer.ruler.nm == pytest.approx(0.0426, rel=0.01)


def test_nothing_found_is_an_answer(without_network):
    answer = mchelpers.measure(honeycomb(256, 0.2, noise=0.05), study="graphene_hrtem")
    assert answer.objects == [] and answer.image["covered_share"] == 0
    assert not math.isnan(answer.ruler.nm)


def test_a_large_image_is_taken_in_tiles_and_shows_no_seam(sample, monkeypatch):
    image = np.tile((sample - sample.mean()) / sample.std(), (3, 3))
    whole = graphene._classical_mask(image)
    monkeypatch.setattr(graphene, "WINDOW", 256)
    assert (graphene._classical_mask(image) == whole).mean() > 0.9999


def test_the_quick_network_answers_as_the_shipped_one_does(sample):
    plain = UNet(features=32, blocks=7, classes=1, norm=True, stem=4)
    plain = load_network(plain, find_network("graphene_hrtem").path)
    image = torch.from_numpy((sample - sample.mean()) / sample.std())[None, None]
    quick = predict(find_network("graphene_hrtem").module, image)
    assert (quick - predict(plain, image)).abs().mean() < 0.02  # bfloat16 rounds
