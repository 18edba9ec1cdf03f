"""
Jobs in their order, and the files of lines that they leave.

A job that has a line is not run again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.models import Popularity, sample, train_for
from benchmarks.accuracy_study.runs import Job, Lines
from benchmarks.smaller import models
from benchmarks.smaller.catalogue import (
    DECOMPOSITION,
    METHODS,
    NARROW_DECOMPOSITION,
    NOT_TRAINED,
    POPULARITY,
    ROUNDED,
    UNCOMPRESSED,
)
from benchmarks.smaller.methods import DIM, Sizes, bytes_served, rounded
from benchmarks.smaller.variants import VARIANTS

MAIN_RATIO = 0.2
OTHER_RATIOS = (0.1, 0.05, 0.5, 0.3)
BOTH, ITEMS, USERS, NONE = "users and items", "items only", "users only", "none"
COMPRESSED = {BOTH: ("users", "items"), ITEMS: ("items",), USERS: ("users",), NONE: ()}
AT_OTHER_RATIOS = ("narrow", "learned, k=8", "learned, k=4", "learned, k=2", "learned, k=1", "sum, k=4 (Spotlight)")
ON_ONE_SIDE = {
    ITEMS: ("narrow", "learned, k=8", "learned, k=4", "sum, k=4 (Spotlight)", "concat, k=4", "frequent half exact, concat k=4"),
    USERS: ("narrow", "learned, k=8", "sum, k=4 (Spotlight)"),
}
SEEDS = range(5)
ROUNDS = ([0], [1, 2], [3, 4])  # seeds beyond the main table: all jobs of a round come before the next round
SEEDS_OF_VARIANTS = (0, 1, 2)
TUNING_SEED = 100
DECOMPOSITIONS = (DECOMPOSITION, NARROW_DECOMPOSITION)
VALIDATED, TESTED = 4_000, 20_000  # most users
MODEL = "factorization"
REFERENCE = "learned, k=8"  # other ways to choose codes differ from it in one thing
POWERS = (0.0, 0.5)  # powers of the degrees that are tried for the decomposition alone


def order(names: Iterable[str]) -> Iterator[Job]:
    """
    Yield ratio 0.2 with all methods first, then one side, other ratios, and other ways to choose
    codes. Small sets come first.
    """
    names = [name for name in data.NAMES if name in names]
    for name in names:
        yield Job(name, MODEL, POPULARITY, NONE, 1.0, 0)
        for seed in SEEDS:
            yield Job(name, MODEL, DECOMPOSITION, NONE, 1.0, seed)
            for method, ratio in itertools.product((NARROW_DECOMPOSITION, *NOT_TRAINED), (MAIN_RATIO, *OTHER_RATIOS)):
                yield Job(name, MODEL, method, BOTH, ratio, seed)
    yield from _main(names)
    for seeds in ROUNDS:
        for seed, side, name in itertools.product(seeds, ON_ONE_SIDE, names):
            yield from (Job(name, MODEL, method, side, MAIN_RATIO, seed) for method in ON_ONE_SIDE[side])
        for seed, ratio, name, method in itertools.product(seeds, OTHER_RATIOS, names, AT_OTHER_RATIOS):
            if method != "narrow" or ratio < MAIN_RATIO:  # above it, full tables of 8 and 16 columns take its place
                yield Job(name, MODEL, method, BOTH, ratio, seed)
        for seed, name, method in itertools.product(seeds, names, VARIANTS):
            if seed in SEEDS_OF_VARIANTS:
                yield Job(name, MODEL, method, BOTH, MAIN_RATIO, seed)


def _main(names: Iterable[str]) -> Iterator[Job]:
    """Yield all methods at the main ratio, and full tables, which have no ratio."""
    for seed, name, method in itertools.product(SEEDS, names, METHODS):
        if method not in VARIANTS:
            side, ratio = (NONE, 1.0) if method in UNCOMPRESSED else (BOTH, MAIN_RATIO)
            yield Job(name, MODEL, method, side, ratio, seed)


def sizes(job: Job, train: Any) -> Sizes:
    """Return the sizes that the job's tables are made for."""
    return Sizes(train, COMPRESSED[job.side], job.ratio)


