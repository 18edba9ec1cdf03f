"""Expected results of drawn cases, by the loops of `_naive`: cases in, arrays out.

Numbers become scalars of the table's dtype, and NumPy warns of none of their infinities.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from npbloom import reference
from npbloom.types import RowGrad
from tests.support import _naive
from tests.support.strategies import Bags, Bloom, Lookup, Update


def row_grad(sums: dict[int, list[float]], num_rows: int, width: int, dtype: Any) -> RowGrad:
    """Return a dictionary of sums as a RowGrad, rounded."""
    values = _naive.rounded(list(sums.values()), dtype, (len(sums), width))
    return RowGrad(np.array(list(sums), dtype=np.int64), values, num_rows)


def _numbers(array: np.ndarray) -> list[Any]:
    """Return a row as scalars of its dtype, or a matrix as a list of such rows."""
    return list(array) if array.ndim == 1 else [list(row) for row in array]


@np.errstate(all="ignore")
def embedding_backward(case: Lookup, by_frequency: bool) -> RowGrad:
    """Return the gradient of a lookup."""
    m, d = case.weight.shape
    grads = _numbers(case.grad_out.reshape(case.ids.size, d))
    pairs = [(i, g) for i, g in zip(case.ids.ravel().tolist(), grads, strict=True) if i != case.padding]
    return row_grad(_naive.scatter(pairs, case.weight.dtype.type, by_frequency), m, d, case.weight.dtype)


@np.errstate(all="ignore")
def vectors(case: Bags | Bloom, ids: np.ndarray) -> list[list[Any]]:
    """Return the vector of every id."""
    table = _numbers(case.weight)
    if case.hashing is None:
        return [table[i] for i in ids.ravel().tolist()]
    reserved = None if case.hashing.padding_idx is None else 0
    probes = reference.hash_rows(ids.ravel(), case.hashing).tolist()
    return [_naive.bloom_vector(table, rows, reserved, case.combine, case.weight.dtype.type) for rows in probes]


def bloom_forward(case: Bloom) -> np.ndarray:
    """Return the vectors of hashed ids."""
    return _naive.rounded(vectors(case, case.ids), case.weight.dtype, (*case.ids.shape, case.weight.shape[1]))


def bloom_backward(case: Bloom) -> RowGrad:
    """Return the gradient of vectors of hashed ids."""
    return _to_rows(case, case.ids, _numbers(case.grad_out.reshape(case.ids.size, case.weight.shape[1])))


@np.errstate(all="ignore")
def _to_rows(case: Any, ids: np.ndarray, sent: Iterable[list[Any]]) -> RowGrad:
    """Return the gradients that ids receive, scattered to their probes."""
    hashing, d, real = case.hashing, case.weight.shape[1], case.weight.dtype.type
    k = hashing.num_hash_functions if case.combine == "concat" else 1
    reserved = None if hashing.padding_idx is None else 0
    probes = reference.hash_rows(ids.ravel(), hashing).tolist()
    parts = zip(probes, sent, strict=True)
    pairs = [pair for rows, g in parts for pair in _naive.to_probes(rows, g, reserved, case.combine, real)]
    return row_grad(_naive.scatter(pairs, real), hashing.num_rows * k, d // k, case.weight.dtype)


def _flat_weights(case: Bags) -> list[Any] | None:
    """Return the weights of the entries."""
    return None if case.per_sample_weights is None else _numbers(case.per_sample_weights.ravel())


@np.errstate(all="ignore")
def bag_forward(case: Bags) -> np.ndarray:
    """Return bags of rows or of hashed ids."""
    entries, d = vectors(case, case.indices), case.weight.shape[1]
    out = []
    for bag, counted in zip(case.partition.entries, case.counted, strict=True):
        places = {i: i - bag[0] for i in counted}
        out.append(_naive.bag(entries, d, places, case.mode, _flat_weights(case), case.weight.dtype.type))
    return _naive.rounded(out, case.weight.dtype, (len(out), d))


@np.errstate(all="ignore")
def bag_backward(case: Bags, by_frequency: bool = False) -> RowGrad:
    """Return the gradient of bags with respect to the table."""
    entries, (m, d), real = vectors(case, case.indices), case.weight.shape, case.weight.dtype.type
    sent: dict[int, list[Any]] = {}
    for bag, grad in zip(case.counted, _numbers(case.grad_out), strict=True):
        sent.update(_naive.sent(entries, grad, bag, case.mode, _flat_weights(case), real))
    if case.hashing is not None:  # padding receives nothing, because its probes are all reserved
        return _to_rows(case, case.indices, [sent.get(i, [real(0)] * d) for i in range(case.indices.size)])
    flat = case.indices.ravel().tolist()
    pairs = [(flat[i], sent[i]) for i in sorted(sent)]
    return row_grad(_naive.scatter(pairs, real, by_frequency), m, d, case.weight.dtype)


@np.errstate(all="ignore")
def bag_backward_weights(case: Bags) -> np.ndarray:
    """Return the gradient of bags with respect to their per-sample weights."""
    entries, out = vectors(case, case.indices), [0.0] * case.indices.size
    for bag, grad in zip(case.counted, _numbers(case.grad_out), strict=True):
        for i in bag:
            out[i] = _naive.dot(entries[i], grad)
    return _naive.rounded(out, case.weight.dtype, case.indices.shape)


# ---- updates: scalars of the table's dtype, one operation at a time -----------------------------


def _elements(case: Update) -> Iterable[tuple[int, int, Any]]:
    """Yield row, column and decayed gradient of every touched element."""
    real = case.weight.dtype.type
    for row, values in zip(case.grad.rows, case.grad.values, strict=True):
        for column, g in enumerate(values):
            yield row, column, g + real(case.weight_decay) * case.weight[row, column] if case.weight_decay else g


@np.errstate(all="ignore")
def sgd(case: Update) -> tuple[np.ndarray, ...]:
    """Return table and buffer after a step of SGD (L28)."""
    real, weight, buffer = case.weight.dtype.type, case.weight.copy(), case.state.copy()
    for row, column, g in _elements(case):
        if case.momentum:
            g = buffer[row, column] = real(case.momentum) * buffer[row, column] + g
        weight[row, column] = weight[row, column] - real(case.lr) * g
    return (weight, buffer) if case.momentum else (weight,)


@np.errstate(all="ignore")
def adagrad(case: Update) -> tuple[np.ndarray, ...]:
    """Return table and sum after a step of Adagrad (L29)."""
    real, weight, total = case.weight.dtype.type, case.weight.copy(), case.state.copy()
    for row, column, g in _elements(case):
        total[row, column] = total[row, column] + g * g
        weight[row, column] = weight[row, column] - real(case.lr) * g / (np.sqrt(total[row, column]) + real(case.eps))
    return weight, total


@np.errstate(all="ignore")
def rowwise_adagrad(case: Update) -> tuple[np.ndarray, ...]:
    """Return table and sum after a step of RowWiseAdagrad (L30)."""
    real, weight, total = case.weight.dtype.type, case.weight.copy(), case.state[:, 0].copy()
    squares: dict[int, list[float]] = {row: [] for row in case.grad.rows.tolist()}
    for row, _, g in _elements(case):
        squares[int(row)].append(float(g) * float(g))
    for row, terms in squares.items():
        total[row] = total[row] + real(_naive.eight_parts(terms) / weight.shape[1])
    for row, column, g in _elements(case):
        weight[row, column] = weight[row, column] - real(case.lr) * g / (np.sqrt(total[row]) + real(case.eps))
    return weight, total


@np.errstate(all="ignore")
def adam(case: Update) -> tuple[np.ndarray, ...]:
    """Return table and moments after a step of Adam (L31)."""
    real, weight, first, second = case.weight.dtype.type, case.weight.copy(), case.state.copy(), case.second_state.copy()
    (beta1, beta2), step = case.betas, case.step
    for row, column, g in _elements(case):
        at = (row, column)
        first[at] = real(beta1) * first[at] + real(1 - beta1) * g
        second[at] = real(beta2) * second[at] + real(1 - beta2) * (g * g)
        root = np.sqrt(second[at] / real(1 - beta2**step))
        weight[at] = weight[at] - real(case.lr) * (first[at] / real(1 - beta1**step)) / (root + real(case.eps))
    return weight, first, second
