"""Bags of 20 to 50 ids of a plain table: mean, and sum with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders import peers, same_work
from benchmarks.contenders.table import Batch
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result

MODES = {"mean": "mean", "weighted sum": "sum"}
DIM = 64
WANTED = {"forward": 1.0, "Adagrad step": 3.0}


def problem(kind: str, mode: str, num_embeddings: int, bags: int) -> tuple[Any, Batch]:
    """Return a layer and bags for it."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(20, 51, bags)
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    ids = draws.draw(kind, int(lengths.sum()), num_embeddings, rng)
    weights = rng.random(len(ids), dtype=np.float32) if mode == "weighted sum" else None
    layer = nb.ScaledEmbeddingBag(num_embeddings, DIM, mode=MODES[mode], rng=rng)
    return layer, Batch(ids, rng.standard_normal((bags, DIM), dtype=np.float32), None, offsets, weights)


def run(settings: Settings) -> Measured:
    """Measure both modes on both kinds of ids."""
    num_embeddings, bags = (5_000, 128) if settings.quick else (200_000, 4_096)
    cases = []
    for kind in draws.KINDS:
        for mode in MODES:
            layer, batch = problem(kind, mode, num_embeddings, bags)
            found = peers.contenders(layer, "adagrad", [batch], mode=MODES[mode], fbgemm=settings.fbgemm)
            same_work.check(found)
            facts = {"ids a batch": len(batch.ids), "touched rows": len(batch.touched)}
            for count in settings.threads:
                for work in WANTED:
                    calls = {table.name: table.forward if work == "forward" else table.step for table in found}
                    with threads(count):
                        samples = interleave(calls, settings.rounds_or(15))
                    cases.append(Case({"ids": kind, "mode": mode, "work": work, "threads": count}, samples, facts))
    sized = {"bags a batch": bags, "ids a bag": "20 to 50", "rows": num_embeddings, "d": DIM, "dtype": "float32"}
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def show(result: Result) -> str:
    """Return one table."""
    labels = {"ids": "ids", "mode": "mode", "work": "work", "threads": "threads"}
    return tables.comparison(result.cases, labels, ("torch", "fbgemm"))


def targets(result: Result) -> list[Target]:
    """Return targets against both peers, at the largest number of threads."""
    return [
        at_least(f"bags, {case.labels['mode']}, {case.labels['ids']} ids: {work}", words, factor, case.ratio(peer))
        for work, factor in WANTED.items()
        for case in result.all(work=work, threads=result.threads)
        for peer, words in {"torch": "torch EmbeddingBag(sparse=True)", "fbgemm": "FBGEMM"}.items()
        if peer in case.samples
    ]


BENCHMARK = Benchmark(
    name="bags",
    title="Bags",
    measures="The same ids, offsets and weights for all; the weights have no gradient. Peers' forwards are under `no_grad`.",
    run=run,
    tables=show,
    targets=targets,
)
