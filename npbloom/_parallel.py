"""Ranges of serial `nogil` kernels on a thread pool: one owner per row, no races (L6)."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from npbloom import _threads
from npbloom._kernels import waiting

Memory = TypeVar("Memory")
Scratch = tuple[tuple[int, ...], Any]  # shape and dtype of an array to compute in

# A pool round trip costs 25 to 80 us, a kernel call 2 us: below this many items the caller's thread
# does it all.
GRAIN = 4096
PIECES = 4  # parts for each thread where whoever is free takes the next one
POLLS = 1000  # polls by which their length is measured
FEW = 16  # tasks after which a worker measures it: a short program never compiles the waiting


class _Offering(threading.local):
    """Flag of a thread: True while the thread queues tasks."""

    now: bool = False


_offering = _Offering()
_queue: SimpleQueue[_Task] = SimpleQueue()
_workers = 0  # threads that take tasks from it
_closed = False  # True once the interpreter ends
_offered = np.zeros(1, np.int64)  # grows when tasks are queued
# Changes when a task has been run. Two threads may add to it as one: whoever misses that sleeps.
_ended = np.zeros(1, np.int64)
_lock = threading.Lock()  # held while workers are made


class _Task:
    """Call that is made once, either by a worker or by the caller who waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        # The caller, interrupted when it had taken it, may take it again.
        self._mine = threading.RLock()
        self._running = threading.Lock()
        self._running.acquire()
        self._ended = False
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call, unless another thread has begun it; what it raises waits for `result`."""
        if self._mine.acquire(blocking=False) and not self._ended:
            try:
                self._value = self._call()
            except BaseException as error:
                self._error = error
            self._ended = True
            _ended[0] += 1
            # Free what the call held, also if the task is still queued after the caller has run it.
            del self._call
            self._running.release()

    def wait(self) -> None:
        """Return when the call has ended; watch for that before sleeping."""
        if not self._ended and _patience.polls:
            seen = int(_ended[0])
            while not self._ended and waiting.wait_for_change(_ended, seen, _patience.polls):
                seen = int(_ended[0])
        with self._running:
            pass

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class _Patience:
    """
    Polls for which a thread watches before it sleeps, 0 until they are measured.

    A thread that sleeps is awake 25 to 80 us after it is called, so one that has just finished
    watches for `NPBLOOM_SPIN_MICROSECONDS` first, in machine code and without the interpreter's
    lock. Nobody watches after a fork or while the interpreter ends.
    """

    polls = 0
    wanted: int | None = None  # microseconds; None until they are read

    def read(self) -> None:
        """Read the environment, in the thread of a caller: what is wrong there is his error."""
        if self.wanted is None:
            self.wanted = _threads.spin_microseconds()

    def measure(self) -> None:
        """Count the polls in that time; the first call also loads the machine code."""
        if self.wanted:
            waiting.wait_for_change(_ended, int(_ended[0]), 1)
            best = min(self._seconds() for _ in range(3))
            polls = max(1, int(self.wanted * 1e-6 / best * POLLS))
            self.polls = polls if self.wanted else 0  # the interpreter may end meanwhile

    def end(self) -> None:
        """Let nobody watch any more."""
        self.polls, self.wanted = 0, 0

    @staticmethod
    def _seconds() -> float:
        """Return the seconds of `POLLS` polls."""
        still = np.zeros(1, np.int64)
        start = time.perf_counter()
        waiting.wait_for_change(still, 0, POLLS)
        return time.perf_counter() - start


_patience = _Patience()


def _serve(queue: SimpleQueue[_Task]) -> None:
    """Run queued tasks until the process exits; watch for the next one before sleeping."""
    for _ in range(FEW):
        queue.get().run()
    if not _patience.polls:
        _patience.measure()
    while True:
        seen = int(_offered[0])  # read before the queue: what is queued later changes it
        try:
            task = queue.get_nowait()
        except Empty:
            if _patience.polls and waiting.wait_for_change(_offered, seen, _patience.polls):
                continue
            task = queue.get()
        task.run()


def _offer(tasks: Sequence[_Task]) -> None:
    """
    Queue tasks for the workers.

    Workers are made on first use, and again when there are more tasks than workers.

    The queue is C's: a KeyboardInterrupt may come between any two steps of Python, and in the
    middle of concurrent.futures it left a condition locked forever, three times in 900 interrupts.
    """
    global _workers
    # A signal handler, in the middle of this very function, or the interpreter's end.
    if _offering.now or _closed:
        return
    _offering.now = True
    try:
        with _lock:
            while _workers < len(tasks):
                threading.Thread(target=_serve, args=(_queue,), name=f"npbloom_{_workers}", daemon=True).start()
                _workers += 1
    except RuntimeError:  # the system has no more threads: the caller does what nobody has begun
        pass
    finally:
        _offering.now = False
    if _workers:
        for task in tasks:
            _queue.put(task)
        _offered[0] += 1


def _close() -> None:
    """Stop the use of workers, which end with the interpreter; callers then run all tasks."""
    global _closed
    _closed = True
    _patience.end()


atexit.register(_close)


def _forget_workers() -> None:
    """Forget the workers of a forked child's parent: the child makes its own when needed."""
    global _queue, _workers, _lock
    _queue, _workers, _lock = SimpleQueue(), 0, threading.Lock()
    _patience.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def _run_each(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """
    Call every task, the first in this thread and the others on the pool; return results in order.

    When this thread is free, it runs the tasks that no worker has begun, so it never waits for a
    pool without threads. It returns, also with an exception or a KeyboardInterrupt, when every task
    has ended: no worker writes after the caller has gone on.
    """
    shared = [_Task(task) for task in tasks[1:]]
    interrupt: BaseException | None = None
    try:
        _offer(shared)
        first = tasks[0]()
    finally:
        ended = False
        while not ended:
            try:
                for task in shared:
                    task.run()
                for task in shared:
                    task.wait()
                ended = True
            except BaseException as error:  # a signal's; tasks keep theirs
                interrupt = error
    if interrupt is not None:
        raise interrupt
    return [first, *(task.result() for task in shared)]


def run_tasks(tasks: Sequence[Callable[[], Any]], most: int | None = None) -> list[Any]:
    """
    Call every task on at most `most` threads (None: `get_num_threads`); return results in order.

    Each thread takes the next task when it is free, so a thread that wakes late, or has a slow
    part, delays no other. Of several exceptions the first task's is raised. Tasks after one that
    has failed may not be called.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    _patience.read()
    threads = max(1, min(len(tasks), _threads.get_num_threads() if most is None else most))
    if threads == len(tasks):
        return _run_each(tasks)
    if threads == 1:
        return [task() for task in tasks]
    results: list[Any] = [None] * len(tasks)
    failures: dict[int, Exception] = {}
    # A step of this iterator is one step of the interpreter: no two threads get the same index.
    queue = iter(range(len(tasks)))

    def take() -> None:
        for index in queue:
            try:
                results[index] = tasks[index]()
            except Exception as error:
                failures[index] = error
                for _ in queue:  # no thread begins a later task
                    pass

    _run_each([take] * threads)
    if failures:
        raise failures[min(failures)]
    return results


def for_each_thread(make: Callable[[], Memory], tasks: int) -> list[Memory]:
    """
    Return memory for tasks to compute in: a set for each task that runs at a time.

    It is taken before the first task begins.

    A task takes one with ``pop``, and hands it on with ``append``. The list is empty only to a task
    that was interrupted and is run again.
    """
    return [make()] if tasks == 1 else [make() for _ in range(min(tasks, _threads.get_num_threads()))]


def even_bounds(size: int, grain: int = GRAIN) -> list[int]:
    """Split ``[0, size)`` evenly over as many threads as have at least `grain` items each to do."""
    if size < 2 * grain:
        return [0, size]
    parts = min(_threads.get_num_threads(), size // grain)
    return [size * part // parts for part in range(parts + 1)]


def balanced_bounds(starts: npt.NDArray[np.int64], grain: int, pieces: int = 1) -> list[int]:
    """
    Split the segments that begin at `starts` into parts of about as many items.

    The last entry of `starts` is the end.

    There are `pieces` parts for each of several threads, but no more than have `grain` items each.
    """
    items, threads = int(starts[-1] - starts[0]), _threads.get_num_threads()
    parts = max(1, min(threads * pieces if threads > 1 else 1, items // grain))
    if parts == 1:
        return [0, len(starts) - 1]
    cuts = np.searchsorted(starts, starts[0] + np.arange(1, parts) * items // parts)
    return [0, *(int(cut) for cut in cuts), len(starts) - 1]


def run_range(
    kernel: Callable[..., Any],
    work: int | Sequence[int],
    *arrays: Any,
    grain: int = GRAIN,
    scratch: Sequence[Scratch] = (),
) -> list[Any]:
    """
    Call ``kernel(*arrays, lo, hi)`` on ranges, in parallel; return results in order of the ranges.

    `work` is a number of items, split evenly so that a range has at least `grain` of them, or the
    bounds of the ranges. Arrays of the shapes and dtypes in `scratch`, new ones for each call, come
    before ``lo``: kernels allocate nothing.
    """
    bounds = even_bounds(work, grain) if isinstance(work, int) else work

    def task(lo: int, hi: int) -> Callable[[], Any]:
        extra = [np.empty(shape, dtype) for shape, dtype in scratch]
        return lambda: kernel(*arrays, *extra, lo, hi)

    return run_tasks([task(lo, hi) for lo, hi in pairwise(bounds)])


def run_blocks(work: Callable[[int, int], Any], size: int, grain: int, block: int) -> None:
    """
    Call ``work(lo, hi)`` on ranges that cover ``[0, size)``, none longer than `block`.

    Values of a block stay in cache.
    """
    threads = len(even_bounds(size, grain)) - 1
    if threads == 1 and size <= block:  # a small batch is all overhead
        work(0, size)
        return
    # Whoever takes a piece holds the interpreter's lock for 10 us: pieces of a small batch are few.
    pieces = threads * max(1, min(PIECES, size // (4 * grain * threads)))
    step = min(block, size) if threads == 1 else min(block, -(-size // pieces))
    run_tasks([partial(work, lo, min(lo + step, size)) for lo in range(0, size, max(step, 1))], threads)