def tuned(job: Job, tuning: Lines) -> dict[str, Any]:
    """
    Return the hyperparameters, chosen on the validation split.

    They are chosen once for each method, set and side, at the main ratio. Other ways to choose
    codes use those of the library's way.
    """
    job = replace(job, method=REFERENCE) if job.method in VARIANTS else job
    question = replace(job, ratio=1.0 if job.side == NONE else MAIN_RATIO, seed=TUNING_SEED)
    found = tuning.find(question)
    if found is None:
        train, test = data.split(job.data, "validation")
        test, asked = sample(test, VALIDATED), sizes(question, train)
        if job.method in DECOMPOSITIONS:
            tried = {power: models.decomposition(asked, power, TUNING_SEED, columns(job, asked)) for power in POWERS}
            gains = {power: models.scores(models.ranks(model, train, test))["gain"] for power, model in tried.items()}
            chosen: dict[str, Any] = {"power": max(gains, key=lambda power: gains[power]), "tried": gains}
        else:
            chosen = models.choose(lambda l2: models.make(job.method, asked, l2, TUNING_SEED), train, test)
        found = {**asdict(question), **chosen}
        tuning.add(found)
    return found


def columns(job: Job, asked: Sizes) -> int:
    """Return the columns of a decomposition."""
    return asked.narrow_dim if job.method == NARROW_DECOMPOSITION else DIM


def _made(job: Job, chosen: dict[str, Any], asked: Sizes) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """Return a finished model, its tables that can be rounded, and facts about it."""
    if job.method in DECOMPOSITIONS:
        model = models.decomposition(asked, chosen["power"], job.seed, columns(job, asked))
        facts: dict[str, Any] = {}
    elif job.method in NOT_TRAINED:
        model, facts = models.begun(NOT_TRAINED[job.method], asked, job.seed), {}
    else:
        model = models.make(job.method, asked, chosen["l2"], job.seed)
        seconds = train_for(model, asked.train, chosen["epochs"])
        facts = {"l2": chosen["l2"], "epochs": chosen["epochs"], "cpu_seconds": round(seconds, 3)}
    facts["parameters"] = int(sum(layer.num_parameters for layer in _counted(job, model).values()))
    layers = model.layers.items() if job.method in ROUNDED else ()
    return model, {name: layer.weight for name, layer in layers if name.endswith("embeddings")}, facts


def _counted(job: Job, model: Any) -> dict[str, Any]:
    """Return the layers that a model needs. A model that is not trained has no biases."""
    alone = (*DECOMPOSITIONS, *NOT_TRAINED)
    return {name: each for name, each in model.layers.items() if job.method not in alone or name.endswith("embeddings")}


def run(job: Job, chosen: dict[str, Any], ranks: Path) -> Iterator[dict[str, Any]]:
    """
    Train with the chosen hyperparameters on all but the last interactions, and test on those.

    Then round the tables and test again.
    """
    train, test = data.split(job.data, "test")
    test, asked = sample(test, TESTED), sizes(job, train)
    if job.method == POPULARITY:
        yield _entry(job, models.ranks(Popularity(train), train, test), ranks)
        return
    model, tables, facts = _made(job, chosen, asked)
    yield _entry(job, models.ranks(model, train, test), ranks) | facts | {"bytes_served": bytes_served(_counted(job, model))}
    exact = {name: each.copy() for name, each in tables.items()}
    for bits in ROUNDED.get(job.method, ()):
        for name, each in tables.items():
            each[:] = rounded(exact[name], bits)
        own, served = replace(job, method=f"{job.method}, {bits} bits"), bytes_served(_counted(job, model), bits)
        yield _entry(own, models.ranks(model, train, test), ranks) | facts | {"bytes_served": served}


def _entry(job: Job, places: np.ndarray, ranks: Path) -> dict[str, Any]:
    """Return a line. Each user's rank goes into a file of its own, for errors over users."""
    ranks.mkdir(parents=True, exist_ok=True)
    np.save(ranks / rank_file(job), places.astype(np.float32))
    return {**asdict(job), **{name: round(score, 6) for name, score in models.scores(places).items()}}


def rank_file(job: Job) -> str:
    """Return the name of the file of a job's ranks."""
    words = f"{job.data} {job.method} {job.side} {job.ratio:g} {job.seed}"
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in words) + ".npy"


def go(jobs: Iterable[Job], results: Lines, tuning: Lines, ranks: Path, seconds_left: Callable[[], float]) -> Iterator[str]:
    """Run the missing jobs until time is up, and yield a line of text on each."""
    for job in jobs:
        if results.find(job) is not None:
            continue
        if seconds_left() <= 0:
            return
        chosen = {} if job.method in (POPULARITY, *NOT_TRAINED) else tuned(job, tuning)
        entries = list(run(job, chosen, ranks))
        for entry in entries[1:] + entries[:1]:  # the job's own line comes last: if it exists, all lines exist
            results.add(entry)
        words = f"{job.data}, {job.side}, {job.method}, ratio {job.ratio:g}, seed {job.seed}"
        yield f"{words}: hit {entries[0]['hit']:.4f}, mrr {entries[0]['mrr']:.4f}, ndcg10 {entries[0]['ndcg10']:.4f}"
