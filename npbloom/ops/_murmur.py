"""MurmurHash3 of flat integers and of byte strings that lie in one buffer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from npbloom._kernels import hashing as kernels
from npbloom._parallel import run_range
from npbloom.types import IntArray

Bytes = npt.NDArray[np.uint8]


def hash_integers_32(items: IntArray, seed: int, wide: bool) -> npt.NDArray[np.uint32]:
    """Return MurmurHash3_x86_32 of each item's low four bytes, or of all eight (`wide`); (n,)."""
    hashes = np.empty(items.size, dtype=np.uint32)
    run_range(kernels.murmurhash3_32_range, items.size, items, seed, wide, hashes)
    return hashes


def hash_bytes_32(buffer: Bytes, offsets: IntArray, seed: int) -> npt.NDArray[np.uint32]:
    """Return MurmurHash3_x86_32 of each string ``buffer[offsets[i]:offsets[i + 1]]``; (n,)."""
    hashes = np.empty(offsets.size - 1, dtype=np.uint32)
    run_range(kernels.murmurhash3_32_bytes_range, hashes.size, buffer, offsets, seed, hashes)
    return hashes


def hash_integers_128(items: IntArray, seed: int) -> npt.NDArray[np.uint64]:
    """Return MurmurHash3_x64_128 of the eight bytes of each item; (n, 2)."""
    hashes = np.empty((items.size, 2), dtype=np.uint64)
    run_range(kernels.murmurhash3_x64_128_range, items.size, items, seed, hashes)
    return hashes


def hash_bytes_128(buffer: Bytes, offsets: IntArray, seed: int) -> npt.NDArray[np.uint64]:
    """Return MurmurHash3_x64_128 of each string ``buffer[offsets[i]:offsets[i + 1]]``; (n, 2)."""
    hashes = np.empty((offsets.size - 1, 2), dtype=np.uint64)
    run_range(kernels.murmurhash3_x64_128_bytes_range, len(hashes), buffer, offsets, seed, hashes)
    return hashes
