"""Contenders that do the same work are accepted, and every kind of other work is refused."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from benchmarks import ids as draws
from benchmarks.contenders import peers, same_work
from benchmarks.contenders.ours import Ours
from benchmarks.contenders.same_work import DifferentWork
from benchmarks.contenders.table import Batch, Table
from benchmarks.contenders.torch_tables import TorchDenseTable, TorchTable

FBGEMM = pytest.param(
    True,
    marks=[
        pytest.mark.peers,
        pytest.mark.skipif(importlib.util.find_spec("fbgemm_gpu") is None, reason="fbgemm_gpu is not installed (extra `peers`)"),
    ],
    id="fbgemm",
)


def bloom(kind: str = "uniform", dtype: Any = np.float32) -> tuple[Any, Batch]:
    """Return a small Bloom layer and a batch with many duplicates."""
    rng = np.random.default_rng(0)
    layer = nb.BloomEmbedding(500, 8, dtype=dtype, rng=rng)
    ids, rows = draws.draw_for(layer, kind, 300, rng)
    return layer, Batch(ids, rng.standard_normal((300, 8)).astype(dtype), rows)


def plain() -> tuple[Any, Batch]:
    """Return a small plain layer and a batch."""
    rng = np.random.default_rng(0)
    grad_out = rng.standard_normal((300, 8), dtype=np.float32)
    return nb.ScaledEmbedding(5_000, 8, rng=rng), Batch(draws.draw("zipf", 300, 5_000, rng), grad_out)


def bags(mode: str) -> tuple[Any, Batch]:
    """Return bags, one of them empty, with weights if they are summed."""
    rng = np.random.default_rng(0)
    weights = rng.random(300, dtype=np.float32) if mode == "sum" else None
    layer = nb.ScaledEmbeddingBag(500, 8, mode=mode, rng=rng)
    grad_out = rng.standard_normal((4, 8), dtype=np.float32)
    return layer, Batch(draws.draw("uniform", 300, 500, rng), grad_out, None, np.array([0, 100, 100, 120]), weights)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rowwise_adagrad", "adam"])
@pytest.mark.parametrize("kind", draws.KINDS)
@pytest.mark.parametrize("fbgemm", [pytest.param(False, id="torch"), FBGEMM])
def test_steps_are_the_same(optimizer, kind, fbgemm):
    layer, batch = bloom(kind)
    found = peers.contenders(layer, optimizer, [batch], fbgemm=fbgemm)
    expected = {"npbloom"} | ({"torch"} if optimizer != "rowwise_adagrad" else set())
    assert {table.name for table in found} == expected | ({"fbgemm"} if fbgemm and optimizer != "adam" else set())
    before = layer.weight.copy()
    same_work.check(found)
    assert (layer.weight != before).any(axis=1)[batch.touched].all()


@pytest.mark.parametrize("mode", ["mean", "sum"])
@pytest.mark.parametrize("fbgemm", [pytest.param(False, id="torch"), FBGEMM])
def test_bags_are_the_same(mode, fbgemm):
    layer, batch = bags(mode)
    same_work.check(peers.contenders(layer, "adagrad", [batch], mode=mode, fbgemm=fbgemm))


@pytest.mark.parametrize("fbgemm", [pytest.param(False, id="torch"), FBGEMM])
def test_plain_tables_are_the_same(fbgemm):
    layer, batch = plain()
    same_work.check(peers.contenders(layer, "adagrad", [batch], fbgemm=fbgemm))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_dense_torch_is_the_same(optimizer):
    layer, batch = bloom()
    same_work.check([Ours(layer, optimizer, [batch]), TorchDenseTable(len(layer.weight), optimizer, [batch])])


def test_float64_is_the_same():
    layer, batch = bloom(dtype=np.float64)
    found = peers.contenders(layer, "adagrad", [batch])
    assert [table.name for table in found] == ["npbloom", "torch"]  # FBGEMM has float32 only
    same_work.check(found)


def test_every_step_takes_the_next_batch():
    layer, batch = plain()
    other = Batch(np.array([7, 7]), np.ones((2, 8), np.float32))
    ours, peer = peers.contenders(layer, "sgd", [batch, other], fbgemm=False)
    same_work.check([ours, peer])
    for table in (ours, peer):
        assert [len(table.output()) for _ in range(4)] == [300, 2, 300, 2]
        table.step()
        middle = table.weight[7].copy()
        table.step()  # on the other batch: twice a gradient of 1 at rate 0.01
        np.testing.assert_allclose(table.weight[7], middle - 0.02, rtol=1e-5)
        assert len(table.output()) == 300
    np.testing.assert_allclose(ours.weight, peer.weight, rtol=1e-5, atol=1e-6)


class Wrong(TorchTable):
    """torch's table with a fault in its results."""

    def __init__(self, *arguments: Any, fault: str) -> None:
        super().__init__(*arguments)
        self.fault = fault

    def output(self) -> Any:
        """Return an output with a value too large, or without a row."""
        out = super().output()
        if self.fault == "output":
            out[17, 3] += 1e-3
        return out[:-1] if self.fault == "shape" else out

    def step(self) -> None:
        """
        Step not at all, once or twice, or move one touched row too far, set it to NaN, or move an
        untouched row.
        """
        if self.fault == "nothing":
            return
        super().step()
        batch = self.batches[0]
        if self.fault == "twice":
            self.rewind()
            super().step()
        elif self.fault in ("too far", "not a number"):
            self.weight[batch.touched[5], 2] += np.float32({"too far": 1e-4, "not a number": np.nan}[self.fault])
        elif self.fault == "untouched row":
            self.weight[0] += np.float32(1e-6)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("output", "output differs in 1 of 2400 values"),
        ("shape", r"output has shape \(299, 8\)"),
        ("twice", "table after a step differs"),
        ("nothing", "table after a step differs"),
        ("too far", "table after a step differs in 1 of"),
        ("not a number", "table after a step differs in 1 of"),
        ("untouched row", "moves rows that the batch does not read"),
    ],
)
def test_other_work_is_refused(fault, words):
    layer, batch = plain()
    contenders: list[Table] = [Ours(layer, "adagrad", [batch]), Wrong(len(layer.weight), "adagrad", [batch], fault=fault)]
    with pytest.raises(DifferentWork, match=words):
        same_work.check(contenders)


@pytest.mark.parametrize("optimizers", [("adagrad", "sgd"), ("adam", "adagrad"), ("sgd", "adam")])
def test_another_optimizer_is_refused(optimizers):
    layer, batch = bloom()
    ours, peer = optimizers
    with pytest.raises(DifferentWork, match="table after a step"):
        same_work.check([Ours(layer, ours, [batch]), TorchTable(len(layer.weight), peer, [batch])])


def test_other_rows_are_refused():
    layer, batch = bloom()
    moved = Batch(batch.ids, batch.grad_out, np.where(batch.rows == batch.rows[0, 0], batch.rows[1, 1], batch.rows))
    with pytest.raises(DifferentWork, match="output"):
        same_work.check([Ours(layer, "sgd", [batch]), TorchTable(len(layer.weight), "sgd", [moved])])


def test_standing_still_is_refused(monkeypatch):
    layer, batch = bloom()
    ours, peer = peers.contenders(layer, "sgd", [batch], fbgemm=False)
    monkeypatch.setattr(Ours, "step", lambda self: None)
    monkeypatch.setattr(TorchTable, "step", lambda self: None)
    with pytest.raises(DifferentWork, match="npbloom leaves rows where they were"):
        same_work.check([ours, peer])
