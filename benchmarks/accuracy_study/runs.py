"""
Jobs in their order, and the files of lines that they leave.

A job that has a line is not run again.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import data, models
from benchmarks.accuracy_study.methods import FACTORIZATION

SIDES = ("users and items", "items only")
MAIN_RATIO = 0.2
OTHER_RATIOS = (0.1, 0.5, 0.05, 0.3, 1.0)
RATIOS = (MAIN_RATIO, *OTHER_RATIOS)
SEEDS = range(5)
POPULARITY = "popularity"  # baseline without a model
TUNING_SEED = 100
VALIDATED = 5_000  # most users that validation ranks for
TESTED = 20_000  # most users that the test ranks for

GRID = {  # hyperparameters to choose from, and the epochs after which a run is judged
    "factorization": ({"learning_rate": (0.003, 0.01), "l2": (1e-6, 1e-5)}, (10, 20)),
    "network": ({"learning_rate": (0.001, 0.003)}, (10, 20, 40)),
}
GRID_OF_BEAUTY = {  # ids with fewer interactions need more decay; more users need fewer epochs
    ("beauty", "factorization"): ({"learning_rate": (0.003, 0.01), "l2": (3e-5, 1e-4)}, (5, 10)),
    ("beauty", "network"): ({"learning_rate": (0.003,)}, (5, 10)),
}


@dataclass(frozen=True)
class Job:
    """
    A cell of the study.

    The full table is the same at every ratio and on both sides, so it is one cell.
    """

    data: str
    model: str
    method: str
    side: str
    ratio: float
    seed: int


def cells(name: str, model: str, ratio: float, methods: Iterable[str] | None = None) -> Iterator[Job]:
    """
    Yield the jobs of all methods, on both sides if the model has two, one seed after the other.
    """
    sides = SIDES if model == "factorization" else SIDES[1:]
    known = FACTORIZATION if model == "factorization" else models.NETWORK
    for side, seed in itertools.product(sides, SEEDS):
        for method in methods or known:
            if method != "full":
                yield Job(name, model, method, side, ratio, seed)
            elif side == sides[0]:
                yield Job(name, model, method, "none", 1.0, seed)


def order(names: Iterable[str]) -> Iterator[Job]:
    """Yield the essential part first, ratio 0.2 on all sets, then other ratios."""
    planned = [(name, model) for model in GRID for name in data.NAMES]
    yield from (Job(name, POPULARITY, POPULARITY, "none", 1.0, 0) for name in data.NAMES if name in names)
    for ratio in (MAIN_RATIO, *OTHER_RATIOS):
        for name, model in planned:
            if name in names:
                yield from cells(name, model, ratio)


class Lines:
    """A file of JSON lines that several processes append to. A line is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0  # bytes read
        self._entries: list[dict[str, Any]] = []
        self._by_job: dict[Job, dict[str, Any]] = {}

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All complete lines so far. A line without an end is still being written."""
        self._catch_up()
        return list(self._entries)

    def add(self, entry: dict[str, Any]) -> None:
        """Append one line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def find(self, job: Job) -> dict[str, Any] | None:
        """Return the first entry of a job, or None."""
        self._catch_up()
        return self._by_job.get(job)

    def _catch_up(self) -> None:
        """Read the lines that were completed since the last call."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._position)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._position += len(text)
        for line in text.splitlines():
            entry = json.loads(line)
            self._entries.append(entry)
            self._by_job.setdefault(Job(**{each.name: entry[each.name] for each in fields(Job)}), entry)


def tuned(job: Job, tuning: Lines) -> dict[str, Any]:
    """
    Return the hyperparameters of a method, chosen by the mean of 1 / log2(1 + rank) on validation.

    They are chosen once for each method, set and side, at the main ratio. Other ratios use the same
    ones, and so does a network that counts popularity.
    """
    job = replace(job, method=models.trained_as(job.method))
    ratio = 1.0 if job.method == "full" else MAIN_RATIO
    question = replace(job, ratio=ratio, seed=TUNING_SEED)
    found = tuning.find(question)
    if found is None:
        grid, epochs = GRID_OF_BEAUTY.get((job.data, job.model), GRID[job.model])
        train, test = data.split(job.data, "validation")
        test, tried = models.sample(test, VALIDATED), []
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            model = models.make(job.model, job.method, job.side, ratio, train, settings, TUNING_SEED)
            done = 0
            for until in epochs:
                models.train_for(model, train, until - done)
                done = until
                tried.append({"settings": settings, "epochs": until, **models.score(model, train, test)})
        best = max(tried, key=lambda each: each["ndcg"])
        found = {**asdict(question), "best": {"settings": best["settings"], "epochs": best["epochs"]}, "tried": tried}
        tuning.add(found)
    chosen: dict[str, Any] = found["best"]
    return chosen


@functools.lru_cache(maxsize=1)  # a network is trained once for both of its rankings
def trained(job: Job, settings: tuple[tuple[str, float], ...], epochs: int) -> tuple[Any, float]:
    """Return a model trained on all but the last interactions, and the seconds that it took."""
    train = data.split(job.data, "test")[0]
    model = models.make(job.model, job.method, job.side, job.ratio, train, dict(settings), job.seed)
    return model, models.train_for(model, train, epochs)


def run(job: Job, chosen: dict[str, Any]) -> dict[str, Any]:
    """Train with the chosen hyperparameters on all but the last interactions, and test on those."""
    train, test = data.split(job.data, "test")
    if job.model == POPULARITY:
        return {**asdict(job), **models.score(models.Popularity(train), train, models.sample(test, TESTED))}
    base = replace(job, method=models.trained_as(job.method))
    model, seconds = trained(base, tuple(chosen["settings"].items()), chosen["epochs"])
    if job.model == "network":
        model.popularity = float(job.method != base.method)
    return {
        **asdict(job),
        **models.score(model, train, models.sample(test, TESTED)),
        "cpu_seconds": round(seconds, 4),
        **chosen,
        "parameters": models.parameters(model),
    }


def go(jobs: Iterable[Job], results: Lines, tuning: Lines, seconds_left: Callable[[], float]) -> Iterator[str]:
    """Run the missing jobs until time is up, and yield a line of text on each."""
    impossible: set[Job] = set()
    for job in jobs:
        if results.find(job) is not None or replace(job, seed=0) in impossible:
            continue
        if seconds_left() <= 0:
            return
        try:
            entry = run(job, {} if job.model == POPULARITY else tuned(job, tuning))
        except ValueError as error:  # some methods need more parameters than a small ratio leaves
            impossible.add(replace(job, seed=0))
            yield f"{job.data}, {job.method}, ratio {job.ratio:g}: {error}"
            continue
        results.add(entry)
        yield (
            f"{job.data}, {job.model}, {job.side}, {job.method}, ratio {job.ratio:g}, seed {job.seed}: "
            f"hit {entry['hit']:.4f}, mrr {entry['mrr']:.4f}, {entry.get('cpu_seconds', 0.0):.1f} s"
        )
