"""
Spotlight's layers in the form of their state dicts: the same rows, vectors and keys.

The package of that name on the registry is another one, so the tests rebuild its layers. A Bloom
layer is a module whose table is the submodule ``embeddings``; it sums the rows that scikit-learn's
MurmurHash3 names. The other layers are torch's.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom.interop import from_spotlight, from_torch, to_spotlight
from tests.backends._torch import spotlight_rows, torch
from tests.support._bits import assert_same_bits

IDS = np.array([[0, 1, 999], [500, 7, 7]])


class SpotlightBloom(torch.nn.Module):
    """Module that computes Spotlight's BloomEmbedding, with the same names of parameters."""

    def __init__(self, num_embeddings: int, dim: int, compression_ratio: float = 0.2, num_hash_functions: int = 4) -> None:
        super().__init__()
        self.height = int(compression_ratio * num_embeddings)
        self.embeddings = torch.nn.Embedding(self.height, dim, padding_idx=0)
        self.rows = spotlight_rows(num_embeddings, self.height, num_hash_functions)

    def forward(self, ids: np.ndarray) -> Any:
        """Return the sum of each id's rows."""
        return self.embeddings(torch.tensor(self.rows[ids])).sum(-2)


class Network(torch.nn.Module):
    """Spotlight's bilinear network: tables and biases of users and items."""

    def __init__(self) -> None:
        super().__init__()
        self.user_embeddings = SpotlightBloom(1000, 4, 0.3, 3)
        self.item_embeddings = torch.nn.Embedding(50, 4)
        self.user_biases = torch.nn.Embedding(1000, 1)


def quarters(module: Any) -> Any:
    """Give a module values whose sums are exact in any order; the padding row stays zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.randint(-50, 50, value.shape, generator=generator) / 4)
            if "embeddings.weight" in name:
                value[0] = 0
    return module


@pytest.mark.parametrize("num_hash_functions", [1, 2, 4, 24])
@pytest.mark.parametrize("ratio", [0.05, 0.2, 1.0, 1.5])
def test_bloom_layers(num_hash_functions: int, ratio: float) -> None:
    theirs = quarters(SpotlightBloom(1000, 4, ratio, num_hash_functions))
    ours = from_spotlight(theirs.state_dict(), 1000, num_hash_functions=num_hash_functions)
    assert isinstance(ours, nb.BloomEmbedding)
    assert_same_bits(ours.hash_rows(np.arange(1000)), theirs.rows)
    assert_same_bits(ours(IDS) + 0, theirs(IDS).detach().numpy() + 0)
    back = SpotlightBloom(1000, 4, ours.compression_ratio, num_hash_functions)
    back.load_state_dict(to_spotlight(ours, convert=torch.from_numpy))
    assert_same_bits(back.embeddings.weight.detach().numpy(), theirs.embeddings.weight.detach().numpy())


def test_a_network() -> None:
    theirs = quarters(Network())
    state_dict = theirs.state_dict()
    users = from_spotlight(state_dict, 1000, num_hash_functions=3, prefix="user_embeddings.")
    items = from_spotlight(state_dict, prefix="item_embeddings.")
    biases = from_torch(state_dict, nb.ZeroEmbedding, prefix="user_biases.")
    assert_same_bits(users(IDS) + 0, theirs.user_embeddings(IDS).detach().numpy() + 0)
    assert_same_bits(items([3, 49]), theirs.item_embeddings(torch.tensor([3, 49])).detach().numpy())
    back: dict[str, Any] = {}
    for prefix, layer in (("user_embeddings.", users), ("item_embeddings.", items), ("user_biases.", biases)):
        back |= to_spotlight(layer, prefix=prefix, convert=torch.from_numpy)
    other = Network()
    other.load_state_dict(back)
    for name, value in other.state_dict().items():
        assert_same_bits(value.numpy(), state_dict[name].numpy())


@pytest.mark.parametrize("num_rows", [2, 29, 57, 58, 113])
def test_the_ratio_that_gives_the_rows(num_rows: int) -> None:
    layer = nb.BloomEmbedding(100, 2, num_rows=num_rows, rng=0)
    assert SpotlightBloom(100, 2, (num_rows + 0.5) / 100).height == num_rows
    SpotlightBloom(100, 2, (num_rows + 0.5) / 100).load_state_dict(to_spotlight(layer, convert=torch.from_numpy))


def test_the_padding_row_goes_out_as_zeros() -> None:
    table = np.ones((5, 2))
    layer = nb.BloomEmbedding(10, 2, num_rows=5, weight=table)
    found = to_spotlight(layer)["embeddings.weight"]
    assert found.tolist() == [[0, 0]] + [[1, 1]] * 4
    assert (table == 1).all()
    with pytest.raises(ValueError, match="`copy` must be True for a table whose row 0 is not zero"):
        to_spotlight(layer, copy=False)
    table[0] = 0
    assert to_spotlight(layer, copy=False)["embeddings.weight"] is layer.weight


@pytest.mark.parametrize(
    ("state_dict", "arguments", "words"),
    [
        ({"a": 1}, {}, "`state_dict` must have the key 'embeddings.weight', not only 'a'."),
        (
            {"embeddings.weight": np.zeros((3, 2))},
            {},
            "`num_embeddings` must be given: 'embeddings.weight' is a table that ids are hashed into.",
        ),
        (
            {"embeddings.weight": np.ones((3, 2))},
            {"num_embeddings": 9},
            "`embeddings.weight` must have zeros in row 0, the padding row: with bag=True, or a padding_idx other than 0, "
            "Spotlight's own vectors are wrong.",
        ),
        (
            {"weight": np.zeros((3, 2))},
            {"num_hash_functions": 2},
            "`num_hash_functions` must be left out for a plain layer, not 2.",
        ),
        ({"weight": np.zeros((3, 2))}, {"num_embeddings": 4}, "`num_embeddings` must be the height of the table, 3, not 4."),
    ],
)
def test_what_does_not_fit_is_said(state_dict: Any, arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        from_spotlight(state_dict, **arguments)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hash_table", {"hash_table": [[0]] * 10}),
        ("combine", {"combine": "mean"}),
        ("padding_idx", {"padding_idx": 3}),
        ("padding_idx", {"padding_idx": None}),
        ("share_padding_row", {"share_padding_row": False}),
    ],
)
def test_what_spotlight_has_not_is_said(name: str, options: Any) -> None:
    with pytest.raises(ValueError, match=f"^`layer` must be one that Spotlight has, too: its `{name}` is another\\.$"):
        to_spotlight(nb.BloomEmbedding(10, 2, 0.5, rng=0, **options))
    with pytest.raises(ValueError, match="its `num_embeddings` is another"):
        to_spotlight(nb.BloomEmbedding(2**31 + 1, 2, num_rows=5, rng=0))
    bag: Any = nb.BloomEmbeddingBag(10, 2, 0.5, rng=0)
    with pytest.raises(TypeError, match="`layer` must be a layer that Spotlight has, not BloomEmbeddingBag"):
        to_spotlight(bag)
    with pytest.raises(TypeError, match="`state_dict` must be a dict, not list"):
        from_spotlight(["weight"])
