"""Comparison of methods: the same model with several kinds of tables, tuned, trained and scored."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from npbloom.cli._choose import choose
from npbloom.cli._errors import Refused, refusing
from npbloom.cli._judge import TESTED, MeanRating, Popularity, measure, sample, split
from npbloom.cli._methods import METHODS, build, full_bytes, hashes_of, prepare, served_bytes, title
from npbloom.cli._settings import Choice, Model, Settings, Variant
from npbloom.recommend import Interactions


@dataclass(frozen=True)
class Measured:
    """
    A row of the comparison: a trained model in numbers.

    A baseline has only the first three fields.
    """

    method: str
    title: str
    scores: dict[str, float]
    variant: Variant | None = None
    choice: Choice | None = None
    hashes: int | None = None  # rows that an id reads
    dim: int = 0
    parameters: int = 0
    nbytes: int = 0  # of tables and biases
    served: int = 0  # and of codes
    losses: list[float] = field(default_factory=list)  # of each epoch
    seconds: list[float] = field(default_factory=list)  # of each epoch

    @property
    def seconds_per_epoch(self) -> float:
        """Median over the epochs."""
        return statistics.median(self.seconds) if self.seconds else 0.0


@dataclass(frozen=True)
class Comparison:
    """All rows, and the numbers of interactions and users behind them."""

    rows: list[Measured]
    full_bytes: int  # of full tables and biases, trained here or not
    trained_on: int
    held_out: int
    tested: int  # held-out interactions that were scored
    repeats: int  # left out of them, since the user had met the item before
    unknown: int  # held-out interactions whose item is in no interaction of the training part
    items: int


def progress(steps: int, words: str) -> Any:
    """Open a progress bar on a terminal: a step for each model, words for the current work."""
    layout = "{desc} [{n_fmt}/{total_fmt}, {elapsed}]"
    return tqdm(total=steps, desc=words, leave=False, disable=None, bar_format=layout)


def compare(data: Interactions, variants: Sequence[Variant], settings: Settings) -> Comparison:
    """Tune, train and score one model after the other, then a baseline without training."""
    train, held_out, repeats = split(data, settings)
    _check_parts(data, train, held_out)
    unknown = int((~np.isin(held_out.item_ids, train.item_ids)).sum())
    test = sample(held_out, max(1, TESTED // data.num_items), settings)
    baseline = (MeanRating if settings.explicit else Popularity)(train)
    rows = []
    with progress(len(variants) + 1, "compiling what Numba has not cached yet") as bar:
        warm_up(train, settings, variants)
        bar.update()
        for variant in variants:
            name = title(variant, data, settings.dim)
            with refusing(name, status=1):  # scores that are not finite, impossible tables
                rows.append(_measured(variant, name, train, test, settings, bar))
            bar.update()
        bar.set_description_str(f"measuring {baseline.title}")
        rows.append(Measured(baseline.title, baseline.title, measure(baseline, train, test, settings, progress=True)))
    sizes = len(train), len(held_out), len(test), repeats, unknown, data.num_items - 1
    return Comparison(rows, full_bytes(data, settings.dim), *sizes)


def fit_anew(data: Interactions, row: Measured, settings: Settings) -> Model:
    """Train the model of a row on all data, with its chosen weight decay and epochs."""
    assert row.variant is not None
    assert row.choice is not None
    with progress(1, f"training {row.title} on all interactions"), refusing(row.title, status=1):
        return _trained(data, row.variant, settings, row.choice)


def warm_up(train: Interactions, settings: Settings, variants: Sequence[Variant]) -> None:
    """
    Train one batch with full tables and with each kind of hashed tables.

    So compile time counts in no epoch.
    """
    first = np.unique(train.user_ids, return_index=True)[1][:2]  # a model needs two users
    part = train.select(np.append(first, np.linspace(0, len(train) - 1, min(len(train), settings.batch_size)).astype(np.int64)))
    hashed = [METHODS[variant.method] for variant in variants if METHODS[variant.method].hashed]
    for kind in sorted({"full", *("concat" if method.sliced else "bloom" for method in hashed)}):
        _trained(part, Variant(kind, variants[0].tables), settings, Choice(0.0, 1))


def _check_parts(data: Interactions, train: Interactions, held_out: Interactions) -> None:
    """Refuse data with one user or item to learn from, or with nothing to score."""
    if not len(held_out):
        raise Refused("there is nothing to score: every item that could be held out is one that its user had met before")
    for kind, ids in (("user", train.user_ids), ("item", train.item_ids)):
        if len(np.unique(ids)) < 2:
            raise Refused(f"{len(data)} interactions are too few: after some are held out, one {kind} is left to learn from")


def _trained(data: Interactions, variant: Variant, settings: Settings, choice: Choice) -> Model:
    """Return a trained model of a method."""
    model = build(prepare(data, variant, settings, progress=True), settings, choice)
    model.fit(data, verbose=True)
    return model


def _measured(variant: Variant, name: str, train: Interactions, test: Interactions, settings: Settings, bar: Any) -> Measured:
    """Choose, train and score."""
    bar.set_description_str(f"choosing for {name}")
    choice = choose(train, variant, settings, lambda words: bar.set_description_str(f"choosing for {name}: {words}"))
    bar.set_description_str(f"training {name}")
    model = _trained(train, variant, settings, choice)
    bar.set_description_str(f"measuring {name}")
    scores = measure(model, train, test, settings, progress=True)
    layers = list(model.layers.values())
    return Measured(
        variant.method,
        name,
        scores,
        variant,
        choice,
        hashes_of(variant, settings.dim) if METHODS[variant.method].hashed else None,
        model.embedding_dim,
        sum(layer.num_parameters for layer in layers),
        sum(layer.nbytes for layer in layers),
        served_bytes(model, variant),
        [epoch["loss"] for epoch in model.history],
        [epoch["seconds"] for epoch in model.history],
    )
