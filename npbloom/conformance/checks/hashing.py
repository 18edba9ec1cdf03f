"""Checks of `hash`: the table rows that ids read."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.hashing import EXTREMES, EXTREMES_BY_HASH
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.lookup import exactly
from npbloom.conformance.runner.answers import Failure
from npbloom.conformance.runner.check_run import CheckRun
from npbloom.types import SPOTLIGHT_SEEDS

# At powers of two all remainders would agree.
ROWS = (1, 2, 3, 5, 7, 1000, 1021, 65537, 200_000, 2**31 - 1)


def ask(run: CheckRun, ids: Any, num_rows: int, seeds: tuple[int, ...], padding_idx: int | None = None) -> None:
    """Ask for rows, and raise a Failure that names the first id whose rows are wrong."""
    case = Case("hash", run.dtypes[0], ids=ids, num_rows=num_rows, seeds=seeds, padding_idx=padding_idx)
    outputs = run.ask(case)
    if "rows" not in outputs:
        return
    run.judged += 1
    got, value = outputs["rows"], exactly(case)["rows"].value
    if got.dtype.kind not in "iu":
        raise Failure(case, f"`rows` must be an integer array, not {got.dtype}")
    if got.shape != value.shape:
        raise Failure(case, f"`rows` must have shape {value.shape}, not {got.shape}")
    wrong = np.argwhere(got != value)
    if len(wrong):
        i, j = (int(at) for at in wrong[0])
        raise Failure(
            case,
            f"id {int(ids[i])}, probe {j} (seed {seeds[j]}): row {int(got[i, j])}, expected {int(value[i, j])} of {num_rows}",
        )


@register("hash.rows", "L20", "Probe j is floor-mod of the signed murmurhash3_x86_32 of four little-endian bytes.", ("rows",))
def rows(run: CheckRun) -> None:
    """Run extreme ids and hashes, heights that are no powers of two, all of Spotlight's seeds."""
    run.stage("exact")
    for num_rows in ROWS:
        ask(run, EXTREMES[EXTREMES >= 0], num_rows, SPOTLIGHT_SEEDS[:4])
    ask(run, np.arange(300, dtype=np.int64), 1000, SPOTLIGHT_SEEDS)
    ask(run, EXTREMES_BY_HASH[EXTREMES_BY_HASH >= 0], 1021, SPOTLIGHT_SEEDS[:8])
    ask(run, np.zeros(0, dtype=np.int64), 1000, SPOTLIGHT_SEEDS[:4])

    def body(ids: list[int], rng: np.random.Generator, dtype: str) -> None:
        k = int(rng.integers(1, 25))
        ask(run, np.array(ids, dtype=np.int64), int(rng.choice(ROWS)), SPOTLIGHT_SEEDS[:k])

    run.draw("exact", st.lists(st.integers(0, 2**31 - 1), max_size=20), body)


@register("hash.negative_ids", "L20", "Ids are hashed as int32, negative ones in two's complement.", ("rows",))
def negative_ids(run: CheckRun) -> None:
    """Run negative ids."""
    run.stage("exact")
    for num_rows in ROWS:
        ask(run, EXTREMES, num_rows, SPOTLIGHT_SEEDS[:3])
    ask(run, EXTREMES_BY_HASH, 1021, SPOTLIGHT_SEEDS[:8])


@register("hash.seeds", "L20", "A seed is any unsigned 32-bit number.", ("rows",))
def seeds(run: CheckRun) -> None:
    """Run the smallest and largest seeds."""
    run.stage("exact")
    for num_rows in (1000, 1021):
        ask(run, np.arange(50, dtype=np.int64), num_rows, (0, 1, 2**31 - 1, 2**31, 2**32 - 1))


@register("hash.padding", "L22", "All probes of the padding id are row 0, decided before hashing.", ("rows",))
def padding(run: CheckRun) -> None:
    """Run padding ids at both ends and in the middle."""
    run.stage("exact")
    for padding_idx in (0, 3, 49):
        ids = np.array([0, 3, 49, 3, 7, 0], dtype=np.int64)
        ask(run, ids, 1000, SPOTLIGHT_SEEDS[:4], padding_idx)
        ask(run, ids, 7, SPOTLIGHT_SEEDS[:2], padding_idx)
