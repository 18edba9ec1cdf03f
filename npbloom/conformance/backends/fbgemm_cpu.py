"""FBGEMM's table-batched embeddings on a CPU, which fuse the optimizer with the backward pass."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

try:
    import fbgemm_gpu
    import torch
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import BoundsCheckMode, EmbeddingLocation, PoolingMode
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
        WeightDecayMode,
    )
except (ImportError, OSError) as error:  # FBGEMM may be built for another PyTorch
    raise ImportError("The adapter FbgemmCPU needs FBGEMM: pip install torch fbgemm-gpu-cpu") from error

from npbloom.conformance.backends._torch import array, integers, tensor, threads
from npbloom.conformance.cases.backend import Backend, Session, Unsupported
from npbloom.conformance.cases.case import Case, Outputs

OPTIMIZERS = {
    "sgd": EmbOptimType.EXACT_SGD,
    "adagrad": EmbOptimType.EXACT_ADAGRAD,
    "rowwise_adagrad": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
}


class FbgemmCPU(Backend):
    """
    `SplitTableBatchedEmbeddingBagsCodegen` on a CPU.

    It does lookups one by one and pooled, and exact SGD, Adagrad and row-wise Adagrad.

    Parameters
    ----------
    weight_decay_everywhere : bool, default False
        Pass a weight decay also to EXACT_SGD and EXACT_ADAGRAD, which accept and ignore it. Their
        checks then fail.

    Notes
    -----
    The gradient of a lookup is the step of SGD at rate 1 from a table of zeros. FBGEMM needs widths
    that are multiples of 4. Other tables get columns of zeros, except for row-wise Adagrad, whose
    mean would count them.
    """

    name = "fbgemm-cpu"
    version = fbgemm_gpu.__version__
    policy: ClassVar[dict[str, str]] = {"out_of_bounds": "raise", "invalid_offsets": "undefined", "mean_weights": "any"}
    omits: ClassVar[dict[str, str]] = {"adagrad.step_count": "FBGEMM's Adagrad keeps no count of steps"}

    def __init__(self, *, weight_decay_everywhere: bool = False) -> None:
        self.weight_decay_everywhere = weight_decay_everywhere

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        return f"FbgemmCPU({'weight_decay_everywhere=True' if self.weight_decay_everywhere else ''})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            ``embedding`` or ``bag`` without padding, max_norm, frequencies and maxima; ``sgd``,
            ``adagrad``, ``rowwise_adagrad``.

        Returns
        -------
        dict of str to array
            Gradients of lookups as ``grad_weight``.

        Raises
        ------
        Unsupported
            Everything else.
        """
        if case.op in OPTIMIZERS:
            return self.session(case).step(case)
        if case.op not in ("embedding", "bag"):
            raise Unsupported(f"FBGEMM on a CPU has no {case.op!r}")
        if case.dtype != "float32":
            raise Unsupported(f"tables are float32, not {case.dtype}")
        if case.padding_idx is not None or case.max_norm is not None or case.scale_grad_by_freq or case.mode == "max":
            raise Unsupported("FBGEMM has no padding_idx, no max_norm, no scale_grad_by_freq and no maximum")
        with threads(1):
            return _lookup(case)

    def session(self, case: Case) -> Session:
        """
        Return a session whose module and fused optimizer stay.

        Parameters
        ----------
        case : Case
            The table, state and options before the first step.

        Returns
        -------
        Session
            Each step looks the rows up and sends their gradients back.
        """
        if case.op not in OPTIMIZERS:
            raise Unsupported(f"FBGEMM on a CPU has no {case.op!r}")
        if case.dtype != "float32":
            raise Unsupported(f"tables are float32, not {case.dtype}")
        options = case.options or {}
        if options.get("momentum") or options.get("lr_decay"):
            raise Unsupported("FBGEMM on a CPU has no momentum and no lr_decay")
        if options["weight_decay"] and case.op != "rowwise_adagrad" and not self.weight_decay_everywhere:
            raise Unsupported("EXACT_SGD and EXACT_ADAGRAD have no weight decay")
        if case.op == "rowwise_adagrad" and case.weight.shape[1] % 4:
            raise Unsupported("widths are multiples of 4")
        return Training(self, case)


