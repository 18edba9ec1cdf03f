"""Methods to store the vectors of users and items: one registry from names to layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom.cli._settings import DEFAULT_HASHES, Choice, Model, Settings, Tables, Variant
from npbloom.coding import frequent_hash_table, learn_codes
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions
from npbloom.types import IntArray

LEARNED_HASHES = 8
ITEM = np.dtype(np.float32).itemsize

Layers = tuple[Any, Any]  # of users, of items
Make = Callable[[np.random.Generator], Layers]
Codes = tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]


@dataclass(frozen=True)
class Side:
    """
    One side, users or items: its ids, their number, and the rows of its compressed table, or None.
    """

    ids: IntArray
    size: int
    rows: int | None


def sides(data: Interactions, tables: Tables) -> tuple[Side, Side]:
    """Return the sides of users and of items."""
    users, items = (
        Side(ids, size, int(tables.compression * size) if kind in tables.compressed else None)
        for kind, ids, size in (("users", data.user_ids, data.num_users), ("items", data.item_ids, data.num_items))
    )
    return users, items


def narrow_dim(data: Interactions, tables: Tables, dim: int) -> int:
    """
    Return the number of columns of full tables with as many parameters as the compressed ones.

    It is rounded down, and at least 1.
    """
    both = sides(data, tables)
    rows = sum(side.size if side.rows is None else side.rows for side in both)
    return max(1, rows * dim // sum(side.size for side in both))


# ---- methods: from training interactions to a function that makes layers -------------------------


@dataclass(frozen=True)
class Work:
    """Input of a method: training interactions, sizes of tables, and options."""

    data: Interactions
    tables: Tables
    hashes: int
    dim: int
    seed: int
    progress: bool


def _full(work: Work) -> Make:
    """Make tables with a row for each id."""
    return _full_tables(work.data, work.dim)


def _narrow(work: Work) -> Make:
    """Make tables with a row for each id and fewer columns."""
    return _full_tables(work.data, narrow_dim(work.data, work.tables, work.dim))


def _bloom(work: Work) -> Make:
    """Make tables whose vectors are sums of hashed rows."""
    return _bloom_tables(work, "sum")


def _concat(work: Work) -> Make:
    """Make tables whose vectors are slices of hashed rows, side by side."""
    return _bloom_tables(work, "concat")


def _frequent(work: Work) -> Make:
    """
    Make tables with half of the rows for the most frequent ids.

    The other ids have slices of the other rows.
    """
    padding = work.data.padding_idx
    users, items = (
        None
        if side.rows is None
        else frequent_hash_table(np.bincount(side.ids, minlength=side.size), side.rows, work.hashes, padding_idx=padding)
        for side in sides(work.data, work.tables)
    )
    return _bloom_tables(work, "concat", (users, items))


def _learned(work: Work) -> Make:
    """Make tables in which ids that are met together share rows, and that start from the codes."""
    data = work.data
    users, items = sides(data, work.tables)
    codes = learn_codes(
        data.user_ids,
        data.item_ids,
        num_users=data.num_users,
        num_items=data.num_items,
        user_rows=users.rows,
        item_rows=items.rows,
        rank=work.dim,
        num_hashes=work.hashes,
        user_padding=data.padding_idx,
        item_padding=data.padding_idx,
        rng=work.seed,
        progress=work.progress,
    )

    def make(rng: np.random.Generator) -> Layers:
        return codes.layers(rng=rng)

    return make


def _full_tables(data: Interactions, dim: int) -> Make:
    """Make full tables of `dim` columns."""

    def make(rng: np.random.Generator) -> Layers:
        sizes = data.num_users, data.num_items
        users, items = (ScaledEmbedding(size, dim, padding_idx=data.padding_idx, rng=rng) for size in sizes)
        return users, items

    return make


def _bloom_tables(work: Work, combine: str, codes: Codes = (None, None)) -> Make:
    """
    Make Bloom tables on the compressed sides, and full tables on the others.

    `codes` are the rows of each id, if they are given.
    """
    padding = work.data.padding_idx

    def layer(side: Side, code: npt.NDArray[Any] | None, rng: np.random.Generator) -> ScaledEmbedding | BloomEmbedding:
        if side.rows is None:
            return ScaledEmbedding(side.size, work.dim, padding_idx=padding, rng=rng)
        how: dict[str, Any] = {"num_rows": side.rows, "hash_table": code, "combine": combine, "padding_idx": padding}
        return BloomEmbedding(side.size, work.dim, num_hash_functions=work.hashes, rng=rng, **how)

    def make(rng: np.random.Generator) -> Layers:
        users, items = (layer(side, code, rng) for side, code in zip(sides(work.data, work.tables), codes, strict=True))
        return users, items

    return make


# ---- the registry --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """A way to store vectors: a function that prepares its layers, and its name in reports."""

    prepare: Callable[[Work], Make]
    title: str
    hashed: bool = True  # ids read rows of a smaller table
    coded: bool = False  # the rows of each id are stored
    sliced: bool = False  # `hashes` must divide `dim`
    hashes: tuple[int, ...] = (DEFAULT_HASHES,)  # default rows of an id: the first that divides `dim`


METHODS: dict[str, Method] = {
    "full": Method(_full, "full", hashed=False),
    "narrow": Method(_narrow, "narrow", hashed=False),
    "learned": Method(_learned, "learned", coded=True, sliced=True, hashes=(LEARNED_HASHES, DEFAULT_HASHES)),
    "bloom": Method(_bloom, "Bloom"),
    "concat": Method(_concat, "concat", sliced=True),
    "frequent": Method(_frequent, "frequent", coded=True, sliced=True),
}
DEFAULT_METHODS = ("full", "narrow", "learned", "bloom")


def hashes_of(variant: Variant, dim: int) -> int:
    """
    Return the number of rows that an id reads.

    It is the given one, else the first of the method's own that divides `dim`, else the last of
    them.
    """
    if variant.tables.hashes is not None:
        return variant.tables.hashes
    own = METHODS[variant.method].hashes
    return next((number for number in own if dim % number == 0), own[-1])


def title(variant: Variant, data: Interactions, dim: int) -> str:
    """Return a method's name with its sizes, for reports."""
    method = METHODS[variant.method]
    if variant.method == "narrow":
        columns = narrow_dim(data, variant.tables, dim)
        return f"{method.title}, {columns} column{'' if columns == 1 else 's'}"
    if not method.hashed:
        return method.title
    hashes = hashes_of(variant, dim)
    return f"{method.title} {variant.tables.compression:g}, {hashes} hash{'' if hashes == 1 else 'es'}"


