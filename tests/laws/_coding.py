"""Coders and instances for the laws of coding, and these laws as loops over Python objects."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npbloom.coding import BloomCoder
from npbloom.types import HashSpec
from tests.support import strategies
from tests.support._naive import rounded


@dataclass
class Coding:
    """A coder's mapping and instances.

    Instances are held as a caller gives them and as lists, with log-probabilities of the bits for
    each.
    """

    hashing: HashSpec
    items: np.ndarray
    offsets: np.ndarray | None
    instances: list[list[int]]
    log_probs: np.ndarray
    prior: np.ndarray | None

    @property
    def coder(self) -> BloomCoder:
        """Return a coder with this mapping."""
        spec = self.hashing
        if spec.table is None:
            return BloomCoder.murmur(spec.num_embeddings, spec.num_rows, spec.num_hash_functions)
        return BloomCoder(spec.num_embeddings, spec.num_rows, table=spec.table)

    @property
    def bits(self) -> list[list[int]]:
        """Return the bits of every item."""
        rows: list[list[int]] = self.coder.hash_rows(np.arange(self.hashing.num_embeddings)).tolist()
        return rows


@st.composite
def mappings(draw: Any, most_items: int = 9) -> HashSpec:
    """Draw few items on few bits: hashed, or by a table in whose rows a bit may occur twice."""
    n, m, k = draw(st.integers(1, most_items)), draw(st.integers(1, 7)), draw(st.integers(1, 5))
    if draw(st.integers(0, 2)) == 0:
        return HashSpec(n, m, k)
    return HashSpec(n, m, table=draw(hnp.arrays(np.int64, (n, k), elements=st.integers(0, m - 1), fill=st.nothing())))


@st.composite
def codings(draw: Any, most_items: int = 9, most_instances: int = 5, lane: str | None = None) -> Coding:
    """Draw instances, flat or as rows, with repeated items and empty instances anywhere."""
    hashing = draw(mappings(most_items))
    some = strategies.some_ids(hashing.num_embeddings)
    if draw(st.integers(0, 3)) == 0:
        shape = (draw(st.sampled_from([2, 1, 3, 0])), draw(st.sampled_from([2, 1, 4, 0])))
        items, offsets = draw(hnp.arrays(np.int64, shape, elements=some, fill=st.nothing())), None
        instances = items.tolist()
    else:
        instances = draw(st.lists(st.lists(some, max_size=4), max_size=most_instances))
        items = np.array([item for instance in instances for item in instance], dtype=np.int64)
        offsets = np.cumsum([0, *map(len, instances)])[: len(instances)]
    dtype, lane = draw(strategies.dtypes), lane or draw(strategies.lanes)
    log_probs = draw(strategies.arrays(dtype, (len(instances), hashing.num_rows), lane))
    begins = strategies.arrays(draw(strategies.dtypes), (hashing.num_embeddings,), lane)
    return Coding(hashing, items, offsets, instances, log_probs, draw(st.none() | begins))


# ---- the laws as loops ---------------------------------------------------------------------------


def codes(bits: Sequence[Sequence[int]], instances: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the union of the items' bits, in order (L36)."""
    return [sorted({bit for item in instance for bit in bits[item]}) for instance in instances]


def likelihoods(bits: Sequence[Sequence[int]], log_probs: np.ndarray, prior: np.ndarray | None) -> np.ndarray:
    """Return sums over Python floats, bit by bit (L37)."""
    totals, begins = [], [0.0] * len(bits) if prior is None else prior.tolist()
    for row in log_probs.tolist():
        for own, total in zip(bits, begins, strict=True):
            for bit in own:
                total += row[bit]
            totals.append(total)
    return rounded(totals, log_probs.dtype, (len(log_probs), len(bits)))


def best(scores: Sequence[float], k: int, excluded: Sequence[int]) -> list[int]:
    """Return items by falling score, then rising number, NaN last, -1 where none is left (L38)."""

    def key(item: int) -> tuple[bool, float, int]:
        missing = math.isnan(scores[item])
        return missing, 0.0 if missing else -scores[item], item

    order = sorted(set(range(len(scores))) - set(excluded), key=key)[:k]
    return order + [-1] * (k - len(order))


def frequent_pairs(instances: Sequence[Sequence[int]], num_items: int) -> list[tuple[int, int]]:
    """Return the pairs above the average frequency, the rarest first (L39)."""
    sets = [sorted(set(instance)) for instance in instances]
    counts = Counter(pair for items in sets for pair in itertools.combinations(items, 2))
    events = sum(map(len, sets))
    kept = [(count, *pair) for pair, count in counts.items() if count * num_items > events]
    return [(a, b) for _, a, b in sorted(kept)]


def share_bits(
    bits: Sequence[Sequence[int]], num_bits: int, pairs: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[list[int]]:
    """Return the table after every pair, in order, has been given a bit (L39)."""
    table = [list(own) for own in bits]
    for a, b in pairs:
        which, left, right = rng.random(3).tolist()
        unused = sorted(set(range(num_bits)) - set(table[a]) - set(table[b]))
        if unused:
            bit = unused[math.floor(len(unused) * which)]
            table[a][math.floor(len(table[a]) * left)] = bit
            table[b][math.floor(len(table[b]) * right)] = bit
    return table
