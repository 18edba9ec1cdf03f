"""
The study of accuracy: its own tables learn by their gradients, its statistics are right, and it
continues after a stop.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from benchmarks import accuracy
from benchmarks.accuracy_study import data, methods, models, runs
from benchmarks.accuracy_study.composites import Composite, ImportanceWeighted, LowRank, QuotientTimesRemainder
from benchmarks.accuracy_study.methods import FACTORIZATION, Sizes
from benchmarks.accuracy_study.summary import SUM, Figure, cells
from npbloom.recommend import Interactions, leave_last_out

pytest.importorskip("matplotlib")


def composites() -> list[Composite]:
    """Return one of each."""
    rng = np.random.default_rng(0)
    return [ImportanceWeighted(9, 4, 2, 6, rng), QuotientTimesRemainder(rng.permutation(9), 3, 3, 6, rng), LowRank(9, 2, 6, rng)]


@pytest.mark.parametrize("layer", composites(), ids=lambda layer: type(layer).__name__)
def test_a_step_goes_down_the_gradient_of_every_part(layer: Composite) -> None:
    """Compare a step of SGD at rate 1 with finite differences, part by part. An id occurs twice."""
    ids, grad = np.array([[1, 8], [1, 5]]), np.random.default_rng(1).normal(size=(2, 2, 6)).astype(np.float32)

    def value() -> float:
        return float((layer.forward(ids).astype(np.float64) * grad).sum())

    expected = {}
    for name, part in layer.parts.items():
        expected[name] = np.zeros(part.weight.shape)
        for at in np.ndindex(part.weight.shape):
            before = part.weight[at]
            part.weight[at] = before + 0.25  # values are linear in each number, so that any step will do
            above = value()
            part.weight[at] = before - 0.25
            expected[name][at] = (above - value()) / 0.5
            part.weight[at] = before
    before = {name: part.weight.copy() for name, part in layer.parts.items()}
    layer.update(nb.SGD(list(layer.parts.values()), lr=1.0), ids, grad)
    for name, part in layer.parts.items():
        np.testing.assert_allclose(before[name] - part.weight, expected[name], rtol=1e-4, atol=1e-5)
        assert np.abs(expected[name]).max() > 0.01


@pytest.mark.parametrize("name", FACTORIZATION)
def test_no_method_has_more_parameters_than_it_may(name: str) -> None:
    counts = np.random.default_rng(0).poisson(5, 1000)
    layer = FACTORIZATION[name](Sizes(1000, 32, 0.2, counts), np.random.default_rng(0))
    assert layer.forward(np.array([1, 999])).shape == (2, 32)
    allowed = 32_000 if name == "full" else 6_400
    assert 0.85 * allowed < layer.num_parameters <= 1.01 * allowed  # the rank is a whole number


def test_no_room_for_importance_weights() -> None:
    with pytest.raises(ValueError, match="importance weights alone"):
        methods.importance(Sizes(1000, 32, 0.05, np.ones(1000)), np.random.default_rng(0))


def test_a_network_is_trained_once_for_both_rankings(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = leave_last_out(Interactions(np.repeat(np.arange(1, 31), 6), rng.integers(1, 40, 180), padding_idx=0))
    monkeypatch.setattr(data, "split", lambda name, stage: parts)
    calls = []
    train_for = models.train_for
    monkeypatch.setattr(models, "train_for", lambda *arguments: calls.append(arguments) or train_for(*arguments))
    runs.trained.cache_clear()
    job = runs.Job("ml-100k", "network", "Bloom, k=2", "items only", 0.5, 0)
    chosen = {"settings": {"learning_rate": 0.01}, "epochs": 2}
    plain, popular = runs.run(job, chosen), runs.run(replace(job, method="Bloom, k=2, popularity"), chosen)
    assert len(calls) == 1
    assert plain["mrr"] != popular["mrr"]
    assert plain == runs.run(job, chosen)  # the popularity's weight is reset
    runs.trained.cache_clear()


def entry(method: str, seed: int, hit: float, seconds: float = 1.0) -> dict[str, Any]:
    """Return a line of a run."""
    full = method == "full"
    place = {"data": "ml-100k", "model": "factorization", "side": "none" if full else "items only", "ratio": 1.0 if full else 0.2}
    return {**place, "method": method, "seed": seed, "hit": hit, "mrr": hit / 10, "cpu_seconds": seconds, "epochs": 2}


def test_scores_are_compared_seed_by_seed() -> None:
    lines = [entry("full", 0, 0.5), entry("full", 1, 0.4, 4.0), entry(SUM, 0, 0.2), entry(SUM, 1, 0.1)]
    lines += [entry("other", 0, 0.4, 3.0), entry("other", 1, 0.24, 3.0), entry("other", 2, 0.9, 3.0)]
    table = cells(lines)["ml-100k", "factorization", "items only", 0.2]
    other = table["other"]
    assert other.seeds == [0, 1]  # seed 2 has no full table
    kept = other.kept("hit")
    assert kept.mean == pytest.approx((0.8 + 0.6) / 2)
    assert kept.error == pytest.approx(0.1)
    assert other.above_sum("hit") == pytest.approx(0.17 / 0.03)
    assert math.isnan(table[SUM].above_sum("hit"))
    assert other.seconds() == 0.75
    without = cells([*lines[:4], {**entry("other", 0, 0.4), "cpu_seconds": None}])["ml-100k", "factorization", "items only", 0.2]
    assert math.isnan(without["other"].seconds())
    assert without["other"].kept("hit").mean == 0.8
    assert math.isnan(Figure.of([1.0]).error)


def test_options_choose_what_is_run() -> None:
    words = [
        "--data",
        "beauty",
        "--model",
        "network",
        "--side",
        "items only",
        "--ratio",
        "0.5",
        "--method",
        "full",
        "--method",
        "CBE, k=2",
    ]
    jobs = list(accuracy.chosen_jobs(accuracy.parser().parse_args(words)))
    assert {(job.data, job.model, job.method, job.side, job.ratio) for job in jobs} == {
        ("beauty", "network", "full", "none", 1.0),
        ("beauty", "network", "CBE, k=2", "items only", 0.5),
    }
    everything = list(accuracy.chosen_jobs(accuracy.parser().parse_args([])))
    assert {job.ratio for job in everything} == {0.05, 0.1, 0.2, 0.3, 0.5, 1.0}
    assert {job.data for job in everything} == set(data.NAMES)


def test_lines_of_other_processes_are_found_once_they_have_ended(tmp_path: Any) -> None:
    path = tmp_path / "deeper" / "runs.jsonl"
    job = runs.Job("beauty", "network", "full", "none", 1.0, 0)
    mine, theirs = runs.Lines(path), runs.Lines(path)
    assert mine.find(job) is None
    assert mine.entries == []
    theirs.add({**asdict(job), "hit": 0.5, "note": "é"})
    found = mine.find(job)
    assert found is not None
    assert found["hit"] == 0.5
    other = replace(job, seed=1)
    line = json.dumps({**asdict(other), "hit": 0.25})
    with path.open("a", encoding="utf-8") as file:
        file.write(line[:20])
    assert mine.find(other) is None
    with path.open("a", encoding="utf-8") as file:
        file.write(line[20:] + "\n")
    theirs.add({**asdict(other), "hit": 0.75})
    found = mine.find(other)
    assert found is not None
    assert found["hit"] == 0.25
    assert [each["hit"] for each in mine.entries] == [0.5, 0.25, 0.75] == [each["hit"] for each in theirs.entries]


def test_it_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(1, 41), 8)
    whole = Interactions(users, 1 + (users * 3 + rng.integers(0, 20, users.size)) % 60, padding_idx=0)
    train, test = leave_last_out(whole)
    parts = {"test": (train, test), "validation": leave_last_out(train)}
    monkeypatch.setattr(data, "split", lambda name, stage: parts[stage])
    monkeypatch.setattr(
        runs, "GRID", {"factorization": ({"learning_rate": (0.01,)}, (1, 2)), "network": ({"l2": (0.0,)}, (1, 2))}
    )
    monkeypatch.setattr(runs, "SEEDS", range(2))
    monkeypatch.setattr(runs, "OTHER_RATIOS", (0.5, 0.3))
    chosen = ["popularity", "full", SUM, "frequent half exact, one hash", "low rank", "CBE, k=2"]
    words = ["--data", "ml-100k", "--out", str(tmp_path), *(word for name in chosen for word in ("--method", name))]
    assert accuracy.main(words) == 0
    results = runs.Lines(tmp_path / "runs.jsonl")
    # popularity; two models' full tables, three methods on both sides at three ratios, one coder at
    # three ratios; two seeds
    assert len(results.entries) == 1 + 2 * (2 + 3 * 2 * 3 + 3)
    assert {each["parameters"]["item_biases"] for each in results.entries if each["model"] == "factorization"} == {
        whole.num_items
    }
    printed = capsys.readouterr().out
    assert "ml-100k, network, items only, CBE, k=2, ratio 0.3, seed 1: hit" in printed
    before = (tmp_path / "runs.jsonl").read_bytes()
    assert accuracy.main(words) == 0
    assert (tmp_path / "runs.jsonl").read_bytes() == before
    for name in ("kept.png", "network.png", "ratios.png"):
        assert (tmp_path / name).stat().st_size > 5_000
    table = (tmp_path / "tables.md").read_text("utf-8")
    assert table.count("| low rank |") == 2 + 1 + 2 + 2  # side by side, at the main ratio, by ratio, what validation chose
    assert "### The network, ml-100k, ratio 0.2" in table
