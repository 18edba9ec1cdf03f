"""
Every operation of `npbloom.ops` with every kind of option, beside its twin of the reference. Both
must agree bit for bit.

A `Twin` draws cases and calls one of the two modules on a case. The fast one writes into arrays,
and the reference returns new ones. A call returns the returned or written arrays of either, as one
tuple.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import strategies as st

from npbloom import ops, reference
from npbloom.types import RowGrad
from tests.support import strategies
from tests.support._bits import assert_same_bits
from tests.support.strategies import Bags, Bloom, Lookup, Update


@dataclass(frozen=True)
class Twin:
    """Operation with some options."""

    name: str
    cases: Callable[..., st.SearchStrategy[Any]]  # takes lane and dtype
    call: Callable[[ModuleType, Any], Any]

    def assert_agree(self, case: Any) -> None:
        """Fail unless both modules give the same bits."""
        __tracebackhide__ = True
        assert_same_bits(self.call(ops, case), self.call(reference, case))


# ---- one function for each operation ------------------------------------------------------------


def _with_table(module: ModuleType, weight: np.ndarray, call: Callable[[np.ndarray], Any], renorms: bool) -> tuple[Any, Any]:
    """Return (output, table after the call)."""
    table = weight.copy()
    result = call(table)
    return result if module is reference and renorms else (result, table)


def embedding_forward(module: ModuleType, case: Lookup, **norm: Any) -> Any:
    """Return output and table."""
    return _with_table(module, case.weight, lambda table: module.embedding_forward(table, case.ids, **norm), bool(norm))


def embedding_backward(module: ModuleType, case: Lookup, **options: Any) -> Any:
    """Return the gradient of the table."""
    m = len(case.weight)
    return module.embedding_backward(case.ids, case.grad_out, m, padding_idx=case.padding_idx, **options)


def _bag_options(case: Bags) -> dict[str, Any]:
    """Return the options that every bag operation takes."""
    return {"padding_idx": case.padding_idx, "include_last_offset": case.partition.include_last_offset}


def embedding_bag_forward(module: ModuleType, case: Bags, **norm: Any) -> Any:
    """Return output and table."""
    arguments = (case.indices, case.partition.offsets, case.per_sample_weights)
    options = {"mode": case.mode, **_bag_options(case), **norm}
    return _with_table(module, case.weight, lambda table: module.embedding_bag_forward(table, *arguments, **options), bool(norm))


def embedding_bag_backward(module: ModuleType, case: Bags, **options: Any) -> Any:
    """Return the gradient of the table."""
    arguments = (case.weight, case.indices, case.grad_out, case.partition.offsets, case.per_sample_weights)
    return module.embedding_bag_backward(*arguments, mode=case.mode, **_bag_options(case), **options)


def embedding_bag_backward_weights(module: ModuleType, case: Bags) -> Any:
    """Return the gradient of the weights of the entries."""
    arguments = (case.weight, case.indices, case.grad_out, case.partition.offsets)
    return module.embedding_bag_backward_weights(*arguments, **_bag_options(case))


def hash_rows(module: ModuleType, case: Bloom) -> Any:
    """Return the probes."""
    return module.hash_rows(case.ids, case.hashing)


def bloom_forward(module: ModuleType, case: Bloom) -> Any:
    """Return the output."""
    return module.bloom_forward(case.weight, case.ids, case.hashing, combine=case.combine)


def bloom_backward(module: ModuleType, case: Bloom) -> Any:
    """Return the gradient of the table."""
    return module.bloom_backward(case.ids, case.grad_out, case.hashing, combine=case.combine)


def _bloom_bag_options(case: Bags) -> dict[str, Any]:
    """Return the options that every operation on bags of hashed ids takes."""
    return {"combine": case.combine, "include_last_offset": case.partition.include_last_offset}


def bloom_bag_forward(module: ModuleType, case: Bags) -> Any:
    """Return the output."""
    arguments = (case.weight, case.indices, case.hashing, case.partition.offsets, case.per_sample_weights)
    return module.bloom_bag_forward(*arguments, mode=case.mode, **_bloom_bag_options(case))


def bloom_bag_backward(module: ModuleType, case: Bags) -> Any:
    """Return the gradient of the table."""
    arguments = (case.weight, case.indices, case.grad_out, case.hashing, case.partition.offsets, case.per_sample_weights)
    return module.bloom_bag_backward(*arguments, mode=case.mode, **_bloom_bag_options(case))


def bloom_bag_backward_weights(module: ModuleType, case: Bags) -> Any:
    """Return the gradient of the weights of the entries."""
    arguments = (case.weight, case.indices, case.grad_out, case.hashing, case.partition.offsets)
    return module.bloom_bag_backward_weights(*arguments, **_bloom_bag_options(case))


def _gradient(case: Update, dense: bool) -> tuple[RowGrad | np.ndarray, dict[str, Any]]:
    """Return the case's gradient, or a dense one, for which row 0 is padding."""
    options = {"weight_decay": case.weight_decay}
    return (case.grad.to_dense(), {**options, "padding_row": 0}) if dense else (case.grad, options)


