"""
Splits of small batches over many threads.

Kernels are split only if a part is large enough, so tests lower that limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import npbloom as nb
from npbloom import _parallel
from npbloom.ops import _pairs

COUNTS = (1, 2, 3, 7)


@dataclass
class Seen:
    """The largest number of tasks of a run so far. A call in this thread is one task."""

    most_tasks: int = 1


@contextmanager
def watch(threads: int) -> Iterator[Seen]:
    """
    Run the block on `threads` threads, and yield the observed splits, so that a test can see that
    work was split.
    """
    seen, run_each = Seen(), _parallel._run_each

    def counted(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        seen.most_tasks = max(seen.most_tasks, len(tasks))
        return run_each(tasks)

    with mock.patch.object(_parallel, "_run_each", counted), nb.num_threads(threads):
        yield seen


@contextmanager
def split_sooner(threads: int) -> Iterator[Seen]:
    """
    Run the block on `threads` threads with limits of a 64th, so that a test's big batch is split as
    a huge one is.
    """
    even, balanced = _parallel.even_bounds, _parallel.balanced_bounds
    with (
        mock.patch.object(_parallel, "even_bounds", lambda size, grain=_parallel.GRAIN: even(size, max(1, grain // 64))),
        mock.patch.object(
            _parallel, "balanced_bounds", lambda starts, grain, pieces=1: balanced(starts, max(1, grain // 64), pieces)
        ),
        watch(threads) as seen,
    ):
        yield seen


@contextmanager
def split_everything(threads: int) -> Iterator[Seen]:
    """
    Run the block on `threads` threads, with as many parts as a batch has items, up to the number of
    threads.
    """
    even, balanced = _parallel.even_bounds, _parallel.balanced_bounds
    with (
        mock.patch.object(_parallel, "even_bounds", lambda size, grain=1: even(size, 1)),
        mock.patch.object(_parallel, "balanced_bounds", lambda starts, grain, pieces=1: balanced(starts, 1, pieces)),
        mock.patch.object(_pairs, "FEW", 0),
        mock.patch.object(_pairs, "LEAST_LOW", 0),  # one row a bucket: buckets are the unit of work of a scatter
        watch(threads) as seen,
    ):
        yield seen
