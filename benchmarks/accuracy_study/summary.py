"""What the lines of the runs say: scores relative to the full table seed by seed, their errors, and seconds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy_study.methods import FACTORIZATION
from benchmarks.accuracy_study.models import NETWORK

SUM = "sum, k=4 (Spotlight)"
PLACES = {method: place for place, method in enumerate((*FACTORIZATION, *NETWORK))}
SCORES = ("hit", "mrr")


@dataclass(frozen=True)
class Figure:
    """A mean over seeds and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Of one value an error that is not known."""
        found = list(values)
        mean = sum(found) / len(found)
        if len(found) == 1:
            return cls(mean, math.nan)
        return cls(mean, math.sqrt(sum((value - mean) ** 2 for value in found) / (len(found) - 1) / len(found)))


@dataclass(frozen=True)
class Cell:
    """A method at a ratio on one side: entries by seed, beside those of the full table and of Spotlight's sum."""

    method: str
    entries: dict[int, dict[str, Any]]
    full: dict[int, dict[str, Any]]
    plain: dict[int, dict[str, Any]]

    @property
    def seeds(self) -> list[int]:
        """Seeds that were run with the full table, too."""
        return sorted(self.entries.keys() & self.full.keys())

    def whole(self, name: str) -> Figure:
        """The full table's score, of all of its seeds."""
        return Figure.of(entry[name] for entry in self.full.values())

    def kept(self, name: str) -> Figure:
        """S / S0, seed by seed."""
        return Figure.of(self.entries[seed][name] / self.full[seed][name] for seed in self.seeds)

    def above_sum(self, name: str) -> float:
        """By how many standard errors of the difference, seed by seed, the score is above that of Spotlight's sum; else NaN."""
        seeds = [seed for seed in self.seeds if seed in self.plain]
        if self.method == SUM or len(seeds) < 2:
            return math.nan
        difference = Figure.of(self.entries[seed][name] - self.plain[seed][name] for seed in seeds)
        return difference.mean / difference.error if difference.error else math.nan

    def seconds(self) -> float:
        """T / T0: CPU seconds an epoch over those of the full table; medians over seeds, NaN where none were taken."""
        own, whole = (
            sorted(entry["cpu_seconds"] / entry["epochs"] for entry in each.values() if entry["cpu_seconds"] is not None)
            for each in (self.entries, self.full)
        )
        if not own or not whole:
            return math.nan
        return own[len(own) // 2] / whole[len(whole) // 2]


Key = tuple[str, str, str, float]  # data, model, side, ratio


def cells(entries: Iterable[dict[str, Any]]) -> dict[Key, dict[str, Cell]]:
    """All cells, by what they are compared within; the full table is in none, and beside each."""
    found: dict[Key, dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    full: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for entry in entries:
        if entry["model"] == "popularity":
            continue
        if entry["method"] == "full":
            full[entry["data"], entry["model"]][entry["seed"]] = entry
        else:
            found[entry["data"], entry["model"], entry["side"], entry["ratio"]][entry["method"]][entry["seed"]] = entry
    return {
        key: {
            method: cell
            for method, own in sorted(methods.items(), key=lambda pair: PLACES.get(pair[0], len(PLACES)))
            if (cell := Cell(method, own, full[key[0], key[1]], methods.get(SUM, {}))).seeds
        }
        for key, methods in found.items()
    }
