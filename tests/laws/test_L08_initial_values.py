"""L8: initial values are normal with deviation 1 / d, or zeros, with a zero padding row.

An adopted table stays as it is. The same seed gives the same table.
"""

from __future__ import annotations

import numpy as np
import pytest

import npbloom as nb
from tests.support._bits import assert_same_bits
from tests.support._threads import COUNTS, watch

SCALED = {
    "ScaledEmbedding": lambda d, **options: nb.ScaledEmbedding(200_000 // d, d, **options),
    "ScaledEmbeddingBag": lambda d, **options: nb.ScaledEmbeddingBag(200_000 // d, d, **options),
    "BloomEmbedding": lambda d, **options: nb.BloomEmbedding(1_000_000 // d, d, **options),
    "BloomEmbeddingBag": lambda d, **options: nb.BloomEmbeddingBag(1_000_000 // d, d, **options),
}


@pytest.mark.parametrize("dtype", [None, np.float32, "float64"])
@pytest.mark.parametrize("dim", [1, 5, 64])
@pytest.mark.parametrize("name", SCALED)
def test_scaled_tables_are_normal_with_deviation_one_over_d(name, dim, dtype):
    layer = SCALED[name](dim, rng=1, dtype=dtype, padding_idx=None)
    assert layer.dtype == layer.weight.dtype == np.dtype(dtype or np.float32)
    values = layer.weight.ravel().astype(np.float64) * dim
    assert abs(values.mean()) < 5 / np.sqrt(values.size)
    assert abs(values.std() - 1) < 5 / np.sqrt(2 * values.size)
    for sigmas, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        assert abs((np.abs(values) > sigmas).mean() - share) < 5 * np.sqrt(share / values.size)
    assert len(np.unique(values)) > 0.97 * values.size  # no block is a copy of another


def test_zero_tables_are_zero():
    for dtype in (np.float32, np.float64):
        layer = nb.ZeroEmbedding(5, 3, dtype=dtype)
        assert_same_bits(layer.weight, np.zeros((5, 3), dtype=dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", [3, 64])
def test_one_seed_gives_one_table_on_any_number_of_threads(dim, dtype):
    tables = []
    for threads in COUNTS:
        with watch(threads) as seen:
            tables.append(nb.ScaledEmbedding(2_000_003 // dim, dim, rng=7, dtype=dtype).weight)
        assert seen.most_tasks == threads, "too small a table to be split"
    for table in tables[1:]:
        assert_same_bits(table, tables[0])


def test_generators_and_seeds():
    one, same, other = (nb.ScaledEmbedding(9, 3, rng=rng).weight for rng in (5, np.random.default_rng(5), 6))
    assert_same_bits(one, same)
    assert not np.array_equal(one, other)
    rng = np.random.default_rng(5)
    first, second = nb.ScaledEmbedding(9, 3, rng=rng).weight, nb.ScaledEmbedding(9, 3, rng=rng).weight
    assert_same_bits(first, one)
    assert not np.array_equal(first, second)
    assert not np.array_equal(nb.ScaledEmbedding(9, 3).weight, nb.ScaledEmbedding(9, 3).weight)


@pytest.mark.parametrize("rng", ["seed", 1.5, True, np.random.RandomState(1), -1])
def test_other_sources_of_chance_are_refused(rng):
    with pytest.raises((TypeError, ValueError), match="`rng` must be"):
        nb.ScaledEmbedding(9, 3, rng=rng)


@pytest.mark.parametrize("padding_idx", [0, 3, 8, -1, -9])
def test_the_padding_row_starts_at_zero_and_no_other_does(padding_idx):
    for layer in (nb.ScaledEmbedding(9, 3, padding_idx, rng=1), nb.ScaledEmbeddingBag(9, 3, padding_idx=padding_idx, rng=1)):
        assert np.flatnonzero(~layer.weight.any(axis=1)).tolist() == [padding_idx % 9]
        free = type(layer)(9, 3, padding_idx=None, rng=1)
        assert_same_bits(np.delete(layer.weight, padding_idx, axis=0), np.delete(free.weight, padding_idx, axis=0))


@pytest.mark.parametrize("kind", [nb.BloomEmbedding, nb.BloomEmbeddingBag])
def test_row_zero_of_a_bloom_table_is_reserved_for_any_padding_id(kind):
    for padding_idx in (0, 5):
        layer = kind(100, 3, padding_idx=padding_idx, rng=1)
        assert np.flatnonzero(~layer.weight.any(axis=1)).tolist() == [0]
    assert kind(100, 3, padding_idx=None, rng=1).weight.any(axis=1).all()
    assert kind(100, 3, rng=1).weight[0].tolist() == [0, 0, 0]  # the default padding id is 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_adopted_table_is_taken_as_it_is(dtype):
    weight = np.random.default_rng(1).standard_normal((9, 3)).astype(dtype)
    before = weight.copy()
    for layer in (
        nb.ScaledEmbedding(9, 3, padding_idx=2, weight=weight),
        nb.ZeroEmbedding(9, 3, padding_idx=2, weight=weight),
        nb.ScaledEmbeddingBag(9, 3, padding_idx=2, weight=weight),
        nb.BloomEmbedding(90, 3, num_rows=9, weight=weight),
        nb.BloomEmbeddingBag(90, 3, num_rows=9, weight=weight),
    ):
        assert np.shares_memory(layer.weight, weight)
        assert layer.dtype == dtype
        assert_same_bits(weight, before)


def test_a_memory_mapped_table_is_adopted_without_a_copy(tmp_path):
    mapped = np.memmap(tmp_path / "table", dtype=np.float32, mode="w+", shape=(9, 3))
    layer = nb.ScaledEmbedding(9, 3, padding_idx=0, weight=mapped)
    assert np.shares_memory(layer.weight, mapped)
    nb.SGD(layer, lr=1.0).update(layer, [4], np.ones((1, 3)))
    mapped.flush()
    assert np.fromfile(tmp_path / "table", dtype=np.float32).reshape(9, 3)[4].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    "weight",
    [
        np.zeros((9, 4), dtype=np.float32),
        np.zeros((8, 3), dtype=np.float32),
        np.zeros(27, dtype=np.float32),
        np.zeros((9, 3), dtype=np.float16),
        np.zeros((9, 3), dtype=int),
        np.zeros((9, 3), dtype=">f4"),
        np.zeros((9, 3), dtype=np.float32, order="F"),
        np.zeros((9, 6), dtype=np.float32)[:, ::2],
        np.zeros((18, 3), dtype=np.float32)[::2],
    ],
    ids=lambda weight: f"{weight.dtype.str}{weight.shape}{weight.strides}",
)
def test_a_table_that_does_not_fit_is_a_value_error(weight):
    for make in (nb.ScaledEmbedding, nb.ZeroEmbedding, nb.ScaledEmbeddingBag):
        with pytest.raises(ValueError, match="`weight` must"):
            make(9, 3, weight=weight)
    with pytest.raises(ValueError, match="`weight` must"):
        nb.BloomEmbedding(90, 3, num_rows=9, weight=weight)


def test_a_dtype_beside_a_table_must_be_the_tables():
    weight = np.zeros((9, 3), dtype=np.float32)
    assert nb.ScaledEmbedding(9, 3, dtype=np.float32, weight=weight).dtype == np.float32
    with pytest.raises(ValueError, match="`dtype` must"):
        nb.ScaledEmbedding(9, 3, dtype=np.float64, weight=weight)
