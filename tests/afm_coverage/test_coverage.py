"""Scores of coverage with known answers, calibration, and the SEM images."""

import numpy as np
import pytest
from conftest import has_real_data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.io import imsave
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from mchelpers import data, downloads
from mchelpers.afm_coverage import coverage

TRUTH = np.array([0.1, 0.2, 0.5, 0.6])
SAMPLES = np.array(["a", "a", "b", "b"])
shares = arrays(float, 8, elements=st.floats(0, 1, width=32))


def test_known_errors():
    assert coverage.rmse(TRUTH + 0.1, TRUTH) == pytest.approx(0.1)
    assert coverage.mae(TRUTH + [0.1, -0.1, 0, 0], TRUTH) == pytest.approx(0.05)
    assert coverage.r2(TRUTH, TRUTH) == 1
    assert coverage.r2(np.full(4, TRUTH.mean()), TRUTH) == pytest.approx(0)


@given(shares, shares)
@settings(max_examples=20, deadline=None)
def test_scores_are_those_of_scikit_learn_and_the_order_matters(predicted, truth):
    assert coverage.rmse(predicted, truth) ** 2 == pytest.approx(
        mean_squared_error(truth, predicted)
    )
    assert coverage.mae(predicted, truth) == pytest.approx(mean_absolute_error(truth, predicted))
    if ((truth - truth.mean()) ** 2).sum() < 1e-18:
        with pytest.raises(ValueError, match="does not vary"):
            coverage.r2(predicted, truth)
        return
    assert coverage.r2(predicted, truth) == pytest.approx(r2_score(truth, predicted))


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (TRUTH[:3], "must both be"),
        (TRUTH[:, None], "must both be"),
        (np.array([0.1, np.nan, 0.5, 0.6]), "NaN"),
    ],
)
def test_unusable_predictions_are_refused(predicted, message):
    for score in (coverage.rmse, coverage.mae, coverage.r2):
        with pytest.raises(ValueError, match=message):
            score(predicted, TRUTH)
    with pytest.raises(ValueError, match="not empty"):
        coverage.rmse([], [])


def test_the_sample_mean_and_the_mean_of_the_others():
    assert coverage.sample_mean_predictor(TRUTH, SAMPLES) == pytest.approx([0.15, 0.15, 0.55, 0.55])
    others = coverage.sample_mean_predictor(TRUTH, SAMPLES, others_only=True)
    assert others == pytest.approx([0.2, 0.1, 0.6, 0.5])
    with pytest.raises(ValueError, match="one image"):
        coverage.sample_mean_predictor(TRUTH, ["a", "a", "b", "c"], others_only=True)
    with pytest.raises(ValueError, match="4 group labels"):
        coverage.sample_mean_predictor(TRUTH, SAMPLES[:3])


@given(shares)
@settings(max_examples=20, deadline=None)
def test_within_samples_the_sample_mean_scores_zero(truth):
    samples = np.repeat([0, 1], 4)
    means = coverage.sample_mean_predictor(truth, samples)
    if ((truth - means) ** 2).sum() < 1e-18:
        with pytest.raises(ValueError, match="does not vary"):
            coverage.within_sample_r2(means, truth, samples)
        return
    assert coverage.within_sample_r2(means, truth, samples) == pytest.approx(0)
    assert coverage.within_sample_r2(truth, truth, samples) == 1


def test_an_interval_holds_the_score_and_a_difference_to_oneself_is_nothing():
    predicted = TRUTH + np.array([0.01, 0.02, -0.1, 0.1])
    low, high = coverage.interval(coverage.rmse, predicted, TRUTH, SAMPLES, draws=200)
    assert low < coverage.rmse(predicted, TRUTH) < high
    # Whole samples are drawn, so that there are three possible values only.
    assert low == pytest.approx(coverage.rmse(predicted[:2], TRUTH[:2]))
    assert high == pytest.approx(coverage.rmse(predicted[2:], TRUTH[2:]))
    many = [np.repeat(a, 4) for a in (predicted, TRUTH, SAMPLES)]  # more alike, and no surer
    assert coverage.interval(coverage.rmse, *many, draws=200) == pytest.approx((low, high))
    same = coverage.interval(coverage.rmse, predicted, TRUTH, SAMPLES, predicted, draws=50)
    assert same == (0, 0)
    worse = coverage.interval(coverage.rmse, predicted, TRUTH, SAMPLES, TRUTH, draws=50)
    assert worse[0] > 0


