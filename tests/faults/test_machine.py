"""
A machine over the whole public API: layers and optimizers of every kind are looked up, trained, copied, saved and loaded, with
bad calls in between, beside a model that keeps tables and states in arrays of its own and computes with the reference.

`NPBLOOM_MACHINE_RUNS` asks for more than 100 runs of at most 30 steps.
"""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import npbloom as nb
from npbloom import reference
from tests._bits import assert_same_bits

RUNS = int(os.environ.get("NPBLOOM_MACHINE_RUNS", "100"))
IDS, ROWS = 23, 9
KINDS = ("ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag", "BloomEmbedding", "BloomEmbeddingBag")
NAMES = ("SGD", "Adagrad", "RowWiseAdagrad", "Adam")

values = st.sampled_from([0.0, -0.0, 1.0, -1.5, 0.1, 3e38, 1e-40, np.inf, np.nan])
dtypes = st.sampled_from([np.float32, np.float64])


@dataclass
class Pair:
    """A layer with its optimizer, and what the model knows of them."""

    layer: Any
    optimizer: Any
    kind: str
    weight: np.ndarray
    state: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def is_bag(self) -> bool:
        return self.kind.endswith("Bag")

    @property
    def count(self) -> int:
        return self.layer.num_embeddings

    def view(self, array: np.ndarray) -> np.ndarray:
        """A table as a gradient sees it: slices where probes are concatenated."""
        slices = self.layer._slices
        return array.reshape(len(array) * slices, -1)

    # ---- the reference's answers -------------------------------------------------------------------------------------

    def forward(self, ids: Any, more: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Output, and the table afterwards."""
        layer = self.layer
        if self.kind == "BloomEmbedding":
            return reference.bloom_forward(self.weight, ids, layer.hashing, combine=layer.combine), self.weight
        if self.kind == "BloomEmbeddingBag":
            options = {"mode": layer.mode, "combine": layer.combine}
            return reference.bloom_bag_forward(self.weight, ids, layer.hashing, **more, **options), self.weight
        norm = {} if layer.max_norm is None else {"max_norm": layer.max_norm, "norm_type": layer.norm_type}
        if self.is_bag:
            options = {"mode": layer.mode, "padding_idx": layer.padding_idx, **norm}
            found = reference.embedding_bag_forward(self.weight, ids, **more, **options)
        else:
            found = reference.embedding_forward(self.weight, ids, **norm)
        return found if norm else (found, self.weight)

    def backward(self, ids: Any, grad: np.ndarray, more: dict[str, Any]) -> nb.RowGrad:
        """Gradient of the table."""
        layer = self.layer
        if self.kind == "BloomEmbedding":
            return reference.bloom_backward(ids, grad, layer.hashing, combine=layer.combine)
        if self.kind == "BloomEmbeddingBag":
            options = {"mode": layer.mode, "combine": layer.combine}
            return reference.bloom_bag_backward(self.weight, ids, grad, layer.hashing, **more, **options)
        options = {"padding_idx": layer.padding_idx, "scale_grad_by_freq": layer.scale_grad_by_freq}
        if self.is_bag:
            return reference.embedding_bag_backward(self.weight, ids, grad, **more, mode=layer.mode, **options)
        return reference.embedding_backward(ids, grad, len(self.weight), **options)

    def step(self, grad: Any) -> None:
        """One step of the model, on all rows but padding where the gradient is dense."""
        optimizer, state = self.optimizer, self.state
        table = self.view(self.weight)
        if "step" in state:
            state["step"] = state["step"] + 1
        reserved = self.layer._reserved
        if isinstance(grad, nb.RowGrad):
            moved = grad
        else:
            slices = self.layer._slices
            rows = np.setdiff1d(np.arange(len(table)), np.arange(reserved.start * slices, reserved.stop * slices))
            moved = nb.RowGrad(rows, self.view(grad)[rows], len(table))
        more: dict[str, Any] = {"weight_decay": optimizer.weight_decay}
        with np.errstate(all="ignore"):
            if isinstance(optimizer, nb.SGD):
                buffer = {"momentum": optimizer.momentum, "momentum_buffer": self.view(state["momentum_buffer"])} if state else {}
                found, names = reference.sgd_update(table, moved, optimizer.lr, **buffer, **more), ["momentum_buffer"]
            elif isinstance(optimizer, nb.Adam):
                moments = (self.view(state["exp_avg"]), self.view(state["exp_avg_sq"]))
                more |= {"betas": optimizer.betas, "eps": optimizer.eps}
                found = reference.adam_update(table, *moments, moved, optimizer.lr, int(state["step"]), **more)
                names = ["exp_avg", "exp_avg_sq"]
            else:
                names = ["sum"]
                if isinstance(optimizer, nb.Adagrad):
                    rate = optimizer.lr / (1 + (int(state["step"]) - 1) * optimizer.lr_decay)
                    arrays, update = (table, self.view(state["sum"])), reference.adagrad_update
                else:
                    rate, arrays, update = optimizer.lr, (table, state["sum"]), reference.rowwise_adagrad_update
                found = update(*arrays, moved, rate, eps=optimizer.eps, **more)
        self.weight = found[0].reshape(self.weight.shape)
        for name, array in zip(names, found[1:], strict=False):
            state[name] = array.reshape(state[name].shape)


@st.composite
def layers(draw: st.DrawFn) -> tuple[str, Any]:
    """A new layer."""
    kind = draw(st.sampled_from(KINDS))
    padding = draw(st.sampled_from([None, 0, 3]))
    options: dict[str, Any] = {"padding_idx": padding, "dtype": draw(dtypes), "rng": draw(st.integers(0, 3))}
    if kind.endswith("Bag"):
        options["mode"] = draw(st.sampled_from(["sum", "mean", "max"]))
    if kind.startswith("Bloom"):
        options |= {"num_rows": ROWS, "combine": draw(st.sampled_from(["sum", "mean", "concat"]))}
        options |= {"share_padding_row": draw(st.booleans()), "precompute_hashes": draw(st.sampled_from([None, False]))}
        return kind, getattr(nb, kind)(IDS, 4, **options)
    options |= {"scale_grad_by_freq": draw(st.booleans()), "max_norm": draw(st.sampled_from([None, 0.4]))}
    return kind, getattr(nb, kind)(ROWS, 4, **options)


@st.composite
def optimizers(draw: st.DrawFn, layer: Any) -> Any:
    """An optimizer of a layer."""
    name, decay = draw(st.sampled_from(NAMES)), draw(st.sampled_from([0.0, 0.25]))
    more = {
        "SGD": {"momentum": draw(st.sampled_from([0.0, 0.5]))},
        "Adagrad": {"lr_decay": decay, "initial_accumulator_value": decay},
        "RowWiseAdagrad": {},
        "Adam": {"betas": (0.5, 0.75)},
    }[name]
    return getattr(nb, name)(layer, lr=0.125, weight_decay=decay, **more)


def batch_of(draw: Any, pair: Pair) -> tuple[np.ndarray, dict[str, Any], tuple[int, ...]]:
    """Ids, what bags need besides, and the shape of the output."""
    ids = np.array(draw(st.lists(st.integers(0, pair.count - 1), max_size=8)), np.int64)
    if not pair.is_bag:
        return ids, {}, (len(ids), 4)
    cuts = sorted(draw(st.lists(st.integers(0, len(ids)), max_size=3)))
    offsets = np.array([0, *cuts], np.int64)
    more: dict[str, Any] = {"offsets": offsets}
    if pair.layer.mode == "sum" and draw(st.booleans()):
        more["per_sample_weights"] = np.array([draw(values) for _ in ids], np.float64)
    return ids, more, (len(offsets), 4)


def grad_of(draw: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An output gradient that has something special somewhere."""
    grad = np.random.default_rng(draw(st.integers(0, 9))).standard_normal(shape)
    if grad.size:
        grad.flat[draw(st.integers(0, grad.size - 1))] = draw(values)
    return grad


class Machine(RuleBasedStateMachine):
    """The rules."""

    pairs = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.alive: list[Pair] = []

    def teardown(self) -> None:
        """Remove what was saved."""
        self.folder.cleanup()

    def remember(self, pair: Pair) -> Pair:
        """A pair that the invariant looks at."""
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
        assert not pair.weight[list(pair.layer._reserved)].any()
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
