"""torch's embedding modules with sparse gradients, and with dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from benchmarks.contenders.table import EPS, LEARNING_RATE, Batch, FloatArray, Table

torch.sparse.check_sparse_tensor_invariants.disable()  # the default; torch warns unless it is set explicitly


def _tensor(array: Any) -> Any:
    return None if array is None else torch.from_numpy(array)


class ModuleTable(Table):
    """Table that is a module of torch, called with one tuple of tensors a batch."""

    module: Any
    _inputs: list[tuple[Any, ...]]

    def forward(self) -> Any:
        """Call the module without a graph."""
        with torch.no_grad():
            return self.module(*self._inputs[self.turn()])

    def output(self) -> FloatArray:
        """Return a view of the result."""
        out: FloatArray = self.forward().numpy()
        return out


class TorchTable(ModuleTable):
    """
    torch's `EmbeddingBag` or `Embedding`, with the optimizer for their gradients.

    `EmbeddingBag` serves given rows and bags, `Embedding` serves ids with a row each. The modules
    are made as a user makes them. The values of npbloom's table are copied into them and into
    FBGEMM's.
    """

    name: ClassVar[str] = "torch"
    sparse: ClassVar[bool] = True

    def __init__(self, height: int, optimizer: str, batches: Sequence[Batch], mode: str = "sum", dtype: Any = np.float32) -> None:
        super().__init__(batches)
        self._inputs = [self._input(batch) for batch in batches]
        self._grads = [torch.from_numpy(batch.grad_out) for batch in batches]
        kind = {np.float32: torch.float32, np.float64: torch.float64}[dtype]
        options: dict[str, Any] = {"sparse": self.sparse, "dtype": kind}
        if batches[0].rows is None and batches[0].offsets is None:
            self.module = torch.nn.Embedding(height, batches[0].grad_out.shape[1], **options)
        else:
            self.module = torch.nn.EmbeddingBag(height, batches[0].grad_out.shape[1], mode=mode, **options)
        self.optimizer = self._optimizer(optimizer)

    @staticmethod
    def _input(batch: Batch) -> tuple[Any, ...]:
        """Return the arguments of the module's call."""
        if batch.offsets is not None:
            return _tensor(batch.ids), _tensor(batch.offsets), _tensor(batch.per_sample_weights)
        return (_tensor(batch.ids if batch.rows is None else batch.rows),)

    def _optimizer(self, name: str) -> torch.optim.Optimizer:
        parameters = list(self.module.parameters())
        if name == "sgd":
            return torch.optim.SGD(parameters, lr=LEARNING_RATE)
        if name == "adagrad":
            return torch.optim.Adagrad(parameters, lr=LEARNING_RATE, eps=EPS)
        adam = torch.optim.SparseAdam if self.sparse else torch.optim.Adam
        return adam(parameters, lr=LEARNING_RATE, eps=EPS)

    @property
    def weight(self) -> FloatArray:
        """View of the parameter."""
        weight: FloatArray = self.module.weight.detach().numpy()
        return weight

    def accumulators(self) -> list[FloatArray]:
        """
        Return the optimizer's sums of squares.

        Adam creates its state in the first step; here it is created before, with the same values.
        """
        parameter = self.module.weight
        state = self.optimizer.state[parameter]
        if isinstance(self.optimizer, (torch.optim.SparseAdam, torch.optim.Adam)) and not state:
            state["step"] = 0 if self.sparse else torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return [state[name].detach().numpy() for name in ("sum", "exp_avg_sq") if name in state]

    def step(self) -> None:
        """Take a step as in torch's tutorials."""
        number = self.turn()
        self.optimizer.zero_grad()
        self.module(*self._inputs[number]).backward(self._grads[number])
        self.optimizer.step()


class TorchDenseTable(TorchTable):
    """The same with dense gradients, which move every row in every step."""

    name: ClassVar[str] = "torch_dense"
    sparse: ClassVar[bool] = False
