"""Trainings are kept under everything that made them, rounded first, and never made twice."""

import json
import threading

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from easy_task import NETWORK, easy_task

from mchelpers import kept, models, train


@pytest.fixture
def task():
    return easy_task()


def dropping():
    convolution, dropout = torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Dropout(0.5)
    return torch.nn.Sequential(convolution, dropout, torch.nn.Conv2d(8, 2, 1))


def cross_validated(task, workers=1, network=NETWORK, **change):
    fit = train.Fit(**{"epochs": 2, "lr": 1e-2, "batch_size": 2, **change})
    folds = train.kfold(6, 3)
    return kept.cross_validate(
        network, *task, folds, fit, name="t", workers=workers, progress=False
    )


def test_cross_validation_keeps_what_it_finished(task):
    first = cross_validated(task)
    stamps = [f.stat().st_mtime_ns for f in first.weights]
    second = cross_validated(task)
    assert [f.stat().st_mtime_ns for f in second.weights] == stamps
    assert torch.equal(first.logits, second.logits)
    assert second.histories[0].seconds == first.histories[0].seconds
    other = cross_validated(task, epochs=3)
    assert not set(other.weights) & set(first.weights)
    assert not list(train.run_folder().glob("*.pt"))


def test_folds_side_by_side_give_the_same_numbers(task, monkeypatch, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of two folds has
    try:
        one = cross_validated(task)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "other"))
    two = cross_validated(task, workers=2)
    for a, b in zip(one.weights, two.weights):
        first, second = kept.load_tensors(a)[0], kept.load_tensors(b)[0]
        assert all(torch.equal(first[k], second[k]) for k in first)
    assert torch.allclose(one.logits, two.logits, atol=0.02)  # bfloat16 where it is fast


def test_a_fold_never_sees_its_test_images(task):
    """Labels of the test fold do not change its own predictions."""
    folds = train.kfold(6, 3)
    spoiled = task[1].clone()
    spoiled[folds[0]] = 1 - spoiled[folds[0]]
    honest = cross_validated(task).logits[folds[0]]
    assert torch.equal(cross_validated((task[0], spoiled)).logits[folds[0]], honest)


def test_each_fold_has_a_seed_of_its_own(task):
    """Not one luck for all: the second fold is that of the next seed, alone."""
    folds = train.kfold(6, 3)
    both = kept.cross_validate(NETWORK, *task, folds, train.Fit(1), name="t", progress=False)
    learn = np.setdiff1d(np.arange(6), folds[1])
    alone = kept.Training("t-1", NETWORK, *task, learn, train.Fit(1, seed=1))
    assert alone.file == both.weights[1]


def test_only_some_folds(task):
    fit = train.Fit(epochs=1)
    folds = train.kfold(6, 3)
    cv = kept.cross_validate(NETWORK, *task, folds, fit, name="t", only=1, progress=False)
    assert len(cv.weights) == 1
    assert cv.logits[folds[0]].abs().sum() > 0 and cv.logits[folds[1]].abs().sum() == 0


def test_kept_weights_load_into_a_network(task):
    cv = cross_validated(task)
    network = kept.load_network(NETWORK(), cv.weights[0])
    test = np.sort(train.kfold(6, 3)[0])
    assert torch.allclose(train.predict(network, task[0][test]), cv.logits[test], atol=1e-5)


def test_one_explicit_split_is_the_fold_of_a_cross_validation(task):
    fit = train.Fit(epochs=2, lr=1e-2, batch_size=2)
    learn, test = np.array([0, 2, 5]), np.array([4, 1])
    options = dict(name="s", progress=False)
    one = kept.fit_split(NETWORK, *task, learn, test, fit, **options)
    assert len(one.weights) == len(one.histories) == 1
    assert one.logits[3].abs().sum() == 0  # in neither part
    network = kept.load_network(NETWORK(), one.weights[0])
    assert torch.allclose(train.predict(network, task[0][test]), one.logits[test], atol=1e-5)
    spoiled = task[1].clone()
    spoiled[[1, 3, 4]] = 1 - spoiled[[1, 3, 4]]  # neither test labels nor the image left out count
    again = kept.fit_split(NETWORK, task[0], spoiled, learn, test, fit, **options)
    assert torch.equal(again.logits[test], one.logits[test])
    same = kept.fit_split(NETWORK, *task, learn[::-1], test[::-1], fit, **options)
    assert same.weights == one.weights


@pytest.mark.parametrize(
    ("learn", "test", "words"),
    [([], [1], "need some"), ([1], [], "need some"), ([1, 2], [2], "e.g. 2")],
)
def test_a_split_that_is_none_is_refused(task, learn, test, words):
    with pytest.raises(ValueError, match=words):
        kept.fit_split(NETWORK, *task, learn, test, train.Fit(epochs=1), name="s")


