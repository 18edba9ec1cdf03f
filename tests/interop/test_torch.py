"""Tables to and from torch's embedding modules: the same bits, and the same lookups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom.interop import from_torch, to_torch
from tests.backends._torch import torch
from tests.support._bits import assert_same_bits

DTYPES = [torch.float32, torch.float64]
IDS = np.array([[1, 2, 5], [5, 5, 6], [0, 2, 3]])


def module(kind: Any, dtype: Any, **options: Any) -> Any:
    """Return a module of torch on a table of quarters, of which a few have exact sums."""
    made = kind(7, 4, dtype=dtype, **options)
    with torch.no_grad():
        made.weight.copy_(torch.randint(-50, 50, (7, 4), generator=torch.Generator().manual_seed(0)) / 4)
    return made


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layer", [nb.ScaledEmbedding, nb.ZeroEmbedding])
@pytest.mark.parametrize("options", [{}, {"padding_idx": -1, "scale_grad_by_freq": True}, {"max_norm": 3.0, "norm_type": 1.0}])
def test_embeddings(layer: Any, dtype: Any, options: dict[str, Any]) -> None:
    theirs = module(torch.nn.Embedding, dtype, **options)
    ours = from_torch(theirs.state_dict(), layer, **options)
    assert type(ours) is layer
    assert_same_bits(ours.weight, theirs.weight.detach().numpy())
    out = theirs(torch.tensor(IDS)).detach().numpy()
    if "max_norm" in options:  # torch sums the norm in another order
        np.testing.assert_allclose(ours(IDS), out, rtol=1e-6)
        np.testing.assert_allclose(ours.weight, theirs.weight.detach().numpy(), rtol=1e-6)
    else:
        assert_same_bits(ours(IDS), out)
    back = torch.nn.Embedding(7, 4, dtype=dtype, **options)
    back.load_state_dict(to_torch(ours, convert=torch.from_numpy))
    assert_same_bits(back.weight.detach().numpy(), ours.weight)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode: str, dtype: Any) -> None:
    options = {"mode": mode, "padding_idx": 2, "include_last_offset": True}
    theirs = module(torch.nn.EmbeddingBag, dtype, **options)
    ours = from_torch(
        {f"bags.{key}": value for key, value in theirs.state_dict().items()}, nb.ScaledEmbeddingBag, prefix="bags.", **options
    )
    indices, offsets = (
        np.array([0, 1, 2, 3, 2, 5, 6, 6, 1]),
        np.array([0, 2, 2, 4, 5, 9]),
    )  # of at most 4 entries: means are exact
    out = theirs(torch.tensor(indices), torch.tensor(offsets)).detach().numpy()
    assert_same_bits(ours(indices, offsets) + 0.0, out + 0.0)
    back = torch.nn.EmbeddingBag(7, 4, dtype=dtype, **options)
    back.load_state_dict(to_torch(ours, convert=torch.from_numpy), strict=True)
    assert_same_bits(back.weight.detach().numpy(), ours.weight)


def test_memory_is_shared_only_where_that_is_asked_for() -> None:
    theirs = module(torch.nn.Embedding, torch.float32)
    before = theirs.weight.detach().numpy().copy()
    own = from_torch(theirs.state_dict(), nb.ScaledEmbedding)
    shared = from_torch(theirs.state_dict(), nb.ScaledEmbedding, copy=False)
    nb.SGD(own, lr=1.0).update(own, [1], np.ones((1, 4)))
    assert_same_bits(theirs.weight.detach().numpy(), before)
    nb.SGD(shared, lr=1.0).update(shared, [1], np.ones((1, 4)))
    assert_same_bits(theirs.weight.detach().numpy(), shared.weight)
    assert (theirs.weight.detach().numpy() != before).any()
    assert to_torch(own, copy=False)["weight"] is own.weight
    assert not np.may_share_memory(to_torch(own)["weight"], own.weight)


def test_any_array_will_do() -> None:
    table = np.arange(12.0).reshape(3, 4)
    for given in (
        table,
        table.astype(">f8"),
        np.asfortranarray(table),
        table[::-1][::-1],
        torch.nn.Parameter(torch.tensor(table)),
    ):
        layer = from_torch({"weight": given}, nb.ScaledEmbedding)
        assert_same_bits(layer.weight, table)
        assert layer.weight.flags.writeable


@pytest.mark.parametrize(
    ("state_dict", "layer", "options", "error", "words"),
    [
        ([], nb.ScaledEmbedding, {}, TypeError, "`state_dict` must be a dict, not list."),
        ({}, nb.ScaledEmbedding, {}, ValueError, "`state_dict` must have the key 'weight', not only nothing."),
        (
            dict.fromkeys("abcdef"),
            nb.ScaledEmbedding,
            {"prefix": "x."},
            ValueError,
            "`state_dict` must have the key 'x.weight', not only 'a', 'b', 'c', 'd' and 2 more.",
        ),
        (
            {"weight": np.zeros((2, 2), np.int64)},
            nb.ScaledEmbedding,
            {},
            ValueError,
            "`weight` must be float32 or float64, not int64.",
        ),
        (
            {"weight": torch.zeros((2, 2), dtype=torch.float16)},
            nb.ScaledEmbedding,
            {},
            ValueError,
            "`weight` must be float32 or float64, not float16.",
        ),
        (
            {"weight": torch.zeros((2, 2), dtype=torch.bfloat16)},
            nb.ScaledEmbedding,
            {},
            ValueError,
            "`weight` must be a dense tensor of a dtype that NumPy has, not torch.bfloat16, torch.strided.",
        ),
        (
            {"weight": np.zeros(2)},
            nb.ScaledEmbedding,
            {},
            ValueError,
            "`weight` must have shape (rows, dim), both at least 1, not (2,).",
        ),
        (
            {"weight": np.zeros((2, 4))[:, ::2]},
            nb.ScaledEmbedding,
            {"copy": False},
            ValueError,
            "`weight` must be C-contiguous and aligned.",
        ),
        (
            {"weight": np.zeros((2, 2))},
            nb.BloomEmbedding,
            {},
            TypeError,
            f"`layer` must be one of ScaledEmbedding, ZeroEmbedding, ScaledEmbeddingBag, not {nb.BloomEmbedding!r}.",
        ),
        (
            {"weight": np.zeros((2, 2))},
            nb.ScaledEmbedding,
            {"padding_idx": 2},
            ValueError,
            "`padding_idx` must lie in [-2, 2), not 2.",
        ),
        ({"weight": np.zeros((2, 2))}, nb.ScaledEmbedding, {"copy": 1}, TypeError, "`copy` must be True or False, not 1."),
    ],
)
def test_what_does_not_fit_is_said(state_dict: Any, layer: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        from_torch(state_dict, layer, **options)
    assert str(caught.value) == words


def test_hashed_layers_are_not_torchs() -> None:
    layer: Any = nb.BloomEmbedding(10, 2, rng=0)
    with pytest.raises(TypeError, match=r"`layer` must be one of ScaledEmbedding, .* not BloomEmbedding"):
        to_torch(layer)
