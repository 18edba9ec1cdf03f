"""L1: an index array has any integer dtype and any shape.

It is taken as it lies in memory, and is never written to.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support._bits import assert_same_bits
from tests.support._examples import examples
from tests.support._layers import ROWS, TAKERS
from tests.support.strategies import id_arrays

DTYPES = ["i1", "u1", "i2", "u2", "<i4", ">i4", "u4", "<i8", ">i8", "<u8", ">u8"]


class OnlyDLPack:
    """An array that NumPy can read through DLPack alone."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.values.__dlpack_device__()


def every_other(ids):
    """Return a view that is not contiguous: every other entry of an array twice as long."""
    apart = np.repeat(ids, 2, axis=-1) if ids.ndim else ids
    return apart[..., ::2] if ids.ndim else ids


def unaligned(ids):
    """Return a copy that begins one byte off its alignment."""
    buffer = np.frombuffer(bytearray(ids.nbytes + 1), dtype=np.int64, offset=1, count=ids.size).reshape(ids.shape)
    buffer[...] = ids
    return buffer


FORMS = {
    **{dtype: lambda ids, dtype=dtype: ids.astype(dtype) for dtype in DTYPES},
    "list": lambda ids: ids.tolist(),
    "tuple": lambda ids: tuple(ids.tolist()) if ids.ndim else ids.tolist(),
    "list of NumPy integers": lambda ids: list(ids.astype(np.uint16)) if ids.ndim else np.uint16(ids),
    "read-only": lambda ids: np.frombuffer(ids.tobytes(), dtype=np.int64).reshape(ids.shape),
    "not contiguous": every_other,
    "backwards": lambda ids: ids[..., ::-1].copy()[..., ::-1] if ids.ndim else ids,
    "Fortran order": lambda ids: ids.copy(order="F"),
    "unaligned": unaligned,
    "memoryview": lambda ids: memoryview(ids.astype(np.int32)),
    "array.array": lambda ids: array.array("q", ids.tolist()) if ids.ndim == 1 else ids,
    "DLPack": OnlyDLPack,
}
NEVER_WRITTEN = [name for name in FORMS if name not in ("list", "tuple", "list of NumPy integers", "array.array", "DLPack")]


def shapes(taker):
    """Return the shapes that a call takes: any, or one and two dimensions."""
    few = st.sampled_from([3, 1, 4, 0])
    return st.tuples(few) | st.tuples(few, few) | (st.just(()) | st.just((2, 0, 3)) if taker.any_shape else st.nothing())


@pytest.mark.parametrize("form", FORMS)
@examples(40)  # for each of some twenty forms
@given(data=st.data())
def test_every_form_means_the_same(form, data):
    taker = data.draw(st.sampled_from(TAKERS))
    shape = data.draw(shapes(taker))
    ids = data.draw(id_arrays(ROWS, shape=shape))
    expected = taker.call(ids.copy(), shape)
    if form == "list of NumPy integers" and ids.size == 0 and ids.ndim > 1:
        ids = np.zeros((0,) * ids.ndim, dtype=np.int64)
    given_ids = FORMS[form](ids)
    if isinstance(given_ids, list | tuple) and np.shape(given_ids) != shape:
        return  # a list cannot say (0, 3)
    assert_same_bits(taker.call(given_ids, shape), expected)
    if form in NEVER_WRITTEN:
        assert np.array_equal(np.asarray(given_ids), ids)


def test_a_memory_mapped_file_works_and_is_not_written_to(tmp_path):
    ids = np.array([1, 6, 1], dtype=np.int64)
    ids.tofile(tmp_path / "ids")
    for mode in ("r", "r+", "c"):
        mapped = np.memmap(tmp_path / "ids", dtype=np.int64, mode=mode)
        for taker in TAKERS:
            assert_same_bits(taker.call(mapped, (3,)), taker.call(ids, (3,)))
    assert np.fromfile(tmp_path / "ids", dtype=np.int64).tolist() == [1, 6, 1]


WRONG = {
    "bool array": np.array([True, False]),
    "list of bools": [True, False],
    "bool": True,
    "float array": np.array([1.0, 2.0]),
    "empty float array": np.zeros(0),
    "list with a float": [1, 2.0],
    "float": 1.0,
    "complex": np.array([1j]),
    "object array": np.array([1, 2], dtype=object),
    "text": ["1"],
    "string": "1",
    "None": None,
    "list of None": [None],
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
    "durations": np.array([1], dtype="m8[s]"),
    "masked array": np.ma.masked_array([1, 2], [True, False]),
    "masked array without a mask": np.ma.masked_array([1, 2]),
    "record": np.zeros(2, dtype=[("id", "i8")]),
}


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_other_kinds_are_a_type_error(taker, wrong):
    with pytest.raises(TypeError, match=f"`{taker.argument}` must"):
        taker.call(wrong, (2,))


@pytest.mark.parametrize("taker", [taker for taker in TAKERS if taker.any_shape], ids=lambda taker: taker.name)
def test_an_empty_list_is_an_empty_index_array(taker):
    assert_same_bits(taker.call([], (0,)), taker.call(np.zeros(0, dtype=np.int64), (0,)))
    assert_same_bits(taker.call([[], []], (2, 0)), taker.call(np.zeros((2, 0), dtype=np.int64), (2, 0)))


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
@pytest.mark.parametrize(
    ("ids", "value", "position"),
    [
        ([1, 2**63], 2**63, 1),
        ([2**64, 1], 2**64, 0),
        ([1, -(2**63) - 1], -(2**63) - 1, 1),
        ([2, -1, 2**63], -1, 1),
        ([2**200], 2**200, 0),
        ([[1, 2], [10**30, 1]], 10**30, (1, 0)),
        (np.array([1, 2**63], dtype=np.uint64), 2**63, 1),
        (np.array([1, 2**64 - 1], dtype=">u8"), 2**64 - 1, 1),
    ],
)
def test_an_integer_beyond_int64_is_an_index_error(taker, ids, value, position):
    with pytest.raises(IndexError) as caught:
        taker.call(ids, np.shape(ids))
    assert f"not {value} at position {position}" in str(caught.value)
