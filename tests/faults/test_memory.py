"""
Memory of public calls: no leaks, and no hidden copies.

docs/guarantees.md lists the most that a call holds, as a multiple of its input or output.
`NPBLOOM_LEAK_STEPS=100000` asks for more than 500 steps.
"""

from __future__ import annotations

import gc
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.support._examples import repeats
from tests.support._layers import OPTIMIZERS

STEPS = int(os.environ.get("NPBLOOM_LEAK_STEPS", repeats(500)))
ROWS, DIM, BATCH, K = 100_000, 64, 16_384, 4
ROOT = Path(__file__).resolve().parents[2]
SLACK = 2**17  # bytes: counters, buckets, and what Python itself holds


def ids_of(layer: Any) -> np.ndarray:
    """Return a batch of random ids, so that no cache helps."""
    return np.random.default_rng(0).integers(1, layer.num_embeddings, BATCH)


# ---- leaks ---------------------------------------------------------------------------------------


def a_few_of_everything() -> Callable[[int], None]:
    """
    Return a function that runs a small step of each optimizer on each kind of layer.

    Right calls and wrong calls take turns.
    """
    layers: list[Any] = [
        nb.ScaledEmbedding(50, 8, padding_idx=0, max_norm=1.0, rng=0),
        nb.BloomEmbedding(500, 8, num_rows=50, rng=0),
        nb.BloomEmbedding(500, 8, num_rows=50, combine="concat", rng=0),
        nb.ScaledEmbeddingBag(50, 8, mode="max", rng=0),
        nb.BloomEmbeddingBag(500, 8, num_rows=50, rng=0),
    ]
    pairs = [(layer, make([layer])) for layer in layers for make in OPTIMIZERS.values()]
    indices = np.arange(48).reshape(16, 3)

    def step(number: int) -> None:
        layer, optimizer = pairs[number % len(pairs)]
        out = layer(indices)
        optimizer.update(layer, indices, out)
        optimizer.step(layer, layer.backward(indices, out, sparse=True))
        for bad in (lambda: layer([[-1]]), lambda: optimizer.update(layer, indices, out[:-1])):
            try:
                bad()
            except (IndexError, ValueError):
                continue
            raise AssertionError("a bad call was answered")

    return step


def resident() -> int:
    """Return the anonymous bytes of this process."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), flags=re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_small_steps_leave_nothing_behind() -> None:
    step = a_few_of_everything()
    with nb.num_threads(2):
        for number in range(200):
            step(number)
        gc.collect()
        tracemalloc.start()
        for number in range(1000):  # NumPy keeps some small blocks for its next arrays: 64 kB after 6,000 steps, 53 after 500
            step(number)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(min(STEPS, 2000)):
            step(number)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        start = resident() if Path("/proc/self/status").exists() else 0
        for number in range(STEPS):  # not traced: memory of compiled code and of threads
            step(number)
        gc.collect()
        grown = resident() - start if start else 0
    print_figures(traced, grown)
    assert traced < 2**15
    assert grown < 2**21


def print_figures(traced: int, grown: int) -> None:
    """Print the figures of a run by hand with -s."""
    os.write(1, f"\n{STEPS} steps: {traced} bytes traced more, {grown} bytes resident more\n".encode())


# ---- peaks ---------------------------------------------------------------------------------------


def peak(call: Callable[[], Any]) -> int:
    """Return the most memory that a call held beyond that from before, including its result."""
    call()  # compile, and make what is made once
    gc.collect()
    tracemalloc.start()
    result = call()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return found


def figures() -> dict[str, tuple[int, int]]:
    """
    Return, for each call of the document's table, the most bytes it held and the unit.

    The unit is the bytes of its output (n, d), or of its input.
    """
    plain = nb.ScaledEmbedding(ROWS, DIM, rng=0)
    bloom = nb.BloomEmbedding(5 * ROWS, DIM, num_rows=ROWS, rng=0)
    bag = nb.ScaledEmbeddingBag(ROWS, DIM, weight=plain.weight)
    most = nb.ScaledEmbeddingBag(ROWS, DIM, weight=plain.weight, mode="max")
    ids, bloom_ids = ids_of(plain), ids_of(bloom)
    bags = ids.reshape(-1, 8)
    out, out_bag = plain(ids), bag(bags)
    size, bag_size = out.nbytes, out_bag.nbytes
    found = {
        "lookup": (peak(lambda: plain(ids)), size),
        "lookup, Bloom": (peak(lambda: bloom(bloom_ids)), size),
        "lookup, bags": (peak(lambda: bag(bags)), bag_size),
        "lookup, bags, max": (peak(lambda: most(bags)), bag_size),
        "backward, sparse": (peak(lambda: plain.backward(ids, out, sparse=True)), size),
        "backward, sparse, Bloom": (peak(lambda: bloom.backward(bloom_ids, out)), K * size),
        "backward, dense": (peak(lambda: plain.backward(ids, out, sparse=False)), plain.nbytes),
        "hash_rows": (peak(lambda: bloom.hash_rows(bloom_ids)), 8 * K * BATCH),
    }
    for name, make in OPTIMIZERS.items():
        if name in ("SGD", "Adagrad", "RowWiseAdagrad", "Adam"):
            optimizer, other = make([plain]), make([bloom])
            grad = plain.backward(ids, out, sparse=True)
            assert isinstance(grad, nb.RowGrad)
            found[f"update, {name}"] = (peak(lambda o=optimizer: o.update(plain, ids, out)), size)  # type: ignore[misc]
            found[f"update, {name}, Bloom"] = (peak(lambda o=other: o.update(bloom, bloom_ids, out)), size)  # type: ignore[misc]
            found[f"step, {name}"] = (peak(lambda o=optimizer, g=grad: o.step(plain, g)), grad.nbytes)  # type: ignore[misc]
    found["ScaledEmbedding()"] = (peak(lambda: nb.ScaledEmbedding(ROWS, DIM, rng=0)), plain.nbytes)
    found["ScaledEmbedding(weight=)"] = (peak(lambda: nb.ScaledEmbedding(ROWS, DIM, weight=plain.weight)), plain.nbytes)
    found["reset_parameters"] = (peak(lambda: plain.reset_parameters(rng=0)), plain.nbytes)
    return found


def documented() -> dict[str, float]:
    """Return the multiples that the document promises."""
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    rows = re.findall(r"^\| `?([^|`]+?)`? \| [^|]+ \| ([\d.]+) \|$", text, flags=re.MULTILINE)
    return {name: float(multiple) for name, multiple in rows}


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_calls_hold_no_more_than_the_document_says(threads: int) -> None:
    promised = documented()
    with nb.num_threads(threads):
        found = figures()
    assert found.keys() == promised.keys()
    assert {name: held / unit for name, (held, unit) in found.items() if held > promised[name] * unit + SLACK} == {}
