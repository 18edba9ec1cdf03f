"""
Training that moves between torch and npbloom.

State has the same bits, and the next steps agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom.interop import from_torch, optimizer_from_torch, optimizer_to_torch, to_torch
from tests.backends._torch import torch
from tests.interop._torch_states import group, state
from tests.support._bits import assert_same_bits

optim = torch.optim
CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "SGD": (lambda given: optim.SGD(given, lr=0.5), nb.SGD),
    "SGD with momentum": (lambda given: optim.SGD(given, lr=0.5, momentum=0.9, weight_decay=0.1), nb.SGD),
    "Adagrad": (lambda given: optim.Adagrad(given, lr=0.5), nb.Adagrad),
    "Adagrad with decays": (
        lambda given: optim.Adagrad(given, 0.5, lr_decay=0.3, weight_decay=0.1, initial_accumulator_value=0.2, eps=1e-3),
        nb.Adagrad,
    ),
    "Adam": (lambda given: optim.Adam(given, lr=0.5), nb.Adam),
    "Adam with decay": (lambda given: optim.Adam(given, lr=0.5, betas=(0.5, 0.9), weight_decay=0.1, eps=1e-3), nb.Adam),
}


def modules(dtype: Any = torch.float64) -> list[Any]:
    """Return two tables of torch, and a layer of another kind between them."""
    made = [torch.nn.Embedding(7, 4, dtype=dtype), torch.nn.Linear(2, 1, dtype=dtype), torch.nn.Embedding(3, 2, dtype=dtype)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in made:
            one.weight.normal_(generator=generator)
    return made


def gradients(seed: int) -> list[np.ndarray]:
    """Return a dense gradient for each table."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((7, 4)), rng.standard_normal((3, 2))]


def step_theirs(tables: list[Any], optimizer: Any, seed: int) -> None:
    """Run a step of torch."""
    for table, grad in zip(tables, gradients(seed), strict=True):
        table.weight.grad = torch.tensor(grad, dtype=table.weight.dtype)
    optimizer.step()


def step_ours(layers: list[Any], optimizer: Any, seed: int) -> None:
    """Run the same step of npbloom."""
    for layer, grad in zip(layers, gradients(seed), strict=True):
        optimizer.step(layer, grad)


