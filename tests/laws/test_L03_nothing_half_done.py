"""L3: every check runs before the first write.

A call that raises leaves weights and optimizer state as they were, bit for bit.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import npbloom as nb
from npbloom.types import RowGrad
from tests.support._bits import assert_same_bits
from tests.support._layers import DIM, LAYERS, OPTIMIZERS, ROWS, gradient, is_bag, table

GOOD = [1, 2, 5]


def arguments(layer, ids=GOOD):
    """Return valid arguments of an update."""
    if is_bag(layer):
        return {"ids": ids, "grad_out": gradient((2, DIM)), "offsets": [0, 1]}
    return {"ids": ids, "grad_out": gradient((len(ids), DIM))}


UPDATES = {
    "last id out of range": {"ids": [1, 2, ROWS]},
    "negative id": {"ids": [1, 2, -1]},
    "ids of another kind": {"ids": [1.0, 2.0, 5.0]},
    "gradient of another shape": {"grad_out": gradient((3, DIM + 1))},
    "gradient too long": {"grad_out": gradient((4, DIM))},
    "integer gradient": {"grad_out": np.ones((3, DIM), dtype=int)},
    "unknown argument": {"sparse": True},
}
BAG_UPDATES = {
    "offsets go down": {"offsets": [0, 2, 1], "grad_out": gradient((3, DIM))},
    "offsets too far": {"offsets": [0, 4]},
    "no offsets": {"offsets": None},
    "weights for a mean": {"per_sample_weights": [1.0, 1.0, 1.0]},
}


def snapshot(layer, optimizer):
    """Return the bits of the table and of the state."""
    return layer.weight.copy(), {name: array.copy() for name, array in optimizer.state(layer).items()}


def assert_untouched(layer, optimizer, before):
    """Assert that the bits are those of the snapshot."""
    assert_same_bits(layer.weight, before[0])
    for name, array in optimizer.state(layer).items():
        assert_same_bits(array, before[1][name])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_refused_update_changes_nothing_then_or_later(rule, name):
    layer = LAYERS[name]()
    optimizer = OPTIMIZERS[rule](layer)
    optimizer.update(layer, **arguments(layer))
    twin, twin_optimizer = copy.deepcopy((layer, optimizer))
    before = snapshot(layer, optimizer)
    faults = {**UPDATES, **(BAG_UPDATES if is_bag(layer) else {"bag argument": {"offsets": [0]}})}
    for wrong in faults.values():
        with pytest.raises((TypeError, ValueError, IndexError)):
            optimizer.update(layer, **{**arguments(layer), **wrong})
        assert_untouched(layer, optimizer, before)
    optimizer.update(layer, **arguments(layer))
    twin_optimizer.update(twin, **arguments(twin))
    assert_untouched(twin, twin_optimizer, snapshot(layer, optimizer))


def steps(layer):
    """Return gradients that `step` must refuse."""
    m, d = layer.weight.shape
    grad = RowGrad(np.array([0, m - 1]), gradient((2, d)), m)
    yield RowGrad(grad.rows, grad.values, m + 1), ValueError
    yield RowGrad(grad.rows, gradient((2, d + 1)), m), ValueError
    yield gradient((m, d + 1)), ValueError
    yield gradient((m * d,)), ValueError
    yield np.ones((m, d), dtype=int), TypeError
    yield np.full((m, d), None), TypeError
    yield None, (TypeError, ValueError)
    if layer.padding_idx is not None:
        yield grad, ValueError  # names row 0, which is padding


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_refused_step_changes_nothing(rule, name):
    layer = LAYERS[name](padding_idx=0)
    optimizer = OPTIMIZERS[rule](layer)
    optimizer.update(layer, **arguments(layer))
    before = snapshot(layer, optimizer)
    for wrong, kind in steps(layer):
        with pytest.raises(kind):
            optimizer.step(layer, wrong)
        assert_untouched(layer, optimizer, before)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_layer_that_is_not_the_optimizers_is_a_key_error_with_a_sentence(rule):
    layer, other = LAYERS["ScaledEmbedding"](), LAYERS["ScaledEmbedding"]()
    optimizer = OPTIMIZERS[rule](layer)
    before = snapshot(layer, optimizer)
    for call in (
        lambda: optimizer.step(other, gradient(other.weight.shape)),
        lambda: optimizer.update(other, GOOD, gradient((3, DIM))),
        lambda: optimizer.state(other),
        lambda: optimizer.reset_state(other),
    ):
        with pytest.raises(KeyError, match=r"\w+ \w+ \w+.*\."):
            call()
    assert_untouched(layer, optimizer, before)
    assert_same_bits(other.weight, table())


@pytest.mark.parametrize("name", ["ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag"])
def test_max_norm_scales_nothing_before_the_last_id_is_checked(name):
    layer = LAYERS[name](max_norm=0.1)
    for wrong in ([1, 2, ROWS], [1, 2, -1], [1, 2, 2**64], [1.0]):
        with pytest.raises((IndexError, TypeError)):
            layer.forward(wrong, [0]) if is_bag(layer) else layer.forward(wrong)
    assert_same_bits(layer.weight, table())


def test_max_norm_scales_nothing_before_bags_are_checked():
    layer = LAYERS["ScaledEmbeddingBag"](max_norm=0.1)
    for offsets, weights in (([1], None), ([0, 4], None), ([], None), (None, None), ([0], [1.0, 1.0, 1.0])):
        with pytest.raises(ValueError, match=r"`(offsets|per_sample_weights)`"):
            layer.forward(GOOD, offsets, weights)
    for wrong in (np.ones(3, dtype=int), [1.0, 1.0], [[1.0, 1.0, 1.0]]):
        summed = LAYERS["ScaledEmbeddingBag"](max_norm=0.1, mode="sum")
        with pytest.raises((TypeError, ValueError)):
            summed.forward(GOOD, [0], wrong)
        assert_same_bits(summed.weight, table())
    assert_same_bits(layer.weight, table())


def ops_updates():
    """Return calls of the update functions, each with one argument that is wrong."""
    m, d = ROWS, DIM
    grad = RowGrad(np.array([2, 4]), gradient((2, d)), m)
    full, by_row = np.ones((m, d), dtype=np.float32), np.ones(m, dtype=np.float32)
    good = {
        nb.ops.sgd_update: {"grad": grad, "lr": 0.1, "momentum": 0.9, "momentum_buffer": full},
        nb.ops.adagrad_update: {"state_sum": full, "grad": grad, "lr": 0.1},
        nb.ops.rowwise_adagrad_update: {"state_sum": by_row, "grad": grad, "lr": 0.1},
        nb.ops.adam_update: {"exp_avg": full, "exp_avg_sq": full, "grad": grad, "lr": 0.1, "step": 1},
    }
    wrong = {
        "grad": [RowGrad(grad.rows, grad.values, m - 1), gradient((m, d + 1)), None, np.ones((m, d), dtype=int)],
        "lr": [-0.1, np.nan, "fast", None],
        "weight_decay": [-0.1, np.nan],
        "padding_row": [2, 1.5, m],
        "momentum": [-0.1],
        "momentum_buffer": [None, by_row, full.astype(np.float64), full.tolist()],
        "state_sum": [full[:, :-1], full.astype(np.float64), full.tolist()],
        "exp_avg": [by_row],
        "exp_avg_sq": [by_row, full.astype(np.float64)],
        "eps": [-1e-8],
        "betas": [(1.0, 0.9), (0.9, -0.1), (0.9,)],
        "step": [1.5, "1"],
    }
    optional = {"weight_decay", "padding_row"}
    for function, arguments in good.items():
        own = set(arguments) | optional | ({"eps"} if function is not nb.ops.sgd_update else set())
        own |= {"betas"} if function is nb.ops.adam_update else set()
        for name in sorted(own):
            for value in wrong[name]:
                yield pytest.param(function, {**arguments, name: value}, id=f"{function.__name__}-{name}-{str(value)[:20]}")


@pytest.mark.parametrize(("function", "arguments"), [*ops_updates()])
def test_a_refused_function_writes_nothing(function, arguments):
    weight = table()
    arguments = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    before = copy.deepcopy({name: value for name, value in arguments.items() if isinstance(value, np.ndarray)})
    with pytest.raises((TypeError, ValueError, IndexError), match=r"^`[\w\[\]]+` must .*\.$|^Gradients|padding"):
        function(weight, **arguments)
    assert_same_bits(weight, table())
    for name, array in before.items():
        assert_same_bits(arguments[name], array)


class Allocations:
    """NumPy's functions that take memory, with one call that raises a MemoryError."""

    NAMES = ("empty", "zeros", "empty_like", "array", "arange", "cumsum", "append", "concatenate", "ascontiguousarray", "repeat")

    def __init__(self, monkeypatch):
        self.left = None
        for name in self.NAMES:
            monkeypatch.setattr(np, name, self.counted(getattr(np, name)))

    def counted(self, function):
        def call(*arguments, **options):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise MemoryError
            return function(*arguments, **options)

        return call

    def fails(self, call, at):
        """Return True if a call raises after this many successful allocations."""
        self.left = at
        try:
            call()
        except MemoryError:
            return True
        finally:
            self.left = None
        return False


