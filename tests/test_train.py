"""The training loop: it learns, repeats itself, survives a kill and refuses nonsense."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from easy_task import NETWORK, easy_task
from hypothesis import given, settings
from hypothesis import strategies as st

from mchelpers import train


@pytest.fixture
def task():
    return easy_task()


def trained(task, **settings):
    torch.manual_seed(0)
    network = NETWORK()
    checkpoint = settings.pop("checkpoint", None)
    options = {k: settings.pop(k) for k in ("validate", "augment", "on_epoch") if k in settings}
    fit = train.Fit(**{"epochs": 8, "lr": 1e-2, "batch_size": 2, **settings})
    return network, train.fit(network, *task, fit, checkpoint=checkpoint, **options)


def test_it_learns_an_easy_task(task):
    network, history = trained(task, epochs=25)
    guess = train.predict(network, task[0]).argmax(1)
    assert (guess == task[1]).float().mean() > 0.97
    assert history.loss[-1] < 0.3 * history.loss[0]
    assert len(history.loss) == len(history.seconds) == 25


def test_the_same_seed_gives_the_same_numbers(task):
    assert trained(task)[1].loss == trained(task)[1].loss
    assert trained(task)[1].loss != trained(task, seed=1)[1].loss


@pytest.mark.parametrize("options", [{}, {"average": 0.9, "schedule": "cosine"}])
def test_a_killed_training_goes_on_where_it_was(task, tmp_path, options):
    whole, history = trained(task, **options)

    class Kill(Exception):
        pass

    def kill(epochs=[]):  # noqa: B006 - counts the calls
        epochs.append(1)
        if len(epochs) == 4:
            raise Kill

    with pytest.raises(Kill):
        # Stop after the third epoch was saved, in the middle of the fourth's bookkeeping.
        trained(task, checkpoint=tmp_path / "c.pt", on_epoch=kill, **options)
    resumed, again = trained(task, checkpoint=tmp_path / "c.pt", **options)
    assert again.loss == history.loss
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)


def test_two_may_train_the_same_at_once(tmp_path):
    images = torch.linspace(0, 1, 32).reshape(2, 1, 4, 4)
    labels, failed = (images[:, 0] > 0.5).long(), []

    def fit():
        network = torch.nn.Conv2d(1, 2, 1)
        try:
            train.fit(network, images, labels, train.Fit(60), checkpoint=tmp_path / "c.pt")
        except OSError as error:
            failed.append(error)

    both = [threading.Thread(target=fit) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert not failed and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["c.pt"]


def test_early_stopping_returns_the_best_weights(task):
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    seen = []

    def validate(network):
        seen.append([p.clone() for p in network.parameters()])
        return next(values)

    network, history = trained(task, patience=2, validate=validate)
    assert len(history.loss) == 4
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), seen[1]))


def copied(network):
    return {k: v.clone() for k, v in network.state_dict().items()}


def by_hand(task, settings, validate):
    """Train as :func:`mchelpers.train.fit` does, with copies of all weights at every turn."""
    torch.manual_seed(0)
    network, (images, labels) = NETWORK(norm=True), task
    layout = train._layout(torch.device("cpu"))
    network.to(memory_format=layout)
    adam = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=0, fused=True)
    generator = torch.Generator().manual_seed(settings.seed)
    averaged, best, step, losses, values = copied(network), (np.inf, 0, {}), 0, [], []
    for epoch in range(settings.epochs):
        network.train()
        losses.append(0.0)
        for picked in torch.randperm(len(images), generator=generator).split(settings.batch_size):
            with train.autocast(torch.device("cpu")):
                logits = network(images[picked].contiguous(memory_format=layout))
            loss = train.cross_entropy(logits.float(), labels[picked])
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
            losses[-1] += float(loss.detach()) * len(picked) / len(images)
            decay = min(settings.average, (1 + step) / (10 + step))
            for name, weight in network.state_dict().items():
                if weight.is_floating_point():
                    averaged[name].lerp_(weight, 1 - decay)
                else:
                    averaged[name].copy_(weight)
        live, judged = copied(network), averaged if settings.average else copied(network)
        network.load_state_dict(judged)
        network.eval()
        values.append(validate(network))
        if values[-1] < best[0]:
            best = (values[-1], epoch, copied(network))
        network.load_state_dict(live)
        if settings.patience is not None and epoch - best[1] >= settings.patience:
            break
    chosen = judged if settings.patience is None else best[2]
    return losses, values, chosen


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("patience", [None, 1])
def test_only_the_copies_that_are_needed_are_made(task, tmp_path, average, patience):
    """What is trained is what a loop with all copies trains; the checkpoint holds no more."""

    def validate(network):  # weights grow in training, so that patience is soon at its end
        return sum(float(w.square().sum()) for w in network.state_dict().values())

    settings = train.Fit(4, lr=3e-2, batch_size=2, average=average, patience=patience)
    torch.manual_seed(0)
    network = NETWORK(norm=True)
    file = tmp_path / "c.pt"
    history = train.fit(network, *task, settings, validate=validate, checkpoint=file)
    losses, values, weights = by_hand(task, settings, validate)
    assert history.loss == pytest.approx(losses, abs=1e-9) and history.validation == values
    assert all(torch.equal(v, weights[k]) for k, v in network.state_dict().items())
    kept = torch.load(file, weights_only=True)
    assert (len(losses) == 4) == (patience is None)
    assert (kept["averaged"] is None) == (not average)
    assert (kept["best"][2] is None) == (patience is None)


def test_dropout_follows_the_seed_of_the_training(task, tmp_path):
    """Whatever was drawn before, and after a kill too."""

    def dropping(epochs, before, **options):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Dropout(0.5), torch.nn.Conv2d(8, 2, 1)
        )
        torch.rand(before)
        state = torch.get_rng_state()
        train.fit(network, *task, train.Fit(epochs, lr=1e-2, batch_size=2), **options)
        assert torch.equal(torch.get_rng_state(), state)
        return network.state_dict().values()

    once = dropping(4, 0)
    assert all(map(torch.equal, once, dropping(4, 9)))
    dropping(2, 5, checkpoint=tmp_path / "c.pt")
    assert all(map(torch.equal, once, dropping(4, 7, checkpoint=tmp_path / "c.pt")))


def test_predictions_are_made_without_dropout():
    network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Flatten()).train()
    images = torch.ones(3, 1, 8, 8)
    assert torch.equal(train.predict(network, images), images.flatten(1))


def test_early_stopping_needs_a_validation(task):
    with pytest.raises(ValueError, match="validate"):
        trained(task, patience=2)


def test_a_nan_image_stops_the_training(task):
    images = task[0].clone()
    images[0, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="NaN"):
        trained((images, task[1]))


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_to_train_on(task, count):
    with pytest.raises(ValueError, match="need as many"):
        trained((task[0][:count], task[1]))


def test_the_cosine_rate_warms_up_and_ends_at_zero():
    settings_ = train.Fit(epochs=10, lr=1.0, schedule="cosine")
    rates = [train.learning_rate(settings_, s, 5) for s in range(50)]
    assert rates[0] == pytest.approx(0.2) and max(rates) > 0.95 and rates[-1] < 0.01
    settle = replace(settings_, schedule="settle", epochs=12)
    rates = [train.learning_rate(settle, s, 5) for s in range(60)]
    assert set(rates[:50]) == {1.0} and rates[55] == pytest.approx(0.5) and 0 < rates[-1] < 0.11
    with pytest.raises(ValueError, match="cosine"):
        train.learning_rate(replace(settings_, schedule="linear"), 0, 5)


@given(st.integers(5, 40), st.integers(2, 5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_folds_test_each_image_once_and_keep_groups_together(count, folds, grouped):
    groups = np.arange(count) // 2 if grouped else None
    if grouped and len(set(groups)) < folds:
        return
    tests = train.kfold(count, folds, seed=1, groups=groups)
    assert sorted(np.concatenate(tests)) == list(range(count))
    if grouped:
        for test in tests:
            rest = np.setdiff1d(np.arange(count), test)
            assert not set(groups[test]) & set(groups[rest])


def test_too_many_folds():
    with pytest.raises(ValueError):
        train.kfold(3, 5)
