"""
Step time against the table's height.

Ids are fresh in every step, so that a large table's rows are in no cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least, at_most
from benchmarks.contenders import peers, same_work
from benchmarks.contenders.table import Batch, Table
from benchmarks.measuring import WARM_UP, Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import OURS, Case, Result, median

LAYERS = ("plain", "bloom")
RATIO, DIM = 0.2, 32


def batches(layer: Any, bloom: bool, count: int, size: int, rng: np.random.Generator) -> list[Batch]:
    """Return batches of fresh uniform ids, all with one gradient."""
    grad_out = rng.standard_normal((size, DIM), dtype=np.float32)
    if not bloom:
        return [Batch(draws.draw("uniform", size, layer.num_embeddings, rng), grad_out) for _ in range(count)]
    drawn = (draws.draw_for(layer, "uniform", size, rng) for _ in range(count))
    return [Batch(ids, grad_out, rows) for ids, rows in drawn]


def contenders(height: int, bloom: bool, count: int, size: int, settings: Settings) -> list[Table]:
    """Return tables of one height, checked against each other."""
    rng = np.random.default_rng(height)
    layer: Any = (
        nb.BloomEmbedding(int(height / RATIO), DIM, RATIO, rng=rng) if bloom else nb.ScaledEmbedding(height, DIM, rng=rng)
    )
    found = peers.contenders(layer, "adagrad", batches(layer, bloom, count, size, rng), fbgemm=settings.fbgemm)
    same_work.check(found)
    return found


def run(settings: Settings) -> Measured:
    """Measure all heights of one kind of layer in one run of rounds."""
    heights, size = ((1_000, 10_000, 100_000), 512) if settings.quick else ((100_000, 1_000_000, 10_000_000), 8_192)
    rounds, cases = settings.rounds_or(21), []
    for kind in LAYERS:
        fresh = len(settings.threads) * (2 * rounds + WARM_UP)
        found = {height: contenders(height, kind == "bloom", fresh, size, settings) for height in heights}
        for count in settings.threads:
            calls = {f"{table.name} {height}": table.step for height in heights for table in found[height]}
            with threads(count):
                samples = interleave(calls, rounds)
            for height in heights:
                mine = {table.name: samples[f"{table.name} {height}"] for table in found[height]}
                cases.append(Case({"layer": kind, "rows": height, "threads": count}, mine))
        del found, calls
    sized = {"ids a batch": size, "d": DIM, "k (Bloom)": 4, "ratio (Bloom)": RATIO, "rows": list(heights), "dtype": "float32"}
    return Measured({**sized, "id distribution": "uniform, fresh in every step", "optimizer": "Adagrad"}, cases)


def growth(small: Case, large: Case) -> list[float]:
    """Return the quotients of npbloom's times on two tables, round by round."""
    return [a / b for a, b in zip(large.samples[OURS], small.samples[OURS], strict=True)]


def show(result: Result) -> str:
    """Return one table."""
    return tables.comparison(result.cases, {"layer": "layer", "rows": "rows", "threads": "threads"}, ("torch", "fbgemm"))


def targets(result: Result) -> list[Target]:
    """Return targets for the lowest table against the highest, and for torch at the highest."""
    found = []
    heights: Sequence[Any] = result.values("rows")
    low, high = min(heights), max(heights)
    for kind in result.values("layer"):
        small, large = (result.one(layer=kind, rows=height, threads=result.threads) for height in (low, high))
        work = f"step, Adagrad, fresh ids, {kind}"
        found.append(at_most(f"{work}, {high:,} rows", f"itself at {low:,} rows", 3.0, median(growth(small, large))))
        found.append(at_least(f"{work}, {high:,} rows", "torch, sparse", 3.0, large.ratio("torch")))
    return found


BENCHMARK = Benchmark(
    name="table_size",
    title="Step time against the table's size",
    measures=(
        "Forward and Adagrad update of ids that no step before has seen. plain: `ScaledEmbedding`, torch's "
        "`Embedding(sparse=True)`; Bloom: five times as many ids as rows, four probes; torch's `EmbeddingBag(sparse=True)` and "
        "FBGEMM are given the rows. All heights take turns in the same rounds."
    ),
    run=run,
    tables=show,
    targets=targets,
)
