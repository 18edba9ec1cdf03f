"""Threads that watch for the next call before they sleep: bounded, optional, none after a fork."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import npbloom as nb
from npbloom import _parallel, _threads
from npbloom._kernels import waiting
from tests.faults._scripts import run_script

WORK = """
    import threading, time
    import numpy as np
    import npbloom as nb
    from npbloom import _parallel

    nb.set_num_threads(2)
    layer = nb.ScaledEmbedding(50_000, 64, rng=0)
    ids = np.random.default_rng(0).integers(0, 50_000, 40_000)
    expected = layer.weight[ids].tobytes()

    def call(times):
        for _ in range(times):
            assert layer.forward(ids).tobytes() == expected

    def watch():
        \"\"\"Call until a worker watches.\"\"\"
        end = time.monotonic() + 60
        while not _parallel._patience.polls and time.monotonic() < end:
            call(1)
        return _parallel._patience.polls > 0
"""


def test_waiting_ends_with_a_change_or_after_the_polls() -> None:
    counter = np.zeros(1, np.int64)
    assert not waiting.wait_for_change(counter, 0, 100)
    assert waiting.wait_for_change(counter, 1, 1)
    assert not waiting.wait_for_change(counter, 1, 0)

    def change() -> None:
        time.sleep(0.02)
        counter[0] = 7

    other = threading.Thread(target=change)
    other.start()
    changed = False
    end = time.monotonic() + 60
    while not changed and time.monotonic() < end:
        changed = waiting.wait_for_change(counter, 0, 1000)
    other.join()
    assert changed


@pytest.mark.parametrize(("text", "expected"), [(None, 100), ("", 100), ("0", 0), (" 50 ", 50), ("10000", 10_000)])
def test_the_environment_says_for_how_long(monkeypatch: pytest.MonkeyPatch, text: str | None, expected: int) -> None:
    monkeypatch.delenv("NPBLOOM_SPIN_MICROSECONDS", raising=False)
    if text is not None:
        monkeypatch.setenv("NPBLOOM_SPIN_MICROSECONDS", text)
    assert _threads.spin_microseconds() == expected


@pytest.mark.parametrize("text", ["-1", "1.5", "10001", "long", "9" * 30])
def test_a_wrong_time_is_refused_in_the_caller_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NPBLOOM_SPIN_MICROSECONDS", text)
    monkeypatch.setattr(_parallel, "_patience", _parallel._Patience())
    done: list[int] = []
    with (
        nb.num_threads(2),
        pytest.raises(ValueError, match=r"`NPBLOOM_SPIN_MICROSECONDS` must be a whole number from 0 to 10000"),
    ):
        _parallel.run_range(lambda lo, hi: done.append(lo), 30, grain=1)
    assert done == []


def test_a_worker_watches_after_some_calls_then_sleeps(tmp_path: Path) -> None:
    script = """
    print(_parallel._patience.polls, watch())
    call(20)
    time.sleep(0.05)  # longer than anybody watches
    before = time.process_time()
    time.sleep(0.5)
    print(time.process_time() - before < 0.25)
    call(20)
    """
    assert run_script(WORK + script, tmp_path) == "0 True\nTrue\n"


@pytest.mark.parametrize("text", ["0", "200"])
def test_results_do_not_depend_on_it(tmp_path: Path, text: str) -> None:
    script = """
    callers = [threading.Thread(target=call, args=(30,)) for _ in range(3)]
    for caller in callers:
        caller.start()
    call(60)
    for caller in callers:
        caller.join()
    print(_parallel._patience.polls > 0)
    """
    assert run_script(WORK + script, tmp_path, NPBLOOM_SPIN_MICROSECONDS=text) == f"{text != '0'}\n"


def test_nobody_watches_after_a_fork_or_at_the_end(tmp_path: Path) -> None:
    script = """
    import os
    assert watch()
    pid = os.fork()
    if pid == 0:
        call(40)
        os._exit(7 if _parallel._patience.polls else 0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    call(20)
    _parallel._close()
    call(20)
    print(_parallel._patience.polls)
    """
    assert run_script(WORK + script, tmp_path) == "0\n0\n"
