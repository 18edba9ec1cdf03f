"""
State machine over the whole public API, beside a model that computes with the reference.

Layers and optimizers of every kind are looked up, trained, copied, saved and loaded. The model
keeps tables and states in arrays of its own. Between these calls the machine makes wrong calls,
sets attributes, and changes tables, states, hash tables and files under the layers. Whatever was
changed is refused until it is restored.

`NPBLOOM_MACHINE_RUNS` asks for more than 40 runs of at most 30 steps.
"""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import npbloom as nb
from tests.faults._machine import (
    REFUSED,
    ROWS,
    STATE,
    TABLE,
    Pair,
    batch_of,
    changed_state,
    changed_table,
    grad_of,
    layers,
    optimizers,
    values,
)
from tests.support._bits import assert_same_bits
from tests.support._examples import repeats

RUNS = int(os.environ.get("NPBLOOM_MACHINE_RUNS", repeats(40)))


class Machine(RuleBasedStateMachine):
    """Rules of the machine."""

    pairs = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.alive: list[Pair] = []

    def teardown(self) -> None:
        """Remove the saved files."""
        self.folder.cleanup()

    def remember(self, pair: Pair) -> Pair:
        """Add a pair to those that the invariant checks."""
        self.alive.append(pair)
        return pair

    @rule(target=pairs, data=st.data())
    def make(self, data: st.DataObject) -> Pair:
        kind, layer = data.draw(layers())
        optimizer = data.draw(optimizers(layer))
        state = {name: array.copy() for name, array in optimizer.state(layer).items()}
        return self.remember(Pair(layer, optimizer, kind, layer.weight.copy(), state))

    @rule(pair=pairs, data=st.data())
    def look_up(self, pair: Pair, data: st.DataObject) -> None:
        ids, more, _ = batch_of(data.draw, pair)
        with np.errstate(all="ignore"):
            expected, pair.weight = pair.forward(ids, more)
        assert_same_bits(pair.layer(ids, **more), expected)

    @rule(pair=pairs, data=st.data(), sparse=st.booleans())
    def differentiate(self, pair: Pair, data: st.DataObject, sparse: bool) -> None:
        ids, more, shape = batch_of(data.draw, pair)
        grad = grad_of(data.draw, shape)
        with np.errstate(all="ignore"):
            expected = pair.backward(ids, grad.astype(pair.weight.dtype), more)
        found = pair.layer.backward(ids, grad, **more, sparse=sparse)
        assert_same_bits(found, expected if sparse else expected.to_dense().reshape(pair.weight.shape))

    @rule(pair=pairs, data=st.data(), how=st.sampled_from(["update", "sparse", "dense"]))
    def train(self, pair: Pair, data: st.DataObject, how: str) -> None:
        ids, more, shape = batch_of(data.draw, pair)
        grad = grad_of(data.draw, shape)
        with np.errstate(all="ignore"):
            expected = pair.backward(ids, grad.astype(pair.weight.dtype), more)
        if how == "update":
            pair.optimizer.update(pair.layer, ids, grad, **more)
        else:
            pair.optimizer.step(pair.layer, pair.layer.backward(ids, grad, **more, sparse=how == "sparse"))
        pair.step(expected.to_dense().reshape(pair.weight.shape) if how == "dense" else expected)

    @rule(pair=pairs, lr=st.sampled_from([0.0, 0.1, 2.0]))
    def assign_a_rate(self, pair: Pair, lr: float) -> None:
        pair.optimizer.lr = lr

    @rule(pair=pairs, row=st.integers(0, ROWS - 1), value=values)
    def write(self, pair: Pair, row: int, value: float) -> None:
        with np.errstate(over="ignore"):
            pair.layer.weight[row] = value
            pair.weight[row] = value

    @rule(pair=pairs)
    def reset_state(self, pair: Pair) -> None:
        pair.optimizer.reset_state(pair.layer)
        start = getattr(pair.optimizer, "initial_accumulator_value", 0)
        pair.state = {name: np.full_like(array, 0 if name == "step" else start) for name, array in pair.state.items()}

    @rule(pair=pairs, seed=st.integers(0, 3))
    def reset_parameters(self, pair: Pair, seed: int) -> None:
        pair.layer.reset_parameters(rng=seed)
        pair.weight = pair.layer.weight.copy()
        assert not pair.weight[list(pair.layer.reserved_rows)].any()
        assert pair.weight.any() != (pair.kind == "ZeroEmbedding")

    @rule(pair=pairs, data=st.data())
    def call_badly(self, pair: Pair, data: st.DataObject) -> None:
        layer, optimizer = pair.layer, pair.optimizer
        bags = {"offsets": [0]} if pair.is_bag else {}
        shape = (1, 4) if pair.is_bag else (2, 4)
        beyond = data.draw(st.sampled_from([-1, pair.count, 2**40, -(2**63), 2**70]))
        good, bad = [1, 2], [1, beyond]
        calls = [
            lambda: layer(bad, **bags),
            lambda: layer.backward(bad, np.ones(shape), **bags),
            lambda: optimizer.update(layer, bad, np.ones(shape), **bags),
            lambda: optimizer.update(layer, good, np.ones((2, 5)), **bags),
            lambda: optimizer.update(layer, good, np.ones(shape, int), **bags),
            lambda: layer(np.array([1.0]), **bags),
            lambda: layer(np.array([True]), **bags),
            lambda: optimizer.step(layer, np.ones((ROWS, 5))),
            lambda: optimizer.step(layer, nb.RowGrad(np.array([ROWS * 5]), np.ones((1, 4), pair.weight.dtype), ROWS * 9)),
            lambda: optimizer.step(layer, None),
            lambda: optimizer.update(nb.ZeroEmbedding(3, 4), [1], np.ones((1, 4))),
            lambda: setattr(optimizer, "lr", -1),
            lambda: setattr(optimizer, "weight_decay", 0.5),
            lambda: setattr(layer, "weight", None),
            lambda: layer.reset_parameters(rng=-1),
            lambda: nb.checkpoint.save(Path(self.folder.name, "bad"), {"": layer}),
            lambda: nb.checkpoint.load(Path(self.folder.name, "bad")),
        ]
        if pair.is_bag:
            calls += [lambda offsets=offsets: layer(good, offsets) for offsets in (None, [1], [0, 3], [0, 2, 1], [-1], [[0]])]
        call = data.draw(st.sampled_from(calls))
        with pytest.raises((ValueError, TypeError, IndexError, KeyError, AttributeError, FileNotFoundError)) as caught:
            call()
        assert "\n" not in str(caught.value)

    @rule(pair=pairs, data=st.data(), value=st.sampled_from([None, 0, 2, -1.0, "median", np.float64, True]))
    def set_an_attribute(self, pair: Pair, data: st.DataObject, value: Any) -> None:
        layer = pair.layer
        name = data.draw(
            st.sampled_from(sorted({*vars(layer), *layer.options, "dtype", "weight", "nbytes", "hash_table", "rng"}))
        )
        for change in (lambda: setattr(layer, name, value), lambda: delattr(layer, name)):
            with pytest.raises(AttributeError, match=rf"^`{name}` .*\.$"):
                change()

    @rule(pair=pairs, data=st.data(), how=st.sampled_from(TABLE))
    def change_the_table(self, pair: Pair, data: st.DataObject, how: str) -> None:
        layer, optimizer = pair.layer, pair.optimizer
        ids, more, shape = batch_of(data.draw, pair)
        grad = grad_of(data.draw, shape)
        path = Path(self.folder.name, "changed")
        nb.checkpoint.save(path, {"it": layer}, optimizer)
        whole, calls = path.read_bytes(), self.uses(pair, ids, grad, more, path)
        with changed_table(layer.weight, how):
            if layer.weight.shape == layer.table_shape and layer.weight.dtype == layer.dtype:
                return
            for call in calls:
                with pytest.raises(REFUSED, match=r"^`weight` must "):
                    call()
        assert path.read_bytes() == whole

    def uses(self, pair: Pair, ids: Any, grad: Any, more: dict[str, Any], path: Path) -> list[Callable[[], Any]]:
        """Return all calls that read or write a table."""
        layer, optimizer = pair.layer, pair.optimizer
        calls: list[Callable[[], Any]] = [
            lambda: layer(ids, **more),
            lambda: optimizer.update(layer, ids, grad, **more),
            lambda: optimizer.step(layer, np.ones(layer.table_shape)),
            lambda: layer.reset_parameters(rng=0),
            lambda: nb.checkpoint.save(path, {"it": layer}, optimizer),
            lambda: copy.deepcopy(layer),
        ]
        return calls + ([lambda: layer.backward(ids, grad, **more)] if pair.is_bag else [])

    @rule(pair=pairs, data=st.data(), how=st.sampled_from(STATE))
    def change_the_state(self, pair: Pair, data: st.DataObject, how: str) -> None:
        layer, optimizer = pair.layer, pair.optimizer
        ids, more, shape = batch_of(data.draw, pair)
        grad = grad_of(data.draw, shape)
        path = Path(self.folder.name, "changed")
        with changed_state(optimizer.state(layer), layer.weight, how) as there:
            if not there:
                return
            calls = [
                lambda: optimizer.update(layer, ids, grad, **more),
                lambda: optimizer.step(layer, np.ones(layer.table_shape)),
            ]
            if how not in ("closed", "table"):
                calls.append(lambda: nb.checkpoint.save(path, {"it": layer}, optimizer))
            for call in calls:
                with pytest.raises(REFUSED, match=r"^`(state|optimizer)"):
                    call()

    @rule(pair=pairs)
    def reshape_the_hash_table(self, pair: Pair) -> None:
        hashing = getattr(pair.layer, "hashing", None)
        rows = None if hashing is None else hashing.table
        if rows is None:
            return
        with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
            rows[...] = 2**30
        with pytest.raises(ValueError, match="WRITEABLE"):
            rows.flags.writeable = True
        rows.shape = (1, -1)  # lookups, copies and files go on as before

    @rule(pair=pairs, data=st.data())
    def damage_a_file(self, pair: Pair, data: st.DataObject) -> None:
        path = Path(self.folder.name, "damaged")
        nb.checkpoint.save(path, {"it": pair.layer}, pair.optimizer)
        whole = bytearray(path.read_bytes())
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom: "):
            nb.checkpoint.load(path)

    @rule(target=pairs, pair=pairs, by=st.sampled_from([copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))]))
    def copy(self, pair: Pair, by: Any) -> Pair:
        layer, optimizer = by((pair.layer, pair.optimizer))
        return self.remember(Pair(layer, optimizer, pair.kind, pair.weight.copy(), copy.deepcopy(pair.state)))

    @rule(target=pairs, pair=pairs, mmap=st.booleans())
    def save_and_load(self, pair: Pair, mmap: bool) -> Pair:
        path = Path(self.folder.name, "model")
        nb.checkpoint.save(path, {"it": pair.layer}, pair.optimizer, {"kind": pair.kind})
        nb.checkpoint.verify(path)
        found = nb.checkpoint.load(path, mmap=mmap)
        assert found.metadata == {"kind": pair.kind}
        layer: Any = found.layers["it"]
        assert repr(layer) == repr(pair.layer)
        assert repr(found.optimizer) == repr(pair.optimizer)
        return self.remember(Pair(layer, found.optimizer, pair.kind, pair.weight.copy(), copy.deepcopy(pair.state)))

    @rule(pair=consumes(pairs))
    def forget(self, pair: Pair) -> None:
        self.alive = [other for other in self.alive if other is not pair]

    @rule(count=st.integers(1, 5))
    def use_threads(self, count: int) -> None:
        nb.set_num_threads(count)

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        for pair in self.alive:
            assert_same_bits(pair.layer.weight, pair.weight)
            state = pair.optimizer.state(pair.layer)
            assert state.keys() == pair.state.keys()
            for name, array in state.items():
                assert_same_bits(array, np.asarray(pair.state[name]))


def test_any_sequence_of_calls_does_what_the_model_does() -> None:
    before = nb.get_num_threads()
    Machine.TestCase.settings = settings(
        max_examples=RUNS, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    try:
        Machine.TestCase().runTest()
    finally:
        nb.set_num_threads(before)
