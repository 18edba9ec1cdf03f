"""Vectors made of more than one table, which npbloom does not ship: forward, and one optimizer step on all of their tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom import ScaledEmbedding, ZeroEmbedding
from npbloom.ops import hash_rows
from npbloom.types import HashSpec


def table(values: np.ndarray) -> ScaledEmbedding:
    """A layer with these values."""
    return ScaledEmbedding(*values.shape, weight=np.ascontiguousarray(values, dtype=np.float32))


class Composite:
    """Looks like a layer to a factorization model; `parts` is what the optimizer knows."""

    dtype = np.dtype(np.float32)
    parts: dict[str, Any]

    @property
    def num_parameters(self) -> int:
        """Of all parts."""
        return sum(part.num_parameters for part in self.parts.values())


class ImportanceWeighted(Composite):
    r""":math:`e_i = \sum_j p_{ij} W_{h_j(i)}`, all p at first 1, so that it begins as a sum."""

    def __init__(self, ids: int, rows: int, k: int, dim: int, rng: np.random.Generator) -> None:
        if rows < 1:
            raise ValueError("the importance weights alone are more parameters than there may be")
        self.hashing = HashSpec(ids, rows, k)
        weights = ZeroEmbedding(ids, k)
        weights.weight[:] = 1
        self.parts = {"rows": ScaledEmbedding(rows, dim, rng=rng), "importance": weights}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """One vector for each id."""
        rows = self.parts["rows"].forward(hash_rows(ids, self.hashing))
        return np.einsum("...kd,...k->...d", rows, self.parts["importance"].forward(ids))

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """One step."""
        probes = hash_rows(ids, self.hashing)
        rows, weights = self.parts["rows"].forward(probes), self.parts["importance"].forward(ids)
        steps.update(self.parts["rows"], probes, weights[..., np.newaxis] * grad[..., np.newaxis, :])
        steps.update(self.parts["importance"], ids, np.einsum("...kd,...d->...k", rows, grad))


class QuotientTimesRemainder(Composite):
    r""":math:`e_i = Q_{\lfloor i / r \rfloor} \circ R_{i \bmod r}`; R begins around 1."""

    def __init__(self, order: np.ndarray, quotients: int, divisor: int, dim: int, rng: np.random.Generator) -> None:
        self.order, self.divisor = order, divisor
        remainders = 1 + rng.standard_normal((divisor, dim)) / 10
        self.parts = {"quotients": ScaledEmbedding(quotients, dim, rng=rng), "remainders": table(remainders)}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """One vector for each id."""
        places = self.order[ids]
        first = self.parts["quotients"].forward(places // self.divisor)
        return first * self.parts["remainders"].forward(places % self.divisor)

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """One step."""
        places = self.order[ids]
        upper, lower = places // self.divisor, places % self.divisor
        first, second = self.parts["quotients"].forward(upper), self.parts["remainders"].forward(lower)
        steps.update(self.parts["quotients"], upper, grad * second)
        steps.update(self.parts["remainders"], lower, grad * first)


class LowRank(Composite):
    r""":math:`e_i = A_i B`, of the spread of a full table at first."""

    def __init__(self, ids: int, rank: int, dim: int, rng: np.random.Generator) -> None:
        self.rank, self.dim = rank, dim
        wide = rng.standard_normal((rank, dim)) / np.sqrt(rank)
        short = rng.standard_normal((ids, rank)) / dim
        self.parts = {"short": table(short), "wide": table(wide)}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """One vector for each id."""
        return self.parts["short"].forward(ids) @ self.parts["wide"].weight

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """One step; every id of a batch moves the matrix, so its gradient is dense."""
        flat, own = grad.reshape(-1, self.dim), self.parts["short"].forward(ids).reshape(-1, self.rank)
        steps.update(self.parts["short"], ids, grad @ self.parts["wide"].weight.T)
        steps.step(self.parts["wide"], own.T @ flat)
