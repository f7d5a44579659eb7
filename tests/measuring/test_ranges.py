"""Out of range is said: images that are outside in one property, and images that are not."""

import json
import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mchelpers.afm_coverage.whole import rescale
from mchelpers.graphene_hrtem.stand_in import lattice_micrographs
from mchelpers.measuring import ranges
from mchelpers.measuring.ruler import graphene_radius


def properties(image):
    lattice = ranges.lattice_properties(image, graphene_radius(image))
    return ranges.properties(image, image) | lattice


@pytest.fixture(scope="module")
def images():
    return lattice_micrographs(10, 192).images


@pytest.fixture(scope="module")
def known(images):
    rows = [properties(image) | {"covered_share": 0.3} for image in images]
    return ranges.ranges_of(rows)


def noisy(image):
    return image + 6 * image.std() * np.random.default_rng(0).normal(size=image.shape)


def low(image):
    return np.round(3 * (image - image.mean()) / image.std())


def clipped(image):
    return np.clip(image, *np.percentile(image, (15, 85)))


def uneven(image):
    return image * np.linspace(0.2, 1.8, image.shape[1])


SPOILT = {
    "noisier": noisy,
    "less sharp": lambda image: gaussian_filter(image, 4),
    "contrast is lower": low,
    "contrast is higher": clipped,
    "light is less even": uneven,
    "sampled more finely": lambda image: rescale(image, scale=5),
    "smaller": lambda image: image[:90, :90],
}


@pytest.mark.parametrize("said", SPOILT)
def test_an_image_outside_in_one_property_is_told_so(images, known, said):
    found = properties(SPOILT[said](images[0]).astype(np.float32))
    assert any(said in words for words in ranges.outside(found, known))


def test_what_was_trained_on_is_inside(images, known):
    assert not any(ranges.outside(properties(image), known) for image in images)


def test_too_much_covered_is_told(known):
    assert "more is covered" in ranges.outside({"covered_share": 0.9}, known)[0]
    assert not ranges.outside({"covered_share": 0.0}, known)  # a clean image is no fault


def test_no_lattice_is_told(known):
    assert "no lattice is seen" in ranges.outside({"lattice_px": math.nan}, known)[0]


@pytest.mark.parametrize(
    ("times", "warned"), [(0.6, False), (1.8, False), (0.4, True), (2.5, True)]
)
def test_a_scale_that_was_brought_to_the_network_s_is_no_fault(known, times, warned):
    low, high = known["lattice_px"]
    value = times * (low if times < 1 else high)
    assert bool(ranges.outside({"lattice_px": value}, known)) == warned


@pytest.mark.parametrize(
    ("study", "images", "others"),
    [
        ("graphene_hrtem", 131, {"pixel_nm"}),
        ("nanoparticles", 108, {"lattice_px", "lattice_prominence"}),
    ],
)
def test_the_ranges_of_a_shipped_network_have_every_property(study, images, others):
    kept = json.loads(ranges._file(study).read_text())
    assert kept["images"] == images and set(kept["ranges"]) == set(ranges.WORDS) - others
    assert all(low < high for low, high in kept["ranges"].values())
