"""Hash kernels against mmh3 and exact integers.

Sizes are small enough to run un-jitted; warnings are errors there too.
"""

from __future__ import annotations

import mmh3
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom._kernels import hashing as kernels
from npbloom.types import SPOTLIGHT_SEEDS

SEEDS = (0, 1, 2**31, 2**32 - 1)
EXTREMES = (
    0,
    1,
    -1,
    127,
    128,
    -128,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 - 1,
    2**32,
    2**63 - 1,
    -(2**63),
    0x8080808080808080 - 2**64,
)


def numbers(count: int) -> np.ndarray:
    """Return extreme and random 64-bit integers, read-only as the kernels get them."""
    drawn = np.random.default_rng(count).integers(-(2**63), 2**63 - 1, count)
    items = np.concatenate([np.array(EXTREMES, dtype=np.int64), drawn])
    items.flags.writeable = False
    return items


def ragged(keys: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return keys as one buffer, with the bounds of each."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8), np.cumsum([0, *(len(key) for key in keys)])


def high_tails() -> list[bytes]:
    """Return keys of 0 to 40 bytes.

    Bytes are random, all 0x80 and above, or low but for one such byte in each of the last 16
    places.
    """
    rng = np.random.default_rng(0)
    keys = []
    for length in range(41):
        keys.append(rng.bytes(length))
        for high in range(max(0, length - 16), length):
            key = bytearray(rng.integers(0, 0x80, length, dtype=np.uint8).tobytes())
            key[high] = int(rng.integers(0x80, 0x100))
            keys.append(bytes(key))
        keys.append(rng.integers(0x80, 0x100, length, dtype=np.uint8).tobytes())
    return keys


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [4, 8])
def test_x86_32_hashes_the_little_endian_bytes_of_a_number(seed: int, size: int) -> None:
    items = numbers(20)
    hashes = np.zeros(items.size, dtype=np.uint32)
    kernels.murmurhash3_32_range(items, seed, size == 8, hashes, 0, items.size)
    expected = [mmh3.hash(int(item).to_bytes(8, "little", signed=True)[:size], seed, signed=False) for item in items]
    assert hashes.tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_x64_128_hashes_the_little_endian_bytes_of_a_number(seed: int) -> None:
    items = numbers(20)
    hashes = np.zeros((items.size, 2), dtype=np.uint64)
    kernels.murmurhash3_x64_128_range(items, seed, hashes, 0, items.size)
    expected = [mmh3.hash64(int(item).to_bytes(8, "little", signed=True), seed, signed=False) for item in items]
    assert hashes.tolist() == [list(pair) for pair in expected]


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_of_every_length_and_high_bytes_in_every_place_of_the_tail(seed: int) -> None:
    keys = high_tails()
    buffer, offsets = ragged(keys)
    short = np.zeros(len(keys), dtype=np.uint32)
    kernels.murmurhash3_32_bytes_range(buffer, offsets, seed, short, 0, len(keys))
    assert short.tolist() == [mmh3.hash(key, seed, signed=False) for key in keys]
    long = np.zeros((len(keys), 2), dtype=np.uint64)
    kernels.murmurhash3_x64_128_bytes_range(buffer, offsets, seed, long, 0, len(keys))
    assert long.tolist() == [list(mmh3.hash64(key, seed, signed=False)) for key in keys]


@given(st.integers(1, 2**31) | st.integers(1, 50), st.integers(-(2**31), 2**31 - 1), st.integers(-1, 1))
def test_a_multiplication_floor_mods_every_signed_hash_exactly(size: int, anywhere: int, beside: int) -> None:
    near = anywhere // size * size + beside  # where the floor of a quotient that is a little off would be wrong
    signed = near if -(2**31) <= near < 2**31 else anywhere
    event("beside a multiple" if signed == near else "anywhere")
    event(f"quotient of {len(str(abs(signed // size)))} digits")
    row = kernels.row_of(np.float64(signed), np.float64(size), 1.0 / np.float64(size))
    assert row == signed % size


