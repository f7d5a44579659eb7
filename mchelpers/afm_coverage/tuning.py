"""Bayesian search for training settings with Ax: try, model what was seen, try where it pays.

Every setting is a ladder of values and the search moves on its rungs, so that
a proposal is a round number: rounding errors of the model, which differ
from machine to machine, cannot change a trial, and a kept training is found again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Search", "Trial", "search"]

_SCORE = "score"


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Attributes
    ----------
    settings
        Name -> value.
    score
        What the trial gave; smaller is better.
    origin
        ``"known"`` if the caller asked for it, ``"spread"`` if it was spread
        over the space at random, ``"model"`` if the model proposed it.
    """

    settings: dict[str, Any]
    score: float
    origin: str


@dataclass
class Search:
    """Trials and the model of them, a Gaussian process.

    Attributes
    ----------
    space
        Name -> ladder of values.
    trials
        In the order in which they ran.
    upcoming
        The setting that the model, having seen all trials, would try next.
    """

    space: dict[str, tuple]
    trials: list[Trial]
    upcoming: dict[str, Any]
    _client: Any = field(repr=False)

    @property
    def best(self) -> Trial:
        """The trial with the smallest score."""
        return min(self.trials, key=lambda t: t.score)

    def predict(self, points: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Ask the model what settings would give.

        Parameters
        ----------
        points
            Settings of values on the ladders, tried or not.

        Returns
        -------
        mean, sd
            (N,) float: the predicted score, and how unsure the model is of its mean.

        Raises
        ------
        ValueError
            If a value is not on its ladder.
        """
        rungs = [_rungs(self.space, point) for point in points]
        with _quiet():
            found = [values[_SCORE] for values in self._client.predict(rungs)]
        return np.array([m for m, _ in found]), np.array([s for _, s in found])


def search(
    evaluate: Callable[[dict[str, Any]], float],
    space: Mapping[str, Sequence],
    trials: int = 8,
    known: Sequence[Mapping[str, Any]] = (),
    spread: int = 4,
    seed: int = 0,
) -> Search:
    """Look for the setting with the smallest score in few trials.

    Parameters
    ----------
    evaluate
        Function of a setting (name -> value) that trains and returns a score,
        smaller is better. It must depend on the setting alone.
    space
        Name -> rising ladder of values, evenly spaced in the sense that
        matters: a learning rate by a constant factor.
    trials
        How many to run, those known included.
    known
        Settings to try first, such as a published one.
    spread
        Trials before the model may propose, those known included; the others
        of them are spread over the space.
    seed
        Of the spread trials and of the model.

    Returns
    -------
    Search

    Raises
    ------
    ValueError
        If a ladder is too short or does not rise, a known value is not on it,
        or the numbers of trials do not fit together.

    Notes
    -----
    The Client of Ax (ax.dev) with its standard Gaussian process and
    acquisition function.
    """
    ladders = {name: tuple(values) for name, values in space.items()}
    for name, ladder in ladders.items():
        if len(ladder) < 2 or any(a >= b for a, b in zip(ladder, ladder[1:])):
            raise ValueError(f"the ladder of {name} must rise over at least two values: {ladder}")
    if not max(1, len(known)) <= spread < trials:
        raise ValueError(
            f"{len(known)} known, {spread} spread, {trials} trials: the known ones count as "
            "spread, and at least one more must be left to the model"
        )
    queue = [_rungs(ladders, setting) for setting in known]
    with _quiet():
        client = _client(ladders, spread, seed)
        done: list[Trial] = []
        while len(done) < trials:
            if queue:
                rungs, origin = queue.pop(0), "known"
                number = client.attach_trial(rungs)
            else:
                ((number, rungs),) = client.get_next_trials(1).items()
                origin = "spread" if len(done) < spread else "model"
            setting = _values(ladders, rungs)
            score = float(evaluate(setting))
            client.complete_trial(number, {_SCORE: score})
            done.append(Trial(setting, score, origin))
        # Asking once more fits the model to all trials.
        ((_, rungs),) = client.get_next_trials(1).items()
    return Search(ladders, done, _values(ladders, rungs), client)


def _client(ladders: dict[str, tuple], spread: int, seed: int) -> Any:
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig

    client = Client(random_seed=seed)
    client.configure_experiment(
        [
            RangeParameterConfig(name=name, bounds=(0, len(ladder) - 1), parameter_type="int")
            for name, ladder in ladders.items()
        ]
    )
    client.configure_optimization(f"-{_SCORE}")  # the sign asks for the smallest
    client.configure_generation_strategy(
        method="fast",
        initialization_budget=spread,
        initialization_random_seed=seed,
        initialize_with_center=False,
        use_existing_trials_for_initialization=True,
    )
    return client


def _rungs(ladders: dict[str, tuple], setting: Mapping[str, Any]) -> dict[str, int]:
    if set(setting) != set(ladders):
        raise ValueError(f"a setting names {sorted(ladders)}, got {sorted(setting)}")
    for name, value in setting.items():
        if value not in ladders[name]:
            raise ValueError(f"{name} = {value!r} is not on its ladder {ladders[name]}")
    return {name: ladders[name].index(value) for name, value in setting.items()}


def _values(ladders: dict[str, tuple], rungs: Mapping[str, int]) -> dict[str, Any]:
    return {name: ladder[int(rungs[name])] for name, ladder in ladders.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ax, which logs every step and warns of its own libraries' future."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
