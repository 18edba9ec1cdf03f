"""
Hypothesis strategies for the whole test run: structure first, values second.

Faults of embedding code hide in structure: few rows, duplicates, probes that collide, padding,
empty bags at either end or in the middle, ties, ids at both ends, empty batches, 0-d and 2-D
shapes. So tables have a handful of rows, and values come in lanes: small numbers with ties,
full-range floats that round at every step, and special values.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npbloom.types import HashSpec, RowGrad
from tests.support._values import arrays, dtypes, lanes

MODES = ("sum", "mean", "max")
COMBINES = ("sum", "mean", "concat")


def some_ids(num_embeddings: int, likely: int | None = None) -> st.SearchStrategy[int]:
    """Return ids that repeat. Both ends and `likely`, the padding id, are drawn often."""
    ends = [0, num_embeddings - 1, min(1, num_embeddings - 1), *([] if likely is None else [likely])]
    return st.sampled_from(ends) | st.integers(0, num_embeddings - 1)


def id_shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Return 0-d, empty, 1-D and higher shapes of a few ids."""
    few = st.sampled_from([3, 1, 2, 5, 6, 0])
    return st.tuples(few) | st.tuples(few) | st.just(()) | st.tuples(few, st.integers(0, 3)) | st.just((2, 1, 2))


def id_arrays(num_embeddings: int, likely: int | None = None, shape: Any = None) -> st.SearchStrategy[np.ndarray]:
    """Return an int64 array of ids."""
    ids = some_ids(num_embeddings, likely)
    return hnp.arrays(np.int64, id_shapes() if shape is None else shape, elements=ids, fill=st.nothing())


@st.composite
def paddings(draw: Any, num_rows: int) -> int | None:
    """Draw no padding index, or any row, sometimes counted from the end."""
    return draw(st.none() | st.integers(-num_rows, num_rows - 1) | st.just(0))


# ---- lookups ------------------------------------------------------------------------------------


@dataclass
class Lookup:
    """A table, ids and a gradient of their vectors."""

    weight: np.ndarray
    ids: np.ndarray
    grad_out: np.ndarray
    padding_idx: int | None = None

    @property
    def padding(self) -> int:
        """The padding row, or -1 for none."""
        return -1 if self.padding_idx is None else self.padding_idx % len(self.weight)


@st.composite
def lookups(draw: Any, lane: str | None = None, dtype: Any = None) -> Lookup:
    """Draw lookups in a table of up to six rows."""
    lane, dtype = lane or draw(lanes), np.dtype(dtype) if dtype else draw(dtypes)
    m, d = draw(st.integers(1, 6)), draw(st.integers(1, 4) | st.just(9))
    padding_idx = draw(paddings(m))
    ids = draw(id_arrays(m, None if padding_idx is None else padding_idx % m))
    return Lookup(draw(arrays(dtype, (m, d), lane)), ids, draw(arrays(dtype, (*ids.shape, d), lane)), padding_idx)


# ---- bags ---------------------------------------------------------------------------------------


@dataclass
class Partition:
    """Bags as a layer receives them: the shape of the indices, and offsets for 1-D ones."""

    shape: tuple[int, ...]
    offsets: np.ndarray | None
    include_last_offset: bool
    entries: list[list[int]] = field(default_factory=list)  # flat positions of every bag


@st.composite
def partitions(draw: Any) -> Partition:
    """Draw a few bags, with empty ones anywhere, as 1-D indices with offsets or as 2-D indices."""
    include_last = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        bags, length = draw(st.sampled_from([2, 1, 3, 0])), draw(st.sampled_from([2, 1, 4, 0]))
        return Partition((bags, length), None, include_last, [list(range(b * length, (b + 1) * length)) for b in range(bags)])
    number = draw(st.sampled_from([2, 1, 3, 4, 5, 0]))
    sizes = [draw(st.sampled_from([1, 2, 0, 3, 4])) for _ in range(number)]
    ends = np.cumsum([0, *sizes])
    entries = [list(range(lo, hi)) for lo, hi in itertools.pairwise(ends.tolist())]
    if not sizes and draw(st.booleans()):
        return Partition((0,), np.array([], dtype=np.int64), include_last)  # no bags, allowed if there are no indices
    if not sizes and not include_last:
        entries = [[]]
        return Partition((0,), np.array([0]), include_last, entries)
    return Partition((int(ends[-1]),), ends if include_last else ends[:-1], include_last, entries)


@dataclass
class Bags:
    """A table and bags of indices with everything that a bag layer takes."""

    weight: np.ndarray
    indices: np.ndarray
    partition: Partition
    grad_out: np.ndarray
    mode: str
    per_sample_weights: np.ndarray | None = None
    padding_idx: int | None = None
    hashing: HashSpec | None = None
    combine: str = "sum"

    @property
    def padding(self) -> int:
        """The padding id, or -1 for none."""
        if self.padding_idx is None:
            return -1
        return self.padding_idx % (self.hashing.num_embeddings if self.hashing else len(self.weight))

    @property
    def counted(self) -> list[list[int]]:
        """The flat positions of every bag that are not padding."""
        flat = self.indices.ravel()
        return [[i for i in entries if flat[i] != self.padding] for entries in self.partition.entries]


@st.composite
def bags(draw: Any, lane: str | None = None, dtype: Any = None, mode: str | None = None) -> Bags:
    """Draw bags over a table of up to five rows."""
    lane, dtype = lane or draw(lanes), np.dtype(dtype) if dtype else draw(dtypes)
    m, d = draw(st.integers(1, 5)), draw(st.integers(1, 4) | st.just(9))
    padding_idx = draw(paddings(m))
    likely = None if padding_idx is None else padding_idx % m
    return draw(_bags(dtype, lane, m, (m, d), (likely, padding_idx), mode))


