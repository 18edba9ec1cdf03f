"""Golden vectors of hashing: bytes -> hashes, and ids -> table rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npbloom import reference
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.hashing import id_with_hash
from npbloom.conformance.expected.lookup import hash_rows
from npbloom.conformance.vectors.source import Array, Source
from npbloom.conformance.vectors.vector import Vector, exact
from npbloom.types import SPOTLIGHT_SEEDS

SEEDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)
EXTREMES = np.array([0, 1, 2, 255, 256, 65535, 65536, 2**24, 2**31 - 2, 2**31 - 1], dtype=np.int64)
HEIGHTS = (1, 2, 3, 5, 7, 12, 1000, 1021, 1024, 65537, 200_000, 2**31 - 1)


def vectors() -> Iterator[Vector]:
    """Yield hashes of bytes, then rows: a program with a wrong hash need not look at rows."""
    yield from _lengths()
    yield from _tails()
    yield _verification()
    yield from _rows()
    yield from _padding()
    yield from _extreme_hashes()


def _hashed(keys: Array, seed: int, note: str, *flags: str) -> Vector:
    """Return a vector of hash_bytes."""
    keys = np.asarray(keys, dtype=np.uint8)
    hashes = [reference.murmurhash3_32(key.tobytes(), seed) for key in keys]
    right = exact(np.array(hashes, dtype=np.uint32), "uint32")
    return Vector(Case("hash_bytes", keys=keys, seed=seed), "L20", note, {"hash": right}, flags)


def _lengths() -> Iterator[Vector]:
    """Yield every length up to two blocks and a tail, and every kind of seed."""
    source = Source(1)
    for seed in SEEDS:
        yield _hashed(np.zeros((1, 0)), seed, f"The empty key, seed {seed}.")
    for length in (*range(1, 13), 15, 16, 17, 255):
        seed = SEEDS[length % len(SEEDS)]
        yield _hashed(source.integers(0, 128, (3, length)), seed, f"Three keys of {length} bytes, seed {seed}.")


def _tails() -> Iterator[Vector]:
    """Yield a byte above 127 at each place of a block and of a tail."""
    source = Source(2)
    for length in (1, 2, 3, 4, 5, 6, 7):
        keys = source.integers(0, 128, (length, length))
        np.fill_diagonal(keys, 128 + source.integers(0, 128, (length,)))
        yield _hashed(keys, 0, f"Keys of {length} bytes, one of them above 127.", "BytesAbove127")
    yield _hashed(np.full((1, 7), 255), 2**32 - 1, "All bits set.", "BytesAbove127")


def _verification() -> Vector:
    """
    Return the hash of 256 hashes.

    Key i is the bytes 0 to i - 1, its seed 256 - i. The little-endian bytes of their hashes are
    hashed with seed 0.
    """
    hashes = [reference.murmurhash3_32(bytes(range(i)), 256 - i) for i in range(256)]
    key = np.array(hashes, dtype="<u4").view(np.uint8)[None, :]
    note = "SMHasher's verification value 0xB0F57EE3: the key is the hashes of the bytes 0 to i - 1 with seed 256 - i, i < 256."
    return _hashed(key, 0, note, "BytesAbove127", "Verification")


def _rowed(ids: Array, num_rows: int, seeds: tuple[int, ...], note: str, padding_idx: int | None = None) -> Vector:
    """Return a vector of hash: the rows of each id."""
    case = Case("hash", ids=ids, num_rows=num_rows, seeds=seeds, padding_idx=padding_idx)
    rows = hash_rows(case)["rows"]
    unsigned = np.stack([reference.murmurhash3_32(ids.astype(np.int32), seed) for seed in seeds], axis=-1) % num_rows
    flags = ["Padding"] if padding_idx is not None else []
    if (unsigned != rows)[ids != padding_idx].any():
        flags.append("SignedRemainder")
    return Vector(case, "L20" if padding_idx is None else "L20, L22", note, {"rows": exact(rows, "int64")}, tuple(flags))


def _rows() -> Iterator[Vector]:
    """Yield heights that are no powers of two, ids at both ends of int32, all seeds."""
    for num_rows in HEIGHTS:
        yield _rowed(EXTREMES, num_rows, SPOTLIGHT_SEEDS[:4], f"Ids from 0 to the largest int32, {num_rows} rows.")
    for num_rows in (3, 1000, 1021, 1024, 2**31 - 1):
        note = f"Negative ids in two's complement, {num_rows} rows."
        yield _rowed(np.append(-EXTREMES, -(2**31)), num_rows, SPOTLIGHT_SEEDS[:3], note)
    yield _rowed(np.arange(32), 1000, SPOTLIGHT_SEEDS, "All 24 seeds.")
    yield _rowed(np.arange(20), 1021, SEEDS, "Seeds at both ends.")
    yield _rowed(np.zeros(0, dtype=np.int64), 1000, SPOTLIGHT_SEEDS[:4], "No ids.")


def _padding() -> Iterator[Vector]:
    """Yield a padding id, which reads row 0 without hashing."""
    ids = np.array([0, 3, 49, 3, 7, 0], dtype=np.int64)
    for padding_idx in (0, 3, 49):
        for num_rows in (7, 1000):
            note = f"All probes of the padding id, {padding_idx}, are row 0."
            yield _rowed(ids, num_rows, SPOTLIGHT_SEEDS[:4], note, padding_idx)


def _extreme_hashes() -> Iterator[Vector]:
    """Yield ids whose hash with the first seed is an extreme number."""
    for hashed in (0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1):
        ids = np.array([id_with_hash(hashed, SPOTLIGHT_SEEDS[0])], dtype=np.int64)
        yield _rowed(ids, 1021, SPOTLIGHT_SEEDS[:2], f"An id whose first hash is {hashed:#x}.")