def _written(module: ModuleType, result: Any, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the arrays after an update."""
    assert module is reference or result is None, "an update returns nothing"
    return result if module is reference else arrays


def sgd_update(module: ModuleType, case: Update, dense: bool, momentum: bool) -> Any:
    """Return the table, and the buffer with momentum."""
    grad, options = _gradient(case, dense)
    weight, buffer = case.weight.copy(), case.state.copy()
    if not momentum:
        return _written(module, module.sgd_update(weight, grad, case.lr, **options), weight)
    options |= {"momentum": case.momentum or 0.5, "momentum_buffer": buffer}
    return _written(module, module.sgd_update(weight, grad, case.lr, **options), weight, buffer)


def adagrad_update(module: ModuleType, case: Update, dense: bool) -> Any:
    """Return table and sum."""
    grad, options = _gradient(case, dense)
    weight, total = case.weight.copy(), case.state.copy()
    return _written(module, module.adagrad_update(weight, total, grad, case.lr, eps=case.eps, **options), weight, total)


def rowwise_adagrad_update(module: ModuleType, case: Update, dense: bool) -> Any:
    """Return table and sum."""
    grad, options = _gradient(case, dense)
    weight, total = case.weight.copy(), case.state[:, 0].copy()
    result = module.rowwise_adagrad_update(weight, total, grad, case.lr, eps=case.eps, **options)
    return _written(module, result, weight, total)


def adam_update(module: ModuleType, case: Update, dense: bool) -> Any:
    """Return table and both moments."""
    grad, options = _gradient(case, dense)
    arrays = (case.weight.copy(), case.state.copy(), case.second_state.copy())
    result = module.adam_update(*arrays, grad, case.lr, case.step, betas=case.betas, eps=case.eps, **options)
    return _written(module, result, *arrays)


# ---- the list -----------------------------------------------------------------------------------


def _twins() -> list[Twin]:
    """Return every operation with every option that has a path of its own."""
    twins = [Twin("hash_rows", strategies.blooms, hash_rows)]

    def add(
        call: Callable[..., Any], cases: Callable[..., Any], *words: str, drawn: dict[str, Any] | None = None, **given: Any
    ) -> None:
        name = "-".join([call.__name__, *words])
        twins.append(Twin(name, lambda **lane: cases(**lane, **(drawn or {})), lambda module, case: call(module, case, **given)))

    add(embedding_forward, strategies.lookups)
    for p in (1, 2, 3, 0.5, math.inf):
        add(embedding_forward, strategies.lookups, f"norm {p}", max_norm=1.5, norm_type=p)
    for frequency in (False, True):
        words = ["frequency"] if frequency else []
        add(embedding_backward, strategies.lookups, *words, scale_grad_by_freq=frequency)
        for mode in strategies.MODES:
            add(embedding_bag_backward, strategies.bags, mode, *words, drawn={"mode": mode}, scale_grad_by_freq=frequency)
    for mode in strategies.MODES:
        add(embedding_bag_forward, strategies.bags, mode, drawn={"mode": mode})
        add(embedding_bag_forward, strategies.bags, mode, "norm", drawn={"mode": mode}, max_norm=0.75, norm_type=2)
    add(embedding_bag_backward_weights, strategies.bags)
    for combine in strategies.COMBINES:
        add(bloom_forward, strategies.blooms, combine, drawn={"combine": combine})
        add(bloom_backward, strategies.blooms, combine, drawn={"combine": combine})
        for mode in strategies.MODES:
            add(bloom_bag_forward, strategies.bloom_bags, mode, combine, drawn={"mode": mode, "combine": combine})
            add(bloom_bag_backward, strategies.bloom_bags, mode, combine, drawn={"mode": mode, "combine": combine})
    add(bloom_bag_backward_weights, strategies.bloom_bags)
    for dense in (False, True):
        words = ["dense"] if dense else []
        add(sgd_update, strategies.updates, *words, dense=dense, momentum=False)
        add(sgd_update, strategies.updates, "momentum", *words, dense=dense, momentum=True)
        for update in (adagrad_update, rowwise_adagrad_update, adam_update):
            add(update, strategies.updates, *words, dense=dense)
    return twins


TWINS = _twins()
