"""
Parity with torch.nn.functional.embedding in float64.

Cases vary padding, max_norm, norm_type, frequencies, and dense or sparse gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom import RowGrad
from tests.backends._torch import assert_close, functional, leaf, limits, tensor, total
from tests.support._layers import embedding
from tests.support.strategies import Lookup, lookups

ordinary = st.sampled_from(["small", "full"])  # NaN and infinity are the laws' to test


def norms(weight: np.ndarray, p: float) -> np.ndarray:
    """Return the p-norm of every row."""
    return np.linalg.norm(weight, ord=p, axis=1)


@given(ordinary.flatmap(lambda lane: lookups(lane, np.float64)), st.booleans(), st.booleans())
def test_forward_and_backward(case: Lookup, scale_grad_by_freq: bool, sparse: bool) -> None:
    event(
        f"shape of {case.ids.ndim} dimensions, {'some' if case.ids.size else 'no'} ids, padding: {case.padding_idx is not None}"
    )
    options = {"scale_grad_by_freq": scale_grad_by_freq, "sparse": sparse}
    torch_can = sparse and not scale_grad_by_freq and case.ids.ndim > 0  # make a sparse gradient of this
    weight = leaf(case.weight)
    out = functional.embedding(tensor(case.ids), weight, case.padding_idx, **{**options, "sparse": torch_can})
    out.backward(tensor(case.grad_out))
    layer = embedding(case, **options)
    np.testing.assert_array_equal(layer(case.ids), out.detach().numpy())
    grad, scale = layer.backward(case.ids, case.grad_out), total(case.grad_out)
    assert_close(grad.to_dense() if isinstance(grad, RowGrad) else grad, weight.grad.to_dense(), scale)
    assert isinstance(grad, RowGrad) == sparse
    if torch_can:
        expected = weight.grad.coalesce()
        np.testing.assert_array_equal(grad.rows, expected.indices()[0].numpy())
        assert_close(grad.values, expected.values(), scale)
    event(f"sparse: {sparse}, in torch: {torch_can}")


@given(
    ordinary.flatmap(lambda lane: lookups(lane, np.float64)),
    st.sampled_from([2.0, 1.0, 3.0, 0.5, 2.5, np.inf]),
    st.data(),
)
def test_max_norm_scales_the_same_rows(case: Lookup, p: float, data: st.DataObject) -> None:
    if data.draw(st.booleans()):  # twice: the second forward meets rows that were scaled, just below the limit
        case.ids = np.concatenate([case.ids.reshape(-1), case.ids.reshape(-1)])
        case.grad_out = np.concatenate([case.grad_out.reshape(-1, case.weight.shape[1])] * 2)
    before = norms(case.weight, p)
    max_norm = data.draw(st.sampled_from(limits(before)))
    looked_up = np.unique(case.ids)
    event(f"scaled: {bool((before[looked_up] > max_norm).any())}, not: {bool((before[looked_up] < max_norm).any())}")
    weight = leaf(case.weight)
    out = functional.embedding(tensor(case.ids), weight, case.padding_idx, max_norm, p)
    out.backward(tensor(case.grad_out))
    layer = embedding(case, max_norm=max_norm, norm_type=p)
    scale = total(case.weight)
    assert_close(layer(case.ids), out, 0)
    assert_close(layer.weight, weight, 0)
    assert (layer.weight[before <= max_norm] == case.weight[before <= max_norm]).all()
    assert_close(layer.backward(case.ids, case.grad_out), weight.grad, total(case.grad_out) + scale)


def test_a_row_longer_than_the_kernels_block_has_torchs_norm() -> None:
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3, 4099)) * 10.0 ** rng.integers(-3, 4, (3, 4099))
    for p in (1.0, 2.0, 2.5, np.inf):
        weight: Any = leaf(table)
        functional.embedding(tensor(np.array([0, 2, 2])), weight, None, 1.0, p)
        layer = embedding(Lookup(table, np.array([0]), table[:1]), max_norm=1.0, norm_type=p)
        layer([0, 2, 2])
        assert_close(layer.weight, weight, 1e-3)
