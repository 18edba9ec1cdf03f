"""
Each benchmark at a tiny size: contenders do the same work, and tables and targets come from the
samples.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import huge_pages, programs
from benchmarks.benchmark import Target, at_least, at_most
from benchmarks.contenders.same_work import DifferentWork
from benchmarks.contenders.spotlight import Spotlight
from benchmarks.measuring import Settings
from benchmarks.results import Case, Result
from benchmarks.topics import BENCHMARKS, hashing, recommender, roofline, startup, sweep, table_size
from tests.benchmarks import _samples
from tests.benchmarks.test_same_work import FBGEMM

TINY = Settings(quick=True, rounds=1, threads=(1,), fbgemm=False)
IN_PROCESS = ["steps", "forward", "hashing", "roofline", "profile", "table_size", "small_batches", "bags", "recommender", "sweep"]
IN_PROCESS += ["learned_codes"]
ALONE = ("steps", "learned_codes")  # some of their cases have no peer
TARGETS = {"steps": 6, "forward": 4, "profile": 0, "hashing": 1, "roofline": 1, "table_size": 4, "small_batches": 8}
TARGETS |= {"bags": 8, "recommender": 2, "sweep": 1, "learned_codes": 2}


def measured(name: str, settings: Settings) -> Result:
    """Return a benchmark's result at a tiny size."""
    found = BENCHMARKS[name].run(settings)
    return _samples.result(name, found.cases, **found.sizes)


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_benchmark_measures_what_it_shows(name, monkeypatch):
    monkeypatch.setattr(sweep, "DIMS", (16, 33))
    monkeypatch.setattr(sweep, "PROBES", (1, 3))
    result = measured(name, TINY)
    assert all(value > 0 for case in result.cases for values in case.samples.values() for value in values)
    assert {len(values) for case in result.cases for values in case.samples.values()} == {1}
    assert all("npbloom" in case.samples and len(case.samples) > 1 for case in result.cases if name not in ALONE)
    benchmark = BENCHMARKS[name]
    text = benchmark.tables(Result.from_json(result.to_json()))
    assert text.count("\n|") >= 2 + len({json.dumps(case.labels) for case in result.cases}) // 4
    targets = benchmark.targets(result)
    assert len(targets) == TARGETS[name]
    assert len({(target.work, target.against) for target in targets}) == len(targets)


@pytest.mark.parametrize("name", ["steps", "bags", "forward", "table_size"])
@pytest.mark.parametrize("fbgemm", [FBGEMM])
def test_fbgemm_takes_part(name, fbgemm):
    result = measured(name, dataclasses.replace(TINY, fbgemm=fbgemm))
    taking_part = ["fbgemm" in case.samples for case in result.cases]
    assert sum(taking_part) == (6 if name == "steps" else len(result.cases))
    assert "FBGEMM" in _samples.words(BENCHMARKS[name].tables(result))
    extra = {"steps": 6, "bags": 8}.get(name, 0)
    assert len(BENCHMARKS[name].targets(result)) == TARGETS[name] + extra


@pytest.mark.parametrize(("name", "optimizer"), [("npbloom", "adagrad"), pytest.param("torch", "sgd", marks=pytest.mark.nightly)])
def test_a_step_s_memory(name, optimizer):
    found = programs.run("-m", "benchmarks.programs.memory_step", name, optimizer, "50000", "65536", "1")
    assert found["table"] == 10_000 * 64 * 4
    assert found["peak"] > 0.95 * 65536 * 64 * 4  # at least the output, except its first and last page
    assert found["peak"] < 600e6


def test_a_first_step_in_parts():
    found = programs.run("-m", "benchmarks.programs.first_step")
    assert list(found["parts"]) == list(startup.PARTS)
    assert all(value > 0 for value in found["parts"].values())
    assert set(found["pages"]) <= set(huge_pages.FIELDS)


def test_an_import_s_time():
    assert 0 < programs.run("-m", "benchmarks.programs.import_time", "numpy") < 60


