"""State arrays of an optimizer: which fit a layer, and which values steps leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from npbloom import _arrays, _check
from npbloom.layers import Layer

State = dict[str, np.ndarray[Any, Any]]
Given = Mapping[Layer, Mapping[str, np.ndarray[Any, Any]]]
Named = tuple[str, np.ndarray[Any, Any]]

STEP = np.zeros((), dtype=np.int64)  # a counter of calls that stands at 0
MOST_STEPS = 2**63 - 1  # a counter is below it; int64 counts no further
SQUARES = ("sum", "exp_avg_sq")  # state that adds or averages squares: a step takes its root


class ArraySpec(NamedTuple):
    """
    Shape and dtype of an array.

    Parameters
    ----------
    shape : tuple of int
        Lengths of its dimensions.
    dtype : dtype
        Type of its values.

    Examples
    --------
    >>> ArraySpec((3, 2), np.dtype(np.float32)).nbytes
    24
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


Specs = dict[str, ArraySpec]
COUNTER = ArraySpec((), STEP.dtype)  # of calls


def check_values(state: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """
    A ValueError for state that no step leaves: a counter out of its range, or squares below 0.

    Reads all squares, so it is for state that comes from outside, not for a step. NaN passes: steps
    on NaN leave it (L33).
    """
    for name, array in state.items():
        if name == "step":
            check_step(array)
        elif name in SQUARES:
            _check.no_negative(array, f"`state[{name!r}]`")


def check_step(step: np.ndarray[Any, Any], bound: int = MOST_STEPS) -> None:
    """Raise a ValueError unless a counter of steps lies in [0, bound)."""
    if step.item() < 0:
        raise ValueError(f"`state['step']` must be at least 0, not {step}.")
    if step.item() >= bound:
        raise ValueError(f"`state['step']` must be less than 2**63 - {2**63 - bound}, not {step}.")


def state_arrays(given: Any, layer: Layer, specs: Specs) -> State:
    """The state of a layer: all of its arrays and no other, that a step can write to."""
    if not isinstance(given, Mapping):
        raise TypeError(f"`state` must hold a dict of arrays for each layer, not {type(given).__name__}.")
    if given.keys() != specs.keys():
        wanted, found = (", ".join(sorted(map(str, names))) or "nothing" for names in (specs, given))
        raise ValueError(f"`state` of a layer must hold {wanted}, not {found}.")
    table = layer.checked_table()
    return {
        name: _check.same_kind(given[name], f"state[{name!r}]", table if spec.shape else STEP, spec.shape)
        for name, spec in specs.items()
    }


def check_state(given: Any, layer: Layer, specs: Specs, known: list[Named]) -> list[Named]:
    """
    Check state to adopt: its shapes, dtypes and values, and that nothing else has its memory.

    The values of mapped files are taken on trust: they may be larger than memory, and are read
    where a step needs them.
    """
    checked: list[Named] = []
    arrays = state_arrays(given, layer, specs)
    for name, array in arrays.items():
        _check.own_memory(array, f"state[{name!r}]", *known, *checked)
        checked.append((f"state[{name!r}]", array))
    check_values({name: array for name, array in arrays.items() if name == "step" or not _arrays.is_mapped(array)})
    return checked
