"""Public hashing: mmh3, SMHasher's verification, scikit-learn; keys of every kind; bad keys."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import mmh3
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32 as sklearn_murmurhash3_32

from npbloom import hashing, reference
from npbloom._threads import num_threads
from npbloom.hashing import hash_keys, murmurhash3_32, murmurhash3_x64_128
from tests.support._bits import assert_same_bits

SEEDS = (0, 1, 2**31, 2**32 - 1)
EXTREMES = (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**63 - 1, -(2**63))

seeds = st.sampled_from(SEEDS) | st.integers(0, 2**32 - 1)
high_bytes = st.lists(st.integers(0, 255) | st.integers(128, 255), max_size=40).map(bytes)


def smhasher_verification(hash_bytes: Callable[[bytes, int], bytes]) -> int:
    """
    Return SMHasher's verification value of a hash.

    VerificationTest hashes the keys of bytes 0, 1, 2, ... with lengths 0 to 255, each with the seed
    256 - length. Then it hashes all the hashes with seed 0. The first four bytes of that,
    little-endian, are the verification value.
    """
    hashes = b"".join(hash_bytes(bytes(range(length)), 256 - length) for length in range(256))
    return int.from_bytes(hash_bytes(hashes, 0)[:4], "little")


def expected_32(keys: list[bytes], seed: int) -> np.ndarray:
    return np.array([mmh3.hash(key, seed, signed=False) for key in keys], dtype=np.uint32)


def expected_128(keys: list[bytes], seed: int) -> np.ndarray:
    return np.array([mmh3.hash64(key, seed, signed=False) for key in keys], dtype=np.uint64).reshape(-1, 2)


# ---- the hash itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda key: key, lambda key: [key]], ids=["single", "batch"])
def test_smhashers_verification_values(wrap: Callable[[bytes], Any]) -> None:
    assert smhasher_verification(lambda key, seed: murmurhash3_32(wrap(key), seed).tobytes()) == 0xB0F57EE3
    assert smhasher_verification(lambda key, seed: murmurhash3_x64_128(wrap(key), seed).tobytes()) == 0x6384BA69


@given(st.lists(high_bytes, max_size=20), seeds)
def test_bytes_hash_as_mmh3_does(keys: list[bytes], seed: int) -> None:
    event(f"tails: {sorted({len(key) % 4 for key in keys})}")
    assert_same_bits(murmurhash3_32(keys, seed), expected_32(keys, seed))
    assert_same_bits(murmurhash3_x64_128(keys, seed), expected_128(keys, seed))
    for key in keys[:2]:
        assert_same_bits(murmurhash3_32(key, seed), expected_32([key], seed).reshape(()))
        assert_same_bits(murmurhash3_x64_128(key, seed), expected_128([key], seed)[0])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">u2", "<i4", ">i4", "u4", "<i8", ">i8", "u8"])
def test_integer_arrays_hash_four_or_eight_little_endian_bytes(dtype: str, seed: int) -> None:
    limits = np.iinfo(dtype)
    items = np.array([number for number in EXTREMES if limits.min <= number <= limits.max], dtype=dtype).reshape(1, -1)
    size = max(4, items.dtype.itemsize)
    keys = [(int(item) % 2 ** (8 * size)).to_bytes(size, "little") for item in items.ravel()]
    assert_same_bits(murmurhash3_32(items, seed), expected_32(keys, seed).reshape(1, -1))
    assert_same_bits(murmurhash3_x64_128(items, seed), expected_128(keys, seed).reshape(1, -1, 2))


@pytest.mark.parametrize("number", [*EXTREMES, 2**63, 2**64 - 1])
def test_a_python_integer_has_eight_bytes(number: int) -> None:
    key = (number % 2**64).to_bytes(8, "little")
    assert_same_bits(murmurhash3_32(number, 7), expected_32([key], 7).reshape(()))
    assert_same_bits(murmurhash3_x64_128([number], 7), expected_128([key], 7))


def test_lists_of_integers_beyond_int64_and_below_zero() -> None:
    numbers = [2**64 - 1, -1, 2**63, -(2**63)]  # NumPy makes floats of such a list
    hashes = murmurhash3_32(numbers)
    assert hashes[0] == hashes[1] == murmurhash3_32(2**64 - 1)  # the same eight bytes
    assert hashes[2] == hashes[3] == murmurhash3_32(2**63)
    assert hashes[0] != hashes[2]


def test_scikit_learn_hashes_int32_arrays_and_text_alike() -> None:
    items = np.arange(-500, 500, dtype=np.int32)
    for seed in SEEDS:
        assert_same_bits(murmurhash3_32(items, seed), sklearn_murmurhash3_32(items, seed=seed, positive=True))
    assert murmurhash3_32("Ünïcode") == sklearn_murmurhash3_32("Ünïcode", positive=True)


# ---- keys of every kind -------------------------------------------------------------------------


@given(st.lists(st.text(max_size=30) | st.text("abc", max_size=30), min_size=1, max_size=8), seeds)
def test_text_is_its_utf8_bytes(keys: list[str], seed: int) -> None:
    event(f"ascii: {''.join(keys).isascii()}")
    expected = murmurhash3_32([key.encode() for key in keys], seed)
    assert_same_bits(murmurhash3_32(keys, seed), expected)
    assert_same_bits(murmurhash3_32(tuple(keys), seed), expected)
    assert_same_bits(murmurhash3_32(np.array(keys, dtype=object), seed), expected)
    assert_same_bits(murmurhash3_32(np.array(keys, dtype=np.dtypes.StringDType()), seed), expected)
    assert_same_bits(murmurhash3_32(keys[0], seed), expected[:1].reshape(()))


def test_fixed_width_arrays_end_where_numpy_says() -> None:
    words = ["", "a", "bc", "def", "ä", "日本", "with space "]
    for shape in ((7,), (7, 1), (1, 7, 1)):
        expected = murmurhash3_32([word.encode() for word in words]).reshape(shape)
        assert_same_bits(murmurhash3_32(np.array(words).reshape(shape)), expected)
        assert_same_bits(murmurhash3_32(np.array([word.encode() for word in words]).reshape(shape)), expected)
    assert_same_bits(murmurhash3_32(np.array(words)[::-2]), murmurhash3_32(words[::-2]))
    assert_same_bits(murmurhash3_32(np.array("abc")), murmurhash3_32("abc"))
    assert murmurhash3_32(["a\0"])[0] != murmurhash3_32(["a"])[0]  # a list keeps what a fixed-width array would drop


def test_anything_with_bytes_hashes_them() -> None:
    key = b"\x00\xff\x80 bytes \x00"
    expected = murmurhash3_32(key)
    assert_same_bits(murmurhash3_32(bytearray(key)), expected)
    assert_same_bits(murmurhash3_32(memoryview(key)), expected)
    assert_same_bits(murmurhash3_32(memoryview(key[::-1])[::-1]), expected)
    assert_same_bits(murmurhash3_32([bytearray(key), memoryview(key), key]), np.repeat(expected, 3))


def test_nested_and_mixed_sequences() -> None:
    mixed = murmurhash3_32([["one", b"two"], [3, np.int16(-4)]])
    assert mixed.shape == (2, 2)
    assert mixed.ravel().tolist() == [int(murmurhash3_32(key)) for key in ("one", b"two", 3, np.int16(-4))]
    assert_same_bits(murmurhash3_x64_128((("a",), ("b",))), murmurhash3_x64_128(["a", "b"]).reshape(2, 1, 2))
    assert_same_bits(murmurhash3_32(np.array(["one", 3], dtype=object)), murmurhash3_32(["one", 3]))
    assert_same_bits(murmurhash3_32([np.arange(3), np.arange(3)]), murmurhash3_32(np.stack([np.arange(3)] * 2)))
    assert_same_bits(murmurhash3_32(range(3)), murmurhash3_32(np.arange(3)))
    assert_same_bits(murmurhash3_32(array.array("i", [1, 2])), murmurhash3_32(np.array([1, 2], dtype=np.int32)))


@pytest.mark.parametrize(
    "empty", [[], (), [[], []], np.empty((0, 3), dtype=np.int32), np.empty((2, 0), dtype="U3"), np.array([], object)]
)
def test_no_keys_no_hashes(empty: Any) -> None:
    shape = np.asarray(empty).shape
    assert_same_bits(murmurhash3_32(empty), np.empty(shape, dtype=np.uint32))
    assert_same_bits(murmurhash3_x64_128(empty), np.empty((*shape, 2), dtype=np.uint64))
    assert_same_bits(hash_keys(empty), np.empty(shape, dtype=np.int64))


def test_any_number_of_threads_gives_the_same_hashes() -> None:
    numbers = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 30_000)
    words = [str(number)[: number % 20] for number in numbers.tolist()]
    narrow = numbers.astype(np.int32)
    raw = [[number.tobytes() for number in narrow], [number.tobytes() for number in numbers], [word.encode() for word in words]]
    expected = [(expected_32(keys, 5), expected_128(keys, 5), expected_128(keys, 0)[:, 0] >> 1) for keys in raw]
    expected[0] = (*expected[0][:2], expected_128([number.tobytes() for number in narrow.astype(np.int64)], 0)[:, 0] >> 1)
    for threads in (1, 2, 3, 7):
        with num_threads(threads):
            for keys, (short, long, ids) in zip((narrow, numbers, words), expected, strict=True):
                assert_same_bits(murmurhash3_32(keys, 5), short)
                assert_same_bits(murmurhash3_x64_128(keys, 5), long)
                assert_same_bits(hash_keys(keys), np.maximum(ids, 1).astype(np.int64))


@pytest.mark.parametrize("keys", [np.array([[5, -6]], dtype=np.int16), np.array([2**63], dtype=np.uint64), ["a", "b\0"], b"c", 9])
def test_the_specification_agrees(keys: Any) -> None:
    assert_same_bits(murmurhash3_32(keys, 5), np.asarray(reference.hashing.murmurhash3_32(keys, 5)))
    assert_same_bits(murmurhash3_x64_128(keys, 5), np.asarray(reference.hashing.murmurhash3_x64_128(keys, 5)))
    assert_same_bits(hash_keys(keys), np.asarray(reference.hashing.hash_keys(keys)))


# ---- ids of keys --------------------------------------------------------------------------------


@given(st.lists(high_bytes | st.text(max_size=20) | st.integers(-(2**63), 2**64 - 1), max_size=10))
def test_ids_are_the_upper_bits_of_the_first_half(keys: list[bytes | str | int]) -> None:
    raw = [key.encode() if isinstance(key, str) else key for key in keys]
    raw = [(key % 2**64).to_bytes(8, "little") if isinstance(key, int) else key for key in raw]
    expected = [max(1, mmh3.hash64(key, 0, signed=False)[0] >> 1) for key in raw]
    ids = hash_keys(keys)
    assert ids.dtype == np.int64
    assert ids.tolist() == expected
    for key, number in zip(keys, expected, strict=True):
        single = hash_keys(key)
        assert (single.shape, single.dtype, int(single)) == ((), np.int64, number)


def test_an_id_does_not_depend_on_the_dtype_of_a_number() -> None:
    for number in (0, 5, -5, 127, -128):
        expected = hash_keys(number)
        for kind in (np.int8, np.int16, np.int32, np.int64):
            assert_same_bits(hash_keys(kind(number)), expected)
            assert_same_bits(hash_keys(np.array([number], dtype=kind)), expected.reshape(1))
            assert hash_keys(["text", kind(number)])[1] == expected
            assert hash_keys(np.array([kind(number), "text"], dtype=object))[0] == expected


def test_zero_is_kept_for_padding() -> None:
    assert mmh3.hash64(b"", 0)[0] == 0
    assert hash_keys(b"") == 1
    assert hash_keys([b"", ""]).tolist() == [1, 1]


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [murmurhash3_32, murmurhash3_x64_128, hash_keys])
@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        (1.0, TypeError, "`keys` must hold integers, bytes or text, not float64."),
        ([0.5], TypeError, "`keys` must hold integers, bytes or text, not float64."),
        (True, TypeError, "`keys` must hold integers, bytes or text, not bool."),
        ([True, False], TypeError, "`keys` must hold integers, bytes or text, not bool."),
        (np.array([True]), TypeError, "`keys` must hold integers, bytes or text, not bool."),
        (["a", True], TypeError, "`keys` must hold integers, bytes or text, not bool at position 1."),
        (["a", np.True_], TypeError, "`keys` must hold integers, bytes or text, not bool at position 1."),
        (["a", 1.5], TypeError, "`keys` must hold integers, bytes or text, not float at position 1."),
        (np.array([["a", None]]), TypeError, "`keys` must hold integers, bytes or text, not NoneType at position (0, 1)."),
        (None, TypeError, "`keys` must hold integers, bytes or text, not NoneType."),
        ({"a"}, TypeError, "`keys` must hold integers, bytes or text, not set."),
        (np.array([1], dtype="M8[s]"), TypeError, "`keys` must hold integers, bytes or text, not datetime64[s]."),
        (np.array([1j]), TypeError, "`keys` must hold integers, bytes or text, not complex128."),
        (
            np.ma.array([1]),
            TypeError,
            "`keys` must not be a masked array: its mask would be dropped; pass `.filled(...)` or `.data`.",
        ),
        ("\ud800", ValueError, r"`keys` must hold text that UTF-8 can encode, not '\ud800'."),
        (["ok", "a\udfff"], ValueError, r"`keys` must hold text that UTF-8 can encode, not 'a\udfff' at position 1."),
        (np.array([["\ud800"]]), ValueError, r"`keys` must hold text that UTF-8 can encode, not '\ud800' at position (0, 0)."),
        (2**64, ValueError, "`keys` must fit 64 bits, not 18446744073709551616."),
        ([1, -(2**63) - 1], ValueError, "`keys` must fit 64 bits, not -9223372036854775809 at position 1."),
        ([["a", "b"], ["c"]], ValueError, "`keys` must be an array: its rows differ in length."),
        ([["a"], "b"], ValueError, "`keys` must be an array: its rows differ in length."),
        ([[1, 2], [3]], ValueError, "`keys` must be an array: its rows differ in length."),
    ],
)
def test_bad_keys_are_refused(function: Callable[[Any], Any], keys: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        function(keys)
    assert str(caught.value) == words


@pytest.mark.parametrize("function", [murmurhash3_32, murmurhash3_x64_128])
@pytest.mark.parametrize("keys", ["a", ["a"], 1])
def test_bad_seeds_are_refused(function: Callable[[Any, Any], Any], keys: Any) -> None:
    for seed in (-1, 2**32, np.int64(-1)):
        with pytest.raises(ValueError, match=rf"^`seed` must lie in \[0, 2\*\*32\), not {seed}\.$"):
            function(keys, seed)
    for wrong in (1.0, True, "1", None):
        with pytest.raises(TypeError, match=r"^`seed` must be an integer, not "):
            function(keys, wrong)


def test_the_public_names() -> None:
    assert hashing.__all__ == ["HashSpec", "SPOTLIGHT_SEEDS", "hash_keys", "hash_rows", "murmurhash3_32", "murmurhash3_x64_128"]
    assert all(hasattr(hashing, name) for name in hashing.__all__)
    assert (len(set(hashing.SPOTLIGHT_SEEDS)), hashing.SPOTLIGHT_SEEDS[0], hashing.SPOTLIGHT_SEEDS[-1]) == (
        24,
        179424941,
        179426549,
    )
