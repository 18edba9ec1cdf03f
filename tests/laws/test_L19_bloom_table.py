"""L19: m is int(compression_ratio * num_embeddings), or num_rows.

Fewer than 1 row (2 with padding) and more than 2^31 are refused.
"""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb

KINDS = [nb.BloomEmbedding, nb.BloomEmbeddingBag]


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, 5000), share=st.floats(0, 1), padded=st.booleans())
def test_height_by_ratio(kind, n, share, padded):
    fewest = 1.001 * (1 + padded) / n
    ratio = fewest + share * (3 - fewest)
    height = int(ratio * n)
    layer = kind(n, 1, ratio, padding_idx=0 if padded else None)
    assert layer.weight.shape == (height, 1)
    assert layer.compressed_num_embeddings == height
    assert layer.compression_ratio == ratio
    assert layer.num_parameters == height
    assert layer.hash_rows(range(min(n, 9))).max() < height


@pytest.mark.parametrize("kind", KINDS)
def test_ratios_above_one_and_the_default(kind):
    assert kind(10, 3, 2.5).weight.shape == (25, 3)
    assert kind(10, 3).weight.shape == (2, 3)  # 0.2
    assert kind(10, 3, 1).weight.shape == (10, 3)


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, 100) | st.sampled_from([2**40, 2**63]), rows=st.integers(2, 200))
def test_height_by_number_of_rows(kind, n, rows):
    layer = kind(n, 2, num_rows=rows)
    assert layer.weight.shape == (rows, 2)
    assert layer.compressed_num_embeddings == rows
    assert layer.compression_ratio == rows / n


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, 2000), share=st.floats(1e-6, 0.999), padded=st.booleans())
def test_too_few_rows_are_refused_with_what_would_do(kind, n, share, padded):
    ratio, padding_idx = share * (1 + padded) / n, 0 if padded else None
    with pytest.raises(ValueError, match="num_rows") as caught:
        kind(n, 1, ratio, padding_idx=padding_idx)
    advised = float(re.search(r"a ratio of ([\d.e+-]+) or more", str(caught.value))[1])
    assert kind(n, 1, advised, padding_idx=padding_idx).weight.shape[0] >= 1 + padded


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_rows_are_refused_with_what_would_do(kind):
    for n, ratio in ((2**31 + 1, 1.0), (2**40, 0.2), (2**63, 1e-3), (2**30, 2.1)):
        with pytest.raises(ValueError, match="num_rows") as caught:
            kind(n, 1, ratio)
        advised = float(re.search(r"a ratio of ([\d.e+-]+) or less", str(caught.value))[1])
        assert 0.99 * 2**31 < int(advised * n) <= 2**31
    with pytest.raises(ValueError, match=r"`num_rows` must lie in \[2, 2\*\*31\]"):
        kind(10, 1, num_rows=2**31 + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fewest_rows(kind):
    for padding_idx, fewest in ((None, 1), (0, 2), (7, 2)):
        assert kind(10, 1, num_rows=fewest, padding_idx=padding_idx).weight.shape == (fewest, 1)
        for rows in (fewest - 1, 0, -5):
            with pytest.raises(ValueError, match="`num_rows` must lie in"):
                kind(10, 1, num_rows=rows, padding_idx=padding_idx)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", [0, 0.0, -0.5, math.inf, math.nan])
def test_a_ratio_is_finite_and_positive(kind, ratio):
    with pytest.raises(ValueError, match="`compression_ratio` must be"):
        kind(10, 1, ratio)


@pytest.mark.parametrize("kind", KINDS)
def test_ratios_and_rows_of_another_kind_are_a_type_error(kind):
    for options in ({"compression_ratio": "half"}, {"compression_ratio": None}, {"num_rows": 5.0}, {"num_rows": True}):
        with pytest.raises(TypeError, match=f"`{next(iter(options))}` must be"):
            kind(10, 1, **options)
