"""Parts of the state machine of `test_machine.py`: its model, draws, and changes under a layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import npbloom as nb
from npbloom import reference

IDS, ROWS = 23, 9
KINDS = ("ScaledEmbedding", "ZeroEmbedding", "ScaledEmbeddingBag", "BloomEmbedding", "BloomEmbeddingBag")
NAMES = ("SGD", "Adagrad", "RowWiseAdagrad", "Adam")

values = st.sampled_from([0.0, -0.0, 1.0, -1.5, 0.1, 3e38, 1e-40, np.inf, np.nan])
dtypes = st.sampled_from([np.float32, np.float64])


@dataclass
class Pair:
    """A layer and its optimizer, with the model's copies of table and state."""

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
        """Return a table in the shape of its gradient: in slices if probes are concatenated."""
        slices = self.layer.num_slices
        return array.reshape(len(array) * slices, -1)

    # ---- the reference's answers -----------------------------------------------------------------

    def forward(self, ids: Any, more: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return the output, and the table after the lookup."""
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
        """Return the gradient of the table."""
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
        """Run one step of the model, on all rows but padding if the gradient is dense."""
        optimizer, state = self.optimizer, self.state
        table = self.view(self.weight)
        if "step" in state:
            state["step"] = state["step"] + 1
        reserved = self.layer.reserved_rows
        if isinstance(grad, nb.RowGrad):
            moved = grad
        else:
            slices = self.layer.num_slices
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
    """Draw a new layer."""
    kind = draw(st.sampled_from(KINDS))
    padding = draw(st.sampled_from([None, 0, 3]))
    options: dict[str, Any] = {"padding_idx": padding, "dtype": draw(dtypes), "rng": draw(st.integers(0, 3))}
    if kind.endswith("Bag"):
        options["mode"] = draw(st.sampled_from(["sum", "mean", "max"]))
    if kind.startswith("Bloom"):
        options |= {"num_rows": ROWS, "combine": draw(st.sampled_from(["sum", "mean", "concat"]))}
        options |= {"share_padding_row": draw(st.booleans())}
        if draw(st.booleans()):
            first = 0 if padding is None or options["share_padding_row"] else 1
            options["hash_table"] = np.random.default_rng(draw(st.integers(0, 3))).integers(first, ROWS, (IDS, 4))
        return kind, getattr(nb, kind)(IDS, 4, **options)
    options |= {"scale_grad_by_freq": draw(st.booleans()), "max_norm": draw(st.sampled_from([None, 0.4]))}
    return kind, getattr(nb, kind)(ROWS, 4, **options)


@st.composite
def optimizers(draw: st.DrawFn, layer: Any) -> Any:
    """Draw an optimizer of a layer."""
    name, decay = draw(st.sampled_from(NAMES)), draw(st.sampled_from([0.0, 0.25]))
    more = {
        "SGD": {"momentum": draw(st.sampled_from([0.0, 0.5]))},
        "Adagrad": {"lr_decay": decay, "initial_accumulator_value": decay},
        "RowWiseAdagrad": {},
        "Adam": {"betas": (0.5, 0.75)},
    }[name]
    return getattr(nb, name)(layer, lr=0.125, weight_decay=decay, **more)


def batch_of(draw: Any, pair: Pair) -> tuple[np.ndarray, dict[str, Any], tuple[int, ...]]:
    """Draw ids, the further arguments of bags, and the shape of the output."""
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
    """Draw an output gradient with one special value."""
    grad = np.random.default_rng(draw(st.integers(0, 9))).standard_normal(shape)
    if grad.size:
        grad.flat[draw(st.integers(0, grad.size - 1))] = draw(values)
    return grad


# ---- changes that must not go unnoticed ----------------------------------------------------------

TABLE = ("shape", "flat", "dtype", "resize", "longer")
STATE = ("counter", "endless", "shape", "closed", "table", "missing", "stranger")
REFUSED = (ValueError, TypeError)


@contextmanager
def changed_table(weight: np.ndarray, how: str) -> Iterator[None]:
    """Change a table within the block, to another one or to one that must be refused."""
    shape, dtype, values = weight.shape, weight.dtype, weight.copy()
    if how == "shape":
        weight.shape = shape[::-1]
    elif how == "flat":
        weight.shape = (1, weight.size)
    elif how == "dtype":
        weight.dtype = np.int32  # type: ignore[misc]
    elif weight.flags.owndata:
        weight.resize((2, shape[1]) if how == "resize" else (5000, shape[1]), refcheck=False)
    try:
        yield
    finally:
        weight.dtype = dtype  # type: ignore[misc]
        if weight.size == values.size:
            weight.shape = shape
        else:
            weight.resize(shape, refcheck=False)
            weight[...] = values


@contextmanager
def changed_state(state: dict[str, np.ndarray], table: np.ndarray, how: str) -> Iterator[bool]:
    """Change optimizer state within the block; yield True if there was something to change."""
    name = "step" if how in ("counter", "endless") else next((name for name in state if name != "step"), None)
    if name not in state:
        yield False
        return
    array = state[name]
    before, shape = array.copy(), array.shape
    if name == "step":
        array[...] = -1 if how == "counter" else 2**63 - 1
    elif how == "shape":
        array.shape = (1, *shape)
    elif how == "closed":
        array.flags.writeable = False
    elif how == "table":
        state[name] = table.reshape(-1)[: array.size].reshape(shape)
    elif how == "missing":
        del state[name]
    else:
        state["stranger"] = array
    try:
        yield True
    finally:
        state.pop("stranger", None)
        array.flags.writeable = True
        array.shape = shape
        array[...] = before
        state[name] = array