def moves(layer):
    """Return calls that take a step, each of which needs memory."""
    m, d = layer.weight.shape
    ids = np.arange(300) % ROWS
    bags = {"offsets": [0, 100]} if is_bag(layer) else {}
    grad = gradient((2 if is_bag(layer) else 300, d))
    rows = RowGrad(np.arange(1, m), np.ones((m - 1, d), np.float32), m)
    yield "update", lambda layer, optimizer: optimizer.update(layer, ids, grad, **bags)
    yield "step", lambda layer, optimizer: optimizer.step(layer, rows)
    yield "dense step", lambda layer, optimizer: optimizer.step(layer, np.ones((m, d)))
    yield "step on its own table", lambda layer, optimizer: optimizer.step(layer, layer.weight)
    own = lambda layer, optimizer: optimizer.step(layer, RowGrad(np.arange(1, m), layer.weight[:-1], m))  # noqa: E731
    yield "sparse step on its own table", own


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_a_step_that_finds_no_memory_changes_nothing(rule, name, threads, monkeypatch):
    monkeypatch.setattr("npbloom.ops._pairs.GRAIN", 1024)  # several parts
    monkeypatch.setattr("npbloom.ops._steps.GRAIN", 4)
    allocations = Allocations(monkeypatch)
    with nb.num_threads(threads):
        for what, move in moves(LAYERS[name]()):
            layer = LAYERS[name]()
            optimizer = OPTIMIZERS[rule](layer)
            twin, twin_optimizer = copy.deepcopy((layer, optimizer))
            before = snapshot(layer, optimizer)
            failures = 0
            while allocations.fails(lambda: move(layer, optimizer), failures):  # noqa: B023
                assert_untouched(layer, optimizer, before)
                failures += 1
            assert failures >= (4 if what == "update" else 1)
            move(twin, twin_optimizer)
            assert_untouched(twin, twin_optimizer, snapshot(layer, optimizer))


@pytest.mark.parametrize("name", ["ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag"])
def test_max_norm_scales_nothing_where_there_is_no_memory(name, monkeypatch):
    allocations = Allocations(monkeypatch)
    layer = LAYERS[name](max_norm=0.1)
    failures = 0
    while allocations.fails(lambda: layer([[1, 2, 5]]), failures):
        assert_same_bits(layer.weight, table())
        failures += 1
    assert failures >= 3
    assert not np.array_equal(layer.weight, table())
