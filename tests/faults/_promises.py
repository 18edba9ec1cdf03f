"""Memory that a call may take, and what it takes."""

from __future__ import annotations

import logging
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults._mutations import tried
from tests.support._examples import repeats

CASES = int(os.environ.get("NPBLOOM_FUZZ_CASES", repeats(20)))
FIRST = int(os.environ.get("NPBLOOM_FUZZ_FIRST", "0"))
LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
ROOT = Path(__file__).resolve().parents[2]


def promised(call: str) -> tuple[int, int]:
    """Return the multiple of the size, and further bytes, that the document promises of a call."""
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    found = re.search(rf"^\| `{call}` \| [^|]+ \| (\d+) \| (\d+) MiB \|$", text, flags=re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2]) * 2**20


def held(call: Callable[[], Any]) -> tuple[int, str]:
    """Return the most bytes that a call held, and the message that refuses the file, or ""."""
    tracemalloc.start()
    try:
        refused = tried(call)[1]
        return tracemalloc.get_traced_memory()[1], refused
    finally:
        tracemalloc.stop()


class Judge:
    """Comparison of the bytes that calls held with the promised ones; it keeps the worst."""

    def __init__(self, call: str) -> None:
        """Read the promise."""
        self.multiple, self.besides = promised(call)
        self.worst = 0.0
        self.refused = 0

    def __call__(self, case: Any, size: int, call: Callable[[], Any]) -> str:
        """Return the message that refuses the file, or ""; fail if the promise is broken."""
        bytes_held, sentence = held(call)
        self.worst = max(self.worst, bytes_held / (self.multiple * size + self.besides))
        self.refused += bool(sentence)
        assert bytes_held <= self.multiple * size + self.besides, f"{case}: {bytes_held:,} bytes for {size:,}; {sentence}"
        return sentence
