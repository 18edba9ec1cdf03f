"""Small layers of every kind."""

from __future__ import annotations

from typing import Any

from tests.support._layers import LAYERS

ONE_BAG = [[1, 2, 6]]


def layer_of(name: str, **options: Any) -> Any:
    """Return a layer on a table that owns its memory, so that it can be resized."""
    layer = LAYERS[name](weight=None, rng=0, **options)
    return LAYERS[name](weight=layer.weight.copy(), **options)
