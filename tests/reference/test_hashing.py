"""The reference's hashes and rows.

Hashes are compared with SMHasher's numbers and mmh3, rows with the formula of L20.
"""

from __future__ import annotations

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npbloom import reference
from npbloom.types import SPOTLIGHT_SEEDS, HashSpec
from tests.support._bits import assert_same_bits
from tests.support.strategies import hash_specs, some_ids

SEEDS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
seeds = st.sampled_from(SEEDS) | st.integers(0, 2**32 - 1)

# Found by running MurmurHash3_x64_128 backwards: their hashes begin with the 64-bit words 0, 1
# and 2.
KEYS_BY_HASH = {
    0: bytes.fromhex("c9428ad4429988ed964dbfa575759afd"),
    1: bytes.fromhex("cb4c535c42e1fe5fa8c729eba4a31ca2"),
    2: bytes.fromhex("9880db176109417ee84f6877d91aa637"),
}


def verification(function):
    """Return SMHasher's verification value.

    It is the hash of the hashes of the keys (), (0), (0, 1), ... with seeds 256, 255, ...
    """
    hashes = b"".join(function(bytes(range(length)), 256 - length) for length in range(256))
    return int.from_bytes(function(hashes, 0)[:4], "little")


def test_smhasher_verification_values():
    def x86_32(key, seed):
        return reference.murmurhash3_32(key, seed).astype("<u4").tobytes()

    def x64_128(key, seed):
        return reference.murmurhash3_x64_128(key, seed).astype("<u8").tobytes()

    assert verification(x86_32) == 0xB0F57EE3
    assert verification(x64_128) == 0x6384BA69


def test_published_hashes():
    assert reference.murmurhash3_32(b"") == 0
    assert reference.murmurhash3_32(b"", 1) == 0x514E28B7
    assert reference.murmurhash3_32("Hello, world!", 1234) == 0xFAF6CDB3
    assert reference.murmurhash3_32("The quick brown fox jumps over the lazy dog", 0x9747B28C) == 0x2FA826CD


@given(st.binary(max_size=40), seeds)
def test_bytes_hash_as_in_mmh3(key, seed):
    assert reference.murmurhash3_32(key, seed) == mmh3.hash(key, seed, signed=False)
    assert reference.murmurhash3_x64_128(key, seed).tolist() == list(mmh3.hash64(key, seed, x64arch=True, signed=False))


@pytest.mark.parametrize("length", range(41))
def test_high_bytes_in_every_tail_position(length):
    keys = [bytes(255 if at == high else at for at in range(length)) for high in range(length)] or [b""]
    for seed in SEEDS:
        assert reference.murmurhash3_32(keys, seed).tolist() == [mmh3.hash(key, seed, signed=False) for key in keys]
        halves = reference.murmurhash3_x64_128(keys, seed).tolist()
        assert halves == [list(mmh3.hash64(key, seed, x64arch=True, signed=False)) for key in keys]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, ">u2", np.int32, ">i4", np.uint32, np.int64, ">i8", np.uint64])
def test_integers_hash_their_little_endian_bytes(dtype):
    info = np.iinfo(dtype)
    values = [info.min, info.min + 1, 0, 1, 200 % info.max, info.max - 1, info.max]
    size = 8 if info.bits == 64 else 4
    keys = [value.to_bytes(size, "little", signed=info.min < 0) for value in values]
    array = np.array(values, dtype=dtype)
    assert_same_bits(reference.murmurhash3_32(array, 7), reference.murmurhash3_32(keys, 7))
    assert_same_bits(reference.murmurhash3_x64_128(array, 7), reference.murmurhash3_x64_128(keys, 7))
    wide = [mmh3.hash64(value.to_bytes(8, "little", signed=info.min < 0), signed=False)[0] >> 1 for value in values]
    assert reference.hash_keys(array).tolist() == wide


def test_python_integers_are_eight_bytes():
    assert reference.murmurhash3_32(5) == mmh3.hash((5).to_bytes(8, "little"), signed=False)
    assert reference.murmurhash3_32([5, -1]).tolist() == reference.murmurhash3_32(np.array([5, -1])).tolist()
    assert reference.murmurhash3_32([2**63]) == mmh3.hash((2**63).to_bytes(8, "little"), signed=False)


