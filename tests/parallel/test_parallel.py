"""The thread runner: ranges cover everything once, exceptions arrive, settings stay, forks live."""

from __future__ import annotations

import os
import threading
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom import _parallel, _threads


@given(st.integers(0, 50), st.integers(1, 7), st.integers(1, 9))
def test_ranges_cover_every_item_once(size: int, threads: int, grain: int) -> None:
    seen = np.zeros(size, dtype=int)

    def visit(lo: int, hi: int) -> int:
        seen[lo:hi] += 1
        return hi - lo

    with nb.num_threads(threads):
        lengths = _parallel.run_range(visit, size, grain=grain)
    event(f"parts: {len(lengths)}")
    assert (seen == 1).all()
    assert sum(lengths) == size
    assert len(lengths) <= threads
    assert len(lengths) == 1 or min(lengths) >= grain


@given(st.lists(st.integers(0, 9), min_size=0, max_size=30), st.integers(1, 7), st.integers(1, 5))
def test_balanced_bounds_cover_every_segment_once(sizes: list[int], threads: int, grain: int) -> None:
    starts = np.append(0, np.cumsum(sizes)).astype(np.int64)
    with nb.num_threads(threads):
        bounds = _parallel.balanced_bounds(starts, grain)
    event(f"parts: {len(bounds) - 1}")
    assert bounds[0] == 0
    assert bounds[-1] == len(sizes)
    assert bounds == sorted(bounds)
    assert len(bounds) - 1 <= threads
    if len(bounds) > 2:
        heaviest = max(starts[hi] - starts[lo] for lo, hi in pairwise(bounds))
        assert heaviest <= starts[-1] / (len(bounds) - 1) + max(sizes)


def test_scratch_is_one_array_for_each_part() -> None:
    parts = []
    with nb.num_threads(3):
        _parallel.run_range(lambda scratch, lo, hi: parts.append(scratch), 30, grain=1, scratch=[((2, 4), np.float32)])
    assert len({id(part) for part in parts}) == 3
    assert all(part.shape == (2, 4) and part.dtype == np.float32 for part in parts)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_exception_in_any_part_arrives_after_all_parts_have_ended(failing: int) -> None:
    ended = []

    def work(lo: int, hi: int) -> None:
        if lo // 10 == failing:
            raise RuntimeError(f"part {failing}")
        ended.append(lo)

    with nb.num_threads(3), pytest.raises(RuntimeError, match=f"part {failing}"):
        _parallel.run_range(work, 30, grain=1)
    assert len(ended) == 2


@given(st.integers(0, 20), st.integers(1, 7), st.none() | st.integers(1, 9))
def test_every_task_of_a_queue_is_called_once_and_results_keep_their_order(count: int, threads: int, most: int | None) -> None:
    called: list[int] = []

    def task(index: int) -> int:
        called.append(index)
        return 10 * index

    with nb.num_threads(threads):
        results = _parallel.run_tasks([partial(task, index) for index in range(count)], most)
    event(f"more tasks than threads: {count > threads}")
    assert results == [10 * index for index in range(count)]
    assert sorted(called) == list(range(count))


@given(st.sets(st.integers(0, 19), min_size=1), st.integers(1, 4))
def test_of_the_tasks_of_a_queue_that_fail_the_first_is_heard(failing: set[int], threads: int) -> None:
    called = []

    def task(index: int) -> None:
        called.append(index)
        if index in failing:
            raise RuntimeError(f"task {index}")

    with nb.num_threads(threads), pytest.raises(RuntimeError, match=f"^task {min(failing)}$"):
        _parallel.run_tasks([partial(task, index) for index in range(20)])
    event(f"calls after the first failure: {len(called) - min(failing) - 1}")
    assert set(range(min(failing) + 1)) <= set(called)


def test_the_number_of_threads_is_the_process_s_or_the_block_s() -> None:
    before = nb.get_num_threads()
    try:
        nb.set_num_threads(3)
        assert nb.get_num_threads() == 3
        elsewhere: list[int] = []
        with nb.num_threads(5):
            assert nb.get_num_threads() == 5
            other = threading.Thread(target=lambda: elsewhere.append(nb.get_num_threads()))
            other.start()
            other.join()
            with nb.num_threads(1):
                assert nb.get_num_threads() == 1
            assert nb.get_num_threads() == 5
        assert nb.get_num_threads() == 3
        assert elsewhere == [3]
    finally:
        nb.set_num_threads(before)


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)]
)
def test_a_number_of_threads_that_is_none_is_refused(number: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="`n`"):
        nb.set_num_threads(number)  # type: ignore[arg-type]
    with pytest.raises(error, match="`n`"), nb.num_threads(number):  # type: ignore[arg-type]
        pass


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPBLOOM_NUM_THREADS", "6")
    assert _threads._default_threads() == 6
    monkeypatch.setenv("NPBLOOM_NUM_THREADS", "")
    assert _threads._default_threads() >= 1
    for text in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv("NPBLOOM_NUM_THREADS", text)
        with pytest.raises(ValueError, match="NPBLOOM_NUM_THREADS"):
            _threads._default_threads()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    layer = nb.BloomEmbedding(50_000, 16, rng=0)
    ids = np.random.default_rng(0).integers(0, 50_000, 40_000)
    with nb.num_threads(2):
        expected = layer(ids)  # the parent's pool is running now
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(layer(ids), expected) else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("threads", [2, 4])
def test_more_threads_than_before_make_a_larger_pool(threads: int) -> None:
    meeting = threading.Barrier(threads, timeout=20)  # passes only when all parts run at the same time
    with nb.num_threads(threads):
        _parallel.run_range(lambda lo, hi: meeting.wait(), threads, grain=1)
