"""
Checks in a child process: a backend that dies or hangs is a failed check.

Another child goes on with the next check. One child runs as many checks as it survives, so that
backends compile and fill caches once.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import selectors
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from npbloom.conformance.cases.backend import Backend
from npbloom.conformance.cases.case import Case
from npbloom.conformance.report.report import CheckResult
from npbloom.conformance.report.snippet import snippet_of
from npbloom.conformance.runner.check_run import Budget
from npbloom.conformance.runner.run_check import Check

Job = tuple[Check, Budget]
Run = Callable[[Check, Budget, Callable[[Case], None]], CheckResult]

LARGEST_CASE = 1 << 26  # bytes of a pickled case that can be noted; memory is allocated on writing


def isolated(backend: Backend, jobs: Iterable[Job], run: Run, limit: float) -> Iterator[CheckResult]:
    """Yield the result of each job, in order."""
    left = list(jobs)
    while left:
        with _Child(left, run) as child:
            for result in child.results(limit):
                left.pop(0)
                # The check did not record its case.
                if result.status == "failed" and not result.snippet:
                    result.snippet = snippet_of(backend, child.shared.case(), message=result.message)
                yield result
            if left:
                yield child.failure(backend, left.pop(0)[0], limit)


class SharedCase:
    """Memory that a child shares with its parent: the case that it is about to run."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, LARGEST_CASE)
        self.count = 0  # count of the child

    def note(self, case: Case) -> None:
        """Write a case down and count it."""
        data = pickle.dumps(case)
        self.count += 1
        fits = len(data) <= LARGEST_CASE - 16
        if fits:
            self._memory[16 : 16 + len(data)] = data
        struct.pack_into("<QQ", self._memory, 0, self.count, len(data) if fits else 0)

    def cases(self) -> int:
        """Return the number of cases that the child has noted."""
        return int(struct.unpack_from("<Q", self._memory, 0)[0])

    def case(self) -> Case | None:
        """Return the last noted case."""
        size = struct.unpack_from("<Q", self._memory, 8)[0]
        return pickle.loads(self._memory[16 : 16 + size]) if size else None

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()


class _Child:
    """A forked process that runs jobs until they are done, or until the backend ends it."""

    def __init__(self, jobs: list[Job], run: Run) -> None:
        self.shared = SharedCase()
        self._reader, writer = os.pipe()
        _flush()  # else the child would write buffered output again
        with warnings.catch_warnings():
            # Python warns of threads lost in a fork; the child starts its own.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._id = os.fork()
        if self._id == 0:
            os.close(self._reader)
            _work(writer, self.shared, jobs, run)
        os.close(writer)
        self._started = time.perf_counter()
        self._hung = False
        self._code: int | None = None

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the child when its jobs end, also by a failure or the user's Ctrl-C."""
        self._end()
        self.shared.close()

    def results(self, limit: float) -> Iterator[CheckResult]:
        """Yield results as they arrive, until the child has ended or does not answer any more."""
        pending = bytearray()
        seen, until = -1, time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            while True:
                if not selector.select(limit / 2):
                    now = self.shared.cases()
                    if now == seen and time.monotonic() > until:
                        self._hung = True
                        return
                    if now != seen:
                        seen, until = now, time.monotonic() + limit
                    continue
                data = os.read(self._reader, 1 << 20)
                if not data:
                    return
                pending += data
                while len(pending) >= 8 and len(pending) >= 8 + (size := struct.unpack("<Q", pending[:8])[0]):
                    yield pickle.loads(bytes(pending[8 : 8 + size]))
                    self._started = time.perf_counter()
                    seen, until = -1, time.monotonic() + limit
                    del pending[: 8 + size]

    def failure(self, backend: Backend, check: Check, limit: float) -> CheckResult:
        """Return the result of the check in which the child died or hung."""
        self._end()
        assert self._code is not None
        if self._hung:
            words = f"did not answer within {limit:g} s"
        elif self._code < 0:
            words = f"died of {signal.Signals(-self._code).name}"
        else:
            words = f"ended the process with status {self._code}"
        seconds = time.perf_counter() - self._started
        message = f"the backend {words}"
        snippet = snippet_of(backend, self.shared.case(), message=message)
        return CheckResult(check.name, "failed", self.shared.cases(), 0, "", seconds, message, snippet)

    def _end(self) -> None:
        """Kill the child if it still runs, and record its exit status."""
        if self._code is None:
            os.close(self._reader)
            if self._hung or not self._has_ended():
                os.kill(self._id, signal.SIGKILL)
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])

    def _has_ended(self) -> bool:
        """Return True if the child ends within half a second; its pipe closes before it ends."""
        for _ in range(100):
            child, status = os.waitpid(self._id, os.WNOHANG)
            if child:
                self._code = os.waitstatus_to_exitcode(status)
                return True
            time.sleep(0.005)
        return False


def _work(writer: int, shared: SharedCase, jobs: list[Job], run: Run) -> None:
    """Run jobs and send their results; never returns."""
    with contextlib.suppress(OSError):  # there may be no standard output
        os.dup2(2, 1)  # a backend's prints must not mix with a report on standard output
    sys.stdout = sys.stderr
    try:
        for check, budget in jobs:
            shared.count = 0
            try:
                result = run(check, budget, shared.note)
            except BaseException as error:  # only a backend raises KeyboardInterrupt and the like here
                text = f"the backend raised {type(error).__name__}: {error}".removesuffix(": ")
                result = CheckResult(check.name, "failed", shared.count, message=text)
            _send(writer, result)
    finally:
        _flush()
        os._exit(0)


def _send(writer: int, message: Any) -> None:
    """Send one message: its length, then its pickle."""
    data = pickle.dumps(message)
    data = struct.pack("<Q", len(data)) + data
    while data:
        data = data[os.write(writer, data) :]


def _flush() -> None:
    """Flush Python's buffers of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a stream may be closed or missing
            stream.flush()
