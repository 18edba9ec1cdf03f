"""
Choice of weight decay and epochs on a validation split.

Successive halving over a grid is followed by early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from npbloom.cli._judge import judge, sample, split
from npbloom.cli._methods import build, prepare
from npbloom.cli._settings import DEFAULT_EPOCHS, DEFAULT_L2, Choice, Model, Settings, Variant
from npbloom.recommend import Interactions

RANKING_GRID = (1e-5, 3e-5, 1e-4)
RATING_GRID = (1e-4, 3e-4, 1e-3)
RUNGS = (8, 16)  # after so many epochs the worse half of the weight decays is dropped
MOST_EPOCHS = 40
PATIENCE = 10  # epochs without a better score before training stops
# Above this number of interactions fewer epochs are tried: each teaches more and takes longer.
SLOW = 1_000_000
MOST_USERS, FEWEST_USERS = 2000, 500  # validation users
JUDGED_SCORES = 10**8  # of all validation users: with more items there are fewer users
SCORES_A_STEP = 250  # scores ranked in the time that training on one interaction takes

Report = Callable[[str], None]


@dataclass(frozen=True)
class Validation:
    """A split of the training interactions: a part to fit, and a part to score."""

    fit: Interactions
    held_out: Interactions


@dataclass(frozen=True)
class Budget:
    """Epochs of a method: after each of `rungs` half of the candidates are dropped."""

    rungs: tuple[int, ...]
    most: int
    patience: int


def validation(train: Interactions, settings: Settings) -> Validation | None:
    """
    Split the training interactions in the way of the test split.

    Return None if too few are left to learn from.
    """
    fit, held_out, _ = split(train, settings)
    few = min(len(np.unique(fit.user_ids)), len(np.unique(fit.item_ids))) < 2
    if few or not len(held_out):
        return None
    most = min(MOST_USERS, max(FEWEST_USERS, JUDGED_SCORES // train.num_items))
    return Validation(fit, sample(held_out, most, settings))


def budget(interactions: int, epochs: int | None) -> Budget:
    """
    Return the budget of epochs, the same for every method.

    With many interactions it has fewer epochs. With given epochs it has those at which a choice is
    made.
    """
    pace = max(1.0, interactions / SLOW)
    rungs, most = [max(1, round(rung / pace)) for rung in RUNGS], max(2, round(MOST_EPOCHS / pace))
    if epochs is not None:
        rungs, most = [min(rung, epochs) for rung in rungs], 0
    return Budget(tuple(rungs), most, max(2, round(PATIENCE / pace)))


@dataclass
class Candidate:
    """A model in training with one weight decay, and its best validation score so far."""

    model: Model
    l2: float
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 1

    def train(self, epochs: int, patience: int, parts: Validation, settings: Settings, report: Report) -> None:
        """
        Train up to an epoch, or stop when the score has not risen for `patience` epochs.

        Training also stops when the model has no score any more.
        """
        ranked = 0 if settings.explicit else len(parts.held_out) * parts.fit.num_items
        every = max(1, round(ranked / SCORES_A_STEP / len(parts.fit)))
        while self.epoch < epochs and self.epoch - self.best_epoch < patience:
            self.epoch += 1
            report(f"l2 {self.l2:g}, epoch {self.epoch}")
            self.model.fit(parts.fit, verbose=True)
            if self.epoch % every and self.epoch < epochs:
                continue
            score = judge(self.model, parts.fit, parts.held_out, settings)
            if score > self.best:
                self.best, self.best_epoch = score, self.epoch
            if score == -math.inf:
                break


def choose(train: Interactions, variant: Variant, settings: Settings, report: Report | None = None) -> Choice:
    """
    Choose weight decay and epochs of a method on a part of the training interactions.

    Each weight decay of the grid is trained for some epochs. The better half continues; the best
    one is trained until its score has not risen for some epochs. A value that the settings give is
    kept, and with both given nothing is trained. If nothing can be held out, the defaults are
    taken. `report` gets a text about what is tried.
    """
    l2, epochs = settings.l2, settings.epochs
    if l2 is not None and epochs is not None:
        return Choice(l2, epochs)
    parts = validation(train, settings)
    if parts is None:
        return Choice(DEFAULT_L2 if l2 is None else l2, DEFAULT_EPOCHS if epochs is None else epochs)
    make = prepare(parts.fit, variant, settings, progress=True)
    grid = (l2,) if l2 is not None else RATING_GRID if settings.explicit else RANKING_GRID

    def start(decay: float) -> Candidate:
        return Candidate(build(make, settings, Choice(decay, 1)), decay)

    winner = halve(map(start, grid), len(grid), parts, settings, report or (lambda words: None))
    return Choice(winner.l2, winner.best_epoch if epochs is None else epochs)


def halve(candidates: Iterable[Candidate], number: int, parts: Validation, settings: Settings, report: Report) -> Candidate:
    """
    Return the best candidate, after dropping the worse half at each rung.

    No more models than needed are in memory at a time.
    """
    plan = budget(len(parts.fit), settings.epochs)

    def go_on(candidate: Candidate, epochs: int) -> Candidate:
        candidate.train(epochs, plan.patience, parts, settings, report)
        return candidate

    kept = candidates
    for rung in plan.rungs if number > 1 else ():
        number = -(-number // 2)
        best: list[Candidate] = []
        for candidate in kept:
            best = sorted([*best, go_on(candidate, rung)], key=lambda one: -one.best)[:number]
        kept = best
    (winner,) = kept
    return go_on(winner, plan.most)
