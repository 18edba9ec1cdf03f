"""Waiting for another thread in machine code, without the interpreter's lock."""

from __future__ import annotations

from npbloom._kernels.jit import kernel, pause, peek
from npbloom.types import IntArray


@kernel
def wait_for_change(counter: IntArray, seen: int, polls: int) -> bool:
    """Return True once ``counter[0]`` is no longer `seen`, or False after so many polls."""
    for _ in range(polls):
        if peek(counter) != seen:
            return True
        pause()
    return False
