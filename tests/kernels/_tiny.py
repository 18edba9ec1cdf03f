"""Kernels against the reference at sizes that also run un-jitted.

They run in one thread, and without NumPy's warnings about scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

import npbloom as nb
from npbloom.types import HashSpec, RowGrad
from tests.support._twins import TWINS, Twin
from tests.support.strategies import Bags, Bloom, Lookup, Partition, Update

ROWS, IDS = 6, 150  # hot rows: each is read more often than any loop is unrolled


def twins_of(*endings: str) -> list[Twin]:
    """Return the operations of one family."""
    return [twin for twin in TWINS if twin.name.split("-")[0].endswith(endings)]


def check(twin: Twin, case: Any) -> None:
    """Check that the kernels give the reference's bits.

    Un-jitted kernels are scalar arithmetic, which warns where arrays do not.
    """
    __tracebackhide__ = True
    with nb.num_threads(1), np.errstate(all="ignore"):
        twin.assert_agree(case)


def agree(call: Callable[..., Any], case: Any, **options: Any) -> None:
    """Check that both modules give the same bits for a call with these options."""
    __tracebackhide__ = True
    check(Twin("", None, lambda module, case: call(module, case, **options)), case)


def draw_and_check(twin: Twin, data: st.DataObject) -> None:
    """Draw a case and check it."""
    __tracebackhide__ = True
    check(twin, data.draw(twin.cases()))


@lru_cache
def _arrays(dtype: str, dim: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a table, ids of very different frequency, and a gradient."""
    rng = np.random.default_rng(dim)
    ids = np.minimum(rng.geometric(0.4, IDS) - 1, rows - 1)
    return rng.standard_normal((rows, dim)).astype(dtype), ids, rng.standard_normal((IDS, dim)).astype(dtype)


def lookup(dtype: str, dim: int) -> Lookup:
    """Return a batch with hot rows."""
    return Lookup(*_arrays(dtype, dim), padding_idx=-2)


def bags(dtype: str, dim: int, mode: str, weighted: bool = False, hashing: HashSpec | None = None, combine: str = "sum") -> Bags:
    """Return bags of up to forty entries, some of them empty."""
    weight, ids, grad_out = _arrays(dtype, dim)
    offsets = np.array([0, 0, 1, 1, 5, 40, 80, 80, 149, 150])
    entries = [list(range(lo, hi)) for lo, hi in zip(offsets, [*offsets[1:], IDS], strict=True)]
    weights = np.linspace(-1, 2, IDS).astype(dtype) if weighted else None
    padding_idx = 1 if hashing is None else hashing.padding_idx
    partition = Partition((IDS,), offsets, False, entries)
    return Bags(weight, ids, partition, grad_out[: len(offsets)], mode, weights, padding_idx, hashing, combine)


def bloom(dtype: str, dim: int, hashing: HashSpec, combine: str) -> Bloom:
    """Return hashed ids with hot rows."""
    weight, ids, grad_out = _arrays(dtype, dim)
    return Bloom(weight, ids, grad_out, hashing, combine)


def specs(k: int) -> list[HashSpec]:
    """Return specs by hash and by table, with a padding id and without.

    Probes of row 0 occur in each of the k places.
    """
    table = np.random.default_rng(k).integers(0, ROWS, (ROWS, k))
    return [HashSpec(ROWS, ROWS, k, padding_idx, table=rows) for padding_idx in (None, 2) for rows in (None, table)]


def update(dtype: str, dim: int) -> Update:
    """Return a step on every other row."""
    weight, _, grad_out = _arrays(dtype, dim)
    rows = np.arange(1, ROWS, 2)
    one, two = np.square(grad_out[:ROWS]), np.square(grad_out[ROWS : 2 * ROWS])
    return Update(weight, RowGrad(rows, grad_out[-len(rows) :], ROWS), one, two, 0.1, 0.01, 0.9, 1e-8, (0.9, 0.999), 3)
