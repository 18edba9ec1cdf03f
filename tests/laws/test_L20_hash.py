"""L20: probe j is MurmurHash3_x86_32 of four little-endian bytes with Spotlight's j-th seed.

The hash is read as a signed number, floor-mod m.
"""

from __future__ import annotations

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.hashing import SPOTLIGHT_SEEDS
from tests.support import strategies
from tests.support._examples import examples

# MurmurHash3_x86_32 of five ids with the first four seeds, as signed numbers.
GOLDEN = {
    0: (234769863, -2056921340, 998123198, 466796417),
    1: (426118601, -488269368, -722640118, 353450014),
    2: (936089561, -535906548, -1591536744, 1101456171),
    12345: (-1245415128, -913977632, -1474589891, 1096310283),
    2**31 - 1: (-1461123485, 854181298, -1790624524, -431559619),
}
SEEDS = """
    179424941 179425457 179425907 179426369 179424977 179425517 179425943 179426407 179424989 179425529 179425993 179426447
    179425003 179425537 179426003 179426453 179425019 179425559 179426029 179426491 179425027 179425579 179426081 179426549
"""
SIZES = [1, 2, 3, 10, 101, 1000, 1024, 199_999, 2**31 - 1, 2**31]


def expected(identity, spec):
    """Return the probes of one id by mmh3 and Python's %, which is floor-mod."""
    if identity == spec.padding_idx:
        return [0] * spec.num_hash_functions
    key = identity.to_bytes(8 if spec.num_embeddings > 2**31 else 4, "little")
    hashes = [mmh3.hash(key, seed) for seed in SPOTLIGHT_SEEDS[: spec.num_hash_functions]]
    first = 1 if spec.padding_idx is not None and not spec.share_padding_row else 0
    return [first + h % (spec.num_rows - first) for h in hashes]


def test_the_seeds_are_spotlights():
    assert tuple(int(seed) for seed in SEEDS.split()) == SPOTLIGHT_SEEDS


@pytest.mark.parametrize("num_rows", SIZES)
def test_golden_rows(num_rows):
    spec = nb.HashSpec(2**31, num_rows)
    for identity, hashes in GOLDEN.items():
        assert nb.ops.hash_rows(identity, spec).tolist() == [h - num_rows * (h // num_rows) for h in hashes]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("n", [1, 9, 2**31 - 1, 2**31, 2**31 + 1, 2**40, 2**63])
@examples(25)  # for each of fourteen layers
@given(data=st.data())
def test_rows_of_every_layer(n, share, data):
    padding_idx = data.draw(st.none() | st.sampled_from([0, n - 1, n // 2]))
    k, m = data.draw(st.integers(1, 24)), data.draw(st.sampled_from(SIZES[2:]) | st.integers(2, 50))
    spec = nb.HashSpec(n, m, k, padding_idx, share)
    ids = data.draw(st.lists(strategies.some_ids(n, padding_idx), min_size=1, max_size=5))
    rows = [expected(identity, spec) for identity in ids]
    assert nb.ops.hash_rows(ids, spec).tolist() == rows
    if m <= 1000:
        for kind in (nb.BloomEmbedding, nb.BloomEmbeddingBag):
            arguments = {"num_rows": m, "num_hash_functions": k, "padding_idx": padding_idx, "share_padding_row": share}
            assert kind(n, 1, **arguments).hash_rows(ids).tolist() == rows


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i4", ">i4", "u4", "i8", ">i8", "u8"])
@pytest.mark.parametrize("n", [200, 2**40])
def test_the_dtype_that_ids_arrive_in_does_not_matter(dtype, n):
    layer = nb.BloomEmbedding(n, 2, num_rows=50)
    ids = np.array([0, 1, 100, 127], dtype=np.int64)
    assert (layer.hash_rows(ids.astype(dtype)) == layer.hash_rows(ids)).all()


def test_a_wide_layer_hashes_small_ids_as_eight_bytes_too():
    narrow, wide = nb.HashSpec(2**31, 1000, 2), nb.HashSpec(2**31 + 1, 1000, 2)
    for identity, hashes in ((0, (-1105108066, 2066483679)), (12345, (824233292, -1348014075))):
        assert nb.ops.hash_rows(identity, wide).tolist() == [h % 1000 for h in hashes]
        assert nb.ops.hash_rows(identity, narrow).tolist() != nb.ops.hash_rows(identity, wide).tolist()


def test_the_unsigned_remainder_would_differ_for_half_of_all_ids():
    rows = nb.ops.hash_rows(range(2000), nb.HashSpec(2000, 101, 1))[:, 0]
    unsigned = nb.hashing.murmurhash3_32(np.arange(2000, dtype=np.int32), SPOTLIGHT_SEEDS[0]) % 101
    assert (rows >= 0).all()
    assert 0.45 < (rows != unsigned).mean() < 0.55


def test_a_thousand_ids_of_spotlight():
    layer = nb.BloomEmbedding(1000, 2, 0.3, 24)
    spec = nb.HashSpec(1000, 300, 24, padding_idx=0)
    assert layer.hash_rows(range(1000)).tolist() == [expected(identity, spec) for identity in range(1000)]
