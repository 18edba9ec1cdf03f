"""
Several steps of SGD, Adagrad and Adam beside torch.optim.

They include forward and backward, on all kinds of layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from tests.backends._torch import bag_call, bags_one_by_one, combine_rows, functional, leaf, tensor, torch
from tests.support._layers import bag, bag_arguments, bloom, embedding
from tests.support.strategies import Bags, Bloom, Lookup, bags, bloom_bags, blooms, id_arrays, lookups

KINDS = {"embedding": lookups, "bag": bags, "bloom": blooms, "bloom bag": bloom_bags}
# Rates such that a first step, of length lr with Adam, does not end at zero, where the sign of a
# rounding error would decide.
RATES = st.sampled_from([0.013, 0.11, 0.37])
DECAYS = st.sampled_from([0.0, 0.01])


@st.composite
def hyperparameters(draw: st.DrawFn, name: str, decays: bool) -> dict[str, Any]:
    """
    Draw options that npbloom's optimizer and torch's of the same name take.

    Without `decays` none of them is lazy on a RowGrad (L27).
    """
    decay = draw(DECAYS) if decays else 0.0
    given: dict[str, Any] = {"lr": draw(RATES), "weight_decay": decay}
    if name == "SGD":
        given["momentum"] = draw(st.sampled_from([0.0, 0.9, 0.5])) if decays else 0.0
    if name == "Adagrad":
        given["lr_decay"] = draw(st.sampled_from([0.0, 0.3]))
        given["initial_accumulator_value"] = draw(st.sampled_from([0.0, 0.2]))
        given["eps"] = draw(st.sampled_from([1e-10, 1e-3]))
    if name == "Adam":
        given["betas"] = draw(st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.5, 0.0)]))
        given["eps"] = draw(st.sampled_from([1e-8, 1e-3]))
    return given


@st.composite
def structures(draw: st.DrawFn) -> tuple[Any, list[np.ndarray], np.random.Generator]:
    """
    Draw a layer of any kind, ids of several steps, and a source of values without ties.

    Reserved rows have zeros.
    """
    case = draw(KINDS[draw(st.sampled_from(sorted(KINDS)))]("small", np.float64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    case.weight = rng.uniform(-2, 2, case.weight.shape)
    hashing = getattr(case, "hashing", None)
    if hashing is not None and hashing.padding_idx is not None:
        case.weight[0] = 0
    elif hashing is None and case.padding_idx is not None:
        case.weight[case.padding_idx] = 0
    first = case.ids if isinstance(case, (Lookup, Bloom)) else case.indices
    number = len(case.weight) if hashing is None else hashing.num_embeddings
    steps = draw(st.integers(1, 4))
    return case, [first, *(draw(id_arrays(number, shape=first.shape)) for _ in range(steps - 1))], rng


def set_ids(case: Any, ids: np.ndarray, rng: np.random.Generator) -> None:
    """
    Put the next batch into the case.

    Its gradients and weights are above zero, so that no sum of them cancels.
    """
    if isinstance(case, Bags):
        case.indices = ids
        if case.per_sample_weights is not None:
            case.per_sample_weights = rng.uniform(0.25, 2, ids.shape)
    else:
        case.ids = ids
    case.grad_out = rng.uniform(0.25, 2, case.grad_out.shape)


def torch_forward(case: Any, weight: Any) -> Any:
    """Return torch's output."""
    if isinstance(case, Lookup):
        return functional.embedding(tensor(case.ids), weight, case.padding_idx)
    if isinstance(case, Bloom):
        return combine_rows(nb.ops.hash_rows(case.ids, case.hashing), weight, case.combine, case.reserved is not None)
    weights = None if case.per_sample_weights is None else tensor(case.per_sample_weights)
    if case.hashing is not None:
        rows = nb.ops.hash_rows(case.indices.reshape(-1), case.hashing)
        return bags_one_by_one(combine_rows(rows, weight, case.combine, case.padding_idx is not None), case, weights)
    call = bag_call(case)
    options = {"mode": case.mode, "padding_idx": case.padding_idx}
    options["per_sample_weights"] = None if weights is None else weights.reshape(call["input"].shape)
    return functional.embedding_bag(weight=weight, **options, **call)


def torch_step(case: Any, weight: Any, optimizer: Any) -> None:
    """
    Run forward, backward and a step of torch's optimizer on a dense gradient.

    It has zeros in rows that were not looked up.
    """
    weight.grad = torch.zeros_like(weight)
    out = torch_forward(case, weight)
    if out.requires_grad and out.numel():
        out.backward(tensor(case.grad_out))
    optimizer.step()


