"""Small batches, whose time is mostly that of the call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders import peers, same_work
from benchmarks.contenders.table import Batch
from benchmarks.measuring import Call, Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result

CALLS = 200
DIM = 64


def problem(kind: str, count: int, num_embeddings: int) -> tuple[Any, Batch]:
    """Return a layer and a small batch."""
    rng = np.random.default_rng(count)
    grad_out = rng.standard_normal((count, DIM), dtype=np.float32)
    if kind == "plain":
        layer: Any = nb.ScaledEmbedding(num_embeddings, DIM, rng=rng)
        return layer, Batch(draws.draw("uniform", count, num_embeddings, rng), grad_out)
    layer = nb.BloomEmbedding(num_embeddings, DIM, rng=rng)
    ids, rows = draws.draw_for(layer, "uniform", count, rng)
    return layer, Batch(ids, grad_out, rows)


def functional(layer: Any, batch: Batch) -> Call:
    """Return torch's function on npbloom's own array, outside of autograd."""
    weight = torch.from_numpy(layer.weight)
    if batch.rows is None:
        ids = torch.from_numpy(batch.ids)
        return lambda: torch.nn.functional.embedding(ids, weight)
    rows = torch.from_numpy(batch.rows)
    return lambda: torch.nn.functional.embedding_bag(rows, weight, mode="sum")


def run(settings: Settings) -> Measured:
    """Measure forward and Adagrad step, for three sizes of batches."""
    calls, cases = (5 if settings.quick else CALLS), []
    counts, sizes = ((32,) if settings.quick else (1, 32, 256)), (1_000, 50_000 if settings.quick else 1_000_000)
    for kind in ("bloom", "plain"):
        for num_embeddings in sizes:
            for count in counts:
                layer, batch = problem(kind, count, num_embeddings)
                ours, peer = peers.contenders(layer, "adagrad", [batch], fbgemm=False)
                same_work.check([ours, peer])
                forwards = {"npbloom": ours.forward, "torch": functional(layer, batch), "torch_module": peer.forward}
                for number in settings.threads:
                    for work, contenders in {
                        "forward": forwards,
                        "Adagrad step": {"npbloom": ours.step, "torch": peer.step},
                    }.items():
                        with threads(number):
                            samples = interleave(contenders, settings.rounds_or(15), calls=calls)
                        labels = {"work": work, "layer": kind, "ids": num_embeddings, "batch": count, "threads": number}
                        cases.append(Case(labels, samples))
    sized = {"ids a batch": list(counts), "ids": list(sizes), "k (Bloom)": 4, "d": DIM, "calls a sample": calls}
    return Measured({**sized, "dtype": "float32", "id distribution": "uniform"}, cases)


def show(result: Result) -> str:
    """Return a table of forwards and steps at the largest number of threads."""
    labels = {"work": "work", "layer": "layer", "ids": "ids", "batch": "batch"}
    return tables.comparison(result.all(threads=result.threads), labels, ("torch", "torch_module"))


def targets(result: Result) -> list[Target]:
    """Return targets for forwards of 32 ids."""
    words = {"torch": "torch.nn.functional, rows given, no autograd", "torch_module": "torch's module under no_grad"}
    return [
        at_least(f"forward, 32 ids of {case.labels['ids']:,}, {case.labels['layer']}", words[peer], 1.0, case.ratio(peer))
        for case in result.all(work="forward", batch=32, threads=result.threads)
        for peer in words
    ]


BENCHMARK = Benchmark(
    name="small_batches",
    title="Small batches",
    measures=(
        "One call on a few ids, the mean of 200 in a row. torch: `embedding_bag` or `embedding` on npbloom's own array; module: "
        "`EmbeddingBag` or `Embedding` called under `no_grad`; steps: sparse gradients and Adagrad. torch is given the rows."
    ),
    run=run,
    tables=show,
    targets=targets,
)
