"""
Other ways to choose learned codes, tried and not shipped.

Each differs from `learned, k=8` in one thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.accuracy_study.composites import Composite
from benchmarks.smaller.methods import DIM, SCALE, SIDES, Layers, Maker, Sizes, codes_of, full
from npbloom import BloomEmbedding
from npbloom.coding import LearnedCodes
from npbloom.ops import clusters
from npbloom.recommend import ImplicitFactorizationModel

K = 8
EPOCHS, DECAY = 6, 3e-5  # of training the full table that codes are learned from


@dataclass(frozen=True)
class Recipe:
    """
    Options that a variant may change.

    The defaults are the library's, except that k-means is not in levels.
    """

    power: float = 0.5  # of the singular values
    weighted: bool = False  # True: k-means weights an id by its occurrences
    frequent: float = 0.0  # share of the rows that belong to one frequent id each
    users: float | None = None  # share of all rows that the users' table gets


def _k_means(points: np.ndarray, count: int, weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """
    Return codes and centroids by Lloyd's algorithm, from points drawn in proportion to their
    weights.
    """
    if count >= len(points):
        return np.arange(len(points)), points.copy()
    whole, starts = np.zeros(len(points), dtype=np.int64), np.array([0, count])
    centroids = points[np.argsort(np.log(rng.random(len(points))) / -weights)[:count]]
    for _ in range(clusters.ITERATIONS):
        codes, distances = clusters.nearest(points, whole, starts, centroids)
        members = np.bincount(codes, weights, minlength=count)
        for column in range(points.shape[1]):
            sums = np.bincount(codes, points[:, column] * weights, minlength=count)
            np.divide(sums, members, out=centroids[:, column], where=members > 0, casting="same_kind")
        empty = np.flatnonzero(members == 0)
        centroids[empty] = points[np.argsort(-distances * weights)[: len(empty)]]
    return clusters.nearest(points, whole, starts, centroids)[0], centroids


def _coded(
    vectors: np.ndarray, counts: np.ndarray, fallback: np.ndarray, rows: int, recipe: Recipe, rng: np.random.Generator
) -> BloomEmbedding:
    """
    Return a layer whose rows are the centroids of slices of the vectors.

    Ids that never occur keep the hash's rows.
    """
    known = np.flatnonzero(counts)
    table, width = fallback.copy(), DIM // K
    weight = np.zeros((rows, DIM), dtype=np.float32)
    exact = int(recipe.frequent * (rows - 1))
    top = known[np.argsort(-counts[known], kind="stable")[:exact]]
    table[top] = 1 + np.arange(len(top))[:, np.newaxis]
    weight[1 : 1 + len(top)] = vectors[top]
    others = np.setdiff1d(known, top)
    weights = counts[others].astype(float) if recipe.weighted else np.ones(len(others))
    for j in range(K):
        part = slice(j * width, (j + 1) * width)
        points = np.ascontiguousarray(vectors[others, part])
        codes, centroids = _k_means(points, rows - 1 - len(top), weights, rng)
        table[others, j] = 1 + len(top) + codes
        weight[1 + len(top) : 1 + len(top) + len(centroids), part] = centroids
    weight *= SCALE / np.sqrt(np.mean(np.square(weight[1:], dtype=np.float64)))
    return BloomEmbedding(
        len(table), DIM, num_rows=rows, hash_table=table, combine="concat", padding_idx=0, weight=weight.astype(np.float32)
    )


def _both(
    sizes: Sizes, codes: LearnedCodes, vectors: tuple[np.ndarray, np.ndarray], recipe: Recipe, rng: np.random.Generator
) -> Layers:
    """Return layers for users and items."""
    heights = [sizes.rows(side) for side in SIDES]
    if recipe.users is not None:
        total = sum(rows or 0 for rows in heights)
        heights = [int(recipe.users * total), total - int(recipe.users * total)]
    counts, tables = (codes.user_counts, codes.item_counts), (codes.user_table, codes.item_table)
    made = [
        _coded(own, met, np.minimum(table, rows - 1), rows, recipe, rng)
        for own, met, table, rows in zip(vectors, counts, tables, heights, strict=True)
    ]
    return made[0], made[1]


def recipe(**different: Any) -> Maker:
    """Return a maker of the library's recipe with some options changed."""

    def make(sizes: Sizes, rng: np.random.Generator) -> Layers:
        codes, chosen = codes_of(sizes, K, rng), Recipe(**different)
        stretch = np.where(codes.values > 0, codes.values, 1.0) ** (chosen.power - 0.5)
        vectors = tuple((own * stretch).astype(np.float32) for own in (codes.user_vectors, codes.item_vectors))
        return _both(sizes, codes, vectors, chosen, rng)

    return make