def assert_near(layers: list[Any], tables: list[Any]) -> None:
    """Check equality up to the rounding of a few float64 steps."""
    for layer, table in zip(layers, tables, strict=True):
        np.testing.assert_allclose(layer.weight, table.weight.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_name", [False, True])
def test_training_goes_on_here(name: str, by_name: bool) -> None:
    make, kind = CASES[name]
    users, head, items = modules()
    network = torch.nn.ModuleDict({"users": users, "head": head, "films": items})
    theirs = make(network.named_parameters() if by_name else network.parameters())
    for seed in range(3):
        step_theirs([users, items], theirs, seed)
    state_dict = theirs.state_dict()
    layers = [from_torch(network.state_dict(), nb.ScaledEmbedding, prefix=prefix) for prefix in ("users.", "films.")]
    keys = ("users.weight", "films.weight") if by_name else (0, 3)
    ours = optimizer_from_torch(state_dict, kind, dict(zip(keys, layers, strict=True)))
    assert type(ours) is kind
    assert ours.layers == tuple(layers)
    for number, layer in zip((0, 3), layers, strict=True):
        for key, array in ours.state(layer).items():
            given = np.asarray(state_dict["state"][number][key])
            assert_same_bits(array, given.astype(np.int64) if key == "step" else given)
    for seed in range(3, 6):
        step_theirs([users, items], theirs, seed)
        step_ours(layers, ours, seed)
    assert_near(layers, [users, items])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_goes_on_there(name: str, dtype: str) -> None:
    make, kind = CASES[name]
    layers = [nb.ScaledEmbedding(7, 4, rng=0, dtype=dtype), nb.ScaledEmbedding(3, 2, rng=1, dtype=dtype)]
    tables = [torch.nn.Embedding(7, 4, dtype=getattr(torch, dtype)), torch.nn.Embedding(3, 2, dtype=getattr(torch, dtype))]
    theirs = make([table.weight for table in tables])
    ours = optimizer_from_torch(theirs.state_dict(), kind, dict(enumerate(layers)))  # its hyperparameters
    for seed in range(3):
        step_ours(layers, ours, seed)
    theirs.load_state_dict(optimizer_to_torch(ours, convert=torch.from_numpy))
    for table, layer in zip(tables, layers, strict=True):
        table.load_state_dict(to_torch(layer, convert=torch.from_numpy))
    before = [layer.weight.copy() for layer in layers]
    for seed in range(3, 6):
        step_theirs(tables, theirs, seed)
    for layer, weight in zip(layers, before, strict=True):
        assert_same_bits(layer.weight, weight)  # no memory is shared
    for seed in range(3, 6):
        step_ours(layers, ours, seed)
    if dtype == "float64":
        assert_near(layers, tables)
    else:
        for layer, table in zip(layers, tables, strict=True):
            np.testing.assert_allclose(layer.weight, table.weight.detach().numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_round_trip_keeps_every_bit(name: str) -> None:
    make, kind = CASES[name]
    layers = [nb.ScaledEmbedding(7, 4, rng=0), nb.ScaledEmbedding(3, 2, rng=1)]
    theirs = make([torch.nn.Parameter(torch.zeros(layer.weight.shape)) for layer in layers])
    ours = optimizer_from_torch(theirs.state_dict(), kind, dict(enumerate(layers)))
    step_ours(layers, ours, 0)
    ours.lr = 0.1 + 0.2
    theirs.load_state_dict(optimizer_to_torch(ours, convert=torch.from_numpy))
    for state_dict in (optimizer_to_torch(ours), optimizer_to_torch(ours, copy=False), theirs.state_dict()):
        back = optimizer_from_torch(state_dict, kind, dict(enumerate(layers)))
        assert repr(back) == repr(ours)
        for layer in layers:
            for key, array in ours.state(layer).items():
                assert_same_bits(back.state(layer)[key], array)


def test_sparse_adam_is_taken_too() -> None:
    table = torch.nn.Embedding(7, 4, sparse=True)
    theirs = optim.SparseAdam(table.parameters(), lr=0.5)
    for _ in range(2):
        theirs.zero_grad()
        table(torch.tensor([1, 2, 2])).sum().backward()
        theirs.step()
    layer = from_torch(table.state_dict(), nb.ScaledEmbedding)
    ours = optimizer_from_torch(theirs.state_dict(), nb.Adam, {0: layer})
    assert (ours.lr, ours.weight_decay, ours.state(layer)["step"]) == (0.5, 0.0, 2)
    assert_same_bits(ours.state(layer)["exp_avg"], theirs.state_dict()["state"][0]["exp_avg"].numpy())
    theirs.zero_grad()
    table(torch.tensor([1, 2, 2])).sum().backward()
    theirs.step()
    ours.update(layer, [1, 2, 2], np.ones((3, 4), np.float32))
    np.testing.assert_allclose(layer.weight, table.weight.detach().numpy(), rtol=1e-5)  # the same but for eps


def test_steps_beyond_float32_are_kept() -> None:
    layer = nb.ScaledEmbedding(2, 2, rng=0)
    optimizer = nb.Adam(layer)
    for count, dtype in ((2**24 - 1, np.float32), (2**24 + 1, np.float64)):
        optimizer.state(layer)["step"][...] = count
        found = optimizer_to_torch(optimizer)
        assert found["state"][0]["step"].dtype == dtype
        assert optimizer_from_torch(found, nb.Adam, {0: layer}).state(layer)["step"] == count


def test_adam_of_an_older_torch_is_taken_where_it_is_told_from_adamw() -> None:
    for more in ({}, {"weight_decay": 0.1, "decoupled_weight_decay": False}):
        found = optimizer_from_torch({"param_groups": [group(**more)], "state": state()}, nb.Adam, {0: nb.ZeroEmbedding(2, 2)})
        assert found.weight_decay == more.get("weight_decay", 0)


def test_a_parameter_is_found_by_number_and_by_name_in_any_group() -> None:
    groups = [group(param_names=["a"]), group(params=[1], param_names=["b"])]
    state_dict = {"param_groups": groups, "state": {1: state(step=np.float32(5))[0]}}
    for key in (1, "b"):
        layer = nb.ZeroEmbedding(2, 2)
        assert optimizer_from_torch(state_dict, nb.Adam, {key: layer}).state(layer)["step"] == 5


def test_hyperparameters_that_differ_make_two_optimizers() -> None:
    layers: dict[int | str, Any] = {0: nb.ZeroEmbedding(2, 2), 1: nb.ZeroEmbedding(2, 2)}
    groups = [group(), group(lr=0.2, params=[1])]
    with pytest.raises(
        ValueError, match=r"^`layers` must have the same hyperparameters, not lr 0\.1 for 0 and 0\.2 for 1: make an"
    ):
        optimizer_from_torch({"param_groups": groups, "state": {}}, nb.Adam, layers)
    assert optimizer_from_torch({"param_groups": groups, "state": {}}, nb.Adam, {1: layers[1]}).lr == 0.2
    with pytest.raises(TypeError, match="`layers` must be a dict of parameter numbers or names to layers, with at least one"):
        optimizer_from_torch({"param_groups": groups, "state": {}}, nb.Adam, {})
    rowwise: Any = nb.RowWiseAdagrad(layers[0])
    with pytest.raises(TypeError, match="not RowWiseAdagrad"):
        optimizer_to_torch(rowwise)
