"""Items to bits and back: the coder of Serrà and Karatzoglou, and frequent ids (L35 to L40)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom.reference import _inputs
from npbloom.reference.hashing import hash_rows
from npbloom.types import FloatArray, HashSpec, IntArray


def draw_table(num_items: int, num_bits: int, num_hashes: int, rng: np.random.Generator) -> IntArray:
    """Return bits of every item, (num_items, num_hashes), each row without replacement (L35)."""
    table = np.empty((num_items, num_hashes), dtype=np.int64)
    for j in range(num_hashes):
        ranks = rng.integers(0, num_bits - j, size=num_items)
        for item in range(num_items):
            unused = np.setdiff1d(np.arange(num_bits), table[item, :j])
            table[item, j] = unused[ranks[item]]
    return table


def _instances(items: Any, hashing: HashSpec, offsets: Any) -> list[IntArray]:
    """Return the items of every instance."""
    ids = _inputs.ids(items, hashing.num_embeddings, "items")
    bounds = _inputs.bag_bounds(ids, offsets, False)
    return [ids.ravel()[lo:hi] for lo, hi in pairwise(bounds)]


def encode(items: Any, hashing: HashSpec, offsets: Any = None) -> tuple[IntArray, IntArray]:
    """
    Return the distinct bits of each instance in increasing order, flat (L36).

    Also return where each instance starts.
    """
    bits = [np.unique(hash_rows(instance, hashing)) for instance in _instances(items, hashing, offsets)]
    ends: IntArray = np.cumsum([0, *map(len, bits)])
    return np.concatenate([np.empty(0, dtype=np.int64), *bits]), ends[:-1]


def encode_dense(items: Any, hashing: HashSpec, offsets: Any = None, *, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Return zeros and ones, a row for each instance: 1 where a bit is set, however often (L36)."""
    instances = _instances(items, hashing, offsets)
    dense = np.zeros((len(instances), hashing.num_rows), dtype=dtype)
    for row, instance in zip(dense, instances, strict=True):
        row[hash_rows(instance, hashing)] = 1
    return dense


@np.errstate(all="ignore")
def log_likelihood(log_probs: Any, hashing: HashSpec, prior: Any = None) -> FloatArray:
    """
    Return the sum over each item's bits, from its prior on, (n, num_items) (L37).

    There is one sum for each row of log-probabilities.
    """
    values = _inputs.floats(log_probs, (*np.shape(log_probs)[:1], hashing.num_rows), None, "log_probs")
    total = np.zeros((len(values), hashing.num_embeddings))
    if prior is not None:
        total[:] = _inputs.floats(prior, (hashing.num_embeddings,), np.float64, "prior")
    for bits in hash_rows(np.arange(hashing.num_embeddings), hashing).T:
        total += values[:, bits]
    return total.astype(values.dtype)


def top_k(log_probs: Any, hashing: HashSpec, k: int, exclude: Any = None, prior: Any = None) -> tuple[IntArray, FloatArray]:
    """Return the k items of highest score in each row, and their scores, (n, k) each (L38)."""
    scores = log_likelihood(log_probs, hashing, prior)
    excluded = [np.empty(0, dtype=np.int64)] * len(scores) if exclude is None else _instances(exclude[0], hashing, exclude[1])
    items = np.full((len(scores), k), -1)
    values = np.full((len(scores), k), -np.inf, dtype=scores.dtype)
    for row, score in enumerate(scores):
        rest = np.setdiff1d(np.arange(hashing.num_embeddings), excluded[row])
        # Stable: ties by item number; NaN comes last.
        best = rest[np.argsort(-score[rest], kind="stable")][:k]
        items[row, : len(best)], values[row, : len(best)] = best, score[best]
    return items, values


def with_cooccurrence(items: Any, hashing: HashSpec, offsets: Any, rng: np.random.Generator) -> IntArray:
    """
    Return the table in which items that occur together often share a bit (L39).

    This is algorithm 1 of the paper.
    """
    num_items, k = hashing.num_embeddings, hashing.num_hash_functions
    table = hash_rows(np.arange(num_items), hashing)
    instances = _instances(items, hashing, offsets)
    member = np.zeros((len(instances), num_items), dtype=np.int64)
    for row, instance in zip(member, instances, strict=True):
        row[instance] = 1
    together = member.T @ member
    pairs = [
        (together[a, b], a, b)
        for a in range(num_items)
        for b in range(a + 1, num_items)
        if together[a, b] * num_items > member.sum()
    ]
    for _, a, b in sorted(pairs):
        draws = rng.random(3)
        unused = np.setdiff1d(np.arange(hashing.num_rows), table[[a, b]])
        if len(unused):
            bit = unused[int(draws[0] * len(unused))]
            table[a, int(draws[1] * k)] = bit
            table[b, int(draws[2] * k)] = bit
    return table


def frequent_hash_table(
    counts: Any, num_rows: int, num_hashes: int = 1, *, share: float = 0.5, padding_idx: int | None = 0
) -> IntArray:
    """
    Return rows of ids, (num_ids, num_hashes) (L40).

    The most frequent ids have a row of their own, the others hashed rows.
    """
    ids = range(len(counts))
    padding = None if padding_idx is None else padding_idx % len(counts)
    first = 0 if padding is None else 1
    occurring = [i for i in ids if counts[i] > 0 and i != padding]
    frequent = sorted(occurring, key=lambda i: (-counts[i], i))[: int(share * (num_rows - first))]
    free = num_rows - first - len(frequent)
    table = np.empty((len(counts), num_hashes), dtype=np.int64)
    for i in ids:
        table[i] = first + len(frequent) + hash_rows(np.array([i]), HashSpec(len(counts), free, num_hashes))[0]
    for place, i in enumerate(frequent):
        table[i] = first + place
    if padding is not None:
        table[padding] = 0
    return table