@given(arrays(bool, (3, 6, 6)), arrays(bool, (3, 6, 6)))
@settings(max_examples=20, deadline=None)
def test_areas_come_back_from_coverages_and_iou(masks, truth):
    def share(m):
        return m.mean((1, 2))

    union = share(masks | truth)
    iou = np.divide(share(masks & truth), union, out=np.ones(3), where=union > 0)
    found, invented, missed = coverage.overlap_areas(share(masks), share(truth), iou)
    assert found == pytest.approx(share(masks & truth))
    assert invented == pytest.approx(share(masks & ~truth))
    assert missed == pytest.approx(share(~masks & truth))


def test_rows_in_another_order_are_noticed():
    with pytest.raises(ValueError, match="same order"):
        coverage.overlap_areas([0.1], [0.9], [0.8])


@pytest.mark.parametrize("kind", ["linear", "isotonic"])
def test_a_scale_that_is_off_everywhere_is_put_right(kind):
    truth = np.linspace(0.1, 0.9, 12)
    samples = np.tile([0, 1, 2], 4)
    corrected = coverage.recalibrate(0.8 * truth + 0.05, truth, samples, kind)
    assert coverage.rmse(corrected, truth) < coverage.rmse(0.8 * truth + 0.05, truth)
    if kind == "linear":
        assert corrected == pytest.approx(truth)
    assert 0 <= corrected.min() and corrected.max() <= 1


def test_a_calibration_does_not_see_the_group_it_corrects():
    predicted = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.8])
    truth = predicted.copy()
    truth[4:] = 0.1  # only this group is off
    corrected = coverage.recalibrate(predicted, truth, [0, 0, 1, 1, 2, 2])
    assert corrected[4:] == pytest.approx(predicted[4:])


def test_impossible_calibrations_say_why():
    with pytest.raises(ValueError, match="two groups"):
        coverage.recalibrate(TRUTH, TRUTH, np.zeros(4))
    with pytest.raises(ValueError, match="all predictions are equal"):
        coverage.calibrator(np.full(4, 0.5), TRUTH)
    with pytest.raises(ValueError, match="'linear' or 'isotonic'"):
        coverage.calibrator(TRUTH, TRUTH, "cubic")


@pytest.fixture
def sem(tmp_path, monkeypatch):
    """Put three small images where the registry says; return its entries."""
    import hashlib

    files = {}
    for k, number in enumerate((2, 10, 1)):
        image = np.full((16, 16), 100 + number, np.uint8)
        image[0, 0] = 0
        mask = np.zeros((16, 16), np.uint8)
        mask[:, : 4 * k] = 255  # the first is empty
        folder = f"graphene_sem/data/Set_{1 + k // 2}_Good"
        for name, array in ((f"image<{number}>.tif", image), (f"image_mask<{number}>.png", mask)):
            target = tmp_path / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            imsave(target, array, check_contrast=False)
            content = target.read_bytes()
            files[f"{folder}/{name}"] = (hashlib.sha256(content).hexdigest(), len(content), "")
    monkeypatch.setenv("MCHELPERS_DATA", str(tmp_path))
    monkeypatch.setattr(coverage, "registry", lambda: files)
    monkeypatch.setattr(downloads, "registry", lambda: files)
    return files


def test_sem_images_come_in_order_with_their_sets(sem):
    loaded = coverage.load_sem()
    assert loaded.names == ["set 1, image 2", "set 1, image 10", "set 2, image 1"]
    assert loaded.images.dtype == np.uint8 and loaded.images[:, 1, 1].tolist() == [102, 110, 101]
    assert loaded.masks.mean((1, 2)) == pytest.approx([0, 0.25, 0.5])
    assert loaded.groups["set"].tolist() == ["set 1", "set 1", "set 2"]
    assert loaded.kind == "real"


def test_sem_images_shrink(sem):
    small = coverage.load_sem(shrink=4)
    assert small.images.shape == small.masks.shape == (3, 4, 4)
    assert small.masks.mean((1, 2)) == pytest.approx([0, 0.25, 0.5])
    with pytest.raises(ValueError, match="shrink must divide"):
        coverage.load_sem(shrink=3)


@pytest.mark.skipif(not has_real_data("graphene_sem"), reason="MCHELPERS_DATA lacks graphene_sem")
def test_sem_images_as_released(monkeypatch):
    stems = [p for p in data.registry() if p.startswith("graphene_sem/data") and "mask" not in p]
    assert [sum(f"Set_{n}_" in p for p in stems) for n in (1, 2, 3, 4)] == [9, 9, 13, 42]
    few = {p: entry for p, entry in data.registry().items() if "Set_2_" in p}  # all would take long
    monkeypatch.setattr(coverage, "registry", lambda: few)
    loaded = coverage.load_sem(shrink=2)
    assert loaded.images.shape == (9, 512, 640) and loaded.names[-1] == "set 2, image 9"
    pairs = zip(loaded.images, loaded.masks)
    assert all(i[m].mean() < i[~m].mean() for i, m in pairs)  # graphene is darker
