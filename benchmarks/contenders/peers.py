"""Detection of peers, and lists of contenders over the same batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.contenders.ours import Ours
from benchmarks.contenders.table import Batch, Table
from benchmarks.contenders.torch_tables import TorchTable

WITH_FBGEMM = ("sgd", "adagrad", "rowwise_adagrad")
WITH_TORCH = ("sgd", "adagrad", "adam")


def has_fbgemm() -> bool:
    """Return True if FBGEMM is installed."""
    return importlib.util.find_spec("fbgemm_gpu") is not None


def contenders(layer: Any, optimizer: str, batches: Sequence[Batch], *, mode: str = "sum", fbgemm: bool = True) -> list[Table]:
    """Return npbloom's contender, and those of FBGEMM and torch that have this optimizer."""
    height = len(layer.weight)
    found: list[Table] = [Ours(layer, optimizer, batches)]
    if fbgemm and optimizer in WITH_FBGEMM and layer.dtype == np.float32:
        from benchmarks.contenders.fbgemm_tables import FbgemmTable

        found.append(FbgemmTable(height, optimizer, batches, mode))
    if optimizer in WITH_TORCH:
        found.append(TorchTable(height, optimizer, batches, mode, layer.dtype.type))
    return found
