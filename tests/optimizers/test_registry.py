"""`BY_NAME` lists every optimizer, and `state_spec` says which state each keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom.optimizers import BY_NAME, ArraySpec, Optimizer
from tests.support._layers import LAYERS, OPTIMIZERS


def test_every_optimizer_is_in_the_registry() -> None:
    assert set(BY_NAME.values()) == set(Optimizer.__subclasses__())
    for name, kind in BY_NAME.items():
        assert name.replace("_", "") == kind.__name__.lower()
        assert kind.__name__ in nb.optimizers.__all__
        assert getattr(nb, kind.__name__) is kind


def test_every_optimizer_is_in_the_tests() -> None:
    assert {type(make([LAYERS["ZeroEmbedding"]()])) for make in OPTIMIZERS.values()} == set(BY_NAME.values())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_is_what_the_class_says(rule: str, name: str, dtype: Any) -> None:
    layer = LAYERS[name](weight=None, dtype=dtype)
    optimizer = OPTIMIZERS[rule](layer)
    settings = {key: getattr(optimizer, key) for key in optimizer.hyperparameters}
    spec = type(optimizer).state_spec(layer.table_shape, dtype, layer.num_slices, **settings)
    assert spec == {key: ArraySpec(array.shape, array.dtype) for key, array in optimizer.state(layer).items()}


def test_state_of_concatenated_probes_has_a_number_for_each_slice() -> None:
    layer = nb.BloomEmbedding(100, 8, num_rows=10, num_hash_functions=2, combine="concat")
    assert nb.RowWiseAdagrad(layer).state(layer)["sum"].shape == (20,)
    assert nb.RowWiseAdagrad.state_spec((10, 8), "float64", 2) == {"sum": ArraySpec((20,), np.dtype("float64"))}
    assert nb.SGD.state_spec((10, 8), "float32") == {}
    assert nb.SGD.state_spec((10, 8), "float32", momentum=0.9) == {"momentum_buffer": ArraySpec((10, 8), np.dtype("float32"))}
