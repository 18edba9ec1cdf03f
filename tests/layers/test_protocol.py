"""The bases of layers and of optimizers.

Members are abstract or final, and do what their docstrings say.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from npbloom.layers import Layer
from npbloom.optimizers import Optimizer
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, is_bag


def overridden(base: type) -> list[str]:
    """Return the members with a body that a derived class defines again."""
    found = []
    pending = list(base.__subclasses__())
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        for name, member in vars(kind).items():
            for parent in kind.__mro__[1:-1]:
                known = vars(parent).get(name)
                routine = inspect.isroutine(known) or isinstance(known, (property, classmethod))
                if routine and not getattr(known, "__isabstractmethod__", False) and name != "__init__":
                    found.append(f"{kind.__name__}.{name} of {parent.__name__}: {member}")
    return found


@pytest.mark.parametrize("base", [Layer, Optimizer])
def test_members_are_abstract_or_final(base: type) -> None:
    assert overridden(base) == []


def test_a_member_that_is_overridden_is_found() -> None:
    class Base:
        def step(self) -> None: ...

    class Derived(Base):
        def step(self) -> None: ...

    (fault,) = overridden(Base)
    assert fault.startswith("Derived.step of Base")
    del Derived


@pytest.mark.parametrize("name", LAYERS)
def test_members_describe_the_table(name: str) -> None:
    layer: Any = LAYERS[name]()
    assert layer.table_shape == layer.weight.shape
    table = layer.checked_table()
    assert type(table) is np.ndarray
    assert np.shares_memory(table, layer.weight)
    view = layer.gradient_view(table)
    assert view.shape == (layer.table_shape[0] * layer.num_slices, layer.table_shape[1] // layer.num_slices)
    assert np.shares_memory(view, table)
    assert len(layer.reserved_rows) == (layer.padding_idx is not None)
    options = layer.options
    options.clear()
    assert layer.options != {}
    again = type(layer)(layer.num_embeddings, layer.embedding_dim, weight=layer.weight, **layer.options)
    assert repr(again) == repr(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_contributions_sum_to_the_gradient(name: str) -> None:
    layer: Any = LAYERS[name]()
    ids = [[1, 2, 1]]
    grad_out = np.ones((1, DIM) if is_bag(layer) else (1, 3, DIM), layer.dtype)
    summed = layer.contributions(ids, grad_out).to_row_grad()
    expected = layer.backward(ids, grad_out, sparse=True)
    assert_same_bits(summed.rows, expected.rows)
    assert_same_bits(summed.values, expected.values)
