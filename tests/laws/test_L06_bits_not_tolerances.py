"""L6: fast kernels equal the reference bit for bit.

The bits are the same for any number of threads, any split of the work, and on every run.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.types import HashSpec, RowGrad
from tests.support import _twins
from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._threads import COUNTS, split_everything, split_sooner, watch
from tests.support._twins import TWINS
from tests.support.strategies import Bags, Bloom, Lookup, Partition, Update

ROWS, DIM, IDS = 30_000, 8, 60_000
NORM = {"max_norm": 2.9, "norm_type": 2}


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
@examples(15)  # for each of some fifty operations
@given(data=st.data())
def test_kernels_equal_the_reference_on_any_number_of_threads(twin, data):
    case = data.draw(twin.cases())
    expected = twin.call(nb.reference, case)
    for threads in COUNTS:
        with split_everything(threads):
            assert_same_bits(twin.call(nb.ops, case), expected)
    with nb.num_threads(7):
        assert_same_bits(twin.call(nb.ops, case), expected)


@lru_cache
def big_lookup():
    """Return ids that read every row about twice, and a few rows thousands of times."""
    rng = np.random.default_rng(6)
    ids = np.where(rng.random(IDS) < 0.2, rng.integers(0, 4, IDS), rng.integers(0, ROWS, IDS))
    weight = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    return Lookup(weight, ids, rng.standard_normal((IDS, DIM)).astype(np.float32), padding_idx=3)


def high_lookup(bits):
    """Return ids of a very high table in a few clusters.

    Some buckets hold many pairs, others a few or none.
    """
    rng, lookup = np.random.default_rng(9), big_lookup()
    clusters = rng.integers(0, 2**bits, 200) & -(2 ** (bits - 10))
    return clusters[lookup.ids % 200] + lookup.ids * 2 ** (bits - 10) // ROWS // 3, lookup.grad_out


def big_bags(mode, combine=None):
    """Return bags of very different lengths, some of them empty."""
    lookup, rng = big_lookup(), np.random.default_rng(7)
    offsets = np.sort(rng.integers(0, IDS, 9_000) // 50 * rng.integers(1, 50, 9_000))
    offsets[0] = 0
    partition = Partition((IDS,), offsets, False)
    weights = rng.random(IDS).astype(np.float32) if mode == "weighted" else None
    mode = "sum" if mode == "weighted" else mode
    case = Bags(lookup.weight, lookup.ids, partition, lookup.grad_out[:9_000], mode, weights, padding_idx=3)
    if combine is not None:
        case.hashing, case.combine = HashSpec(ROWS, ROWS, 4, padding_idx=3), combine
    return case


def big_bloom(combine, num_embeddings=ROWS):
    """Return the lookup with four probes an id."""
    lookup = big_lookup()
    return Bloom(lookup.weight, lookup.ids, lookup.grad_out, HashSpec(num_embeddings, ROWS, 4, padding_idx=3), combine)


def big_update():
    """Return a step on two thirds of the rows."""
    lookup, rng = big_lookup(), np.random.default_rng(8)
    rows = np.flatnonzero(rng.random(ROWS) < 2 / 3)
    grad = RowGrad(rows, lookup.grad_out[: len(rows)], ROWS)
    states = [np.square(rng.standard_normal((ROWS, DIM)).astype(np.float32)) for _ in range(2)]
    return Update(lookup.weight, grad, *states, 0.1, 0.01, 0.9, 1e-8, (0.9, 0.999), 3)


BIG = {
    "lookup": lambda module: _twins.embedding_forward(module, big_lookup()),
    "lookup, max_norm": lambda module: _twins.embedding_forward(module, big_lookup(), **NORM),
    "lookup, backward": lambda module: _twins.embedding_backward(module, big_lookup()),
    "lookup, frequency": lambda module: _twins.embedding_backward(module, big_lookup(), scale_grad_by_freq=True),
    "rows": lambda module: _twins.hash_rows(module, big_bloom("sum")),
    "rows of wide ids": lambda module: _twins.hash_rows(module, big_bloom("sum", 2**40)),
    "bags, backward of weights": lambda module: _twins.embedding_bag_backward_weights(module, big_bags("sum")),
    "hashed bags, backward of weights": lambda module: _twins.bloom_bag_backward_weights(module, big_bags("sum", "sum")),
}
for bits in (20, 34, 45):  # one, two and three passes of the sort in a bucket
    BIG[f"2**{bits} rows, backward"] = lambda module, bits=bits: module.embedding_backward(*high_lookup(bits), 2**bits)
for mode in ("sum", "weighted", "mean", "max"):
    BIG[f"bags, {mode}"] = lambda module, mode=mode: _twins.embedding_bag_forward(module, big_bags(mode))
    BIG[f"bags, {mode}, backward"] = lambda module, mode=mode: _twins.embedding_bag_backward(module, big_bags(mode))
    BIG[f"hashed bags, {mode}"] = lambda module, mode=mode: _twins.bloom_bag_forward(module, big_bags(mode, "sum"))
    BIG[f"hashed bags, {mode}, backward"] = lambda module, mode=mode: _twins.bloom_bag_backward(module, big_bags(mode, "sum"))
for combine in ("sum", "mean", "concat"):
    BIG[f"bloom, {combine}"] = lambda module, combine=combine: _twins.bloom_forward(module, big_bloom(combine))
    BIG[f"bloom, {combine}, backward"] = lambda module, combine=combine: _twins.bloom_backward(module, big_bloom(combine))
for dense in (False, True):
    words = ", dense" if dense else ""
    BIG[f"sgd{words}"] = partial(lambda module, dense: _twins.sgd_update(module, big_update(), dense, False), dense=dense)
    BIG[f"momentum{words}"] = partial(lambda module, dense: _twins.sgd_update(module, big_update(), dense, True), dense=dense)
    for update in (_twins.adagrad_update, _twins.rowwise_adagrad_update, _twins.adam_update):
        BIG[update.__name__ + words] = lambda module, update=update, dense=dense: update(module, big_update(), dense)


@pytest.mark.parametrize("call", BIG.values(), ids=BIG)
def test_big_batches_give_the_same_bits_on_every_run(call):
    expected = call(nb.reference)
    for threads in (*COUNTS, 7):
        with split_sooner(threads) as seen:
            assert_same_bits(call(nb.ops), expected)
        assert seen.most_tasks == threads, "too small a batch to be split"


def test_a_small_batch_can_be_split():
    weight, ids = np.arange(12.0).reshape(6, 2), np.arange(6)
    for threads in COUNTS:
        with split_everything(threads) as seen:
            nb.ops.embedding_forward(weight, ids)
        assert seen.most_tasks == min(threads, 6)
        with split_everything(threads) as seen:
            nb.ops.embedding_backward(ids, weight, 6)
        assert seen.most_tasks == min(threads, 6)


@pytest.mark.parametrize("optimizer", [nb.SGD, nb.Adagrad, nb.RowWiseAdagrad, nb.Adam])
def test_the_fused_update_gives_the_same_bits_on_any_number_of_threads(optimizer):
    lookup, tables = big_lookup(), []
    for threads in (*COUNTS, 7):
        layer = nb.BloomEmbedding(ROWS, DIM, num_rows=ROWS, weight=lookup.weight.copy())
        with watch(threads) as seen:
            optimizer(layer, lr=0.1).update(layer, lookup.ids, lookup.grad_out)
        assert seen.most_tasks == threads
        tables.append(layer.weight)
    for table in tables[1:]:
        assert_same_bits(table, tables[0])
