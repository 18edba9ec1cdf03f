"""Ids for checks of hashing: the smallest and largest, and those with extreme hashes."""

from __future__ import annotations

import numpy as np

from npbloom.types import SPOTLIGHT_SEEDS

EXTREMES = np.array([0, 1, 2, 255, 256, 65535, 65536, 2**24, 2**31 - 1, -1, -2, -(2**31)], dtype=np.int64)
EXTREME_HASHES = (0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1)


def id_with_hash(wanted: int, seed: int) -> int:
    """
    Return the id, as int32, whose hash with this seed is `wanted`.

    The hash of keys of four bytes is a bijection.
    """
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
