"""Public hashing names: MurmurHash3 of integers, bytes and text; keys to ids; ids to table rows."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import mmh3
import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.ops._murmur import hash_bytes_32, hash_bytes_128, hash_integers_32, hash_integers_128
from npbloom.ops.hashing import hash_rows
from npbloom.types import SPOTLIGHT_SEEDS, ArrayLike, HashSpec, IntArray, as_integer, spelled

__all__ = ["HashSpec", "SPOTLIGHT_SEEDS", "hash_keys", "hash_rows", "murmurhash3_32", "murmurhash3_x64_128"]

_BYTES = (bytes, bytearray, memoryview)
_TEXT = (str, *_BYTES)


# ---- reading keys --------------------------------------------------------------------------------


class _Numbers(NamedTuple):
    """Flat integers as int64 (two's complement), and whether an item has eight bytes or four."""

    shape: tuple[int, ...]
    items: IntArray
    wide: bool


class _Strings(NamedTuple):
    """Byte strings, joined: the i-th is ``buffer[offsets[i]:offsets[i + 1]]``."""

    shape: tuple[int, ...]
    buffer: npt.NDArray[np.uint8]
    offsets: IntArray


def _leaf_bytes(leaf: Any, flat: int, shape: tuple[int, ...], widen: bool) -> bytes:
    """The bytes of one key: eight of an int, four of a narrow NumPy one (unless `widen`), UTF-8."""
    if isinstance(leaf, str):
        try:
            return leaf.encode()
        except UnicodeEncodeError:
            where = _check.position(flat, shape)
            raise ValueError(f"`keys` must hold text that UTF-8 can encode, not {reprlib.repr(leaf)}{where}.") from None
    if isinstance(leaf, _BYTES):
        return bytes(leaf)
    if isinstance(leaf, (int, np.integer)) and not isinstance(leaf, bool):
        size = 4 if not widen and isinstance(leaf, np.integer) and leaf.dtype.itemsize <= 4 else 8
        number = int(leaf)
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"`keys` must fit 64 bits, not {spelled(int(leaf))}{_check.position(flat, shape)}.")
        masked = number & (1 << 8 * size) - 1
        return masked.to_bytes(size, "little")
    raise TypeError(f"`keys` must hold integers, bytes or text, not {type(leaf).__name__}{_check.position(flat, shape)}.")


def _join(leaves: list[Any], shape: tuple[int, ...], widen: bool) -> _Strings:
    """The bytes of all keys in one buffer; ASCII text is joined before it is encoded."""
    parts: list[Any] = leaves
    kinds = set(map(type, leaves))
    if kinds == {bytes}:
        joined = b"".join(leaves)
    elif kinds == {str} and (text := "".join(leaves)).isascii():
        joined = text.encode()
    else:
        parts = [_leaf_bytes(leaf, flat, shape, widen) for flat, leaf in enumerate(leaves)]
        joined = b"".join(parts)
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    offsets.flags.writeable = False
    return _Strings(shape, np.frombuffer(joined, dtype=np.uint8), offsets)


def _flatten(keys: list[Any] | tuple[Any, ...]) -> tuple[list[Any], tuple[int, ...]]:
    """The items of nested lists, and the shape they make."""
    leaves: list[Any] = list(keys)
    shape: tuple[int, ...] = (len(keys),)
    while any(issubclass(kind, (list, tuple)) for kind in set(map(type, leaves))):
        sizes = {len(leaf) if isinstance(leaf, (list, tuple)) else -1 for leaf in leaves}
        if len(sizes) > 1:
            raise ValueError("`keys` must be an array: its rows differ in length.")
        leaves, shape = [item for leaf in leaves for item in leaf], (*shape, *sizes)
    return leaves, shape


def _is_integer(kinds: Iterable[type]) -> bool:
    """True if all of these types are integers."""
    return all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds)


