"""Ids of batches: uniform, or Zipf's, where a few ids occur most of the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

KINDS = ("zipf", "uniform")
EXPONENT = 1.2
WORDS = {"zipf": f"zipf {EXPONENT} (bounded, shuffled)", "uniform": "uniform"}
IntArray = npt.NDArray[np.int64]


def draw(kind: str, count: int, num_ids: int, rng: np.random.Generator) -> IntArray:
    """
    Return `count` ids in [1, num_ids); 0 is padding.

    Zipf's ranks are shuffled, so that frequent ids do not lie together.
    """
    if kind == "uniform":
        return rng.integers(1, num_ids, count)
    names = rng.permutation(np.arange(1, num_ids))
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        ranks = rng.zipf(EXPONENT, 2 * count)
        found = np.concatenate([found, ranks[ranks < num_ids]])
    return names[found[:count] - 1]


def draw_for(layer: Any, kind: str, count: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """
    Return ids for a Bloom layer, and the rows they read, (count, k).

    Ids that probe the reserved row 0 are left out (k of m, some ten in a million). npbloom adds
    zero there and trains nothing, as Spotlight does, while peers that are given rows would train
    row 0.
    """
    ids = rows = np.empty(0, dtype=np.int64)
    spare = 1.02
    while len(ids) < count:
        drawn = draw(kind, int(count * spare) + 64, layer.num_embeddings, rng)
        found = layer.hash_rows(drawn)
        kept = (found != 0).all(axis=1)
        ids, rows, spare = drawn[kept][:count], found[kept][:count], 2 * spare
    return ids, np.ascontiguousarray(rows)
