"""Threads that are interrupted, that raise, and that a system does not give."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from queue import SimpleQueue
from unittest import mock

import pytest

import npbloom as nb
from npbloom import _parallel
from tests.faults._callers import BATCH, DIM, ROWS, grad_of, ids_of, trained
from tests.faults._scripts import run_script

pytestmark = pytest.mark.usefixtures("four_threads")

# ---- exceptions and signals ----------------------------------------------------------------------


def test_an_interrupted_call_returns_when_no_task_runs_or_waits() -> None:
    running: list[int] = []
    workers = threading.Semaphore(0)

    def slow() -> None:
        running.append(1)
        workers.release()
        time.sleep(0.05)
        running.pop()

    def first() -> None:
        workers.acquire()  # a worker is in the middle of its task
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            _parallel.run_tasks([first, *[slow] * 6], 7)
        assert not running
        before = list(range(40))
        assert sum(_parallel.run_tasks([lambda n=n: n for n in before], 40)) == sum(before)
        assert not running
        while workers.acquire(blocking=False):
            pass


def test_an_exception_of_any_task_arrives_and_the_next_call_is_right() -> None:
    layer = nb.BloomEmbedding(5 * ROWS, DIM, rng=0)
    optimizer = nb.Adagrad(layer)
    before, expected = layer.weight.tobytes(), layer(ids_of(0)).tobytes()
    for position in (0, BATCH // 2, BATCH - 1):
        ids = ids_of(0)
        ids[position] = 5 * ROWS
        for call in (lambda ids=ids: layer(ids), lambda ids=ids: optimizer.update(layer, ids, grad_of(0))):
            with pytest.raises(IndexError, match=f"not {5 * ROWS} at position {position}"):
                call()
        assert layer.weight.tobytes() == before
        assert layer(ids_of(0)).tobytes() == expected


def test_control_c_in_the_middle_of_calls(tmp_path: Path) -> None:
    script = """
    import random, signal, time
    import numpy as np
    import npbloom as nb

    ids = np.random.default_rng(0).integers(0, 50_000, 20_000)
    grad = np.ones((20_000, 16), np.float32)
    layer = nb.BloomEmbedding(50_000, 16, rng=0)
    optimizer = nb.SGD(layer, lr=0.001)
    expected = nb.BloomEmbedding(50_000, 16, rng=1)(ids).tobytes()
    optimizer.update(layer, ids, grad)  # compiled: an interrupted compiler is another matter
    interrupted = 0
    random.seed(0)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for number in range(150):
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-3))
            while True:
                optimizer.update(layer, ids, grad)
                layer(ids)
        except KeyboardInterrupt:
            table = layer.weight.copy()
            interrupted += 1
        if number % 5 == 0:
            time.sleep(0.003)  # a worker that was left behind would write now
        assert (table == layer.weight).all()
        assert nb.BloomEmbedding(50_000, 16, rng=1)(ids).tobytes() == expected
    print(interrupted)
    """
    assert run_script(script, tmp_path) == "150\n"


def test_a_signal_handler_may_call_what_it_interrupts(tmp_path: Path) -> None:
    script = """
    import signal
    import numpy as np
    import npbloom as nb

    ids = np.random.default_rng(0).integers(0, 50_000, 20_000)
    layer = nb.BloomEmbedding(50_000, 16, rng=0)
    expected = layer(ids).tobytes()
    handled = []

    def handle(*_):
        handled.append(layer(ids).tobytes())
        if len(handled) < 200:  # the next one comes when this one has ended: on a slow machine they would pile up without end
            signal.setitimer(signal.ITIMER_REAL, 1e-3)

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-3)
    while len(handled) < 200:
        assert layer(ids).tobytes() == expected
    assert set(handled) == {expected}
    """
    assert run_script(script, tmp_path) == ""


def test_a_call_in_the_middle_of_making_workers_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The handler comes while the lock on workers is held.

    The test before meets that case only sometimes.
    """
    layer = nb.BloomEmbedding(5 * ROWS, DIM, rng=0)
    expected, answers = layer(ids_of(0)).tobytes(), []
    monkeypatch.setattr(_parallel, "_workers", 0)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        assert _parallel._lock.locked()
        answers.append(layer(ids_of(0)).tobytes())
        start(thread)

    with mock.patch.object(threading.Thread, "start", interrupted):
        assert layer(ids_of(0)).tobytes() == expected
    assert answers == [expected] * 3


# ---- no threads to be had ------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_where_the_system_gives_no_threads_the_caller_does_it_all(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(3)
    monkeypatch.setattr(_parallel, "_queue", SimpleQueue())
    monkeypatch.setattr(_parallel, "_workers", 0)
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with mock.patch.object(threading.Thread, "start", limited):
        for _ in range(3):
            assert trained(3) == expected
    assert len(started) == allowed
    assert trained(3) == expected
