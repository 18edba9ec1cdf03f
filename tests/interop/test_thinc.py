"""Thinc's HashEmbed: its hash against another implementation, and against Thinc if installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import mmh3
import numpy as np
import pytest

import npbloom as nb
from npbloom.interop import from_thinc, thinc_hash_rows, to_thinc
from tests.support._bits import assert_same_bits

KEYS = np.array([0, 1, 7, 2**31, 2**32, 2**63, 2**64 - 1, 9_223_372_036_854_775_807, 4_611_686_018_427_387_905], np.uint64)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seed", [0, 3, 2**32 - 1])
@pytest.mark.parametrize("num_rows", [1, 2, 100, 5_003, 2**31])
def test_rows_are_the_words_of_the_128_bit_hash(seed: int, num_rows: int) -> None:
    rows = thinc_hash_rows(KEYS, num_rows, seed)
    for key, found in zip(KEYS.tolist(), rows.tolist(), strict=True):
        digest = mmh3.hash_bytes(key.to_bytes(8, "little"), seed, x64arch=True)
        words = [int.from_bytes(digest[at : at + 4], "little") for at in (0, 4, 8, 12)]
        assert found == [word % num_rows for word in words]


def test_keys_of_any_kind_and_shape() -> None:
    assert_same_bits(thinc_hash_rows(5, 99, 1), thinc_hash_rows(np.arange(5, dtype=np.int32), 99, 1))
    assert_same_bits(thinc_hash_rows([[-1], [2]], 99, 1), thinc_hash_rows(np.array([[2**64 - 1], [2]], np.uint64), 99, 1))
    assert_same_bits(thinc_hash_rows(KEYS.astype(">u8"), 99, 1), thinc_hash_rows(KEYS, 99, 1))
    assert thinc_hash_rows([], 99, 1).shape == (0, 4)
    assert thinc_hash_rows(np.zeros((2, 3), np.uint64), 99, 1).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((2.5, 9, 0), TypeError, "`ids` must be a number of ids or an integer array, not float64."),
        ((True, 9, 0), TypeError, "`ids` must be a number of ids or an integer array, not bool."),
        ((0, 9, 0), ValueError, "`ids` must be at least 1, not 0."),
        ((5, 0, 0), ValueError, "`num_rows` must be at least 1, not 0."),
        ((5, 2**31 + 1, 0), ValueError, "`num_rows` must lie in [1, 2**31], not 2147483649."),
        ((5, 9, -1), ValueError, "`seed` must lie in [0, 2**32), not -1."),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        thinc_hash_rows(*arguments)
    assert str(caught.value) == words


def test_a_layer_reads_the_rows_and_goes_back_to_the_bit() -> None:
    table = np.arange(-150.0, 150.0, dtype=np.float32).reshape(100, 3)
    layer = from_thinc(table, KEYS, 3)
    rows = thinc_hash_rows(KEYS, 100, 3)
    assert_same_bits(layer.hash_rows(np.arange(len(KEYS))), rows)
    assert_same_bits(layer(np.arange(len(KEYS))), table[rows].sum(axis=1))
    assert_same_bits(to_thinc(layer, KEYS, 3), table)
    nb.SGD(layer, lr=1.0).update(layer, [0], np.ones((1, 3)))
    assert (table == np.arange(-150.0, 150.0).reshape(100, 3)).all()
    shared = from_thinc(table, KEYS, 3, copy=False)
    assert np.may_share_memory(to_thinc(shared, KEYS, 3, copy=False), table)
    assert to_thinc(shared, KEYS, 3, convert=np.ravel).shape == (300,)


@pytest.mark.parametrize(
    ("make", "ids", "error", "words"),
    [
        (lambda: nb.ScaledEmbedding(5, 2, rng=0), 5, TypeError, "`layer` must be a BloomEmbedding, not ScaledEmbedding."),
        (
            lambda: nb.BloomEmbedding(5, 2, 1.0, rng=0),
            5,
            ValueError,
            "`layer` must sum four rows and have no padding id, as Thinc does.",
        ),
        (lambda: from_thinc(np.zeros((9, 2)), 5, 0), 6, ValueError, "`ids` must be the keys of 5 ids, not of shape (6,)."),
        (
            lambda: nb.BloomEmbedding(5, 2, num_rows=9, padding_idx=None, rng=0),
            5,
            ValueError,
            "`layer` must read the rows that Thinc's hash gives; id 0 reads [3, 4, 5, 5], not [5, 2, 2, 5].",
        ),
    ],
)
def test_what_thinc_has_not_is_said(make: Any, ids: Any, error: type[Exception], words: str) -> None:
    layer = make()
    with pytest.raises(error) as caught:
        to_thinc(layer, ids, 0)
    assert str(caught.value) == words


def test_keys_of_a_layer_are_a_list() -> None:
    for ids in ([[1, 2]], []):
        with pytest.raises(ValueError, match=r"^`ids` must have shape \(n,\) with n >= 1, not "):
            from_thinc(np.zeros((9, 2)), ids, 0)


PROGRAM = """
import numpy as np
from thinc.api import HashEmbed
import npbloom as nb
from npbloom.interop import from_thinc, to_thinc
keys = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
for height, seed in ((1, 0), (97, 3), (5000, 2**32 - 1)):
    theirs = HashEmbed(8, height, seed=seed)
    theirs.initialize()
    table = np.random.default_rng(1).integers(-64, 64, (height, 8)).astype(np.float32) / 4   # sums are exact in any order
    theirs.set_param("E", table)
    out, backprop = theirs(keys, is_train=True)
    ours = from_thinc(theirs.get_param("E"), keys, theirs.attrs["seed"])
    assert np.array_equal(ours.hash_rows(np.arange(1000)), theirs.ops.hash(keys, seed) % height)
    assert ours.weight.dtype == np.float32 and np.array_equal(ours(np.arange(1000)), out)
    grad_out = np.random.default_rng(2).integers(-64, 64, out.shape).astype(np.float32)
    backprop(grad_out.copy())
    assert np.array_equal(ours.backward(np.arange(1000), grad_out, sparse=False), theirs.get_grad("E"))
    real = np.random.default_rng(3).standard_normal((height, 8)).astype(np.float32)
    ours.weight[...] = real
    back = HashEmbed(8, height, seed=seed)
    back.initialize()
    back.set_param("E", to_thinc(ours, keys, seed))
    assert back.get_param("E").tobytes() == real.tobytes()
    np.testing.assert_allclose(ours(np.arange(1000)), back.predict(keys), rtol=1e-5, atol=1e-5)
print("agreed")
"""


@pytest.mark.peers
@pytest.mark.skipif(importlib.util.find_spec("thinc") is None, reason="thinc is not installed (extra `peers`)")
def test_thinc_itself_computes_the_same() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout == "agreed\n", ended.stderr[-2000:]
