"""
FBGEMM's table-batched embeddings on a CPU, whose backward pass takes the exact optimizer's step.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from benchmarks.contenders.table import EPS, LEARNING_RATE, Batch, FloatArray
from benchmarks.contenders.torch_tables import ModuleTable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the CPU's wheel lacks a module for GPUs
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import ComputeDevice, SplitTableBatchedEmbeddingBagsCodegen

OPTIMIZERS = {
    "sgd": EmbOptimType.EXACT_SGD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
    "rowwise_adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
}
POOLING = {"sum": PoolingMode.SUM, "mean": PoolingMode.MEAN}


class FbgemmTable(ModuleTable):
    """FBGEMM's module with one table, pooled over given rows or over bags."""

    name: ClassVar[str] = "fbgemm"

    def __init__(self, height: int, optimizer: str, batches: Sequence[Batch], mode: str = "sum") -> None:
        super().__init__(batches)
        place = (height, batches[0].grad_out.shape[1], EmbeddingLocation.HOST, ComputeDevice.CPU)
        self.module = SplitTableBatchedEmbeddingBagsCodegen(
            [place], optimizer=OPTIMIZERS[optimizer], learning_rate=LEARNING_RATE, eps=EPS, pooling_mode=POOLING[mode]
        )
        self._inputs = [self._input(batch) for batch in batches]
        self._grads = [torch.from_numpy(batch.grad_out) for batch in batches]

    @staticmethod
    def _input(batch: Batch) -> tuple[Any, ...]:
        """Return indices, offsets with the end, and weights."""
        weights = None if batch.per_sample_weights is None else torch.from_numpy(batch.per_sample_weights)
        if batch.offsets is not None:
            return torch.from_numpy(batch.ids), torch.from_numpy(np.append(batch.offsets, len(batch.ids))), weights
        rows = batch.ids[:, np.newaxis] if batch.rows is None else batch.rows
        return torch.from_numpy(rows.reshape(-1)), torch.arange(0, rows.size + 1, rows.shape[1]), weights

    @property
    def weight(self) -> FloatArray:
        """View of the one table."""
        weight: FloatArray = self.module.split_embedding_weights()[0].detach().numpy()
        return weight

    def accumulators(self) -> list[FloatArray]:
        """Return the optimizer's state, an empty list for SGD."""
        return [state.detach().numpy() for states in self.module.split_optimizer_states() for state in states]

    def step(self) -> None:
        """Run forward and backward. The backward pass updates the table."""
        number = self.turn()
        self.module(*self._inputs[number]).backward(self._grads[number])
