"""The comparison that every law uses must refuse wrong arrays."""

from __future__ import annotations

import numpy as np
import pytest

from npbloom.types import RowGrad
from tests.support._bits import assert_same_bits

ONE = np.array([1.0, -0.0, np.nan, np.inf], dtype=np.float32)
GRAD = RowGrad(np.array([0, 2]), np.array([[1.0], [2.0]]), 3)

WRONG = {
    "last bit": (np.nextafter(ONE, np.float32(2)), ONE),
    "sign of zero": (np.array([0.0]), np.array([-0.0])),
    "NaN for a number": (np.array([np.nan]), np.array([1.0])),
    "number for a NaN": (np.array([1.0]), np.array([np.nan])),
    "infinities": (np.array([np.inf]), np.array([-np.inf])),
    "float dtype": (ONE.astype(np.float64), ONE),
    "integer dtype": (np.array([1], dtype=np.int32), np.array([1])),
    "byte order": (ONE.astype(">f4"), ONE),
    "shape": (np.ones((2, 1)), np.ones((1, 2))),
    "broadcast": (np.ones(()), np.ones(3)),
    "length of an empty one": (np.ones((0, 2)), np.ones((0, 3))),
    "list for an array": ([1.0], np.array([1.0])),
    "one array of a tuple": ((ONE, ONE + 1), (ONE, ONE)),
    "tuple too short": ((ONE,), (ONE, ONE)),
    "array for a tuple": (ONE, (ONE,)),
    "rows": (RowGrad(np.array([0, 1]), GRAD.values, 3), GRAD),
    "values": (RowGrad(GRAD.rows, GRAD.values + 1, 3), GRAD),
    "values' dtype": (GRAD.astype(np.float32), GRAD),
    "num_rows": (RowGrad(GRAD.rows, GRAD.values, 4), GRAD),
    "dense for a RowGrad": (GRAD.to_dense(), GRAD),
    "objects": (np.array([None]), np.array([None])),
}


@pytest.mark.parametrize("pair", WRONG.values(), ids=WRONG)
def test_wrong_arrays_are_refused(pair):
    with pytest.raises(AssertionError, match=r"expected|no bits"):
        assert_same_bits(*pair)


def test_same_bits_are_accepted():
    other_nan = np.array([0x7FC00001], dtype=np.uint32).view(np.float32)
    assert_same_bits(ONE.copy(), ONE)
    assert_same_bits(np.concatenate([ONE[:2], -other_nan, ONE[3:]]), ONE)
    assert_same_bits(np.asfortranarray(np.eye(3)), np.eye(3))
    assert_same_bits(np.ones(6)[::2], np.ones(3))
    assert_same_bits((ONE, GRAD), (ONE, RowGrad(GRAD.rows.copy(), GRAD.values.copy(), 3)))
    assert_same_bits(np.zeros((0, 2)), np.zeros((0, 2)))
    assert_same_bits(np.array(3), np.array(3))


def test_message_names_the_first_difference():
    with pytest.raises(AssertionError, match=r"1 of 4 values differ, the first at \(1, 0\): 3.0 .*, expected 2.0"):
        assert_same_bits(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[1.0, 5.0], [2.0, 5.0]]))
