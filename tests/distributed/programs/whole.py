"""
Compare sharded tables with plain layers on the whole batch, to the bit, under mpiexec.

Usage: ``mpiexec -n 3 python -m mpi4py -m tests.distributed.programs.whole EXAMPLES``. All ranks
draw the same cases. Rank 0 prints how often each kind was drawn.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from mpi4py import MPI

import npbloom as nb
from npbloom.distributed import ShardedTable
from tests.support import _layers, strategies
from tests.support._bits import assert_same_bits
from tests.support._layers import OPTIMIZERS

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()
SEEN: Counter[str] = Counter()


def same(actual: Any, expected: Any, what: str) -> None:
    """Fail on all ranks if bits differ on one, so that all go on alike."""
    text = ""
    try:
        assert_same_bits(actual, expected)
    except AssertionError as error:
        text = f"rank {RANK}, {what}: {error}"
    texts = [each for each in COMM.allgather(text) if each]
    assert not texts, texts[0]


def cuts(draw: Any, size: int) -> list[int]:
    """Draw where the parts of the ranks begin and end; some are empty."""
    return [0, *sorted(draw(st.integers(0, size)) for _ in range(SIZE - 1)), size]


def sharded(whole: Any, limit: int | None, **options: Any) -> ShardedTable:
    """Return a sharded table with the rows of a plain layer."""
    spec = getattr(whole, "hashing", None)
    rows = {} if spec is None or spec.table is None else {"hash_table": spec.table}
    height = len(whole.weight)
    block = whole.weight[RANK * height // SIZE : (RANK + 1) * height // SIZE].copy()
    sizes = (whole.num_embeddings, whole.embedding_dim)
    table = ShardedTable(type(whole), *sizes, comm=COMM, weight=block, **{**whole.options, **rows, **options})
    table._channel.limit = 2**30 if limit is None else limit
    return table


def block_of(table: ShardedTable, array: np.ndarray) -> np.ndarray:
    """Return what this rank holds of an array of the whole table, or of its slices."""
    factor = array.shape[0] // table.num_rows
    return array[table.rows.start * factor : table.rows.stop * factor]


def check(
    whole: Any, rule: str, limit: int | None, batch: tuple[Any, Any, dict], part: tuple[Any, Any, dict], out: slice
) -> None:
    """Compare output, gradients, two steps, state and the gathered table."""
    table = sharded(whole, limit)
    (ids, grad, bags), (my_ids, my_grad, my_bags) = batch, part
    shape = my_grad.shape
    lookup = {key: value for key, value in my_bags.items() if value is not None}
    same(
        table.forward(my_ids, **lookup).reshape(shape),
        whole.forward(ids, **bags).reshape(-1, shape[-1])[out].reshape(shape),
        "output",
    )
    same(table.weight, block_of(table, whole.weight), "table after forward")
    grads = whole.backward(ids, grad, **bags, sparse=True)
    mine = (grads.rows >= table.rows.start * table.num_slices) & (grads.rows < table.rows.stop * table.num_slices)
    first = table.rows.start * table.num_slices
    block = nb.RowGrad(grads.rows[mine] - first, grads.values[mine], len(table.rows) * table.num_slices)
    same(table.backward(my_ids, my_grad, **my_bags), block, "gradient")
    if getattr(whole, "mode", "") == "sum":
        SEEN["gradients of weights"] += 1
        expected = whole.backward_per_sample_weights(ids, grad, bags["offsets"]).reshape(-1)
        entries = COMM.allgather(np.size(my_ids))
        begin = sum(entries[:RANK])
        found = table.backward_per_sample_weights(my_ids, my_grad, my_bags["offsets"])
        same(found.reshape(-1), expected[begin : begin + np.size(my_ids)], "gradient of weights")
    optimizer, of_whole = OPTIMIZERS[rule](table), OPTIMIZERS[rule](whole)
    for _ in range(2):
        optimizer.update(table, my_ids, my_grad, **my_bags)
        of_whole.update(whole, ids, grad, **bags)
    same(table.weight, block_of(table, whole.weight), f"table after {rule}")
    for name, array in of_whole.state(whole).items():
        same(optimizer.state(table)[name], block_of(table, array) if array.ndim else array, f"{name} of {rule}")
    root = len(rule) % SIZE
    gathered = table.gather(root)
    same(whole.weight if root != RANK else gathered.weight, whole.weight, "gathered table")
    assert root == RANK or gathered is None
    SEEN["empty parts"] += 0 in COMM.allgather(my_grad.size)
    SEEN["more ranks than rows"] += table.num_rows < SIZE
    SEEN[rule] += 1


rules = st.sampled_from(sorted(OPTIMIZERS))
limits = st.sampled_from([None, 1, 40, 200])
norms = st.sampled_from([0.5, 0.1, None, 2.0])


def check_lookups(draw: Any, whole: Any, case: Any, rule: str, limit: int | None) -> None:
    """Cut ids along their first dimension; a single id goes to one rank."""
    ids, grad, dim = case.ids, case.grad_out, case.weight.shape[1]
    if ids.ndim == 0:
        owner = draw(st.integers(0, SIZE - 1))
        my_ids, my_grad = (ids, grad) if owner == RANK else (np.empty((0, 2), np.int64), np.empty((0, 2, dim)))
        out = slice(0, 1) if owner == RANK else slice(0, 0)
        SEEN["0-d ids"] += 1
    else:
        points = cuts(draw, len(ids))
        lo, hi = points[RANK], points[RANK + 1]
        inner = int(np.prod(ids.shape[1:]))
        my_ids, my_grad, out = ids[lo:hi], grad[lo:hi], slice(lo * inner, hi * inner)
    check(whole, rule, limit, (ids, grad, {}), (my_ids, my_grad, {}), out)


@given(st.data(), strategies.lookups(), rules, limits, norms, st.booleans())
def embeddings(data: Any, case: Any, rule: str, limit: int | None, max_norm: float | None, frequency: bool) -> None:
    """Compare plain tables, with scaled rows and frequencies."""
    SEEN["max_norm"] += max_norm is not None
    whole = _layers.embedding(case, max_norm=max_norm, scale_grad_by_freq=frequency)
    check_lookups(data.draw, whole, case, rule, limit)


@given(st.data(), strategies.blooms(), rules, limits)
def blooms(data: Any, case: Any, rule: str, limit: int | None) -> None:
    """Compare hashed tables, by every way to combine probes."""
    SEEN[case.combine] += 1
    check_lookups(data.draw, _layers.bloom(case), case, rule, limit)


def check_bags(draw: Any, whole: Any, case: Any, rule: str, limit: int | None) -> None:
    """Cut bags between bags."""
    entries, dim = case.partition.entries, case.weight.shape[1]
    points = cuts(draw, len(entries))
    lo, hi = points[RANK], points[RANK + 1]
    weights = case.per_sample_weights
    if case.partition.offsets is None:
        ids, offsets = case.indices[lo:hi], None
        part_weights = None if weights is None else weights[lo:hi]
    else:
        ends = np.cumsum([0, *(len(each) for each in entries)])
        ids, offsets = case.indices[ends[lo] : ends[hi]], ends[lo:hi] - ends[lo]
        if case.partition.include_last_offset:
            offsets = ends[lo : hi + 1] - ends[lo]
        part_weights = None if weights is None else weights[ends[lo] : ends[hi]]
    assume(case.grad_out.shape == (len(entries), dim))
    SEEN[case.mode] += 1
    SEEN["weights"] += weights is not None
    part = (ids, case.grad_out[lo:hi], {"offsets": offsets, "per_sample_weights": part_weights})
    check(whole, rule, limit, (case.indices, case.grad_out, _layers.bag_arguments(case)), part, slice(lo, hi))


@given(st.data(), strategies.bags(), rules, limits, norms, st.booleans())
def bags(data: Any, case: Any, rule: str, limit: int | None, max_norm: float | None, frequency: bool) -> None:
    """Compare bags of every mode."""
    check_bags(data.draw, _layers.bag(case, max_norm=max_norm, scale_grad_by_freq=frequency), case, rule, limit)


@given(st.data(), strategies.bloom_bags(), rules, limits)
def bloom_bags(data: Any, case: Any, rule: str, limit: int | None) -> None:
    """Compare bags of hashed ids."""
    check_bags(data.draw, _layers.bag(case), case, rule, limit)


def main() -> None:
    """Draw so many cases of each kind as the first argument says."""
    alike = {"database": None, "deadline": None, "derandomize": True, "phases": [Phase.generate]}
    usual = settings(max_examples=int(sys.argv[1]), suppress_health_check=[*HealthCheck], **alike)
    with np.errstate(all="ignore"):
        for test in (embeddings, blooms, bags, bloom_bags):
            usual(test)()
    if RANK == 0:
        for name, count in sorted(SEEN.items()):
            print(f"{count}\t{name}")


if __name__ == "__main__":
    main()
