"""Checks of `hash`: the table rows that ids read."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from npbloom.conformance.cases.case import Case
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.lookup import exactly
from npbloom.conformance.runner.check_run import Exam, Failure
from npbloom.types import SPOTLIGHT_SEEDS

EXTREMES = np.array([0, 1, 2, 255, 256, 65535, 65536, 2**24, 2**31 - 1, -1, -2, -(2**31)], dtype=np.int64)
ROWS = (1, 2, 3, 5, 7, 1000, 1021, 65537, 200_000, 2**31 - 1)  # at powers of two all remainders would agree


EXTREME_HASHES = (0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1)


def id_with_hash(wanted: int, seed: int) -> int:
    """The id, as int32, whose hash with this seed is `wanted`: for keys of four bytes the hash is a bijection."""
    mask = 0xFFFFFFFF

    def divided(value: int, by: int) -> int:
        return value * pow(by, -1, 2**32) & mask

    h = wanted ^ wanted >> 16
    h = divided(h, 0xC2B2AE35)
    h ^= h >> 13 ^ h >> 26
    h = divided(h, 0x85EBCA6B)
    h ^= h >> 16 ^ 4
    h = divided(h - 0xE6546B64, 5)
    h = (h >> 13 | h << 19) & mask ^ seed
    h = divided(h, 0x1B873593)
    key = divided((h >> 15 | h << 17) & mask, 0xCC9E2D51)
    return key - 2**32 if key >= 2**31 else key


EXTREMES_BY_HASH = np.array([id_with_hash(h, seed) for h in EXTREME_HASHES for seed in SPOTLIGHT_SEEDS[:8]], dtype=np.int64)


def ask(exam: Exam, ids: Any, num_rows: int, seeds: tuple[int, ...], padding_idx: int | None = None) -> None:
    """Ask for rows, and name the first id whose rows are wrong."""
    case = Case("hash", exam.dtypes[0], ids=ids, num_rows=num_rows, seeds=seeds, padding_idx=padding_idx)
    outputs = exam.ask(case)
    if "rows" not in outputs:
        return
    exam.judged += 1
    got, want = outputs["rows"], exactly(case)["rows"].value
    if got.dtype.kind not in "iu":
        raise Failure(case, f"`rows` must be an integer array, not {got.dtype}")
    if got.shape != want.shape:
        raise Failure(case, f"`rows` must have shape {want.shape}, not {got.shape}")
    wrong = np.argwhere(got != want)
    if len(wrong):
        i, j = (int(at) for at in wrong[0])
        raise Failure(
            case, f"id {int(ids[i])}, probe {j} (seed {seeds[j]}): row {int(got[i, j])}, expected {int(want[i, j])} of {num_rows}"
        )


@register("hash.rows", "L20", "Probe j is floor-mod of the signed murmurhash3_x86_32 of four little-endian bytes.", ("rows",))
def rows(exam: Exam) -> None:
    """Ids and hashes at both ends of int32, heights that are no powers of two, all of Spotlight's seeds."""
    exam.lane("exact")
    for num_rows in ROWS:
        ask(exam, EXTREMES[EXTREMES >= 0], num_rows, SPOTLIGHT_SEEDS[:4])
    ask(exam, np.arange(300, dtype=np.int64), 1000, SPOTLIGHT_SEEDS)
    ask(exam, EXTREMES_BY_HASH[EXTREMES_BY_HASH >= 0], 1021, SPOTLIGHT_SEEDS[:8])
    ask(exam, np.zeros(0, dtype=np.int64), 1000, SPOTLIGHT_SEEDS[:4])

    def body(ids: list[int], rng: np.random.Generator, dtype: str) -> None:
        k = int(rng.integers(1, 25))
        ask(exam, np.array(ids, dtype=np.int64), int(rng.choice(ROWS)), SPOTLIGHT_SEEDS[:k])

    exam.draw("exact", st.lists(st.integers(0, 2**31 - 1), max_size=20), body)


@register("hash.negative_ids", "L20", "Ids are hashed as int32, negative ones in two's complement.", ("rows",))
def negative_ids(exam: Exam) -> None:
    """The other half of int32."""
    exam.lane("exact")
    for num_rows in ROWS:
        ask(exam, EXTREMES, num_rows, SPOTLIGHT_SEEDS[:3])
    ask(exam, EXTREMES_BY_HASH, 1021, SPOTLIGHT_SEEDS[:8])


@register("hash.seeds", "L20", "A seed is any unsigned 32-bit number.", ("rows",))
def seeds(exam: Exam) -> None:
    """Seeds at both ends."""
    exam.lane("exact")
    for num_rows in (1000, 1021):
        ask(exam, np.arange(50, dtype=np.int64), num_rows, (0, 1, 2**31 - 1, 2**31, 2**32 - 1))


@register("hash.padding", "L22", "All probes of the padding id are row 0, decided before hashing.", ("rows",))
def padding(exam: Exam) -> None:
    """Padding at both ends and in the middle."""
    exam.lane("exact")
    for padding_idx in (0, 3, 49):
        ids = np.array([0, 3, 49, 3, 7, 0], dtype=np.int64)
        ask(exam, ids, 1000, SPOTLIGHT_SEEDS[:4], padding_idx)
        ask(exam, ids, 7, SPOTLIGHT_SEEDS[:2], padding_idx)