def module(rows: int, width: int, pooling: Any, optimizer: Any = EmbOptimType.EXACT_SGD, **options: Any) -> Any:
    """Return one table on the CPU."""
    place = (rows, -(-width // 4) * 4, EmbeddingLocation.HOST, ComputeDevice.CPU)
    return SplitTableBatchedEmbeddingBagsCodegen(
        [place],
        optimizer=optimizer,
        pooling_mode=pooling,
        bounds_check_mode=BoundsCheckMode.FATAL,
        weight_decay_mode=WeightDecayMode.L2,
        **options,
    )


@lru_cache(maxsize=256)
def _lookups(rows: int, width: int, pooling: Any) -> Any:
    """Return a table for lookups, whose step is the gradient."""
    return module(rows, width, pooling, learning_rate=1.0)


def _lookup(case: Case) -> Outputs:
    """Look up in the case's table; get the gradient from a step on a table of zeros."""
    height, width = case.weight.shape
    pooling = {"sum": PoolingMode.SUM, "mean": PoolingMode.MEAN, None: PoolingMode.NONE}[case.mode]
    lookup = _lookups(height, width, pooling)
    (table,) = lookup.split_embedding_weights()
    ids, offsets = integers(case.ids.ravel()), _offsets(case)
    factors = None if case.per_sample_weights is None else tensor(case.per_sample_weights.ravel(), case.dtype).requires_grad_()
    grad_out = torch.zeros((int(np.prod(case.grad_out.shape[:-1], dtype=int)), table.shape[1]))
    grad_out[:, :width] = tensor(case.grad_out.reshape(-1, width), case.dtype)

    def forward(weight: Any) -> torch.Tensor:
        table.zero_()
        table[:, :width] = weight
        out: torch.Tensor = lookup(ids, offsets, factors)
        return out

    out = forward(tensor(case.weight, case.dtype))
    outputs = {"out": array(out)[:, :width].reshape(case.grad_out.shape)}
    if factors is not None:
        out.backward(grad_out)
        assert factors.grad is not None
        outputs["grad_per_sample_weights"] = array(factors.grad).reshape(case.per_sample_weights.shape)
    forward(0.0).backward(grad_out)
    return {**outputs, "grad_weight": 0.0 - array(table)[:, :width]}


def _offsets(case: Case) -> torch.Tensor:
    """Return the starts of bags, and the number of ids."""
    if case.op == "embedding":
        return torch.arange(case.ids.size + 1)
    if case.offsets is None:
        return torch.arange(len(case.ids) + 1) * case.ids.shape[1]
    return integers(case.offsets if case.include_last_offset else np.append(case.offsets, case.ids.size))


class Training(Session):
    """A session: a table and its fused optimizer."""

    def __init__(self, backend: FbgemmCPU, case: Case) -> None:
        super().__init__(backend, case)
        options = dict(case.options or {})
        self._shape, self._steps = case.weight.shape, (case.state or {}).get("step")
        hyperparameters = {
            "learning_rate": options["lr"],
            "weight_decay": options["weight_decay"],
            "eps": options.get("eps", 0.0),
        }
        rows, width = self._shape
        self._module = module(rows, width, PoolingMode.NONE, OPTIMIZERS[case.op], **hyperparameters)
        (self._table,) = self._module.split_embedding_weights()
        self._table.zero_()
        self._table[:, : self._shape[1]] = tensor(case.weight, case.dtype)
        if "sum" in (case.state or {}):
            self._sum = self._module.split_optimizer_states()[0][0]
            self._sum.zero_()
            self._visible(self._sum)[...] = tensor((case.state or {})["sum"], case.dtype)

    def _visible(self, state: torch.Tensor) -> torch.Tensor:
        """Return a state without the columns of zeros; a row-wise sum has none."""
        return state.view(self._shape[0], -1)[:, : self._shape[1]] if state.ndim == 2 else state

    def step(self, case: Case) -> Outputs:
        """Take one step; the adapter counts the steps itself."""
        grad_out = torch.zeros((len(case.rows), self._table.shape[1]))
        grad_out[:, : self._shape[1]] = tensor(case.values, "float32")
        with threads(1):
            self._module(integers(case.rows), torch.arange(len(case.rows) + 1)).backward(grad_out)
        state = {}
        if hasattr(self, "_sum"):
            state["sum"] = array(self._visible(self._sum))
        if self._steps is not None:
            self._steps = state["step"] = self._steps + 1
        return {"weight": array(self._table[:, : self._shape[1]]), "state": state}
