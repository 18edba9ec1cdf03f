"""npbloom's own fast path: `npbloom.ops`, and for several steps a layer with its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import npbloom
from npbloom import ops
from npbloom.conformance.cases.backend import Backend, Session, Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.hashing import murmurhash3_32
from npbloom.optimizers import BY_NAME
from npbloom.types import WIDE_IDS, HashSpec, RowGrad


class NpBloom(Backend):
    """
    npbloom judged by its own oracle; the two share only `npbloom.types`.

    Examples
    --------
    >>> from npbloom.conformance import check
    >>> check(NpBloom(), only="embedding.raw_bits").ok
    True
    """

    name = "npbloom"
    version = npbloom.__version__
    profile: ClassVar[dict[str, dict[str, str]]] = {
        "float32": {"forward": "float32x16", "backward": "float32x16"},
        "float64": {"forward": "float64", "backward": "float64"},
    }
    policy: ClassVar[dict[str, str]] = {
        "out_of_bounds": "raise",
        "invalid_offsets": "raise",
        "max_tie": "first",
        "max_nan": "propagate",
        "padding_forward": "row",
        "mean_weights": "refused",
    }
    in_process = True

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            Any operation, in float32 or float64; ``bloom64`` with more than 2^31 ids, since only
            then is the hash the wide one (L20).

        Returns
        -------
        dict of str to array
            All outputs of the operation; gradients as ``rows`` and ``values``.

        Raises
        ------
        Unsupported
            Another operation or dtype.
        """
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are float32 or float64, not {case.dtype}")
        answer = ANSWERS.get(case.op)
        if answer is None and case.op not in BY_NAME:
            raise Unsupported(f"no operation {case.op!r}")
        return _step(case) if answer is None else answer(case)

    def session(self, case: Case) -> Session:
        """
        Return a session whose layer and optimizer stay.

        Parameters
        ----------
        case : Case
            The table, state and options before the first step.

        Returns
        -------
        Session
            Its steps alternate between ``optimizer.update`` and ``optimizer.step``, which must
            agree (L26).
        """
        return Training(self, case)


class Training(Session):
    """A session: a `ScaledEmbedding` over the table of a case, and its optimizer."""

    def __init__(self, backend: NpBloom, case: Case) -> None:
        super().__init__(backend, case)
        if case.dtype not in backend.profile or case.op not in BY_NAME:
            raise Unsupported(f"no {case.op!r} on {case.dtype}")
        self._layer = npbloom.ScaledEmbedding(*case.weight.shape, weight=case.weight)
        self._optimizer = BY_NAME[case.op](self._layer, **(case.options or {}))
        for name, array in self._optimizer.state(self._layer).items():
            array[...] = (case.state or {})[name]
        self._fused = False

    def step(self, case: Case) -> Outputs:
        """Take one step; return table and state after it."""
        self._fused = not self._fused
        if self._fused:
            self._optimizer.update(self._layer, case.rows, case.values)
        else:
            self._optimizer.step(self._layer, self._layer.backward(case.rows, case.values, sparse=True))
        state = {name: array.copy() for name, array in self._optimizer.state(self._layer).items()}
        return {"weight": self._layer.weight.copy(), "state": state}


def _hash(case: Case) -> Outputs:
    """
    Return the table rows that ids read.

    A layer has neither negative ids nor foreign seeds, but it uses the same hash.
    """
    assert case.num_rows is not None
    hashes = [murmurhash3_32(case.ids.astype(np.int32), seed).view(np.int32) for seed in case.seeds or ()]
    rows = np.stack(hashes, axis=-1).astype(np.int64) % case.num_rows
    rows[case.ids == case.padding_idx] = 0
    return {"rows": rows}


def _hash_bytes(case: Case) -> Outputs:
    """Return hashes of keys of any length."""
    assert case.seed is not None
    return {"hash": murmurhash3_32([key.tobytes() for key in case.keys], case.seed)}


def _gradient(grad: RowGrad) -> Outputs:
    """Return a RowGrad as outputs."""
    return {"rows": grad.rows, "values": grad.values}