def prepare(data: Interactions, variant: Variant, settings: Settings, progress: bool = False) -> Make:
    """
    Compute once what a method needs from the interactions.

    The result makes any number of layers.
    """
    hashes = hashes_of(variant, settings.dim)
    return METHODS[variant.method].prepare(Work(data, variant.tables, hashes, settings.dim, settings.seed, progress))


def build(make: Make, settings: Settings, choice: Choice) -> Model:
    """Return an untrained model on new layers."""
    rng = np.random.default_rng(settings.seed)
    users, items = make(rng)
    kind_of_model = ExplicitFactorizationModel if settings.explicit else ImplicitFactorizationModel
    return kind_of_model(
        loss=settings.loss,
        n_iter=choice.epochs,
        batch_size=settings.batch_size,
        l2=choice.l2,
        learning_rate=settings.learning_rate,
        optimizer=settings.optimizer,
        user_embeddings=users,
        item_embeddings=items,
        rng=rng,
    )


def served_bytes(model: Model, variant: Variant) -> int:
    """Return the bytes of tables, biases and packed codes; rows from a hash take none."""
    stored = sum(int(layer.nbytes) for layer in model.layers.values())
    if not METHODS[variant.method].coded:
        return stored
    coded = [layer for layer in model.layers.values() if isinstance(layer, BloomEmbedding)]
    return stored + sum(packed_bytes(layer.num_embeddings, layer.num_hash_functions, layer.hashing.num_rows) for layer in coded)


def full_bytes(data: Interactions, dim: int) -> int:
    """Return the bytes of full tables and their biases."""
    return (data.num_users + data.num_items) * (dim + 1) * ITEM


def served_ahead(data: Interactions, variant: Variant, dim: int) -> int:
    """Return what `served_bytes` will return, before there is a model."""
    method = METHODS[variant.method]
    if not method.hashed:
        return full_bytes(data, narrow_dim(data, variant.tables, dim) if variant.method == "narrow" else dim)
    both = sides(data, variant.tables)
    rows = sum(side.size if side.rows is None else side.rows for side in both)
    served = (rows * dim + sum(side.size for side in both)) * ITEM
    if method.coded:
        width = hashes_of(variant, dim)
        served += sum(packed_bytes(side.size, width, side.rows) for side in both if side.rows is not None)
    return served


def packed_bytes(ids: int, width: int, rows: int) -> int:
    """Return the bytes of packed codes, each of as many bits as the number of rows needs."""
    return -(-ids * width * (rows - 1).bit_length() // 8)