def training(task, **change):
    options = {"settings": train.Fit(epochs=1, lr=1e-2, batch_size=2), **change}
    return kept.Training("t", NETWORK, *task, np.arange(4), **options)


def macro(logits, targets):
    return float((logits.argmax(1) != targets).float().mean())


def test_what_is_watched_is_part_of_the_key(task):
    """A history without a learning curve is not the one that a call with a score asks for."""
    plain = training(task)
    watched = training(task, score=macro, watch=np.array([4, 5]))
    assert plain.key != watched.key
    for each in (plain, watched):
        each.make()
    history = json.loads(kept.load_tensors(watched.file)[1]["history"])
    assert len(history["validation"]) == 1
    elsewhere = training(task, score=macro, watch=np.array([4]))
    assert elsewhere.key != watched.key


def test_what_is_watched_is_what_the_score_sees(task):
    def brightness(logits, targets):  # of the labels: they widen from image to image
        return float(targets.float().mean())

    file = training(task, score=brightness, watch=np.array([4, 5])).make()
    history = json.loads(kept.load_tensors(file)[1]["history"])
    assert history["validation"] == pytest.approx([(12 + 14) / 2 / 16])


def test_the_key_is_of_what_is_learned_from_and_nothing_else(task):
    images, labels = task[0].clone(), task[1].clone()
    images[5], labels[5] = 0, 0  # not learned from
    assert training((images, labels)).key == training(task).key
    images[0] += 1e-6
    assert training((images, labels)).key != training(task).key
    labels = task[1].clone()
    labels[0, 0, 0] = 1 - labels[0, 0, 0]
    assert training((task[0], labels)).key != training(task).key


@pytest.mark.parametrize(
    "change",
    [
        {"settings": train.Fit(epochs=1, lr=1e-2, batch_size=2, seed=1)},
        {"start": {"w": torch.zeros(1)}},
        {"augment": lambda x, y, g: (x, y)},
        {"loss": lambda logits, y: train.cross_entropy(2 * logits, y)},
    ],
)
def test_everything_else_makes_another_key(task, change):
    assert training(task, **change).key != training(task).key


def test_kept_weights_are_rounded_before_they_predict(task):
    cv = cross_validated(task)
    tensors, note = kept.load_tensors(cv.weights[0])
    floats = [v for v in tensors.values() if v.is_floating_point()]
    assert all(torch.equal(v, v.half().float()) for v in floats)
    assert cv.weights[0].stat().st_size < 2.5 * sum(v.numel() for v in floats) + 10_000
    assert "core" in note["trained_on"]


def test_what_half_precision_cannot_hold_is_not_rounded():
    state = {"large": torch.tensor([1e6]), "count": torch.tensor(70_000), "one": torch.ones(1)}
    rounded = kept.half(state)
    assert rounded["large"].item() == 1e6 and rounded["count"].item() == 70_000
    assert rounded["one"].dtype == torch.float16


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("network", [NETWORK, dropping])
def test_random_numbers_of_the_caller_go_on(task, workers, network):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(1)
    cross_validated(task, workers, network)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_dropout_does_not_depend_on_what_was_drawn_before(task, monkeypatch, tmp_path):
    one = cross_validated(task, network=dropping)
    torch.rand(9)
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "other"))
    assert torch.equal(cross_validated(task, network=dropping).logits, one.logits)


def test_a_weights_file_that_is_cut_or_foreign_is_named(task, tmp_path):
    cv = cross_validated(task)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(cv.weights[0].read_bytes()[:200])
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for file in (cut, empty):
        with pytest.raises(ValueError, match=file.name):
            kept.load_network(NETWORK(), file)
    with pytest.raises(ValueError, match="another network"):
        kept.load_network(models.UNet(features=8, blocks=3), cv.weights[0])


def test_what_is_kept_is_not_shown_as_training(task, capsys):
    options = dict(folds=train.kfold(6, 3), settings=train.Fit(epochs=2), name="bars")
    kept.cross_validate(NETWORK, *task, **options)
    assert "6/6" in capsys.readouterr().err
    kept.cross_validate(NETWORK, *task, **options)
    shown = capsys.readouterr().err
    assert "bars: kept" in shown and "3/3" in shown and "epoch" not in shown


def test_two_threads_that_train_the_same_both_finish(task):
    failed = []

    def make():
        try:
            training(task).make()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    both = [threading.Thread(target=make) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert not failed and training(task).file.exists()


def test_weights_that_ship_are_found(task, tmp_path, monkeypatch):
    made = training(task).make()
    shipped = REPOSITORY / "weights" / made.name
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path / "empty"))
    monkeypatch.setattr(kept, "__file__", str(tmp_path / "book" / "mchelpers" / "kept.py"))
    assert training(task).file.parent == tmp_path / "empty"
    beside = tmp_path / "book" / "weights" / made.name
    beside.parent.mkdir(parents=True)
    beside.write_bytes(made.read_bytes())
    assert training(task).make() == beside
    assert not shipped.exists()