def make_layer(case: Any) -> Any:
    """Return the layer of a case."""
    return {Lookup: embedding, Bags: bag, Bloom: bloom}[type(case)](case)


def our_step(case: Any, layer: Any, optimizer: Any, fused: bool) -> None:
    """Run forward, backward and a step of npbloom's optimizer, dense or fused."""
    ids, arguments = (case.indices, bag_arguments(case)) if isinstance(case, Bags) else (case.ids, {})
    assert layer(ids, **arguments).shape == case.grad_out.shape
    if fused:
        optimizer.update(layer, ids, case.grad_out, **arguments)
    else:
        optimizer.step(layer, layer.backward(ids, case.grad_out, sparse=False, **arguments))


def assert_same_training(layer: Any, optimizer: Any, weight: Any, torch_optimizer: Any) -> None:
    """Check that tables and states agree, under the same names."""
    np.testing.assert_allclose(layer.weight, weight.detach().numpy(), rtol=1e-9, atol=1e-11)
    state = optimizer.state(layer)
    expected = {key: value for key, value in torch_optimizer.state[weight].items() if value is not None}
    assert state.keys() == expected.keys()
    for key, array in state.items():
        np.testing.assert_allclose(array, expected[key].numpy(), rtol=1e-9, atol=1e-11, err_msg=key)


def train_both(name: str, structure: Any, options: dict[str, Any], fused: bool) -> None:
    """Run the same steps on both sides, and compare after each."""
    case, batches, rng = structure
    event(f"{type(case).__name__}, {len(batches)} steps, decay: {options['weight_decay'] > 0}")
    layer, weight = make_layer(case), leaf(case.weight)
    optimizer = getattr(nb, name)(layer, **options)
    torch_optimizer = getattr(torch.optim, name)([weight], **options)
    for ids in batches:
        set_ids(case, ids, rng)
        our_step(case, layer, optimizer, fused)
        torch_step(case, weight, torch_optimizer)
        assert_same_training(layer, optimizer, weight, torch_optimizer)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam"])
@given(structure=structures(), data=st.data())
def test_steps_on_dense_gradients(name: str, structure: Any, data: st.DataObject) -> None:
    train_both(name, structure, data.draw(hyperparameters(name, decays=True)), fused=False)


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
@given(structure=structures(), data=st.data())
def test_updates_of_touched_rows_are_torchs_dense_steps(name: str, structure: Any, data: st.DataObject) -> None:
    """Without decay, rows that a batch does not touch do not move in torch either (L27)."""
    train_both(name, structure, data.draw(hyperparameters(name, decays=False)), fused=True)


@st.composite
def every_row(draw: st.DrawFn) -> tuple[Lookup, list[np.ndarray], np.random.Generator]:
    """Draw lookups that touch every row in every step, some of them twice."""
    m, d, more = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batches = [rng.permutation([*range(m), *rng.integers(0, m, more)]) for _ in range(draw(st.integers(1, 4)))]
    return Lookup(rng.uniform(-2, 2, (m, d)), batches[0], np.zeros((m + more, d))), batches, rng


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam"])
@given(structure=every_row(), data=st.data())
def test_updates_that_touch_every_row_are_torchs_dense_steps(name: str, structure: Any, data: st.DataObject) -> None:
    """Lazy or not, decay and momentum reach a touched row."""
    train_both(name, structure, data.draw(hyperparameters(name, decays=True)), fused=True)


def test_torchs_sparse_adam_adds_eps_before_bias_correction() -> None:
    """L31 names this difference: the results agree for a small eps, and differ for a large one."""
    for eps, same in ((1e-12, True), (0.1, False)):
        layer = nb.ScaledEmbedding(2, 1, weight=np.ones((2, 1)))
        optimizer = nb.Adam(layer, lr=0.1, eps=eps)
        weight = leaf(np.ones((2, 1)))
        sparse_adam = torch.optim.SparseAdam([weight], lr=0.1, eps=eps)
        for _ in range(3):
            optimizer.update(layer, [1], [[0.5]])
            weight.grad = torch.sparse_coo_tensor([[1]], tensor([[0.5]]), (2, 1), check_invariants=True)
            sparse_adam.step()
        assert np.allclose(layer.weight, weight.detach().numpy(), rtol=1e-9) is same
