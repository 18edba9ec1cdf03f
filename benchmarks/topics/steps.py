"""
A training step, forward and update, against FBGEMM's fused optimizers and torch's sparse ones.
"""

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
from npbloom.optimizers import BY_NAME

OPTIMIZERS = tuple(BY_NAME)
WANTED = {
    "fbgemm": {"sgd": 2.5, "adagrad": 3.5, "rowwise_adagrad": 1.6},
    "torch": {"sgd": 6.0, "adagrad": 10.0, "adam": 10.0},
}
WANTED_NARROW = {**WANTED, "torch": {"sgd": 4.0, "adagrad": 7.0, "adam": 8.0}}  # without AVX-512
AGAINST = {"fbgemm": "FBGEMM's fused exact optimizer, rows given", "torch": "torch EmbeddingBag(sparse=True), rows given"}


def sizes(settings: Settings) -> dict[str, Any]:
    """Return the sizes of the standard problem, which other benchmarks use, too."""
    count, num_embeddings = (2_048, 20_000) if settings.quick else (65_536, 1_000_000)
    return {"ids a batch": count, "ids": num_embeddings, "k": 4, "d": 64, "ratio": 0.2, "dtype": "float32"}


def problem(kind: str, sized: dict[str, Any], **options: Any) -> tuple[Any, Batch]:
    """Return a Bloom layer of the standard size and a batch for it."""
    rng = np.random.default_rng(1)
    layer = nb.BloomEmbedding(sized["ids"], sized["d"], sized["ratio"], sized["k"], rng=rng, **options)
    ids, rows = draws.draw_for(layer, kind, sized["ids a batch"], rng)
    grad_out = rng.standard_normal((len(ids), sized["d"]), dtype=np.float32)
    return layer, Batch(ids, grad_out, rows)


def run(settings: Settings) -> Measured:
    """Measure every optimizer on both kinds of ids."""
    sized, cases = sizes(settings), []
    for kind in draws.KINDS:
        for optimizer in OPTIMIZERS:
            layer, batch = problem(kind, sized)
            found = peers.contenders(layer, optimizer, [batch], fbgemm=settings.fbgemm)
            same_work.check(found)
            for count in settings.threads:
                with threads(count):
                    samples = interleave({table.name: table.step for table in found}, settings.rounds_or(15))
                labels = {"ids": kind, "optimizer": optimizer, "threads": count}
                cases.append(Case(labels, samples, {"touched rows": len(batch.touched)}))
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def show(result: Result) -> str:
    """Return one table."""
    labels = {"ids": "ids", "optimizer": "optimizer", "threads": "threads"}
    return tables.comparison(result.cases, labels, ("fbgemm", "torch"))


def targets(result: Result) -> list[Target]:
    """Return targets for both kinds of ids, at the largest number of threads."""
    found = []
    figures = WANTED if result.instructions == "avx512" else WANTED_NARROW
    for kind in result.values("ids"):
        for peer, wanted in figures.items():
            for optimizer, factor in wanted.items():
                case = result.one(ids=kind, optimizer=optimizer, threads=result.threads)
                if peer in case.samples:
                    found.append(at_least(f"step, {tables.name(optimizer)}, {kind} ids", AGAINST[peer], factor, case.ratio(peer)))
    return found


BENCHMARK = Benchmark(
    name="steps",
    title="A training step",
    measures=(
        "Forward and update of one batch. npbloom is given ids and finds their rows; peers are given the rows that the ids "
        "hash to, for free."
    ),
    run=run,
    tables=show,
    targets=targets,
)
