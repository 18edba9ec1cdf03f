"""
The study of smaller tables: sizes, choices and errors are right, and it continues after a stop.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from benchmarks import smaller_tables
from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.runs import Job, Lines
from benchmarks.smaller import models, runs, summary
from benchmarks.smaller.catalogue import DECOMPOSITION, METHODS, NARROW_DECOMPOSITION, POPULARITY, UNCOMPRESSED
from benchmarks.smaller.methods import Fixed, Sizes, bytes_served, full, rounded
from benchmarks.smaller.variants import Half, Residual
from npbloom.recommend import Interactions, leave_last_out

pytest.importorskip("matplotlib")


def interactions(users: int = 60, items: int = 80, each: int = 9) -> Interactions:
    """Return interactions of users with three tastes; id 0 is padding."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(1, users + 1), each)
    what = 1 + (who % 3 + 3 * rng.integers(0, items // 3, who.size)) % items
    return Interactions(who, what, num_users=users + 1, num_items=items + 1, padding_idx=0)


# ---- methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in METHODS if name not in UNCOMPRESSED])
def test_no_method_has_more_parameters_than_it_may(name: str) -> None:
    sizes = Sizes(interactions(), ("users", "items"), 0.4)
    layers = METHODS[name](sizes, np.random.default_rng(0))
    ids = np.array([[1, 60], [3, 3]])
    assert all(layer.forward(ids).shape == (2, 2, layer.forward(ids).shape[-1]) for layer in layers)
    tables = {id(part): part for layer in layers for part in getattr(layer, "parts", {"": layer}).values()}
    numbers = sum(part.num_parameters for part in tables.values())
    allowed = (int(0.4 * 61) + int(0.4 * 81)) * 32
    assert 0.6 * allowed < numbers <= allowed  # ranks and columns are whole numbers


@pytest.mark.parametrize("name", ["learned, k=8", "narrow", "sum, k=4 (Spotlight)", "low rank, matrix fixed"])
def test_a_side_that_is_not_compressed_has_a_full_table(name: str) -> None:
    users, items = METHODS[name](Sizes(interactions(), ("items",), 0.4), np.random.default_rng(0))
    if name == "narrow":
        assert users.embedding_dim == items.embedding_dim == (61 * 32 + 32 * 32) // (61 + 81)
    else:
        assert users.weight.shape == (61, 32)
        assert items.forward(np.array([1])).shape == (1, 32)


def test_a_fixed_matrix_makes_a_narrow_table() -> None:
    """
    Compare dot products with those of the short tables, and see that a step does not change the
    matrix.
    """
    rng = np.random.default_rng(0)
    users, items = Fixed(9, 3, 8, rng), Fixed(7, 3, 8, rng)
    wide = users.parts["wide"].weight
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=1e-6)
    ids, grad = np.array([1, 1, 4]), rng.normal(size=(3, 8)).astype(np.float32)
    scores = users.forward(ids) @ items.forward(ids).T
    np.testing.assert_allclose(scores, users.parts["short"](ids) @ items.parts["short"](ids).T, atol=1e-6)
    before, matrix = users.parts["short"].weight.copy(), wide.copy()
    users.update(nb.SGD(list(users.parts.values()), lr=1.0), ids, grad)
    expected = before.copy()
    np.subtract.at(expected, ids, grad @ matrix.T)
    np.testing.assert_allclose(users.parts["short"].weight, expected, atol=1e-5)
    np.testing.assert_array_equal(users.parts["wide"].weight, matrix)


def test_residuals_and_shared_rows_step_on_what_they_read() -> None:
    rng = np.random.default_rng(0)
    ids, grad = np.array([1, 5]), np.ones((2, 32), dtype=np.float32)
    codes = nb.BloomEmbedding(9, 32, num_rows=4, combine="concat", share_padding_row=False, rng=rng)
    both = Residual(codes, 3, rng)
    before = both.forward(ids)
    np.testing.assert_array_equal(before, codes(ids))  # residuals start at 0
    both.update(nb.SGD(list(both.parts.values()), lr=0.5), ids, grad)
    alone = both.parts["codes"](ids)
    assert (both.forward(ids) < alone).all()
    assert (alone < before).all()
    layer = nb.BloomEmbedding(20, 32, num_rows=6, share_padding_row=False, rng=rng)
    half = Half(layer, 10, {})
    np.testing.assert_array_equal(half.forward(ids), layer(ids + 10))
    moved = layer.weight.copy()
    half.update(nb.SGD([layer], lr=0.5), ids, grad)
    assert set(np.flatnonzero((layer.weight != moved).any(axis=1))) == set(layer.hash_rows(ids + 10).ravel())


def test_rounding_keeps_a_row_s_largest_number_and_is_done_at_once() -> None:
    table = np.array([[0.7, -0.2, 0.04, 0.0], [0, 0, 0, 0]], dtype=np.float32)
    found = rounded(table, 4)
    np.testing.assert_allclose(found, [[0.7, -0.2, 0, 0], [0, 0, 0, 0]], atol=1e-7)  # in steps of .1
    np.testing.assert_array_equal(rounded(found, 4), found)
    wide = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    for bits in (4, 8):
        steps = np.abs(wide).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        assert (np.abs(rounded(wide, bits) - wide) <= 0.501 * steps).all()
        assert all(len(np.unique(row)) <= 2**bits - 1 for row in rounded(wide, bits))


def test_bytes_that_are_served() -> None:
    coded = nb.BloomEmbedding(
        100, 6, num_rows=20, hash_table=np.zeros((100, 3), dtype=np.int64), combine="concat", padding_idx=None
    )
    plain = nb.ScaledEmbedding(10, 5)
    layers = {"user_embeddings": coded, "item_embeddings": plain, "item_biases": nb.ZeroEmbedding(10, 1)}
    codes = -(-100 * 3 * 5 // 8)  # 20 rows need 5 bits
    assert bytes_served(layers) == 20 * 6 * 4 + codes + 10 * 5 * 4 + 10 * 4
    assert bytes_served(layers, 4) == 20 * (3 + 4) + codes + 10 * (3 + 4) + 10 * 4  # a scale a row; 5 numbers in 3 bytes


# ---- choices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("best", "tried"), [(3e-5, 3), (1e-6, 4), (3e-4, 4), (1e-5, 3)])
def test_the_walk_ends_where_no_neighbour_is_better(monkeypatch: pytest.MonkeyPatch, best: float, tried: int) -> None:
    monkeypatch.setattr(models, "best_epochs", lambda l2, train, test: (7, -abs(np.log(l2 / best))))
    train, test = leave_last_out(interactions())
    found = models.choose(lambda l2: l2, train, test)
    assert (found["l2"], found["epochs"]) == (best, 7)
    assert len(found["tried"]) == tried


def test_training_stops_when_the_score_does_not_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = iter([0.1, 0.3, 0.2, 0.25, 0.29, 0.1, 0.1, 0.9])
    monkeypatch.setattr(models, "ranks", lambda model, train, test: np.array([1.0]))
    monkeypatch.setattr(models, "scores", lambda places: {"gain": next(gains)})
    train, test = leave_last_out(interactions())
    users, items = full(4)(Sizes(train, (), 1.0), np.random.default_rng(0))
    assert models.best_epochs(models.OnLayers(users, items, rng=0), train, test) == (8, 0.3)
    assert next(gains) == 0.9  # five judgements after the best one


def test_values_of_ranks() -> None:
    found = models.values(np.array([1.0, 3.0, 10.5, 100.0, 101.0]))
    np.testing.assert_array_equal(found["hit"], [1, 1, 1, 1, 0])
    np.testing.assert_allclose(found["ndcg10"], [1, 0.5, 0, 0, 0])
    np.testing.assert_allclose(found["mrr"], [1, 1 / 3, 1 / 10.5, 0.01, 1 / 101])
    np.testing.assert_allclose(found["gain"][:2], [1, 0.5])


# ---- errors -------------------------------------------------------------------------------------


def line(method: str, seed: int, hit: float) -> dict[str, Any]:
    """Return a line of a run."""
    alone = method.startswith("full")
    place = {"data": "ml-100k", "model": "factorization", "side": "none" if alone else runs.BOTH, "ratio": 1.0 if alone else 0.2}
    return {**place, "method": method, "seed": seed, "hit": hit, "mrr": hit / 2, "ndcg10": hit / 4}


def test_what_is_kept_is_of_the_full_table_that_validation_chose(tmp_path: Any) -> None:
    tuning = [
        {"data": "ml-100k", "method": "full", "tried": {"1": [2, 0.2], "2": [2, 0.3]}},
        {"data": "ml-100k", "method": "full, d=8", "tried": {"1": [2, 0.4]}},
        {"data": "ml-100k", "method": "full, from the decomposition", "tried": {"1": [2, 0.9]}},  # not started at random
    ]
    assert summary.best_full(tuning) == {"ml-100k": "full, d=8"}
    lines = [line("full, d=8", 0, 0.4), line("full, d=8", 1, 0.6), line("narrow", 0, 0.2), line("narrow", 1, 0.4)]
    found = summary.cells(lines, tuning, {})
    kept = found["ml-100k", runs.BOTH, 0.2, "narrow"].kept("hit")
    assert kept.mean == pytest.approx(0.6)
    assert kept.error == pytest.approx(0.2)
    assert summary.bootstrap(found, tmp_path) == {}  # without ranks there are no errors over users


def test_errors_over_users_are_those_of_a_ratio_of_means(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    lines = [line(method, seed, 0.5) for method in ("full", "narrow") for seed in range(2)]
    tuning = [{"data": "ml-100k", "method": "full", "tried": {"1": [2, 0.2]}}]
    hits = {}
    for each in lines:
        job = Job(*(each[name] for name in ("data", "model", "method", "side", "ratio", "seed")))
        places = np.where(rng.random(4000) < (0.5 if each["method"] == "full" else 0.3), 1.0, 1000.0)
        np.save(tmp_path / runs.rank_file(job), places)
        hits[each["method"]] = hits.get(each["method"], 0) + (places <= 100) / 2
    found = summary.bootstrap(summary.cells(lines, tuning, {}), tmp_path)
    errors = found["ml-100k", runs.BOTH, 0.2, "narrow"]
    own, whole = hits["narrow"], hits["full"]
    ratio = own.mean() / whole.mean()
    expected = np.std(own - ratio * whole) / whole.mean() / np.sqrt(4000)  # to first order
    assert errors["hit"] == pytest.approx(expected, rel=0.1)
    assert found["ml-100k", "none", 1.0, "full"]["hit"] < 1e-6
    summary.write_users(tmp_path / "users.jsonl", found)
    again = summary.read_users(tmp_path / "users.jsonl")
    assert again.keys() == found.keys()
    assert again["ml-100k", runs.BOTH, 0.2, "narrow"]["hit"] == pytest.approx(errors["hit"], abs=1e-5)


# ---- the whole ----------------------------------------------------------------------------------


def test_it_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = leave_last_out(interactions())
    parts = {"test": (train, test), "validation": leave_last_out(train)}
    monkeypatch.setattr(data, "split", lambda name, stage: parts[stage])
    monkeypatch.setattr(runs, "SEEDS", range(3))
    monkeypatch.setattr(runs, "ROUNDS", ([0], [1, 2]))
    monkeypatch.setattr(runs, "SEEDS_OF_VARIANTS", (0, 1))
    monkeypatch.setattr(runs, "OTHER_RATIOS", (0.5, 0.1))
    monkeypatch.setattr(models, "MOST_EPOCHS", 4)
    monkeypatch.setattr(models, "DECAYS", (1e-5, 3e-5, 1e-4))
    monkeypatch.setattr(models, "FIRST", 1)
    chosen = [POPULARITY, DECOMPOSITION, NARROW_DECOMPOSITION, "full", "narrow", "learned, k=8", "learned, k=8, not trained"]
    chosen += ["codes of S^1"]
    words = ["--data", "ml-100k", "--out", str(tmp_path), *(word for name in chosen for word in ("--method", name))]
    assert smaller_tables.main(words) == 0
    entries = Lines(tmp_path / "runs.jsonl").entries
    # popularity; the decomposition in 32, 8 and 4 bits; with fewer columns, and codes that are not
    # trained, at three ratios; full tables in 32, 8 and 4 bits; narrow on both sides or one at 0.2,
    # and on both at 0.1; codes in 32, 8 and 4 bits at 0.5, too; two seeds of the variant
    assert len(entries) == 1 + 3 * (3 + 3 + 3 + 3 + 4 + 5 * 3) + 2
    assert {entry["method"] for entry in entries} >= {"learned, k=8, 4 bits", "full, 8 bits"}
    assert "ml-100k, users and items, narrow, ratio 0.1, seed 1: hit" in capsys.readouterr().out
    before, tables = (tmp_path / "runs.jsonl").read_bytes(), (tmp_path / "tables.md").read_text("utf-8")
    assert "± ." in next(row for row in tables.splitlines() if row.startswith("| narrow |"))
    assert "### Other ways to choose codes: NDCG@10 kept" in tables
    assert (tmp_path / "score.png").stat().st_size > 5_000
    shutil.rmtree(tmp_path / "ranks")  # ranks are not committed; errors over users are
    assert smaller_tables.main([*words, "--report"]) == 0
    assert (tmp_path / "tables.md").read_text("utf-8") == tables
    assert smaller_tables.main(words) == 0
    assert (tmp_path / "runs.jsonl").read_bytes() == before
    for text in (tmp_path / "users.jsonl").read_text("utf-8").splitlines():
        assert json.loads(text)["hit"] >= 0
