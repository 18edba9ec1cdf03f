"""
Timing of contenders side by side: in one process, one call each a round, in an order that changes
from round to round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

import npbloom as nb
from benchmarks import huge_pages

Call = Callable[[], object]
WARM_UP = 2
LEAD = 0.01  # seconds: OpenMP's threads spin for 5 ms and more after a peer's call


@dataclass(frozen=True)
class Settings:
    """Settings from the command line."""

    quick: bool = False  # tiny sizes and few rounds, to see that everything runs
    rounds: int | None = None  # instead of each benchmark's own number
    threads: tuple[int, ...] = (2, 1)
    fbgemm: bool = True  # False only in tests without FBGEMM

    def rounds_or(self, usual: int) -> int:
        """
        Return the number of rounds: the one asked for, else the benchmark's own, or at most 3 in a
        quick run.
        """
        return self.rounds or (min(usual, 3) if self.quick else usual)


def order(names: Sequence[str], turn: int) -> list[str]:
    """
    Return the names in the order of one round.

    They are rotated by one each round. Every other full turn is reversed, so that neighbours
    change, too.
    """
    start = turn % len(names)
    rotated = [*names[start:], *names[:start]]
    return rotated[::-1] if turn // len(names) % 2 else rotated


@contextmanager
def without_collector() -> Iterator[None]:
    """Collect garbage, then switch the collector off in the block."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give npbloom and torch the same number of threads. FBGEMM asks torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with nb.num_threads(count):
            yield
    finally:
        torch.set_num_threads(before)


def timed(call: Call, calls: int = 1) -> float:
    """Return the seconds of one call, the mean of `calls` in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def interleave(contenders: Mapping[str, Call], rounds: int, *, calls: int = 1, lead: bool = True) -> dict[str, list[float]]:
    """
    Return the seconds a call of every contender in every round.

    With `lead`, each timed call follows untimed ones of the same contender, for `LEAD` seconds, as
    a training step follows training steps. After a peer's call, OpenMP's threads spin for some
    milliseconds and would take a processor from the next contender, and the caches hold the other's
    table. With one untimed call of 1 ms, a lookup of one probe on two threads took 1.2 to 2.1 ms.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        for _ in range(WARM_UP):
            call()
    huge_pages.note()  # all tables exist and have been written to
    with without_collector():
        for turn in range(rounds):
            for name in order(list(contenders), turn):
                if lead:
                    end = time.perf_counter() + LEAD
                    timed(contenders[name], calls)
                    while time.perf_counter() < end:
                        timed(contenders[name], calls)
                samples[name].append(timed(contenders[name], calls))
    return samples
