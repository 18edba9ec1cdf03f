"""Scores relative to the best full table's, with errors over seeds and over users."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.runs import Job
from benchmarks.accuracy_study.summary import Figure
from benchmarks.smaller.catalogue import FULL_DIMS, PLACES, full_name
from benchmarks.smaller.methods import DIM
from benchmarks.smaller.models import values
from benchmarks.smaller.runs import rank_file

SCORES = {"hit": "hit rate at 100", "ndcg10": "NDCG@10", "mrr": "MRR"}
RESAMPLES = 1_000  # bootstrap resamples of the users

Key = tuple[str, str, float, str]  # data, compressed sides, ratio, method


@dataclass(frozen=True)
class Cell:
    """
    A method at a ratio: its entries by seed, with those of the full table that it is compared with.
    """

    key: Key
    entries: dict[int, dict[str, Any]]
    full: dict[int, dict[str, Any]]
    users: dict[str, float]  # error over users of the kept share, by score

    def score(self, name: str) -> Figure:
        """Return the score itself."""
        return Figure.of(entry[name] for entry in self.entries.values())

    def kept(self, name: str) -> Figure:
        """
        Return the score over the full table's mean over seeds.

        Two runs of one seed share nothing, so they are not paired.
        """
        whole = sum(entry[name] for entry in self.full.values()) / len(self.full)
        return Figure.of(entry[name] / whole for entry in self.entries.values())

    @property
    def bytes_served(self) -> int | None:
        """Bytes of tables, biases and codes, or None for a method without tables."""
        return next(iter(self.entries.values())).get("bytes_served")


def best_full(tuning: Iterable[dict[str, Any]]) -> dict[str, str]:
    """
    Return, for each set, the full table whose number of columns is best on validation.

    Only tables that start at random count.
    """
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    names = {full_name(dim) for dim in FULL_DIMS}
    for entry in tuning:
        if entry["method"] in names:
            gains[entry["data"]][entry["method"]] = max(gain for _, gain in entry["tried"].values())
    return {name: max(found, key=lambda method: found[method]) for name, found in gains.items()}


def cells(
    entries: Iterable[dict[str, Any]], tuning: Iterable[dict[str, Any]], users: dict[Key, dict[str, float]]
) -> dict[Key, Cell]:
    """Return all cells, in the order of the methods."""
    by_key: dict[Key, dict[int, dict[str, Any]]] = defaultdict(dict)
    for entry in entries:
        by_key[entry["data"], entry["side"], entry["ratio"], entry["method"]][entry["seed"]] = entry
    best = best_full(tuning)
    found = {}
    for key in sorted(by_key, key=lambda key: (data.NAMES.index(key[0]), key[1], key[2], PLACES.get(key[3], len(PLACES)))):
        full = by_key.get((key[0], "none", 1.0, best.get(key[0], full_name(DIM))))
        if full:
            found[key] = Cell(key, by_key[key], full, users.get(key, {}))
    return found


# ---- errors over users -------------------------------------------------------------------------


def read_users(path: Path) -> dict[Key, dict[str, float]]:
    """Return the errors that were computed from the ranks of all users."""
    found = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        entry = json.loads(line)
        found[entry["data"], entry["side"], entry["ratio"], entry["method"]] = {name: entry[name] for name in SCORES}
    return found


def write_users(path: Path, found: dict[Key, dict[str, float]]) -> None:
    """Write a line for each cell."""
    lines = [
        json.dumps(
            dict(zip(("data", "side", "ratio", "method"), key, strict=True)) | {name: round(own[name], 5) for name in SCORES}
        )
        for key, own in found.items()
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def bootstrap(found: dict[Key, Cell], ranks: Path) -> dict[Key, dict[str, float]]:
    """
    Return standard errors over resampled users of the kept share, from means over seeds.

    A cell needs the ranks of every seed.
    """
    errors = {}
    draws: dict[int, np.ndarray] = {}
    known: dict[Key, dict[str, np.ndarray] | None] = {}

    def mean_values(key: Key, seeds: Iterable[int]) -> dict[str, np.ndarray] | None:
        """Return each user's values, averaged over the seeds."""
        if key not in known:
            name, side, ratio, method = key
            paths = [ranks / rank_file(Job(name, "factorization", method, side, ratio, seed)) for seed in seeds]
            complete = bool(paths) and all(path.is_file() for path in paths)
            each = [values(np.load(path).astype(np.float64)) for path in paths] if complete else []
            known[key] = {name: np.mean([own[name] for own in each], axis=0) for name in SCORES} if complete else None
        return known[key]

    for key, cell in found.items():
        own = mean_values(key, cell.entries)
        one = next(iter(cell.full.values()))
        whole = mean_values((one["data"], one["side"], one["ratio"], one["method"]), cell.full)
        if own is None or whole is None:
            continue
        size = len(own["hit"])
        if size not in draws:
            drawn = np.random.default_rng(0).integers(size, size=(RESAMPLES, size))
            draws[size] = np.stack([np.bincount(row, minlength=size) for row in drawn]).astype(np.float32)
        errors[key] = {
            name: float(np.std((draws[size] @ own[name]) / np.maximum(draws[size] @ whole[name], 1e-12))) for name in SCORES
        }
    return errors


def kept_words(cell: Cell | None, score: str) -> str:
    """Return ``.718 ± .004 ± .021``: the mean, its error over seeds, its error over users."""
    if cell is None:
        return ""
    figure = cell.kept(score)
    seeds = "" if math.isnan(figure.error) else f" ± {figure.error:.3f}"
    users = f" ± {cell.users[score]:.3f}" if score in cell.users else ""
    return f"{figure.mean:.3f}{seeds}{users}".replace("0.", ".")
