"""The Bragg filter on lattices whose spots are known."""

import numpy as np
import pytest

from mchelpers.graphene_hrtem import bragg

SPOT = (20 / 128, 12 / 128)  # px^-1, on a bin of a 128 px image


def lattice(shape=(128, 128), spots=(SPOT,), noise=0.0, seed=0):
    """Sum one cosine per spot; (H, W) float."""
    rows, columns = np.indices(shape)
    image = sum(np.cos(2 * np.pi * (a * rows + b * columns)) for a, b in spots)
    return image + noise * np.random.default_rng(seed).normal(size=shape)


def patch(shape=(128, 128), side=32):
    """Mark a square in the middle; (H, W) bool."""
    mask = np.zeros(shape, bool)
    rows, columns = ((n - side) // 2 for n in shape)
    mask[rows : rows + side, columns : columns + side] = True
    return mask


def with_amorphous_patch(shape=(128, 128)):
    """Replace the middle of a lattice by correlated noise."""
    from scipy.ndimage import gaussian_filter

    mask = patch(shape)
    noise = gaussian_filter(np.random.default_rng(1).normal(size=shape), 1.5)
    return np.where(mask, 2 * noise / noise.std(), lattice(shape, noise=0.1)), mask


@pytest.mark.parametrize("spot", [SPOT, (-SPOT[0], SPOT[1]), (0.25, 0.0), (0.0, 0.25), (-0.2, 0.3)])
def test_finds_a_known_spot(spot):
    steps = bragg.bragg_filter(lattice(spots=[spot], noise=0.01), steps=True)
    found = steps.spots[0]
    distance = min(np.hypot(*(found - spot)), np.hypot(*(found + spot)))  # a spot or its opposite
    assert distance < 1 / 128


def test_no_spot_is_returned_with_its_opposite():
    spots = bragg.bragg_filter(lattice(spots=[(0.25, 0.0)], noise=0.1), steps=True).spots
    gaps = np.hypot(*(spots[:, None] + spots[None]).transpose(2, 0, 1))
    assert gaps.min() > 2 / 128


@pytest.mark.parametrize("shape", [(128, 128), (97, 150), (160, 101), (33, 47)])
def test_perfect_lattice_leaves_nothing(shape):
    spots = np.round(np.array([(0.2, 0.13), (-0.2, 0.25)]) * shape) / shape  # on bins
    steps = bragg.bragg_filter(lattice(shape, spots), steps=True)
    assert steps.residual.shape == shape
    assert steps.residual.max() < 0.05  # of an image of standard deviation 1
    np.testing.assert_allclose(steps.image, steps.lattice + steps.difference, atol=1e-5)


def test_lattice_is_kept_up_to_the_frame():
    """Without the border's normalisation half the lattice would be missing there."""
    image = bragg.zscore(lattice())
    kept = bragg.bragg_image(image, np.array([SPOT], np.float32))
    assert np.abs(kept - image)[0].max() < 0.1
    assert np.abs(kept - image)[:, -1].max() < 0.1


@pytest.mark.parametrize("shape", [(128, 128), (111, 150)])
def test_amorphous_patch_lights_up(shape):
    image, mask = with_amorphous_patch(shape)
    residual = bragg.bragg_filter(image)
    assert np.median(residual[mask]) > 3 * np.median(residual[~mask])


def test_result_does_not_depend_on_unit_or_type():
    image = np.round(100 + 20 * with_amorphous_patch()[0]).clip(0, 255)
    reference = bragg.bragg_filter(image)
    np.testing.assert_allclose(bragg.bragg_filter(3e4 * image - 7), reference, atol=1e-4)
    np.testing.assert_allclose(bragg.bragg_filter(image.astype(np.uint8)), reference, atol=1e-5)
    assert reference.dtype == np.float32


@pytest.mark.parametrize("peaks", [2, 7, 24])
def test_number_of_spots_is_limited(peaks):
    noise = np.random.default_rng(0).normal(size=(128, 128))
    spots = bragg.bragg_filter(noise, peak_threshold=0, peaks=peaks, steps=True).spots
    assert len(spots) == peaks // 2


def test_spots_come_strongest_first():
    steps = bragg.bragg_filter(lattice(spots=[SPOT] * 3 + [(-0.2, 0.3)]), peaks=4, steps=True)
    np.testing.assert_allclose(np.abs(steps.spots[0]), SPOT, atol=1 / 128)
    np.testing.assert_allclose(np.abs(steps.spots[1]), (0.2, 0.3), atol=1 / 128)


def test_without_spots_the_residual_is_the_image():
    """White noise below the peak threshold: nothing is periodic, so all is residual."""
    noise = np.random.default_rng(0).normal(size=(64, 64))
    steps = bragg.bragg_filter(noise, peak_threshold=1e6, steps=True)
    assert steps.spots.shape == (0, 2)
    assert not steps.lattice.any()
    np.testing.assert_allclose(steps.residual, bragg.low_pass(np.abs(steps.image), 5.0))


def test_low_pass_keeps_constants_up_to_the_frame():
    np.testing.assert_allclose(bragg.low_pass(np.ones((40, 70), np.float32), 5.0), 1, atol=1e-5)


def test_low_pass_is_a_gaussian():
    from scipy.ndimage import gaussian_filter

    image = np.zeros((81, 65), np.float32)
    image[40, 32] = 1
    np.testing.assert_allclose(
        bragg.low_pass(image, 4.0), gaussian_filter(image, 4.0, truncate=8), atol=1e-7
    )


@pytest.mark.parametrize("shape", [(64, 64), (63, 64), (64, 65), (51, 49)])
def test_full_plane_is_the_whole_transform(shape):
    image = np.random.default_rng(0).normal(size=shape)
    whole = np.fft.fftshift(np.abs(np.fft.fft2(image)))
    half = np.abs(np.fft.rfft2(image))
    np.testing.assert_allclose(bragg.full_plane(half, shape[1]), whole, atol=1e-9)


def test_filter_leaves_its_input_alone():
    image, _ = with_amorphous_patch()
    before = image.copy()
    bragg.bragg_filter(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "settings", "message"),
    [
        (np.full((64, 64), np.nan), {}, "NaN"),
        (np.zeros((64, 64)), {}, "constant"),
        (np.ones((3, 64, 64)), {}, "image by image"),
        (np.ones((16, 64)), {}, "at least 32"),
        (lattice() * (1 + 1j), {}, "complex"),
        (np.ma.masked_less(lattice(), 0.2), {}, "masked"),
        (lattice(), {"sigma": 0.0}, "sigma > 0"),
        (lattice(), {"peaks": 1}, "at least 2 peaks"),
    ],
)
def test_unusable_input_is_refused_in_words(image, settings, message):
    with pytest.raises(ValueError, match=message):
        bragg.bragg_filter(image, **settings)
