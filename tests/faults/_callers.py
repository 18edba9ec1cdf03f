"""Threads of the caller's own, and what each of them trains."""

from __future__ import annotations

import numpy as np

import npbloom as nb

THREADS, ROWS, DIM, BATCH = 8, 4_000, 16, 40_000


def ids_of(number: int) -> np.ndarray:
    """Return a batch that is large enough to be split."""
    return np.random.default_rng(number).integers(1, 5 * ROWS, BATCH)


def grad_of(number: int) -> np.ndarray:
    """Return small whole numbers, whose sums are exact in any order."""
    return np.random.default_rng(number).integers(-2, 3, (BATCH, DIM)).astype(np.float32)


def trained(number: int) -> tuple[bytes, bytes]:
    """Return table and state of a thread's own layer after three steps."""
    layer = nb.BloomEmbedding(5 * ROWS, DIM, rng=number)
    optimizer = nb.Adagrad(layer, lr=0.1)
    for step in range(3):
        optimizer.update(layer, ids_of(step), layer(ids_of(step)) - grad_of(number))
    return layer.weight.tobytes(), optimizer.state(layer)["sum"].tobytes()
