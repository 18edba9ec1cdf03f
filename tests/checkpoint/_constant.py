"""Files whose table holds one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import npbloom as nb
from npbloom import checkpoint


def constant(value: float, rows: int = 2000) -> dict[str, Any]:
    """Return a layer whose values are all the same."""
    return {"items": nb.ScaledEmbedding(rows, 64, weight=np.full((rows, 64), value))}


def value_of(path: Path) -> float:
    """Return the one value of all of the layer's numbers."""
    weight = checkpoint.load(path).layers["items"].weight
    assert (weight == weight[0, 0]).all()
    return float(weight[0, 0])
