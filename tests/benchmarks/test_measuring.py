"""
Order of timings: once a round, in a changing order, each after an untimed call, and without the
collector.
"""

from __future__ import annotations

import gc
import time
from collections import Counter

import pytest
import torch

import npbloom as nb
from benchmarks.measuring import LEAD, WARM_UP, Settings, interleave, order, threads, timed, without_collector


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_everyone_is_as_often_at_every_place(names):
    rounds = [order(names, turn) for turn in range(2 * len(names))]
    assert all(sorted(line) == names for line in rounds)
    for place in range(len(names)):
        assert Counter(line[place] for line in rounds) == dict.fromkeys(names, 2)


def test_neighbours_change_sides():
    pairs = Counter(pair for turn in range(6) for pair in zip(order("abc", turn), order("abc", turn)[1:], strict=False))
    assert pairs["a", "b"] == pairs["b", "a"] > 0


def test_a_round_is_one_sample_each_after_a_call_of_ones_own(monkeypatch):
    monkeypatch.setattr("benchmarks.measuring.LEAD", 0.0)
    calls: list[str] = []
    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    samples = interleave(contenders, 4, calls=3)
    assert {name: len(values) for name, values in samples.items()} == {"a": 4, "b": 4}
    assert calls[: 2 * WARM_UP] == [*["a"] * WARM_UP, *["b"] * WARM_UP]
    rest = calls[2 * WARM_UP :]
    assert ["".join(rest[start : start + 6]) for start in range(0, len(rest), 6)] == [
        each * 6 for turn in range(4) for each in order("ab", turn)
    ]


def test_short_calls_follow_ten_milliseconds_of_their_own():
    calls: list[float] = []
    interleave({"a": lambda: calls.append(time.perf_counter())}, 2)
    lead = calls[WARM_UP:-1]
    assert max(lead) - min(lead) >= 2 * LEAD * 0.9
    assert len(lead) > 4


def test_without_lead_a_sample_is_one_call():
    calls: list[int] = []
    assert len(interleave({"a": lambda: calls.append(0)}, 5, lead=False)["a"]) == 5
    assert len(calls) == WARM_UP + 5


def test_seconds_are_those_of_one_call(monkeypatch):
    clock = iter([10.0, 16.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert timed(lambda: None, calls=4) == 1.5


def test_the_collector_rests_and_comes_back(monkeypatch):
    monkeypatch.setattr("benchmarks.measuring.LEAD", 0.0)
    seen = []
    interleave({"a": lambda: seen.append(gc.isenabled())}, 1)
    assert seen == [True] * WARM_UP + [False, False]
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("count", [1, 2])
def test_all_have_as_many_threads(count):
    before = torch.get_num_threads(), nb.get_num_threads()
    with threads(count):
        assert (torch.get_num_threads(), nb.get_num_threads()) == (count, count)
    assert (torch.get_num_threads(), nb.get_num_threads()) == before


def test_rounds():
    assert Settings().rounds_or(15) == 15
    assert Settings(quick=True).rounds_or(15) == 3
    assert Settings(quick=True, rounds=7).rounds_or(15) == Settings(rounds=7).rounds_or(15) == 7