def _limits(case: Case) -> dict[str, Any]:
    """Return the arguments of max_norm, if the case has it."""
    return {} if case.max_norm is None else {"max_norm": case.max_norm, "norm_type": case.norm_type}


def _embedding(case: Case) -> Outputs:
    """Run a lookup of rows."""
    weight = case.weight.copy()  # max_norm writes to it
    outputs = {"out": ops.embedding_forward(weight, case.ids, **_limits(case))}
    if case.max_norm is not None:
        outputs["weight"] = weight
    frequency = bool(case.scale_grad_by_freq)
    grad = ops.embedding_backward(
        case.ids, case.grad_out, len(weight), padding_idx=case.padding_idx, scale_grad_by_freq=frequency
    )
    return {**outputs, **_gradient(grad)}


def _bag(case: Case) -> Outputs:
    """Run a lookup of bags."""
    weight = case.weight.copy()
    bags: dict[str, Any] = {"padding_idx": case.padding_idx, "include_last_offset": bool(case.include_last_offset)}
    factors = case.per_sample_weights
    out = ops.embedding_bag_forward(weight, case.ids, case.offsets, factors, mode=case.mode or "mean", **bags, **_limits(case))
    outputs = {"out": out}
    if case.max_norm is not None:
        outputs["weight"] = weight
    arrays = (case.weight, case.ids, case.grad_out, case.offsets)
    frequency = bool(case.scale_grad_by_freq)
    grad = ops.embedding_bag_backward(*arrays, factors, mode=case.mode or "mean", **bags, scale_grad_by_freq=frequency)
    if factors is not None:
        outputs["grad_per_sample_weights"] = ops.embedding_bag_backward_weights(*arrays, **bags)
    return {**outputs, **_gradient(grad)}


def _bloom(case: Case) -> Outputs:
    """Run a lookup through hashed rows."""
    assert case.num_embeddings is not None
    assert case.num_hash_functions is not None
    if (case.op == "bloom64") != (case.num_embeddings > WIDE_IDS):
        raise Unsupported(f"{case.num_embeddings} ids are hashed as {'four' if case.op == 'bloom64' else 'eight'} bytes")
    share = bool(case.share_padding_row)
    spec = HashSpec(case.num_embeddings, len(case.weight), case.num_hash_functions, case.padding_idx, share)
    combine = {"bloom_mean": "mean", "bloom_concat": "concat"}.get(case.op, "sum")
    out = ops.bloom_forward(case.weight, case.ids, spec, combine=combine)
    return {"out": out, **_gradient(ops.bloom_backward(case.ids, case.grad_out, spec, combine=combine))}


def _step(case: Case) -> Outputs:
    """Take one optimizer step; the gradient is coalesced as in the backward of a lookup."""
    assert case.options is not None
    options = dict(case.options)
    weight, state = case.weight.copy(), {name: np.array(array) for name, array in (case.state or {}).items()}
    grad = ops.embedding_backward(case.rows, case.values, len(weight))
    lr, before = options.pop("lr"), int(state.get("step", 0))
    if case.op == "sgd":
        ops.sgd_update(weight, grad, lr, **options, momentum_buffer=state.get("momentum_buffer"))
    elif case.op == "rowwise_adagrad":
        ops.rowwise_adagrad_update(weight, state["sum"], grad, lr, **options)
    elif case.op == "adagrad":
        options.pop("initial_accumulator_value")  # the state already has it
        lr = lr / (1 + before * options.pop("lr_decay"))
        ops.adagrad_update(weight, state["sum"], grad, lr, **options)
    elif case.op == "adam":
        ops.adam_update(weight, state["exp_avg"], state["exp_avg_sq"], grad, lr, before + 1, **options)
    else:
        raise Unsupported(f"no operation {case.op!r}")
    if "step" in state:
        state["step"] += 1
    return {"weight": weight, "state": state}


ANSWERS: dict[str, Callable[[Case], Outputs]] = {
    "hash": _hash,
    "hash_bytes": _hash_bytes,
    "embedding": _embedding,
    "bag": _bag,
    "bloom": _bloom,
    "bloom_mean": _bloom,
    "bloom_concat": _bloom,
    "bloom64": _bloom,
}
