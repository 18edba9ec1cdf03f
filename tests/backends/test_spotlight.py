"""
Spotlight's Bloom layer on torch, with scikit-learn's hash.

Rows, vectors, gradients and training must agree.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.backends._torch import assert_close, combine_rows, leaf, spotlight_rows, tensor, torch, total
from tests.support.strategies import id_arrays


def table(num_rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """
    Return Spotlight's initial values.

    They are normal with deviation 1 / dim, and zeros in the padding row.
    """
    weight = np.random.default_rng(seed).normal(0, 1 / dim, (num_rows, dim))
    weight[0] = 0
    return weight


@pytest.mark.parametrize("num_hash_functions", [1, 2, 4, 24])
@pytest.mark.parametrize("compression_ratio", [0.01, 0.2, 0.5, 1.0, 1.5])
def test_hash_tables(num_hash_functions: int, compression_ratio: float) -> None:
    layer = nb.BloomEmbedding(9_731, 2, compression_ratio, num_hash_functions, rng=0)
    num_rows = int(compression_ratio * 9_731)
    assert layer.compressed_num_embeddings == num_rows
    expected = spotlight_rows(9_731, num_rows, num_hash_functions)
    np.testing.assert_array_equal(layer.hash_rows(np.arange(9_731)), expected)
    if num_rows == 97:
        assert (expected[1:] == 0).any()  # other ids on the padding row: Spotlight's default, and ours


@given(
    num_embeddings=st.integers(10, 60),
    ratio=st.sampled_from([0.2, 0.5, 1.0, 1.5]),
    num_hash_functions=st.sampled_from([1, 2, 4, 24]),
    bag=st.booleans(),
    data=st.data(),
)
def test_forward_and_backward(num_embeddings: int, ratio: float, num_hash_functions: int, bag: bool, data: st.DataObject) -> None:
    ids = data.draw(id_arrays(num_embeddings, 0, data.draw(st.sampled_from([(5,), (1,), (3, 4), (2, 1)]))))
    num_rows = int(ratio * num_embeddings)
    rows = spotlight_rows(num_embeddings, num_rows, num_hash_functions)[ids]
    event(f"padding: {(ids == 0).any()}, others on row 0: {(rows[ids != 0] == 0).any()}")
    weight = leaf(table(num_rows, 5))
    out = combine_rows(rows, weight, "sum", padded=True)
    grad_out = np.random.default_rng(1).standard_normal((*ids.shape, 5))
    out.backward(tensor(grad_out))
    layer = nb.BloomEmbedding(num_embeddings, 5, ratio, num_hash_functions, bag, weight=table(num_rows, 5))
    assert_close(layer(ids), out, total(layer.weight) * num_hash_functions)
    assert_close(layer.backward(ids, grad_out, sparse=False), weight.grad, total(grad_out) * num_hash_functions)


@pytest.mark.parametrize("optimizer", ["SGD", "Adagrad", "Adam"])
def test_training_a_factorization_as_spotlight_does(optimizer: str) -> None:
    """
    Tables agree for twenty batches of a factorization.

    Users and items are hashed, scores are dot products, the loss is BPR, and steps are dense.
    """
    rng = np.random.default_rng(0)
    sizes, dim = {"users": 60, "items": 90}, 4
    rows = {name: spotlight_rows(size, size // 5, 4) for name, size in sizes.items()}
    tables = {name: table(size // 5, dim, size) for name, size in sizes.items()}
    weights = {name: leaf(tables[name]) for name in sizes}
    layers = {name: nb.BloomEmbedding(size, dim, weight=tables[name]) for name, size in sizes.items()}
    theirs = getattr(torch.optim, optimizer)(list(weights.values()), lr=0.05)
    ours = getattr(nb, optimizer)(list(layers.values()), lr=0.05)

    def look_up(name: str, ids: np.ndarray) -> object:
        return combine_rows(rows[name][ids], weights[name], "sum", padded=True)

    for _ in range(20):
        users, positive, negative = rng.integers(1, 60, 32), rng.integers(1, 90, 32), rng.integers(1, 90, 32)
        theirs.zero_grad()
        user, good, bad = look_up("users", users), look_up("items", positive), look_up("items", negative)
        loss = (1 - torch.sigmoid((user * good).sum(1) - (user * bad).sum(1))).mean()
        loss.backward()
        theirs.step()

        user, both = layers["users"](users), layers["items"](np.stack([positive, negative]))
        likely = 1 / (1 + np.exp(-(user * (both[0] - both[1])).sum(axis=1)))
        slope = (-likely * (1 - likely) / 32)[:, None]
        user_grad = layers["users"].backward(users, slope * (both[0] - both[1]), sparse=False)
        item_grad = layers["items"].backward(
            np.stack([positive, negative]), np.stack([slope * user, -slope * user]), sparse=False
        )
        ours.step(layers["users"], user_grad)
        ours.step(layers["items"], item_grad)
        for name, layer in layers.items():
            np.testing.assert_allclose(layer.weight, weights[name].detach().numpy(), rtol=1e-7, atol=1e-9)