@st.composite
def _bags(
    draw: Any, dtype: np.dtype, lane: str, num_ids: int, shape: tuple[int, int], padding: tuple[int | None, int | None], mode: Any
) -> Bags:
    """
    Draw bags of any ids over a table of the given shape.

    `padding` is the id, and the argument that names it.
    """
    partition, mode = draw(partitions()), mode or draw(st.sampled_from(MODES))
    indices = draw(id_arrays(num_ids, padding[0], partition.shape))
    weights = draw(st.none() | arrays(dtype, indices.shape, lane)) if mode == "sum" else None
    grad_out = draw(arrays(dtype, (len(partition.entries), shape[1]), lane))
    return Bags(draw(arrays(dtype, shape, lane)), indices, partition, grad_out, mode, weights, padding[1])


# ---- hashed ids ---------------------------------------------------------------------------------


@st.composite
def hash_specs(draw: Any, table: bool | None = None, most_hashes: int = 6) -> HashSpec:
    """
    Draw few ids or very many, on few rows, hashed by murmurhash3 or by a table of the user's own.
    """
    given = draw(st.booleans()) if table is None else table
    few = st.integers(1, 9)
    n = draw(few if given else few | st.sampled_from([2**31 - 1, 2**31, 2**31 + 1, 2**63]))
    padding_idx = draw(st.none() | st.just(0) | st.sampled_from([n - 1, n // 2]))
    m = draw(st.integers(1 if padding_idx is None else 2, 7))
    share = draw(st.booleans())
    k = draw(st.integers(1, most_hashes))
    if not given:
        return HashSpec(n, m, k, padding_idx, share)
    first = 1 if padding_idx is not None and not share else 0
    rows = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(first, m - 1), fill=st.nothing()))
    return HashSpec(n, m, k, padding_idx, share, rows)


@dataclass
class Bloom:
    """A table, hashed ids and a gradient of their vectors."""

    weight: np.ndarray
    ids: np.ndarray
    grad_out: np.ndarray
    hashing: HashSpec
    combine: str

    @property
    def reserved(self) -> int | None:
        """The row that adds nothing."""
        return None if self.hashing.padding_idx is None else 0


@st.composite
def combines(draw: Any, hashing: HashSpec, combine: str | None) -> tuple[str, int]:
    """Draw a way to combine probes, and a dimension that it fits."""
    combine = combine or draw(st.sampled_from(COMBINES))
    k = hashing.num_hash_functions
    return combine, k * draw(st.integers(1, 2)) if combine == "concat" else draw(st.integers(1, 4) | st.just(9))


@st.composite
def blooms(draw: Any, lane: str | None = None, dtype: Any = None, combine: str | None = None) -> Bloom:
    """Draw Bloom lookups."""
    lane, dtype = lane or draw(lanes), np.dtype(dtype) if dtype else draw(dtypes)
    hashing = draw(hash_specs())
    combine, d = draw(combines(hashing, combine))
    ids = draw(id_arrays(hashing.num_embeddings, hashing.padding_idx))
    weight = draw(arrays(dtype, (hashing.num_rows, d), lane))
    return Bloom(weight, ids, draw(arrays(dtype, (*ids.shape, d), lane)), hashing, combine)


@st.composite
def bloom_bags(
    draw: Any, lane: str | None = None, dtype: Any = None, mode: str | None = None, combine: str | None = None
) -> Bags:
    """Draw bags of hashed ids."""
    lane, dtype = lane or draw(lanes), np.dtype(dtype) if dtype else draw(dtypes)
    hashing = draw(hash_specs())
    combine, d = draw(combines(hashing, combine))
    shape, padding_idx = (hashing.num_rows, d), hashing.padding_idx
    case = draw(_bags(dtype, lane, hashing.num_embeddings, shape, (padding_idx, padding_idx), mode))
    case.hashing, case.combine = hashing, combine
    return case


# ---- updates ------------------------------------------------------------------------------------


@dataclass
class Update:
    """
    A table, optimizer state, a gradient of touched rows, and the hyperparameters of every
    optimizer.
    """

    weight: np.ndarray
    grad: RowGrad
    state: np.ndarray  # (m, d), not negative unless the lane is special
    second_state: np.ndarray
    lr: float
    weight_decay: float
    momentum: float
    eps: float
    betas: tuple[float, float]
    step: int


@st.composite
def updates(draw: Any, lane: str | None = None, dtype: Any = None) -> Update:
    """
    Draw one optimizer step.

    Coefficients are often 0, because a term with coefficient 0 is not computed.
    """
    lane, dtype = lane or draw(lanes), np.dtype(dtype) if dtype else draw(dtypes)
    m, d = draw(st.integers(1, 6)), draw(st.integers(1, 4) | st.just(9))
    rows = np.flatnonzero([draw(st.sampled_from([True, True, False])) for _ in range(m)])
    grad = RowGrad(rows, draw(arrays(dtype, (len(rows), d), lane)), m)
    weight, one, two = (draw(arrays(dtype, (m, d), lane)) for _ in range(3))
    if lane != "special":
        one, two = np.abs(one), np.abs(two)
    some = st.just(0.0) | st.sampled_from([0.1, 0.5, 0.9]) | st.floats(0, 0.9999)
    eps = draw(st.sampled_from([1e-10, 1e-8, 1e-3, 0.0]))
    betas, step = (draw(some), draw(some)), draw(st.integers(1, 50))
    return Update(weight, grad, one, two, draw(st.floats(0, 2)), draw(some), draw(some), eps, betas, step)
