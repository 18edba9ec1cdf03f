"""MurmurHash3 over [lo, hi): whole numbers, ragged bytes, and the table rows of ids."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from npbloom._kernels.jit import Word, helper, kernel, prefetch, word
from npbloom._kernels.lanes import WIDTH, Columns, floor, load_ids, signed_wide, store_column
from npbloom.types import IntArray, Number, RowArray

HashArray: TypeAlias = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]

MASK32 = word(0xFFFFFFFF)
MASK64 = word(0xFFFFFFFFFFFFFFFF)
ZERO = word(0)
AHEAD = 8  # ids between asking for a line of a hash table and reading it
BLOCK = 1024  # ids whose range is checked without a branch in between


# ---- MurmurHash3_x86_32 ------------------------------------------------------------------------
# Numba promotes uint32 to uint64, so a mask follows every operation that can leave 32 bits.


@helper
def rotate32(value: Word, bits: Word) -> Word:
    """Return `value` with its 32 bits rotated left."""
    return ((value << bits) | (value >> (word(32) - bits))) & MASK32


@helper
def scramble32(block: Word) -> Word:
    """Return the part of a round that needs no seed."""
    block = (block * word(0xCC9E2D51)) & MASK32
    return (rotate32(block, word(15)) * word(0x1B873593)) & MASK32


@helper
def round32(state: Word, scrambled: Word) -> Word:
    """Mix four scrambled bytes into the state."""
    state = rotate32(state ^ scrambled, word(13))
    return (state * word(5) + word(0xE6546B64)) & MASK32


@helper
def finish32(state: Word, length: Word) -> Word:
    """Mix in the length, then let every bit affect every other."""
    state = state ^ length
    state = ((state ^ (state >> word(16))) * word(0x85EBCA6B)) & MASK32
    state = ((state ^ (state >> word(13))) * word(0xC2B2AE35)) & MASK32
    return state ^ (state >> word(16))


@helper
def bytes_word(buffer: npt.NDArray[np.uint8], start: int, count: int) -> Word:
    """
    Return up to eight bytes as a little-endian number.

    Bytes of 0x80 and above are not sign-extended.
    """
    value = ZERO
    for at in range(count):
        value = value | (word(buffer[start + at]) << word(8 * at))
    return value


@helper
def hash_item(item: Word, seed: Word, wide: bool) -> Word:
    """Return MurmurHash3_x86_32 of the low four, or all eight (`wide`), bytes of a number."""
    state = round32(seed, scramble32(item & MASK32))
    if wide:
        return finish32(round32(state, scramble32(item >> word(32))), word(8))
    return finish32(state, word(4))


@kernel
def murmurhash3_32_range(items: IntArray, seed: Word, wide: bool, hashes: HashArray, lo: int, hi: int) -> None:
    """Hash the four (`wide`: eight) little-endian bytes of whole numbers (int64) into uint32."""
    start = word(seed)
    part, out = items[lo:hi], hashes[lo:hi]
    for i in range(part.size):
        out[i] = hash_item(word(part[i]) & MASK64, start, wide)


@kernel
def murmurhash3_32_bytes_range(
    buffer: npt.NDArray[np.uint8],
    offsets: IntArray,
    seed: Word,
    hashes: HashArray,
    lo: int,
    hi: int,
) -> None:
    """Hash the byte strings ``buffer[offsets[i]:offsets[i + 1]]`` into uint32."""
    for i in range(lo, hi):
        start, size = offsets[i], offsets[i + 1] - offsets[i]
        state = word(seed)
        for block in range(size // 4):
            state = round32(state, scramble32(bytes_word(buffer, start + 4 * block, 4)))
        tail = size % 4
        if tail:
            state = state ^ scramble32(bytes_word(buffer, start + size - tail, tail))
        hashes[i] = finish32(state, word(size) & MASK32)


# ---- MurmurHash3_x64_128 -----------------------------------------------------------------------
# Jitted, uint64 wraps by itself; un-jitted the mask does it.


@helper
def rotate64(value: Word, bits: Word) -> Word:
    """Return `value` with its 64 bits rotated left."""
    return ((value << bits) | (value >> (word(64) - bits))) & MASK64


@helper
def scramble_first(block: Word) -> Word:
    """Return the part of a round on bytes 0 to 7 that needs no state."""
    block = rotate64((block * word(0x87C37B91114253D5)) & MASK64, word(31))
    return (block * word(0x4CF5AD432745937F)) & MASK64


@helper
def scramble_second(block: Word) -> Word:
    """Return the part of a round on bytes 8 to 15 that needs no state."""
    block = rotate64((block * word(0x4CF5AD432745937F)) & MASK64, word(33))
    return (block * word(0x87C37B91114253D5)) & MASK64


@helper
def avalanche64(state: Word) -> Word:
    """Let every bit affect every other."""
    state = ((state ^ (state >> word(33))) * word(0xFF51AFD7ED558CCD)) & MASK64
    state = ((state ^ (state >> word(33))) * word(0xC4CEB9FE1A85EC53)) & MASK64
    return state ^ (state >> word(33))


@helper
def finish128(first: Word, second: Word, length: Word) -> tuple[Word, Word]:
    """Return both halves of the hash, from both halves of the state."""
    first, second = first ^ length, second ^ length
    first = (first + second) & MASK64
    second = (second + first) & MASK64
    first, second = avalanche64(first), avalanche64(second)
    first = (first + second) & MASK64
    return first, (second + first) & MASK64


@kernel
def murmurhash3_x64_128_range(items: IntArray, seed: Word, hashes: HashArray, lo: int, hi: int) -> None:
    """Hash the eight little-endian bytes of whole numbers (int64) into (n, 2) uint64."""
    start = word(seed)
    for i in range(lo, hi):
        first = start ^ scramble_first(word(items[i]) & MASK64)
        first, second = finish128(first, start, word(8))
        hashes[i, 0] = first
        hashes[i, 1] = second


@kernel
def murmurhash3_x64_128_bytes_range(
    buffer: npt.NDArray[np.uint8],
    offsets: IntArray,
    seed: Word,
    hashes: HashArray,
    lo: int,
    hi: int,
) -> None:
    """Hash the byte strings ``buffer[offsets[i]:offsets[i + 1]]`` into (n, 2) uint64."""
    for i in range(lo, hi):
        start, size = offsets[i], offsets[i + 1] - offsets[i]
        first = word(seed)
        second = word(seed)
        for block in range(size // 16):
            at = start + 16 * block
            first = rotate64(first ^ scramble_first(bytes_word(buffer, at, 8)), word(27))
            first = (((first + second) & MASK64) * word(5) + word(0x52DCE729)) & MASK64
            second = rotate64(second ^ scramble_second(bytes_word(buffer, at + 8, 8)), word(31))
            second = (((second + first) & MASK64) * word(5) + word(0x38495AB5)) & MASK64
        tail = size % 16
        at = start + size - tail
        if tail > 8:
            second = second ^ scramble_second(bytes_word(buffer, at + 8, tail - 8))
        if tail:
            first = first ^ scramble_first(bytes_word(buffer, at, min(tail, 8)))
        first, second = finish128(first, second, word(size))
        hashes[i, 0] = first
        hashes[i, 1] = second


# ---- ids to rows ---------------------------------------------------------------------------------


@helper
def row_of(signed: Columns, size: Number, inverse: Number) -> Columns:
    """
    Return the hash, read as a signed 32-bit number, floor-mod `size`.

    It takes one multiplication with ``1 / size``.

    A quotient ``(h + 1/2) / size`` lies at least ``1 / (2 * size)`` from every whole number, and
    float64 misses it by less than ``2**-20 / size``, so its floor is exact; so are the product and
    the difference, which stay below ``2**33``.
    """
    return signed - floor((signed + 0.5) * inverse) * size


@kernel
def hash_rows_range(
    ids: IntArray,
    seeds: npt.NDArray[np.uint32],
    num_rows: int,
    wide: bool,
    padding_idx: int,
    first_row: int,
    rows: RowArray,
    lo: int,
    hi: int,
) -> None:
    """
    Write the probes of ids: row 0 for `padding_idx` (or -1), else by the hash.

    A probe is ``first_row + floor_mod(signed hash, num_rows - first_row)``. `ids` is (n,), `seeds`
    (k,), `rows` (n, k). Ids of four bytes are hashed eight at a time in lanes of 32 bits, since
    Numba computes a scalar's hash in 64.
    """
    size = np.float64(num_rows - first_row)
    inverse = 1.0 / size
    first = np.float64(first_row)
    lanes = 0 if wide else hi - lo - (hi - lo) % WIDTH
    for i in range(lo, lo + lanes, WIDTH):
        scrambled = scramble32(load_ids(ids, i))
        for j in range(seeds.size):
            state = finish32(round32(word(seeds[j]), scrambled), word(4))
            store_column(rows, i, j, row_of(signed_wide(state), size, inverse) + first)
    for i in range(lo + lanes, hi):
        for j in range(seeds.size):
            state = hash_item(word(ids[i]), word(seeds[j]), wide)
            rows[i, j] = np.int32(row_of(np.float64(np.int32(np.uint32(state))), size, inverse) + first)
    for i in range(lo, hi):
        if ids[i] == padding_idx:
            for j in range(seeds.size):
                rows[i, j] = 0


@kernel
def table_rows_range(ids: IntArray, table: RowArray, padding_idx: int, rows: RowArray, lo: int, hi: int) -> None:
    """Read the probes of ids (n,) from a table (ids, k); row 0 for `padding_idx` (or -1)."""
    for i in range(lo, hi):
        if i + AHEAD < hi:
            prefetch(table, ids[i + AHEAD], 0)
        item = ids[i]
        for j in range(table.shape[1]):
            rows[i, j] = 0 if item == padding_idx else table[item, j]


@kernel
def first_outside_range(ids: IntArray, last: int, lo: int, hi: int) -> int:
    """Return the position of the first id below 0 or above `last`, else -1."""
    for start in range(lo, hi, BLOCK):
        part = ids[start : min(start + BLOCK, hi)]
        bad = False
        for i in range(part.size):
            bad |= (part[i] < 0) | (part[i] > last)
        if bad:
            for i in range(part.size):
                if part[i] < 0 or part[i] > last:
                    return start + i
    return -1