def from_trained(sizes: Sizes, rng: np.random.Generator) -> Layers:
    """
    Return layers with codes of a full table that was trained before, columns in random order.

    This takes the full memory.
    """
    tables = full(DIM)(replace(sizes, compressed=()), rng)
    model = ImplicitFactorizationModel(
        "bpr", n_iter=EPOCHS, l2=DECAY, user_embeddings=tables[0], item_embeddings=tables[1], rng=rng
    ).fit(sizes.train)
    order = rng.permutation(DIM)
    vectors = tuple(np.ascontiguousarray(model.layers[f"{side}_embeddings"].weight[:, order]) for side in ("user", "item"))
    return _both(sizes, codes_of(sizes, K, rng), vectors, Recipe(), rng)


class Half(Composite):
    """Users or items of a table that both share. Items come after all users."""

    def __init__(self, layer: BloomEmbedding, first: int, parts: dict[str, Any]) -> None:
        self.layer, self.first, self.parts = layer, first, parts

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return one vector for each id."""
        return self.layer.forward(ids + self.first)

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step on the shared table."""
        steps.update(self.layer, ids + self.first, grad)


def shared(sizes: Sizes, rng: np.random.Generator) -> Layers:
    """Return one table for users and items, whose vectors are clustered together."""
    codes = codes_of(sizes, K, rng)
    vectors = np.concatenate([codes.user_vectors, codes.item_vectors])
    counts = np.concatenate([codes.user_counts, codes.item_counts])
    tables = np.concatenate([codes.user_table, codes.item_table])
    rows = sum(sizes.rows(side) or 0 for side in SIDES)
    layer = _coded(vectors, counts, tables, rows, Recipe(), rng)
    return Half(layer, 0, {"rows": layer}), Half(layer, sizes.ids("users"), {})


class Residual(Composite):
    """
    Coded vector plus a row of a second, hashed table.

    Ids that share all codes can still differ.
    """

    def __init__(self, first: BloomEmbedding, rows: int, rng: np.random.Generator) -> None:
        second = BloomEmbedding(
            first.num_embeddings, DIM, num_rows=rows, num_hash_functions=1, padding_idx=0, share_padding_row=False, rng=rng
        )
        second.weight[:] = 0
        self.parts = {"codes": first, "residual": second}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return one vector for each id."""
        found: np.ndarray = self.parts["codes"].forward(ids) + self.parts["residual"].forward(ids)
        return found

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step on both tables."""
        for part in self.parts.values():
            steps.update(part, ids, grad)


def residual(sizes: Sizes, rng: np.random.Generator) -> Layers:
    """Return layers with three quarters of the rows for codes and the others for residuals."""
    smaller = replace(sizes, ratio=0.75 * sizes.ratio)
    layers = codes_of(smaller, K, rng).layers(scale=SCALE, rng=rng)
    made = [
        Residual(layer, (sizes.rows(side) or 0) - (smaller.rows(side) or 0), rng)
        for layer, side in zip(layers, SIDES, strict=True)
    ]
    return made[0], made[1]


VARIANTS: dict[str, Maker] = {
    "codes of S^0": recipe(power=0.0),
    "codes of S^1": recipe(power=1.0),
    "k-means weighted by counts": recipe(weighted=True),
    "frequent quarter exact": recipe(frequent=0.25),
    "two fifths of the rows for users": recipe(users=0.4),
    "codes of a trained table": from_trained,
    "rows shared by users and items": shared,
    "a quarter of the rows for residuals": residual,
}