def test_multiples_of_a_size_and_their_neighbours_floor_mod_exactly() -> None:
    quotients = (-(2**31), -1000, -3, -2, -1, 0, 1, 2, 3, 1000, 2**31 - 1)
    wrong_without_half = 0
    for size in (*range(1, 200), 1000, 1024, 65_537, 1_999_999_973, 2**31 - 1, 2**31):
        inverse = 1.0 / np.float64(size)
        wrong_without_half += any(np.floor(quotient * size * inverse) != quotient for quotient in range(1, 9))
        for quotient in {min(max(quotient, -(2**31) // size), (2**31 - 1) // size) for quotient in quotients}:
            for signed in (quotient * size + beside for beside in (-1, 0, 1)):
                if -(2**31) <= signed < 2**31:
                    assert kernels.row_of(np.float64(signed), np.float64(size), inverse) == signed % size
    assert wrong_without_half > 0  # 49 * (1 / 49) < 1: there are sizes here that a bare reciprocal gets wrong


@given(
    ids=st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 5), max_size=20),
    count=st.integers(1, 24),
    num_rows=st.integers(2, 2**31) | st.integers(2, 20),
    wide=st.booleans(),
    first_row=st.integers(0, 1),
    data=st.data(),
)
def test_probes_are_spotlights_signed_floor_mod(
    ids: list[int], count: int, num_rows: int, wide: bool, first_row: int, data: st.DataObject
) -> None:
    if wide:
        ids = [item << data.draw(st.integers(0, 32)) for item in ids]
    padding_idx = data.draw(st.sampled_from([-1, 5, *ids]))
    event(f"padding among the ids: {padding_idx in ids}")
    lo = data.draw(st.integers(0, len(ids)))
    hi = data.draw(st.integers(lo, len(ids)))
    rows = np.full((len(ids), count), -7, dtype=np.int32)
    seeds = np.array(SPOTLIGHT_SEEDS[:count], dtype=np.uint32)
    kernels.hash_rows_range(np.array(ids, dtype=np.int64), seeds, num_rows, wide, padding_idx, first_row, rows, lo, hi)
    for i, item in enumerate(ids):
        key = item.to_bytes(8, "little")[: 8 if wide else 4]
        expected = [first_row + mmh3.hash(key, seed, signed=True) % (num_rows - first_row) for seed in SPOTLIGHT_SEEDS[:count]]
        if item == padding_idx:
            expected = [0] * count
        assert rows[i].tolist() == (expected if lo <= i < hi else [-7] * count)


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(-1, 6), st.data())
def test_probes_read_from_a_table(ids: list[int], padding_idx: int, data: st.DataObject) -> None:
    table = np.arange(1, 22, dtype=np.int32).reshape(7, 3)
    lo = data.draw(st.integers(0, len(ids)))
    hi = data.draw(st.integers(lo, len(ids)))
    rows = np.full((len(ids), 3), -7, dtype=np.int32)
    kernels.table_rows_range(np.array(ids, dtype=np.int64), table, padding_idx, rows, lo, hi)
    for i, item in enumerate(ids):
        expected = [0, 0, 0] if item == padding_idx else table[item].tolist()
        assert rows[i].tolist() == (expected if lo <= i < hi else [-7] * 3)


@given(
    size=st.integers(1, 3 * kernels.BLOCK),
    last=st.sampled_from([0, 9, 2**63 - 1]),
    bad=st.lists(st.tuples(st.integers(0, 2**20), st.booleans()), min_size=1, max_size=3),
    data=st.data(),
)
def test_the_first_id_outside_is_found_wherever_it_stands(
    size: int, last: int, bad: list[tuple[int, bool]], data: st.DataObject
) -> None:
    ids = np.full(size, last, dtype=np.int64)
    ids[::2] = 0
    for at, below in bad:
        if below or last < 2**63 - 1:
            ids[at % size] = -1 if below else last + 1
    lo = data.draw(st.integers(0, size // 2))
    hi = data.draw(st.integers(lo, size) | st.just(size))
    outside = [at for at in range(lo, hi) if not 0 <= int(ids[at]) <= last]
    event(f"outside: {len(outside)}")
    assert kernels.first_outside_range(ids, last, lo, hi) == (outside[0] if outside else -1)
