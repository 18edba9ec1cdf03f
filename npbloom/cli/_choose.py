"""Choice of weight decay and epochs by a validation split: successive halving over a grid, then early stopping."""

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
SLOW = 1_000_000  # interactions beyond which fewer epochs are tried: each teaches more then, and takes longer
MOST_USERS, FEWEST_USERS = 2000, 500  # validation users
JUDGED_SCORES = 10**8  # of all of them: the more items there are, the fewer users
SCORES_A_STEP = 250  # scores that take as long to rank as an interaction takes to learn from

Report = Callable[[str], None]


@dataclass(frozen=True)
class Validation:
    """A part of the training interactions to fit, and a part to judge by."""

    fit: Interactions
    held_out: Interactions


@dataclass(frozen=True)
class Budget:
    """Epochs that a method may take: after each of `rungs` half of the candidates are dropped."""

    rungs: tuple[int, ...]
    most: int
    patience: int


def validation(train: Interactions, settings: Settings) -> Validation | None:
    """Split the training interactions as they were split from the test set; None where too few are left to learn from."""
    fit, held_out, _ = split(train, settings)
    few = min(len(np.unique(fit.user_ids)), len(np.unique(fit.item_ids))) < 2
    if few or not len(held_out):
        return None
    most = min(MOST_USERS, max(FEWEST_USERS, JUDGED_SCORES // train.num_items))
    return Validation(fit, sample(held_out, most, settings))


def budget(interactions: int, epochs: int | None) -> Budget:
    """The same for every method: fewer epochs of many interactions; with given epochs, those at which a choice is made."""
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
        """Go on to an epoch, or stop before it: when the score has not risen for some, or there is none any more."""
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

    Each weight decay of the grid trains for some epochs, the better half goes on, and the best one
    until its score has not risen for some more. What the settings give of the two stays as it is;
    with both given nothing is trained. Where nothing can be held out, the defaults are taken.
    `report` is told what is tried.
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
    """The best candidate: the worse half is dropped at each rung, and no more than needed are held at a time."""
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