def test_shapes_and_dtypes():
    for keys, shape in [(5, ()), ("a", ()), (b"", ()), ([], (0,)), (["a", b"b"], (2,)), (np.ones((2, 0, 3), int), (2, 0, 3))]:
        hashes, halves, ids = reference.murmurhash3_32(keys), reference.murmurhash3_x64_128(keys), reference.hash_keys(keys)
        assert (hashes.dtype, hashes.shape) == (np.uint32, shape)
        assert (halves.dtype, halves.shape) == (np.uint64, (*shape, 2))
        assert (ids.dtype, ids.shape) == (np.int64, shape)


def test_text_hashes_its_utf_8_bytes():
    assert_same_bits(reference.murmurhash3_32(["naïve", "日本"]), reference.murmurhash3_32(["naïve".encode(), "日本".encode()]))
    assert_same_bits(reference.hash_keys(np.array([["a"], ["日"]])), reference.hash_keys(["a", "日"])[:, None])


@pytest.mark.parametrize("first_half", KEYS_BY_HASH)
def test_hash_keys_replaces_zero(first_half):
    key = KEYS_BY_HASH[first_half]
    assert mmh3.hash64(key, signed=False)[0] == first_half
    assert reference.hash_keys(key) == 1


@pytest.mark.parametrize("keys", [1.5, [True], np.array([1.0]), None, [None], [1, "a"], ["a", 1], [["a"]], {"a"}, 2**64])
def test_other_keys_are_refused(keys):
    for function in (reference.murmurhash3_32, reference.murmurhash3_x64_128, reference.hash_keys):
        with pytest.raises(TypeError):
            function(keys)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_has_32_bits(seed):
    for function in (reference.murmurhash3_32, reference.murmurhash3_x64_128):
        with pytest.raises(ValueError, match="`seed` must lie in"):
            function(b"a", seed)


def test_the_rows_of_spotlight():
    # Spotlight's own line: murmurhash3_32(np.arange(n, dtype=np.int32), seed=seed) % m with a
    # signed hash; padding set to 0.
    rows = reference.hash_rows(np.arange(1000), HashSpec(1000, 101, num_hash_functions=24, padding_idx=0))
    expected = [[mmh3.hash(int(i).to_bytes(4, "little"), seed) % 101 for seed in SPOTLIGHT_SEEDS] for i in range(1000)]
    expected[0] = [0] * 24
    assert rows.tolist() == expected


def expected_rows(identity, spec):
    """Return the probes of one id by L20 to L22."""
    if identity == spec.padding_idx:
        return [0] * spec.num_hash_functions
    if spec.table is not None:
        return spec.table[identity].tolist()
    key = identity.to_bytes(8 if spec.num_embeddings > 2**31 else 4, "little")
    hashes = [mmh3.hash(key, seed) for seed in SPOTLIGHT_SEEDS[: spec.num_hash_functions]]  # signed; Python's % is floor-mod
    if spec.padding_idx is None or spec.share_padding_row:
        return [h % spec.num_rows for h in hashes]
    return [1 + h % (spec.num_rows - 1) for h in hashes]


@given(st.data())
def test_rows_follow_the_formula(data):
    spec = data.draw(hash_specs(most_hashes=24))
    ids = data.draw(st.lists(some_ids(spec.num_embeddings, spec.padding_idx), max_size=6))
    rows = reference.hash_rows(ids, spec)
    assert (rows.dtype, rows.shape) == (np.int64, (len(ids), spec.num_hash_functions))
    assert rows.tolist() == [expected_rows(identity, spec) for identity in ids]


def test_rows_of_one_id_and_of_none():
    spec = HashSpec(2**31 + 1, 2**31, num_hash_functions=3, padding_idx=5)
    assert reference.hash_rows(5, spec).tolist() == [0, 0, 0]
    assert reference.hash_rows(2**31, spec).tolist() == expected_rows(2**31, spec)
    assert reference.hash_rows(np.ones((2, 0), int), spec).shape == (2, 0, 3)


def test_rows_of_ids_that_are_none():
    spec = HashSpec(10, 4)
    with pytest.raises(IndexError, match=r"`ids` must lie in \[0, 10\), not -1 at position \(1, 0\)"):
        reference.hash_rows([[1], [-1]], spec)
    with pytest.raises(TypeError):
        reference.hash_rows([1.0], spec)
