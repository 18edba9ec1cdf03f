"""An epoch of the recommender, against Spotlight's layers, network and loop on torch."""

from __future__ import annotations

from typing import Any

import numpy as np

import npbloom as nb
from benchmarks.benchmark import Benchmark, Measured, Target, at_least
from benchmarks.contenders.same_work import DifferentWork
from benchmarks.contenders.spotlight import Spotlight
from benchmarks.contenders.table import FloatArray, IntArray
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result
from npbloom.recommend import ImplicitFactorizationModel, Interactions

DIM, LEARNING_RATE = 64, 0.01
LAYERS = ("bloom", "plain")
MINIBATCHES = 3  # minibatches of the peer, whose epochs take minutes


class Recorder(np.random.Generator):
    """Generator that keeps its last draws: the order of an epoch, and negatives."""

    def permutation(self, *arguments: Any, **options: Any) -> Any:
        """Draw as every generator does, and keep the result."""
        self.order = super().permutation(*arguments, **options)
        return self.order

    def integers(self, *arguments: Any, **options: Any) -> Any:
        """Draw as every generator does, and keep the result."""
        self.drawn = super().integers(*arguments, **options)
        return self.drawn


def models(
    kind: str, num_ids: int, batch_size: int, users: IntArray, items: IntArray
) -> tuple[ImplicitFactorizationModel, Spotlight]:
    """Return both models with the same tables, after one minibatch in which both did the same."""
    rng = Recorder(np.random.PCG64(0))
    make: Any = nb.BloomEmbedding if kind == "bloom" else nb.ScaledEmbedding
    layers = {"user_embeddings": make(num_ids, DIM, rng=rng), "item_embeddings": make(num_ids, DIM, rng=rng)}
    options: dict[str, Any] = {"loss": "adaptive_hinge", "n_iter": 1, "batch_size": batch_size, "learning_rate": LEARNING_RATE}
    ours = ImplicitFactorizationModel(optimizer="adam", rng=rng, **options, **layers)
    peer = Spotlight(num_ids, num_ids, DIM, kind == "bloom", LEARNING_RATE)
    start = {name: layers[name].weight.copy() if name in layers else np.float32(0) for name in peer.weights}
    for name, weight in peer.weights.items():
        weight[...] = start[name]
    first = Interactions(users[:batch_size], items[:batch_size], num_users=num_ids, num_items=num_ids)
    ours.fit(first)
    loss = peer.minibatch(first.user_ids[rng.order], first.item_ids[rng.order], rng.drawn)
    if not np.isclose(loss, ours.history[-1]["loss"], rtol=1e-5):
        raise DifferentWork(f"The losses of the first minibatch are {ours.history[-1]['loss']} and {loss}.")
    for name, weight in peer.weights.items():
        _check_tables(ours.layers[name].weight, weight, start[name], name)
    return ours, peer


def _check_tables(ours: FloatArray, theirs: FloatArray, start: FloatArray, name: str) -> None:
    """
    Raise DifferentWork if tables differ too much after Adam's first step.

    That step is the learning rate times a sign unless a gradient is tiny. The last bit decides the
    sign if a sum is near zero, so one value in a thousand of those that moved may differ, by two
    steps. Users' biases do not move, because a hinge's gradients for a positive and its negative
    cancel.
    """
    gap = np.abs(ours - theirs)
    moved, wrong = np.count_nonzero(theirs != start), np.count_nonzero(gap > 0.01 * LEARNING_RATE)
    if not ((moved or name == "user_biases") and gap.max() <= 2.01 * LEARNING_RATE and wrong <= 1e-3 * moved):
        raise DifferentWork(
            f"{name}: of {moved} values that moved {wrong} differ after the first minibatch, by up to {gap.max()}."
        )


def run(settings: Settings) -> Measured:
    """Measure Bloom layers, and plain ones."""
    count, num_ids, batch_size = (2_000, 5_000, 256) if settings.quick else (100_000, 1_000_000, 2_048)
    rng = np.random.default_rng(0)
    users, items = rng.integers(1, num_ids, (2, count))
    interactions = Interactions(users, items, num_users=num_ids, num_items=num_ids)
    of = -(-count // batch_size)
    cases = []
    for kind in LAYERS:
        ours, peer = models(kind, num_ids, batch_size, users, items)
        calls = {
            "npbloom": lambda ours=ours: ours.fit(interactions),
            "spotlight": lambda peer=peer: peer.epoch(users, items, batch_size, MINIBATCHES, rng),
        }
        for number in settings.threads:
            with threads(number):
                samples = interleave(calls, settings.rounds_or(3), lead=False)
            samples["spotlight"] = [value * of / MINIBATCHES for value in samples["spotlight"]]
            cases.append(Case({"layers": kind, "threads": number}, samples, {"minibatches": of, "of them measured": MINIBATCHES}))
        del ours, peer, calls
    sized = {
        "interactions": count,
        "users": num_ids,
        "items": num_ids,
        "batch": batch_size,
        "d": DIM,
        "k (Bloom)": 4,
        "ratio (Bloom)": 0.2,
    }
    words = {"id distribution": "uniform", "loss": "adaptive hinge, 5 negatives", "optimizer": "Adam, no weight decay"}
    return Measured({**sized, **words, "minibatches of Spotlight measured": f"{MINIBATCHES} of {of}"}, cases)


def show(result: Result) -> str:
    """Return one table."""
    return tables.comparison(result.cases, {"layers": "layers", "threads": "threads"}, ("spotlight",))


def targets(result: Result) -> list[Target]:
    """Return targets for both kinds of layers."""
    return [
        at_least(f"epoch of the recommender, {kind} layers", "Spotlight's layers on torch", 50.0, case.ratio("spotlight"))
        for kind in result.values("layers")
        for case in [result.one(layers=kind, threads=result.threads)]
    ]


BENCHMARK = Benchmark(
    name="recommender",
    title="An epoch of the recommender",
    measures=(
        "`fit` of one epoch: shuffling, negatives, lookups, loss, updates. Spotlight's model is rebuilt on torch "
        "([spotlight.py](contenders/spotlight.py)); its hashes are computed beforehand. A few of its minibatches are measured a "
        "round, and the time is scaled to the number in an epoch. Its Adam moves all rows, ours those of the batch: the first "
        "step is the same, and is checked; later ones differ as laid down (L27)."
    ),
    run=run,
    tables=show,
    targets=targets,
)
