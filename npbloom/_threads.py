"""The number of threads that kernels use: for the process, and for blocks of code."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from npbloom import _check

SPIN = 100  # microseconds for which a thread watches for the next call before it sleeps
LONGEST_SPIN = 10_000


class _Override(threading.local):
    """This thread's number, within a `num_threads` block."""

    number: int | None = None


_override = _Override()
_process_threads: int | None = None


def _default_threads() -> int:
    """NPBLOOM_NUM_THREADS, else the CPUs this process may use."""
    text = os.environ.get("NPBLOOM_NUM_THREADS")
    if text is None or text == "":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"`NPBLOOM_NUM_THREADS` must be a whole number of at least 1, not {text!r}.")
    return int(text)


def spin_microseconds() -> int:
    """NPBLOOM_SPIN_MICROSECONDS: how long a thread watches before it sleeps; 0: not at all."""
    text = os.environ.get("NPBLOOM_SPIN_MICROSECONDS")
    if text is None or text == "":
        return SPIN
    if not text.strip().isdecimal() or int(text) > LONGEST_SPIN:
        raise ValueError(f"`NPBLOOM_SPIN_MICROSECONDS` must be a whole number from 0 to {LONGEST_SPIN}, not {text!r}.")
    return int(text)


def set_num_threads(n: int) -> None:
    """
    Set how many threads kernels of this process use.

    Parameters
    ----------
    n : int
        At least 1. More threads than processors are allowed; results do not depend on the number
        (L6).

    Raises
    ------
    TypeError, ValueError
        `n` is not an integer, or less than 1.

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(before)
    """
    global _process_threads
    _process_threads = _check.positive_int(n, "n")


def get_num_threads() -> int:
    """
    Number of threads that a kernel called from here would use.

    Returns
    -------
    int
        The number of the innermost `num_threads` block of this thread, else the process's number:
        what `set_num_threads` said, else ``NPBLOOM_NUM_THREADS``, else the CPUs the process may
        use.

    Examples
    --------
    >>> with num_threads(3):
    ...     get_num_threads()
    3
    """
    global _process_threads
    if _override.number is not None:
        return _override.number
    if _process_threads is None:
        _process_threads = _default_threads()
    return _process_threads


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """
    Within the block, use `n` threads for calls made from this thread; other threads are not
    affected.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    before, _override.number = _override.number, _check.positive_int(n, "n")
    try:
        yield
    finally:
        _override.number = before
