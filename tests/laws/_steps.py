"""Steps of an optimizer on a drawn case, beside the same steps in scalar arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

import npbloom as nb
from npbloom.types import RowGrad
from tests.support import strategies
from tests.support._bits import assert_same_bits
from tests.support.strategies import Update


def assert_steps(
    make: Callable[[Any, Update], Any],
    state_of: Callable[[Update], dict[str, np.ndarray]],
    expected: Callable[[Update], tuple[np.ndarray, ...]],
    case: Update,
    data: st.DataObject,
) -> None:
    """Take three steps and compare them with `expected`.

    `expected` gives the table and then the arrays that `state_of` names, in order.
    """
    m, d = case.weight.shape
    layer = nb.ScaledEmbedding(m, d, weight=case.weight.copy())
    optimizer = make(layer, case)
    state = optimizer.state(layer)
    names = list(state_of(case))
    assert set(state) == {*names, *(["step"] if "step" in state else [])}
    for name, array in state_of(case).items():
        assert state[name].dtype == array.dtype
        assert state[name].shape == array.shape
        state[name][...] = array
    if "step" in state:
        assert state["step"].shape == ()
        assert state["step"].dtype == np.int64
        state["step"][...] = case.step - 1
    for number in range(3):
        case = replace(case, step=case.step + (number > 0))
        dense = data.draw(st.booleans(), label="dense")
        optimizer.step(layer, case.grad.to_dense() if dense else case.grad)
        full = replace(case, grad=RowGrad(np.arange(m), case.grad.to_dense(), m)) if dense else case
        weight, *after = expected(full)
        assert_same_bits(layer.weight, weight)
        for name, array in zip(names, after, strict=True):
            assert_same_bits(state[name], array)
        assert all(optimizer.state(layer)[name] is array for name, array in state.items())  # the live arrays
        if "step" in state:
            assert state["step"] == case.step
        case = replace(case, weight=weight, **dict(zip(("state", "second_state"), after, strict=False)))
        case = replace(case, grad=data.draw(gradients(case)))


def gradients(case: Update) -> st.SearchStrategy[RowGrad]:
    """Return another gradient for the same table."""
    m, d = case.weight.shape

    def build(rows: list[bool]) -> st.SearchStrategy[RowGrad]:
        touched = np.flatnonzero(rows)
        values = strategies.lanes.flatmap(lambda lane: strategies.arrays(case.weight.dtype, (len(touched), d), lane))
        return values.map(lambda array: RowGrad(touched, array, m))

    return st.lists(st.booleans(), min_size=m, max_size=m).flatmap(build)
