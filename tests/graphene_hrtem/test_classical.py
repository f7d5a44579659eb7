"""Thresholds, feature maps and the pixel classifier, on small lattices."""

import numpy as np
import pytest

from mchelpers import metrics
from mchelpers.graphene_hrtem import classical
from mchelpers.graphene_hrtem.images import lattice_micrographs
from mchelpers.graphene_hrtem.scores import macro
from mchelpers.train import kfold


@pytest.fixture(scope="module")
def micrographs():
    return lattice_micrographs(20, size=160, seed=3)


@pytest.fixture(scope="module")
def features(micrographs):
    return classical.feature_stack(micrographs.images)


def random_scores(count=6, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((count, 20, 24)) < 0.2
    truth[0] = False
    return (rng.random(truth.shape) + 0.5 * truth).astype(np.float32), truth


def test_f1_by_threshold_agrees_with_the_metrics():
    scores, truth = random_scores()
    thresholds = np.linspace(0, 1.6, 17)
    curves = classical.f1_by_threshold(scores, truth, thresholds)
    for n, threshold in enumerate(thresholds):
        expected = metrics.per_image(scores > threshold, truth)["f1"]
        np.testing.assert_allclose(curves[:, n], expected)


def test_a_score_on_the_threshold_is_not_above_it():
    scores, truth = np.full((1, 4, 4), 0.5, np.float32), np.ones((1, 4, 4), bool)
    np.testing.assert_array_equal(classical.f1_by_threshold(scores, truth, [0.25, 0.5]), [[1, 0]])


def test_a_threshold_never_sees_its_own_fold():
    """Turn one fold's labels around: its masks must stay as they are."""
    scores, truth = random_scores(9)
    folds = kfold(9, 3, 0)
    before = classical.threshold_masks(scores, truth, folds, np.linspace(0, 1.5, 31))
    changed = truth.copy()
    changed[folds[1]] = ~changed[folds[1]]
    after = classical.threshold_masks(scores, changed, folds, np.linspace(0, 1.5, 31))
    np.testing.assert_array_equal(before[0][folds[1]], after[0][folds[1]])
    assert before[1][1] == after[1][1]
    assert not np.array_equal(before[1], after[1])


def test_bragg_parameters_are_fitted_per_fold(micrographs):
    folds = kfold(len(micrographs), 2, 0)
    fit = classical.bragg_masks(
        micrographs.images, micrographs.masks, folds, (0.0156, 0.03), (5.0,), np.arange(0, 2, 0.05)
    )
    assert fit.sigma.shape == fit.peak_threshold.shape == fit.mask_threshold.shape == (2,)
    assert fit.f1.shape == (len(micrographs), 2, 1, 40)
    for fold, sigma, level in zip(folds, fit.sigma, fit.mask_threshold):
        maps = classical.bragg_maps(micrographs.images[fold], sigma, 5.0)
        np.testing.assert_array_equal(fit.masks[fold], maps > level)
        place = (0.0156, 0.03).index(sigma), 0, round(level / 0.05)
        scored = metrics.per_image(fit.masks[fold], micrographs.masks[fold])["f1"]
        np.testing.assert_allclose(fit.f1[(fold, *place)], scored)


def test_a_search_serves_other_folds_as_well(micrographs):
    args = micrographs.images, micrographs.masks
    settings = (0.0156, 0.03), (5.0,), np.arange(0, 2, 0.05)
    searched = classical.bragg_masks(*args, kfold(len(micrographs), 2, 0), *settings)
    others = kfold(len(micrographs), 3, 1)
    again = classical.bragg_masks(*args, others, *settings)
    reused = classical.bragg_masks(*args, others, *settings, f1=searched.f1)
    np.testing.assert_array_equal(reused.masks, again.masks)
    np.testing.assert_array_equal(reused.mask_threshold, again.mask_threshold)


def test_counts_less_their_mean_are_not_divided_by_their_background(micrographs):
    counts = 200 + 50 * micrographs.images[0]
    assert np.isfinite(classical.flat_field(counts)).all()
    with pytest.raises(ValueError, match="background falls to .* before anything is subtracted"):
        classical.flat_field(counts - counts.mean())


def test_scores_of_nan_are_refused(micrographs):
    """They would count as above every threshold here, and as below it in the mask."""
    scores = np.where(micrographs.masks, np.nan, 0.5)
    with pytest.raises(ValueError, match="scores holds NaN"):
        classical.f1_by_threshold(scores, micrographs.masks)


def test_bragg_parameters_never_see_their_own_fold(micrographs):
    """What the labels of a fold say changes nothing about its own masks."""
    folds = kfold(len(micrographs), 2, 0)
    spoiled = micrographs.masks.copy()
    spoiled[folds[0]] = ~spoiled[folds[0]]
    honest, other = (
        classical.bragg_masks(
            micrographs.images, m, folds, (0.0156,), (5.0,), np.arange(0, 2, 0.05)
        )
        for m in (micrographs.masks, spoiled)
    )
    assert honest.mask_threshold[0] == other.mask_threshold[0]
    assert honest.mask_threshold[1] != other.mask_threshold[1]
    np.testing.assert_array_equal(honest.masks[folds[0]], other.masks[folds[0]])


def test_otsu_parts_two_populations():
    rng = np.random.default_rng(0)
    truth = np.zeros((1, 32, 32), bool)
    truth[0, :10] = True
    scores = (np.where(truth, 3.0, 1.0) + 0.1 * rng.normal(size=truth.shape)).astype(np.float32)
    assert (classical.otsu_masks(scores) == truth).mean() > 0.99


def test_local_deviation_is_that_of_the_noise():
    noise = np.random.default_rng(0).normal(0, 3.0, (128, 128)).astype(np.float32)
    slope = np.linspace(0, 50, 128, dtype=np.float32)  # the illumination must not count
    assert np.median(classical.local_deviation(noise + slope)) == pytest.approx(3.0, rel=0.1)


def test_feature_maps_do_not_depend_on_contrast(micrographs):
    image = micrographs.images[0]
    maps = classical.feature_maps(image)
    assert maps.shape == (len(classical.MAPS), 160, 160) and maps.dtype == np.float32
    assert np.isfinite(maps).all()
    np.testing.assert_allclose(classical.feature_maps(40 * image), maps, atol=1e-3)


@pytest.mark.parametrize("shape", [(64, 64), (61, 90)])
def test_feature_maps_of_an_image_without_lattice_are_finite(shape):
    noise = np.random.default_rng(0).normal(100, 5, shape)
    assert np.isfinite(classical.feature_maps(noise)).all()


def test_feature_maps_refuse_nan():
    with pytest.raises(ValueError, match="NaN"):
        classical.feature_maps(np.full((64, 64), np.nan))


def test_pixel_classifier_beats_the_threshold_it_starts_from(micrographs, features):
    folds = kfold(len(micrographs), 5, 0)
    masks, probabilities = classical.best_masks(features, micrographs.masks, folds)
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    start, _ = classical.threshold_masks(
        classical.bragg_maps(micrographs.images), micrographs.masks, folds
    )
    best = macro(masks, micrographs.masks)["f1"]
    assert best > macro(start, micrographs.masks)["f1"]


def test_pixel_classifier_never_sees_its_own_fold(micrographs, features):
    folds = kfold(len(micrographs), 5, 0)
    before, _ = classical.best_masks(features, micrographs.masks, folds)
    changed = micrographs.masks.copy()
    changed[folds[2]] = False
    after, _ = classical.best_masks(features, changed, folds)
    np.testing.assert_array_equal(before[folds[2]], after[folds[2]])


def test_pixel_classifier_needs_both_classes(features):
    with pytest.raises(ValueError, match="one class"):
        classical.fit_pixels(features, np.zeros((20, 160, 160), bool))


def test_probability_masks_lose_specks_and_fill_holes():
    probability = np.zeros((1, 128, 128), np.float32)
    probability[0, 40:110, 40:110] = 1  # a region ...
    probability[0, 66:84, 66:84] = 0  # ... with a hole ...
    probability[0, 8:13, 8:13] = 1  # ... and a speck
    mask = classical.probability_masks(probability)[0]
    assert not mask[:30, :30].any()
    assert mask[45:105, 45:105].all()


def test_probability_masks_of_nothing_and_of_all():
    assert not classical.probability_masks(np.zeros((1, 40, 40), np.float32)).any()
    assert classical.probability_masks(np.ones((1, 40, 40), np.float32)).all()
