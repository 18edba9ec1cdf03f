"""Fail on one rank in every way, under mpiexec; all ranks must raise the same and write nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

import npbloom as nb
from npbloom.distributed import ShardedTable

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()
LAST = SIZE - 1
IDS, GRAD = np.array([1, 2, 9]), np.ones((3, 4))


def raised(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    """Fail unless every rank raises the same error."""
    text = ""
    try:
        call()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    texts = COMM.allgather(text)
    assert len(set(texts)) == 1, texts
    assert re.fullmatch(f"{kind.__name__}: {words}", text), text


def bad(good: Any, wrong: Any) -> Any:
    """Return a wrong argument on the last rank, a good one elsewhere."""
    return wrong if RANK == LAST else good


def state_of(table: ShardedTable, optimizer: Any) -> str:
    """Return a digest of all that a step writes."""
    arrays = [table.weight, *optimizer.state(table).values()]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def bad_arguments() -> None:
    """Bad input on the last rank is an error of all, which names it, and nothing is written."""
    table = ShardedTable(nb.ScaledEmbedding, 10, 4, max_norm=0.1, rng=3)
    optimizer = nb.Adam(table)
    before = state_of(table, optimizer)
    where = f"Rank {LAST}: "
    wrong = re.escape("`ids` must lie in [0, 10), not 10 at position 1.")
    raised(lambda: table.forward(bad(IDS, [1, 10])), IndexError, where + wrong)
    raised(lambda: table.forward(bad(IDS, [0.5])), TypeError, where + ".*integer array.*")
    raised(lambda: table.backward(bad(IDS, [1, 10, 2]), GRAD), IndexError, where + wrong)
    raised(lambda: optimizer.update(table, bad(IDS, [1, 10, 2]), GRAD), IndexError, where + wrong)
    raised(lambda: optimizer.update(table, IDS, bad(GRAD, GRAD[:2])), ValueError, where + ".*`grad_out` must have shape.*")
    raised(lambda: optimizer.update(table, IDS, GRAD, **bad({}, {"offsets": [0]})), TypeError, where + ".*not `offsets`.*")
    raised(lambda: table.reset_parameters(bad(1, "seed")), TypeError, where + ".*`rng`.*")
    raised(lambda: table.gather(bad(0, SIZE)), ValueError, where + ".*`root` must lie in.*")
    state = optimizer.state(table)
    if RANK == LAST:
        own, state["exp_avg"] = state["exp_avg"], np.zeros(3)
    raised(lambda: optimizer.update(table, IDS, GRAD), ValueError, where + ".*`state\\['exp_avg'\\]`.*")
    if RANK == LAST:
        state["exp_avg"] = own
    if RANK == LAST:
        table.weight.flags.writeable = False
    raised(lambda: optimizer.update(table, IDS, GRAD), ValueError, where + ".*`weight` must be writable to be trained.*")
    raised(lambda: table.forward(IDS), ValueError, where + ".*`weight` must be writable with `max_norm`.*")
    if RANK == LAST:
        table.weight.flags.writeable = True
    assert state_of(table, optimizer) == before
    optimizer.update(table, IDS, GRAD)
    assert "1" in COMM.allgather(str(int(state_of(table, optimizer) != before)))


def bad_construction() -> None:
    """Arguments that are wrong, or differ, on the last rank are an error of all."""
    where = f"Rank {LAST}: "
    raised(lambda: ShardedTable(nb.ScaledEmbedding, bad(10, 0), 4), ValueError, where + ".*`num_embeddings` must be at least 1.*")
    raised(lambda: ShardedTable(nb.ScaledEmbedding, bad(10, 11), 4), ValueError, where + ".*must be those of rank 0, and differ.")
    raised(lambda: ShardedTable(bad(nb.ZeroEmbedding, int), 10, 4), TypeError, where + ".*`kind` must be one of.*")
    short = np.zeros((len(range(RANK * 10 // SIZE, (RANK + 1) * 10 // SIZE)) + bad(0, 1), 4))
    raised(lambda: ShardedTable(nb.ScaledEmbedding, 10, 4, weight=short), ValueError, where + ".*`weight` must have shape.*")
    rows = np.full((10, 2), bad(1, 2))
    raised(lambda: ShardedTable(nb.BloomEmbedding, 10, 4, num_rows=5, hash_table=rows), ValueError, where + ".*differ.")


def initial_values() -> None:
    """Tables start with the bits of plain layers, also where a block of values is cut."""
    for kind, sizes, options in (
        (nb.BloomEmbedding, (1_000_000, 64), {"num_rows": 10_001, "rng": 5}),
        (nb.ScaledEmbeddingBag, (70_000, 9), {"padding_idx": -1, "rng": 7, "dtype": np.float64}),
        (nb.ZeroEmbedding, (5, 3), {}),
    ):
        table, plain = ShardedTable(kind, *sizes, **options), kind(*sizes, **options)
        block = slice(table.rows.start, table.rows.stop)
        assert np.array_equal(table.weight, plain.weight[block])
        table.reset_parameters(11)
        plain.reset_parameters(11)
        assert np.array_equal(table.weight, plain.weight[block])
        assert sum(COMM.allgather(len(table.rows))) == len(plain.weight)


def scaled_rows() -> None:
    """Rows that several ranks look up are scaled once, and frequencies count the whole batch."""
    for kind, bags in ((nb.ScaledEmbedding, {}), (nb.ScaledEmbeddingBag, {"offsets": [0, 2]})):
        options = {"max_norm": 0.01, "norm_type": 3.0, "scale_grad_by_freq": True, "rng": 2}
        table, plain = ShardedTable(kind, 30, 4, **options), kind(30, 4, **options)
        parts = [np.array([rank, 1, 5, 28, 29, 1]) for rank in range(SIZE)]
        whole = {name: np.concatenate([[0 + 6 * rank, 2 + 6 * rank] for rank in range(SIZE)]) for name in bags}
        plain.forward(np.concatenate(parts), **whole)
        table.forward(parts[RANK], **bags)
        block = slice(table.rows.start, table.rows.stop)
        assert np.array_equal(table.weight, plain.weight[block])
        grad = np.random.default_rng(0).normal(size=(SIZE, 6 if not bags else 2, 4))
        nb.SGD(plain, lr=0.1).update(plain, np.concatenate(parts), grad.reshape(-1, 4), **whole)
        nb.SGD(table, lr=0.1).update(table, parts[RANK], grad[RANK], **bags)
        assert np.array_equal(table.weight, plain.weight[block])


def counted_bytes() -> None:
    """Limits change the number of calls and messages, not the bytes that are sent."""
    table = ShardedTable(nb.ScaledEmbedding, 1000, 8, rng=1)
    channel = table._channel
    counts = []
    for limit in (2**30, 100):
        channel.limit, channel.sent_bytes, channel.calls = limit, 0, 0
        out = table.forward(np.arange(1000))
        counts.append((channel.sent_bytes, channel.calls, out.tobytes()))
    channel.limit = 2**30
    assert counts[0][0] == counts[1][0] == (SIZE - 1) * 72 + (1000 - len(table.rows)) * 4 + (SIZE - 1) * len(table.rows) * 32
    assert counts[0][1] == 3 < 50 < counts[1][1]
    assert counts[0][2] == counts[1][2]


def different_calls() -> None:
    """A call that meets another one is an error on both sides, now and later."""
    table = ShardedTable(nb.ScaledEmbedding, 10, 4, rng=3)
    text = ""
    try:
        if RANK == LAST:
            table.forward(IDS)
        else:
            table.backward(IDS, GRAD)
    except RuntimeError as error:
        text = str(error)
    assert "`forward`" in text, text
    assert "`gradient`" in text, text
    assert f"rank {LAST} is in `forward`" in text, text
    try:
        table.forward(IDS)
    except RuntimeError as error:
        assert str(error) == text  # noqa: PT017


if __name__ == "__main__":
    bad_arguments()
    bad_construction()
    initial_values()
    scaled_rows()
    counted_bytes()
    different_calls()
    if RANK == 0:
        print("passed")
