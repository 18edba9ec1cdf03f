"""
Vectors composed of several tables, which npbloom does not ship.

Each class has a forward pass and one optimizer step on all of its tables.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom import ScaledEmbedding, ZeroEmbedding
from npbloom.ops import hash_rows
from npbloom.types import HashSpec


def table(values: np.ndarray) -> ScaledEmbedding:
    """Return a layer with these values."""
    return ScaledEmbedding(*values.shape, weight=np.ascontiguousarray(values, dtype=np.float32))


class Composite:
    """
    Base of vectors from several tables.

    A factorization model uses it as a layer; the optimizer sees `parts`.
    """

    dtype = np.dtype(np.float32)
    parts: dict[str, Any]

    @property
    def num_parameters(self) -> int:
        """Number of parameters of all parts."""
        return sum(part.num_parameters for part in self.parts.values())


class ImportanceWeighted(Composite):
    r"""
    Importance weights: :math:`e_i = \sum_j p_{ij} W_{h_j(i)}`. All p start at 1, so the model
    starts as a sum.
    """

    def __init__(self, ids: int, rows: int, k: int, dim: int, rng: np.random.Generator) -> None:
        if rows < 1:
            raise ValueError("the importance weights alone are more parameters than there may be")
        self.hashing = HashSpec(ids, rows, k)
        weights = ZeroEmbedding(ids, k)
        weights.weight[:] = 1
        self.parts = {"rows": ScaledEmbedding(rows, dim, rng=rng), "importance": weights}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return one vector for each id."""
        rows = self.parts["rows"].forward(hash_rows(ids, self.hashing))
        return np.einsum("...kd,...k->...d", rows, self.parts["importance"].forward(ids))

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step on the rows and on the weights."""
        probes = hash_rows(ids, self.hashing)
        rows, weights = self.parts["rows"].forward(probes), self.parts["importance"].forward(ids)
        steps.update(self.parts["rows"], probes, weights[..., np.newaxis] * grad[..., np.newaxis, :])
        steps.update(self.parts["importance"], ids, np.einsum("...kd,...d->...k", rows, grad))


class QuotientTimesRemainder(Composite):
    r"""
    Product of two rows: :math:`e_i = Q_{\lfloor i / r \rfloor} \circ R_{i \bmod r}`. R starts
    around 1.
    """

    def __init__(self, order: np.ndarray, quotients: int, divisor: int, dim: int, rng: np.random.Generator) -> None:
        self.order, self.divisor = order, divisor
        remainders = 1 + rng.standard_normal((divisor, dim)) / 10
        self.parts = {"quotients": ScaledEmbedding(quotients, dim, rng=rng), "remainders": table(remainders)}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return one vector for each id."""
        places = self.order[ids]
        first = self.parts["quotients"].forward(places // self.divisor)
        return first * self.parts["remainders"].forward(places % self.divisor)

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step on both tables."""
        places = self.order[ids]
        upper, lower = places // self.divisor, places % self.divisor
        first, second = self.parts["quotients"].forward(upper), self.parts["remainders"].forward(lower)
        steps.update(self.parts["quotients"], upper, grad * second)
        steps.update(self.parts["remainders"], lower, grad * first)


class LowRank(Composite):
    r"""Low-rank table: :math:`e_i = A_i B`. Its vectors start with the spread of a full table's."""

    def __init__(self, ids: int, rank: int, dim: int, rng: np.random.Generator) -> None:
        self.rank, self.dim = rank, dim
        wide = rng.standard_normal((rank, dim)) / np.sqrt(rank)
        short = rng.standard_normal((ids, rank)) / dim
        self.parts = {"short": table(short), "wide": table(wide)}

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return one vector for each id."""
        return self.parts["short"].forward(ids) @ self.parts["wide"].weight

    def update(self, steps: Any, ids: np.ndarray, grad: np.ndarray) -> None:
        """Take one step. Every id of a batch changes the matrix, so its gradient is dense."""
        flat, own = grad.reshape(-1, self.dim), self.parts["short"].forward(ids).reshape(-1, self.rank)
        steps.update(self.parts["short"], ids, grad @ self.parts["wide"].weight.T)
        steps.step(self.parts["wide"], own.T @ flat)