def test_a_program_that_fails_says_why():
    with pytest.raises(RuntimeError, match="No module named 'there_is_none'"):
        programs.run("-m", "benchmarks.programs.import_time", "there_is_none")


def test_startup_by_hand():
    result = _samples.startup()
    assert startup.more(result.one(what="import")) == pytest.approx(0.1)  # of 0.1, 0.2, 0.05
    assert [target.held for target in startup.BENCHMARK.targets(result)] == [True, True, False]
    assert "16.0 s" in _samples.words(startup.BENCHMARK.tables(result))


def test_shares_and_growth_by_hand():
    case = Case({}, {"npbloom": [2.0, 4.0], "copy": [1.0, 1.0]}, {"bytes": 30, "copied": 20})
    assert roofline.shares(case) == [0.75, 0.375]
    small, large = Case({}, {"npbloom": [1.0, 2.0]}), Case({}, {"npbloom": [3.0, 3.0]})
    assert table_size.growth(small, large) == [3.0, 1.5]


def test_nanoseconds_by_hand():
    result = _samples.result("sweep", [Case({"d": 16, "k": 2}, {"npbloom": [6.4e-6]})], **{"ids a batch": 100})
    assert sweep.per_value(result, result.cases[0]) == pytest.approx(2.0)


@pytest.mark.parametrize(("instructions", "wanted"), [("avx512", 10.0), ("avx2", 7.0)])
def test_targets_go_by_the_instruction_set(instructions, wanted):
    case = Case({"ids": "zipf", "optimizer": "adagrad", "threads": 2}, {"npbloom": [1.0], "torch": [9.0]})
    others = [Case({**case.labels, "optimizer": name}, {"npbloom": [1.0]}) for name in ("sgd", "rowwise_adagrad", "adam")]
    result = _samples.result("steps", [case, *others])
    result.machine["instructions"] = {**result.machine["instructions"], "set": instructions}
    (target,) = BENCHMARKS["steps"].targets(result)
    assert target == at_least(target.work, target.against, wanted, 9.0)
    rate = Case(
        {"ids": "uniform", "optimizer": "adagrad", "threads": 2}, {"npbloom": [1.0], "copy": [0.4]}, {"bytes": 1, "copied": 1}
    )
    assert roofline.BENCHMARK.targets(dataclasses.replace(result, cases=[rate]))[0].held is (instructions == "avx2")


def test_targets_at_their_limits():
    assert at_least("w", "a", 2.5, 2.5) == Target("w", "a", "at least 2.5x", "2.50x", True)
    assert not at_least("w", "a", 2.5, 2.499).held
    assert at_most("w", "a", 0.3, 0.3, "s") == Target("w", "a", "at most 0.3 s", "0.30 s", True)
    assert not at_most("w", "a", 3, 3.01).held


def test_other_hashes_are_refused(monkeypatch):
    monkeypatch.setattr(hashing, "SPOTLIGHT_SEEDS", hashing.SPOTLIGHT_SEEDS[1:])
    with pytest.raises(DifferentWork, match="other rows"):
        hashing.run(TINY)


@pytest.mark.parametrize("kind", recommender.LAYERS)
def test_another_training_is_refused(kind, monkeypatch):
    users, items = np.random.default_rng(0).integers(1, 500, (2, 256))
    recommender.models(kind, 500, 256, users, items)
    right = Spotlight.minibatch
    monkeypatch.setattr(Spotlight, "minibatch", lambda self, u, i, n: right(self, u, i, np.roll(n, 1, axis=0)))
    with pytest.raises(DifferentWork, match=r"losses|values that moved"):
        recommender.models(kind, 500, 256, users, items)
    monkeypatch.setattr(Spotlight, "minibatch", lambda self, u, i, n: (right(self, u, i, n), right(self, u, i, n))[0])
    with pytest.raises(DifferentWork, match="values that moved"):
        recommender.models(kind, 500, 256, users, items)


def test_every_topic_is_registered_once():
    folder = Path(recommender.__file__).parent
    assert sorted(BENCHMARKS) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    assert {*IN_PROCESS, "startup", "memory"} == set(BENCHMARKS)
