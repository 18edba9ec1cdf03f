"""
Tests of isolation: a backend that dies, hangs, exits, prints or raises.

Each of these is one failed check with a sentence, and the other checks still run.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from npbloom.conformance import Backend, Unsupported, check
from npbloom.conformance.checks.registry import selected

ONLY = "hash.seeds,hash.padding"


class Rows(Backend):
    """
    A backend for `hash` that returns zeros.

    Before each case from number `after` on, it runs a function that misbehaves. With `only_padding`
    it does so only if the case has a padding id.
    """

    name = "rows"

    def __init__(self, deed, after: int = 0, only_padding: bool = False) -> None:
        self._deed, self._after, self._only_padding = deed, after, only_padding

    def run(self, case):
        if case.op != "hash":
            raise Unsupported("hash only")
        self._after -= 1
        if self._after < 0 and (case.padding_idx is not None or not self._only_padding):
            self._deed()
        return {"rows": np.zeros((len(case.ids), len(case.seeds)), dtype=np.int64)}


def segfault() -> None:
    faulthandler.disable()  # pytest's handler would write to the terminal
    ctypes.string_at(8)


def abort() -> None:
    faulthandler.disable()
    os.abort()


def hang() -> None:
    time.sleep(1000)


def hang_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def exhaust() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out


def raising(error):
    def raise_it() -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("deed", "sentence"),
    [
        (segfault, "the backend died of SIGSEGV"),
        (abort, "the backend died of SIGABRT"),
        (exhaust, "the backend died of SIGKILL"),
        (lambda: os._exit(0), "the backend ended the process with status 0"),
        (lambda: os._exit(7), "the backend ended the process with status 7"),
        (lambda: sys.exit(3), "raised SystemExit: 3"),
        (raising(KeyboardInterrupt()), "the backend raised KeyboardInterrupt"),
        (raising(GeneratorExit("no")), "the backend raised GeneratorExit: no"),
        (raising(MemoryError()), "raised MemoryError: (no message)"),
        (raising(RecursionError("deep\ndown")), "raised RecursionError: deep"),
    ],
)
def test_every_way_to_go_is_a_failed_check_with_a_sentence(deed, sentence):
    report = check(Rows(deed), only=ONLY)
    assert [(result.name, result.status, result.message) for result in report.results] == [
        ("hash.seeds", "failed", sentence),
        ("hash.padding", "failed", sentence),
    ]
    assert not report.ok
    for result in report.results:
        assert "Case(" in result.snippet
        assert f"# {sentence}" in result.snippet


@pytest.mark.parametrize("deed", [hang, hang_deaf])
def test_a_hang_ends_at_the_limit(deed):
    (result,) = check(Rows(deed), only="hash.seeds", limit=0.3).results
    assert (result.status, result.message) == ("failed", "the backend did not answer within 0.3 s")
    assert "num_rows=1000" in result.snippet  # the case that hangs


def test_slow_cases_are_no_hang():
    (result,) = check(Rows(lambda: time.sleep(0.15)), only="hash.padding", limit=0.4).results
    assert result.message.startswith("id ")  # wrong, but in time: the limit is for one case


def test_a_later_death_names_its_own_case():
    (result,) = check(Rows(segfault, only_padding=True), only="hash.padding").results
    assert result.status == "failed"
    assert "padding_idx=0" in result.snippet

    (result,) = check(Rows(raising(KeyboardInterrupt()), only_padding=True), only="hash.padding").results
    assert "padding_idx=0" in result.snippet


class Right(Backend):
    """A right backend for `hash` that runs a function at the padding check."""

    name = "right"

    def __init__(self, deed=lambda: None) -> None:
        self._deed = deed
        self.process = 0

    def run(self, case):
        from npbloom.conformance.expected.lookup import hash_rows

        if case.op != "hash":
            raise Unsupported("hash only")
        if case.padding_idx is not None:
            self._deed()
        return hash_rows(case)


def test_checks_after_a_death_run():
    report = check(Right(segfault), only="hash.padding,hash.seeds,hash.negative_ids")
    found = {result.name: result.status for result in report.results}
    assert found == {"hash.padding": "failed", "hash.seeds": "passed", "hash.negative_ids": "passed"}
    assert [result.name for result in report.results] == [each.name for each in selected("hash.*") if each.name in found]


def test_one_child_runs_all_checks_that_it_survives(tmp_path):
    trace = tmp_path / "processes"

    class Traced(Right):
        def run(self, case):
            with trace.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return super().run(case)

    assert check(Traced(), only="hash.*").ok
    assert len(set(trace.read_text().split())) == 1
    assert str(os.getpid()) not in trace.read_text()


def test_what_a_backend_prints_is_no_part_of_the_standard_output(capfd):
    def chatter() -> None:
        sys.stdout.write("in Python\n")
        os.write(1, b"in C\n")

    sys.stdout.write("before\n")
    assert check(Right(chatter), only="hash.padding").ok
    out, err = capfd.readouterr()
    assert out == "before\n"
    assert "in C\n" in err
    assert "in Python\n" in err


def test_a_backend_in_process_shares_the_process():
    class Own(Right):
        in_process = True

    backend = Own()
    backend._deed = lambda: setattr(backend, "process", os.getpid())
    assert check(backend, only="hash.padding").ok
    assert backend.process == os.getpid()


def test_in_process_ctrl_c_is_the_users_and_an_exit_is_the_backends():
    class Own(Rows):
        in_process = True

    with pytest.raises(KeyboardInterrupt):
        check(Own(raising(KeyboardInterrupt())), only=ONLY)
    report = check(Own(raising(SystemExit(3))), only=ONLY)
    assert {result.message for result in report.results} == {"raised SystemExit: 3"}


def test_ctrl_c_kills_a_hanging_child(tmp_path):
    """Interrupt the parent while its child hangs and ignores the signal."""
    mine = tmp_path / "child"

    def hang_here() -> None:
        mine.write_text(str(os.getpid()))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        hang()

    def interrupt() -> None:
        while not mine.exists() or not mine.read_text():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        check(Rows(hang_here), only=ONLY)
    helper.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mine.read_text()), 0)


def test_stopping_at_the_first_failure_leaves_no_child(tmp_path):
    report = check(Rows(lambda: None), only="hash.*", stop_on_failure=True)
    assert [result.status for result in report.results] == ["failed"]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_every_check_survives_a_backend_that_dies_at_once():
    class Dead(Backend):
        name = "dead"

        def run(self, case):
            segfault()

    report = check(Dead(), only="embedding.*,hash.*")
    assert len(report.results) > 10
    assert {result.message for result in report.results} == {"the backend died of SIGSEGV"}
