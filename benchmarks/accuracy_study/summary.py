"""Scores relative to the full table, seed by seed, with their errors, and seconds."""

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
    """Mean over seeds with its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Return mean and standard error of the values. The error of a single value is NaN."""
        found = list(values)
        mean = sum(found) / len(found)
        if len(found) == 1:
            return cls(mean, math.nan)
        return cls(mean, math.sqrt(sum((value - mean) ** 2 for value in found) / (len(found) - 1) / len(found)))


@dataclass(frozen=True)
class Cell:
    """
    A method at a ratio on one side: entries by seed, with those of the full table and of
    Spotlight's sum.
    """

    method: str
    entries: dict[int, dict[str, Any]]
    full: dict[int, dict[str, Any]]
    plain: dict[int, dict[str, Any]]

    @property
    def seeds(self) -> list[int]:
        """Seeds that were run with the full table, too."""
        return sorted(self.entries.keys() & self.full.keys())

    def whole(self, name: str) -> Figure:
        """Return the score of the full table over all of its seeds."""
        return Figure.of(entry[name] for entry in self.full.values())

    def kept(self, name: str) -> Figure:
        """Return S / S0 over the seeds."""
        return Figure.of(self.entries[seed][name] / self.full[seed][name] for seed in self.seeds)

    def above_sum(self, name: str) -> float:
        """
        Return the difference to Spotlight's sum in standard errors of that difference, seed by
        seed, or NaN.
        """
        seeds = [seed for seed in self.seeds if seed in self.plain]
        if self.method == SUM or len(seeds) < 2:
            return math.nan
        difference = Figure.of(self.entries[seed][name] - self.plain[seed][name] for seed in seeds)
        return difference.mean / difference.error if difference.error else math.nan

    def seconds(self) -> float:
        """
        Return T / T0, the CPU seconds an epoch over those of the full table.

        Both are medians over seeds; NaN if no seconds were taken.
        """
        own, whole = (
            sorted(entry["cpu_seconds"] / entry["epochs"] for entry in each.values() if entry["cpu_seconds"] is not None)
            for each in (self.entries, self.full)
        )
        if not own or not whole:
            return math.nan
        return own[len(own) // 2] / whole[len(whole) // 2]


Key = tuple[str, str, str, float]  # data, model, side, ratio


def cells(entries: Iterable[dict[str, Any]]) -> dict[Key, dict[str, Cell]]:
    """
    Return all cells by data, model, side and ratio.

    The full table is no cell of its own; each cell holds its entries.
    """
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
