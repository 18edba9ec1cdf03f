"""
Check that contenders do the same work before they are timed: equal outputs, and equal tables after
a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.contenders.table import LEARNING_RATE, FloatArray, Table

Result = TypeVar("Result")
UNTOUCHED = 1000  # rows outside of the batch that are compared, too


class DifferentWork(Exception):
    """Two contenders compute different results, so that their times cannot be compared."""


def check(contenders: Sequence[Table]) -> None:
    """
    Give all contenders the first one's table, run a lookup and a step of the first batch, and
    compare.

    The accumulators start at 1, as they would after some training. From zero, Adagrad's and Adam's
    first step is the learning rate times a sign, and the last bit decides that sign if a sum is
    near zero. The error of a row's float32 sum grows with its terms, and so does the tolerance.
    """
    first, *others = contenders
    batch = first.batches[0]
    touched = batch.touched
    watched = np.union1d(touched, np.arange(0, len(first.weight), max(1, len(first.weight) // UNTOUCHED)))
    start = first.weight[watched]
    for table in contenders:
        if table is not first:
            table.weight[...] = first.weight
        for accumulator in table.accumulators():
            accumulator.fill(1)
    outputs = {table.name: _rewound(table, table.output) for table in contenders}
    for table in contenders:
        _rewound(table, table.step)
    moved = np.isin(watched, touched)
    after = first.weight[watched]
    if not (after[moved] != start[moved]).any(axis=1).mean() > 0.99:
        raise DifferentWork(f"{first.name} leaves rows where they were.")
    hits = np.zeros(len(watched))
    hits[moved] = batch.hits
    slack = LEARNING_RATE * (1e-5 + 1e-6 * hits[:, np.newaxis])
    for table in contenders:
        if not np.array_equal(table.weight[watched[~moved]], start[~moved]):
            raise DifferentWork(f"{table.name} moves rows that the batch does not read.")
    for other in others:
        _compare(outputs[first.name], outputs[other.name], 1e-5 * np.abs(start).max(), f"{other.name}'s output")
        tolerance = slack + 1e-3 * np.abs(after - start)
        _compare(after, other.weight[watched], tolerance, f"{other.name}'s table after a step")


def _rewound(table: Table, call: Callable[[], Result]) -> Result:
    """Call on the first batch, and set the table back to its first batch."""
    table.rewind()
    result = call()
    table.rewind()
    return result


def _compare(ours: FloatArray, theirs: FloatArray, tolerance: FloatArray | float, what: str) -> None:
    """Raise DifferentWork if a difference exceeds its tolerance. NaN is a difference."""
    if ours.shape != theirs.shape:
        raise DifferentWork(f"{what} has shape {theirs.shape}, not {ours.shape}.")
    wrong = ~(np.abs(ours.astype(np.float64) - theirs) <= tolerance)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DifferentWork(
            f"{what} differs in {int(wrong.sum())} of {wrong.size} values: {theirs[place]} at {place}, ours {ours[place]}."
        )
