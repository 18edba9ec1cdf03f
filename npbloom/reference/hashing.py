"""Ids to rows: MurmurHash3 as its author wrote it, and Spotlight's mapping of ids to table rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom.reference import _inputs
from npbloom.types import SPOTLIGHT_SEEDS, WIDE_IDS, HashSpec, IntArray

Words = npt.NDArray[Any]  # uint32 or uint64: arithmetic of both wraps around


def murmurhash3_32(keys: Any, seed: int = 0) -> npt.NDArray[np.uint32]:
    """
    Return MurmurHash3_x86_32 of every key; uint32 of the keys' shape.

    Twin of `npbloom.hashing.murmurhash3_32`.
    """
    hashes: npt.NDArray[np.uint32] = _of_every_key(_x86_32, keys, seed, ())
    return hashes


def murmurhash3_x64_128(keys: Any, seed: int = 0) -> npt.NDArray[np.uint64]:
    """
    Return MurmurHash3_x64_128 of every key; uint64 of the keys' shape + (2,).

    Twin of `npbloom.hashing.murmurhash3_x64_128`.
    """
    hashes: npt.NDArray[np.uint64] = _of_every_key(_x64_128, keys, seed, (2,))
    return hashes


def hash_keys(keys: Any) -> IntArray:
    """
    Return ids in ``[1, 2**63)``.

    An id is the first half of the 128 bits without its lowest, 0 replaced by 1. Integers are hashed
    as 8 bytes.
    """
    halves: Words = _of_every_key(_x64_128, keys, 0, (2,), wide=True)[..., 0]
    ids: IntArray = np.maximum(halves >> np.uint64(1), np.uint64(1)).astype(np.int64)
    return ids


def hash_rows(ids: Any, hashing: HashSpec) -> IntArray:
    """
    Return the table rows that every id reads, int64 of shape ids.shape + (k,) (L20).

    The padding id reads row 0 only (L22).
    """
    ids = _inputs.ids(ids, hashing.num_embeddings)
    m, padded = hashing.num_rows, hashing.padding_idx is not None
    if hashing._rows is not None:
        rows: IntArray = hashing._rows.take(ids, axis=0).astype(np.int64)
    else:
        keys = ids if hashing.num_embeddings > WIDE_IDS else ids.astype(np.int32)
        hashes = [murmurhash3_32(keys, seed) for seed in SPOTLIGHT_SEEDS[: hashing.num_hash_functions]]
        signed = np.stack(hashes, axis=-1).view(np.int32).astype(np.int64)
        shared = hashing.share_padding_row or not padded
        rows = signed % m if shared else 1 + signed % (m - 1)  # NumPy's % is floor-mod
    if padded:
        rows[ids == hashing.padding_idx] = 0
    return rows


def _of_every_key(
    function: Callable[[Words, int], Words], keys: Any, seed: int, tail: tuple[int, ...], wide: bool = False
) -> Any:
    """
    Call `function` on the keys' bytes.

    Integers are one matrix of equally long keys; text is one row at a time.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must lie in [0, 2**32), not {seed}.")
    shape, matrices = _key_bytes(keys, wide)
    none = np.empty((0, 0), dtype=np.uint8)  # gives an empty sequence its dtype
    return np.concatenate([function(matrix, seed) for matrix in [*matrices, none]]).reshape(shape + tail)


def _key_bytes(keys: Any, wide: bool) -> tuple[tuple[int, ...], list[npt.NDArray[np.uint8]]]:
    """Return the shape of the keys, and their bytes as uint8 matrices with one key a row."""
    if isinstance(keys, (bytes, str)):
        return (), [_text(keys)]
    if isinstance(keys, (list, tuple)) and keys and all(isinstance(key, (bytes, str)) for key in keys):
        return (len(keys),), [_text(key) for key in keys]
    if isinstance(keys, np.ndarray) and keys.dtype.kind in "SUO":
        return keys.shape, [_text(key) for key in keys.ravel().tolist()]
    array = np.asarray(keys)
    if array.size == 0 and not isinstance(keys, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`keys` must be integers, bytes or str, not {array.dtype}.")
    size = 8 if wide or array.dtype.itemsize == 8 else 4
    return array.shape, [array.astype(f"<{array.dtype.kind}{size}").reshape(-1, 1).view(np.uint8)]


def _text(key: Any) -> npt.NDArray[np.uint8]:
    """Return the bytes of one key, UTF-8 for text, as a matrix of one row."""
    if not isinstance(key, (bytes, str)):
        raise TypeError(f"`keys` must be integers, bytes or str, not {type(key).__name__}.")
    return np.frombuffer(key.encode() if isinstance(key, str) else key, dtype=np.uint8).reshape(1, -1)


def _little_endian(data: npt.NDArray[np.uint8], dtype: Any) -> Words:
    """
    Return up to a word's worth of bytes (n, width) as one unsigned number each.

    Absent bytes are zero.
    """
    word = np.zeros(len(data), dtype=dtype)
    for at in range(data.shape[1]):
        word |= data[:, at].astype(dtype) << (8 * at)
    return word


def _rotate(word: Words, left: int) -> Words:
    """Rotate the bits of every word to the left."""
    return (word << left) | (word >> (8 * word.itemsize - left))


def _x86_32(data: npt.NDArray[np.uint8], seed: int) -> Words:
    """
    Return MurmurHash3_x86_32 of every row.

    Blocks of 4 bytes come first, then up to 3 more bytes, which only change the state by exclusive
    or.
    """
    length = data.shape[1]
    h: Words = np.full(len(data), seed, dtype=np.uint32)
    for at in range(0, length, 4):
        h ^= _rotate(_little_endian(data[:, at : at + 4], np.uint32) * 0xCC9E2D51, 15) * 0x1B873593
        if at + 4 <= length:
            h = _rotate(h, 13) * 5 + 0xE6546B64
    h ^= length
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    h ^= h >> 16
    return h


def _x64_128(data: npt.NDArray[np.uint8], seed: int) -> Words:
    """Return MurmurHash3_x64_128 of every row, (n, 2): blocks of 16 bytes, then up to 15 more."""
    length = data.shape[1]
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1: Words = np.full(len(data), seed, dtype=np.uint64)
    h2 = h1.copy()
    for at in range(0, length, 16):
        whole = at + 16 <= length
        h1 ^= _rotate(_little_endian(data[:, at : at + 8], np.uint64) * c1, 31) * c2
        if whole:
            h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729
        h2 ^= _rotate(_little_endian(data[:, at + 8 : at + 16], np.uint64) * c2, 33) * c1
        if whole:
            h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5
    h1, h2 = h1 ^ length, h2 ^ length
    h1 = h1 + h2
    h2 = h2 + h1
    h1, h2 = _avalanche(h1), _avalanche(h2)
    h1 = h1 + h2
    return np.stack([h1, h2 + h1], axis=1)


def _avalanche(h: Words) -> Words:
    """Let every bit of a 64-bit word affect every other."""
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53
    h ^= h >> 33
    return h
