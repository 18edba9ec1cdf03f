"""Ids to rows on the fly, against scikit-learn's hash."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import murmurhash3_32

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders.same_work import DifferentWork
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result

SPOTLIGHT_SEEDS = nb.hashing.SPOTLIGHT_SEEDS


def sklearn_rows(ids: np.ndarray[Any, Any], num_rows: int, count: int) -> np.ndarray[Any, Any]:
    """
    Return int64 rows, (n, count), as Spotlight computes them, but without its detour over a stack
    of columns.
    """
    narrow = ids.astype(np.int32)
    rows = np.empty((len(ids), count), dtype=np.int64)
    for column, seed in enumerate(SPOTLIGHT_SEEDS[:count]):
        rows[:, column] = murmurhash3_32(narrow, seed=int(seed)) % num_rows
    return rows


def run(settings: Settings) -> Measured:
    """Measure one size."""
    count = 20_000 if settings.quick else 500_000
    num_embeddings, num_rows, probes = 100_000_000, 200_000, 4
    layer = nb.BloomEmbedding(num_embeddings, 1, num_rows=num_rows, num_hash_functions=probes, rng=0)
    ids = draws.draw("uniform", count, num_embeddings, np.random.default_rng(1))
    if not np.array_equal(layer.hash_rows(ids), sklearn_rows(ids, num_rows, probes)):
        raise DifferentWork("scikit-learn's hashes lead to other rows.")
    cases = []
    for number in settings.threads:
        calls = {"npbloom": lambda: layer.hash_rows(ids), "sklearn": lambda: sklearn_rows(ids, num_rows, probes)}
        with threads(number):
            cases.append(Case({"ids": "uniform", "threads": number}, interleave(calls, settings.rounds_or(31))))
    sized = {"ids a call": count, "ids": num_embeddings, "rows": num_rows, "hashes": probes, "id distribution": "uniform"}
    return Measured(sized, cases)


def show(result: Result) -> str:
    """Return one table."""
    return tables.comparison(result.cases, {"ids": "ids", "threads": "threads"}, ("sklearn",))


def targets(result: Result) -> list[Target]:
    """Return the target at the largest number of threads. scikit-learn has one."""
    case = result.one(threads=result.threads)
    work = f"{result.sizes['ids a call']:,} ids x {result.sizes['hashes']} hashes to rows, on the fly"
    return [at_least(work, "scikit-learn murmurhash3_32 and remainder (one thread)", 4.0, case.ratio("sklearn"))]


BENCHMARK = Benchmark(
    name="hashing",
    title="Ids to rows",
    measures=(
        "`hash_rows` of a layer that keeps no probes, against `sklearn.utils.murmurhash3_32` on int32 ids, once a seed, and the "
        "remainder, into the same int64 array. scikit-learn has one thread."
    ),
    run=run,
    tables=show,
    targets=targets,
)