def _read(keys: Any, widen: bool) -> _Numbers | _Strings:
    """Read keys as flat integers or joined byte strings; `widen`: integers of eight bytes."""
    if isinstance(keys, (int, *_TEXT)):
        return _join([keys], (), widen)
    if isinstance(keys, (list, tuple)):
        leaves, shape = _flatten(keys)
        kinds = set(map(type, leaves))
        if any(issubclass(kind, _TEXT) for kind in kinds):
            return _join(leaves, shape, widen)  # NumPy's strings would lose trailing zeros
        if not leaves:
            return _Numbers(shape, np.empty(0, dtype=np.int64), True)
        array = _check._array(keys, "keys")
        if array.dtype.kind not in "iu" and _is_integer(kinds):
            return _join(leaves, shape, widen)  # NumPy would make floats of them
    else:
        array = _check._array(keys, "keys")
    if array.dtype.kind in "OSUT":
        return _join(array.ravel().tolist(), array.shape, widen)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`keys` must hold integers, bytes or text, not {array.dtype}.")
    items = array.astype(np.int64).reshape(-1)
    items.flags.writeable = False
    return _Numbers(array.shape, items, widen or array.dtype.itemsize == 8)


def _read_seed(seed: Any) -> int:
    """A seed in [0, 2**32)."""
    number = as_integer(seed, "seed")
    if not 0 <= number < 2**32:
        raise ValueError(f"`seed` must lie in [0, 2**32), not {number}.")
    return number


# ---- hashing them --------------------------------------------------------------------------------


def _hash_128(read: _Numbers | _Strings, seed: int) -> npt.NDArray[np.uint64]:
    """MurmurHash3_x64_128 of every key, shape (n, 2)."""
    if isinstance(read, _Numbers) and read.wide:
        return hash_integers_128(read.items, seed)
    if isinstance(read, _Numbers):
        narrow = read.items.astype("<u4").view(np.uint8)
        narrow.flags.writeable = False
        offsets = np.arange(0, narrow.size + 1, 4, dtype=np.int64)
        offsets.flags.writeable = False
        read = _Strings(read.shape, narrow, offsets)
    return hash_bytes_128(read.buffer, read.offsets, seed)


def murmurhash3_32(keys: ArrayLike, seed: int = 0) -> npt.NDArray[np.uint32]:
    """
    MurmurHash3_x86_32 of every key.

    Parameters
    ----------
    keys : int, bytes, str, or an array or nested sequence of them
        Integer arrays hash each item's little-endian bytes in two's complement: four for items up
        to 32 bits, eight for
        64. A Python integer has eight, and a list of integers is the array NumPy makes of it. Text
            is hashed as UTF-8, a
        bytearray or memoryview as its bytes. NumPy's fixed-width strings end before their trailing
        zeros, as NumPy reads them.
    seed : int, default 0
        In ``[0, 2**32)``.

    Returns
    -------
    uint32 array, shape of `keys`
        One hash for each key; 0-d for a single one.

    Raises
    ------
    TypeError
        `keys` hold anything but integers, bytes and text (bool and float included), or are a masked
        array.
    ValueError
        `seed` is out of range, an integer needs more than 64 bits, text has a lone surrogate, or
        nested lists are ragged.

    Notes
    -----
    - The same bits on every machine and for any number of threads (L6).
    - Spotlight's mapping (L20) hashes four bytes: an int32 array here; `hash_rows` does it for any
      ids.
    - scikit-learn's ``murmurhash3_32`` hashes a Python integer as four bytes.

    References
    ----------
    .. [1] A. Appleby, MurmurHash3 in SMHasher, https://github.com/aappleby/smhasher

    Examples
    --------
    >>> murmurhash3_32("")                        # nothing to mix: the seed, 0, stays 0
    array(0, dtype=uint32)
    >>> murmurhash3_32("hello") == murmurhash3_32([b"hello", b"world"])[0]
    np.True_
    >>> murmurhash3_32(np.int32([1])) == murmurhash3_32(b"\\x01\\x00\\x00\\x00")
    array([ True])
    """
    number = _read_seed(seed)
    if isinstance(keys, (str, bytes)):  # mmh3: 0.2 us, a batch of one: 15 us
        return np.array(mmh3.hash(_leaf_bytes(keys, 0, (), widen=False), number, signed=False), dtype=np.uint32)
    read = _read(keys, widen=False)
    if isinstance(read, _Numbers):
        hashes = hash_integers_32(read.items, number, read.wide)
    else:
        hashes = hash_bytes_32(read.buffer, read.offsets, number)
    return hashes.reshape(read.shape)


