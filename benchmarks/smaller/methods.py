"""
Methods that make the tables of a factorization smaller, and the alternatives that a sceptic would
take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy_study.composites import Composite, LowRank, table
from npbloom import BloomEmbedding, ScaledEmbedding
from npbloom.coding import LearnedCodes, frequent_hash_table, learn_codes
from npbloom.recommend import Interactions

DIM = 32
SCALE = 0.1  # root mean square of numbers that start from the decomposition


@dataclass(frozen=True)
class Sizes:
    """Training interactions, compressed sides and ratio that tables are made for."""

    train: Interactions
    compressed: tuple[str, ...]  # "users", "items" or both
    ratio: float

    def ids(self, side: str) -> int:
        """Return the number of users or items, padding included."""
        return self.train.num_users if side == "users" else self.train.num_items

    def rows(self, side: str) -> int | None:
        """Return the rows of a compressed table, or None if the side is not compressed."""
        return int(self.ratio * self.ids(side)) if side in self.compressed else None

    @property
    def narrow_dim(self) -> int:
        """Columns of full tables that have as many numbers as the compressed ones."""
        numbers = sum((self.rows(side) or self.ids(side)) * DIM for side in SIDES)
        return max(1, numbers // sum(map(self.ids, SIDES)))


SIDES = ("users", "items")
Layers = tuple[Any, Any]
Maker = Callable[[Sizes, np.random.Generator], Layers]


def full(dim: int | None = None) -> Maker:
    """
    Return a maker of full tables.

    Without a `dim` they have as many columns as the compressed tables' numbers allow.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        columns = dim or sizes.narrow_dim
        users, items = (ScaledEmbedding(sizes.ids(side), columns, padding_idx=0, rng=rng) for side in SIDES)
        return users, items

    return make


def hashed(combine: str, k: int, frequent: bool = False) -> Maker:
    """
    Return a maker of hashed tables.

    With `frequent`, half of the rows belong to the ids that occur most.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        made = []
        for side, ids in zip(SIDES, (sizes.train.user_ids, sizes.train.item_ids), strict=True):
            number, rows = sizes.ids(side), sizes.rows(side)
            if rows is None:
                made.append(ScaledEmbedding(number, DIM, padding_idx=0, rng=rng))
                continue
            chosen = frequent_hash_table(np.bincount(ids, minlength=number), rows, k) if frequent else None
            how: dict[str, Any] = {"combine": combine, "padding_idx": 0, "rng": rng}
            how |= {"num_hash_functions": k} if chosen is None else {"hash_table": chosen}
            made.append(BloomEmbedding(number, DIM, num_rows=rows, **how))
        return made[0], made[1]

    return make


def codes_of(sizes: Sizes, k: int, rng: np.random.Generator, rank: int = DIM) -> LearnedCodes:
    """Return the learned codes of the compressed sides."""
    return learn_codes(
        sizes.train.user_ids,
        sizes.train.item_ids,
        num_users=sizes.train.num_users,
        num_items=sizes.train.num_items,
        user_rows=sizes.rows("users"),
        item_rows=sizes.rows("items"),
        rank=rank,
        num_hashes=k,
        user_padding=0,
        item_padding=0,
        rng=rng,
    )


def learned(k: int, start: bool = True) -> Maker:
    """
    Return a maker of layers with learned codes.

    With `start`, all tables begin with the vectors that the codes were learned from.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        codes = codes_of(sizes, k, rng)
        if start:
            return codes.layers(scale=SCALE, rng=rng)
        made = []
        for side, coded in zip(SIDES, (codes.users, codes.items), strict=True):
            if coded is None:
                made.append(ScaledEmbedding(sizes.ids(side), DIM, padding_idx=0, rng=rng))
            else:
                how: dict[str, Any] = {"combine": "concat", "padding_idx": 0, "rng": rng}
                made.append(BloomEmbedding(len(coded.table), DIM, num_rows=coded.num_rows, hash_table=coded.table, **how))
        return made[0], made[1]

    return make


def decomposed(narrow: bool = False) -> Maker:
    """
    Return a maker of full tables that begin with the decomposition.

    They have all columns, or as many as the numbers allow.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        rank = sizes.narrow_dim if narrow else DIM
        codes = codes_of(Sizes(sizes.train, (), sizes.ratio), 1, rng, rank)
        return codes.layers(scale=SCALE, rng=rng)

    return make


class Fixed(LowRank):
    """
    Low-rank table whose matrix is not trained.

    The matrix has orthonormal rows and is the same on both sides, so the result is a table of fewer
    columns.
    """

    def __init__(self, ids: int, rank: int, dim: int, rng: np.random.Generator) -> None:
        super().__init__(ids, rank, dim, rng)
        rows = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, rank)))[0].T
        self.parts = {"short": table(rng.standard_normal((ids, rank)) / rank), "wide": table(rows)}

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step of the short table only."""
        steps.update(self.parts["short"], ids, grad @ self.parts["wide"].weight.T)


def low_rank(kind: type[LowRank]) -> Maker:
    """
    Return a maker of products of a short table and a matrix, with as many numbers as the compressed
    tables.
    """

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        made: list[Any] = []
        for side in SIDES:
            ids, rows = sizes.ids(side), sizes.rows(side)
            if rows is None:
                made.append(ScaledEmbedding(ids, DIM, padding_idx=0, rng=rng))
            else:
                made.append(kind(ids, max(1, rows * DIM // (ids + DIM)), DIM, rng))
        return made[0], made[1]

    return make


def rounded(table: np.ndarray, bits: int) -> np.ndarray:
    """
    Return each row as a quantised table would hold it: integers of `bits` bits times a scale of the
    row.
    """
    scale = np.abs(table).max(axis=1, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
    steps = np.divide(table, scale, out=np.zeros_like(table), where=scale > 0)
    return (np.rint(steps) * scale).astype(table.dtype)


def bytes_served(layers: dict[str, Any], bits: int = 32) -> int:
    """
    Return the bytes of tables, biases and codes.

    A code takes as many bits as a row's number needs. Below 32 bits each row has a scale.
    """
    total = 0
    for name, layer in layers.items():
        if name.endswith("biases"):
            total += layer.nbytes
            continue
        if isinstance(layer, Composite):
            total += sum(part.nbytes for part in layer.parts.values())
            continue
        rows, columns = layer.weight.shape
        total += rows * (-(-columns * bits // 8) + (4 if bits < 32 else 0))
        codes = layer.hashing.table if isinstance(layer, BloomEmbedding) else None
        if codes is not None:
            total += math.ceil(codes.size * math.ceil(math.log2(rows)) / 8)
    return total