def murmurhash3_x64_128(keys: ArrayLike, seed: int = 0) -> npt.NDArray[np.uint64]:
    """
    MurmurHash3_x64_128 of every key.

    Parameters
    ----------
    keys : int, bytes, str, or an array or nested sequence of them
        As for `murmurhash3_32`.
    seed : int, default 0
        In ``[0, 2**32)``.

    Returns
    -------
    uint64 array, shape of `keys` + (2,)
        The two halves of each hash, in the order of the C++ original.

    Raises
    ------
    TypeError, ValueError
        As for `murmurhash3_32`.

    Notes
    -----
    The same bits on every machine and for any number of threads (L6).

    References
    ----------
    .. [1] A. Appleby, MurmurHash3 in SMHasher, https://github.com/aappleby/smhasher

    Examples
    --------
    >>> murmurhash3_x64_128(b"")                  # nothing to mix: the seed, 0, stays 0
    array([0, 0], dtype=uint64)
    >>> murmurhash3_x64_128([["a", "b", "c"], ["d", "e", "f"]]).shape
    (2, 3, 2)
    """
    number = _read_seed(seed)
    if isinstance(keys, (str, bytes)):  # as in `murmurhash3_32`
        return np.array(mmh3.hash64(_leaf_bytes(keys, 0, (), widen=False), number, signed=False), dtype=np.uint64)
    read = _read(keys, widen=False)
    return _hash_128(read, number).reshape(*read.shape, 2)


def hash_keys(keys: ArrayLike) -> IntArray:
    """
    Ids for an open vocabulary: any text, bytes or 64-bit integer, seen before or not.

    Parameters
    ----------
    keys : int, bytes, str, or an array or nested sequence of them
        As for `murmurhash3_32`, but integers of every width are hashed as eight bytes, so that an
        id does not depend on the dtype it arrives in.

    Returns
    -------
    int64 array, shape of `keys`
        Ids in ``[1, 2**63)``: ``murmurhash3_x64_128(key)[0] >> 1``, and 1 where that is 0, the
        default padding id.

    Raises
    ------
    TypeError, ValueError
        As for `murmurhash3_32`.

    Notes
    -----
    Two of n keys share an id with a probability of about ``n**2 / 2**64``: one in 18 million for a
    million keys. For a layer of ``2**63`` ids, of which only a table of `num_rows` rows exists.

    Examples
    --------
    >>> ids = hash_keys(["alice", "bob", "alice"])
    >>> ids[0] == ids[2], ids[0] == ids[1]
    (np.True_, np.False_)
    >>> hash_keys(7) == hash_keys(np.int8([7]))
    array([ True])
    >>> hash_keys(b"")                            # its hash is 0, and 0 is kept for padding
    array(1)
    >>> hash_rows(ids, HashSpec(2**63, 1000, padding_idx=0)).shape
    (3, 4)
    """
    if isinstance(keys, (str, bytes)):
        first = murmurhash3_x64_128(keys)[..., 0]
    else:
        read = _read(keys, widen=True)
        first = _hash_128(read, 0)[:, 0].reshape(read.shape)
    return np.asarray(np.maximum(first >> np.uint64(1), np.uint64(1)), dtype=np.int64)
