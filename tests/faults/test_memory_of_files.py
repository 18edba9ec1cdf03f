"""
What reading a file may take, as multiples of its size, which docs/guarantees.md lists, however it was made up.

By `tracemalloc`, which sees Python's memory and NumPy's. `NPBLOOM_FUZZ_CASES` asks for more than 60 files of each kind.
"""

from __future__ import annotations

import gzip
import logging
import os
import random
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npbloom.recommend import read_ratings
from npbloom.recommend._lines import MOST, SLACK
from tests.faults._mutations import tried, watched

CASES = int(os.environ.get("NPBLOOM_FUZZ_CASES", "60"))
FIRST = int(os.environ.get("NPBLOOM_FUZZ_FIRST", "0"))
LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
ROOT = Path(__file__).resolve().parents[2]


def promised(call: str) -> tuple[int, int]:
    """The multiple of the size, and the bytes besides, that the document promises of a call."""
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    found = re.search(rf"^\| `{call}` \| [^|]+ \| (\d+) \| (\d+) MiB \|$", text, flags=re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2]) * 2**20


def held(call: Callable[[], Any]) -> tuple[int, str]:
    """The most bytes that a call held, and the sentence that refuses the file, or nothing."""
    tracemalloc.start()
    try:
        refused = tried(call)[1]
        return tracemalloc.get_traced_memory()[1], refused
    finally:
        tracemalloc.stop()


class Judge:
    """Compare what calls held with what is promised, and keep the worst."""

    def __init__(self, call: str) -> None:
        """Read the promise."""
        self.multiple, self.besides = promised(call)
        self.worst = 0.0
        self.refused = 0

    def __call__(self, case: Any, size: int, call: Callable[[], Any]) -> str:
        """The sentence that refuses, or nothing; an AssertionError where the promise is broken."""
        bytes_held, sentence = held(call)
        self.worst = max(self.worst, bytes_held / (self.multiple * size + self.besides))
        self.refused += bool(sentence)
        assert bytes_held <= self.multiple * size + self.besides, f"{case}: {bytes_held:,} bytes for {size:,}; {sentence}"
        return sentence


# ---- files of ratings -----------------------------------------------------------------------------------------------------

LETTERS = "abcxyzABCXYZ0123456789"
TAILS = ("", "é", "\U0001f600", "字")


def spelled(number: int) -> str:
    """A short label for a number."""
    word = ""
    while number or not word:
        number, digit = divmod(number, len(LETTERS))
        word += LETTERS[digit]
    return word


def label(chance: random.Random) -> Callable[[int], str]:
    """A way to name the user or the item of a line."""
    tail, few = chance.choice(TAILS), chance.choice((1, 7, 1000))
    long = chance.choice((50, 1000, 4000, 4097)) * chance.choice((*TAILS[:3], "x")) or "one"
    ways: tuple[Callable[[int], str], ...] = (
        lambda line: spelled(line) + tail,
        lambda line: spelled(line % few) + tail,
        lambda line: str(line),
        lambda line: long if line == 5 else spelled(line),
        lambda line: long + spelled(line % few),
        lambda line: long + spelled(line),
        lambda line: " " * (line % 100) + spelled(line),
    )
    return chance.choice(ways)


def text_of(chance: random.Random) -> str:
    """A file of ratings of up to 300 kB, of the kinds that take memory."""
    users, items = label(chance), label(chance)
    separator = chance.choice((",", ",", "\t", "::", " "))
    width = chance.choice((0, 0, 0, 1, 2, 10, 5000, 80_000))
    fillers = ("", "1", "ab", "x" * 1000, " " * 1000, "\U0001f600", '"\n"' if separator in ",\t" else "1")
    more = [chance.choice(fillers)] * width
    if separator == " ":
        more = [field.strip() or "1" for field in more]
    named = width > 2 or chance.random() < 0.3
    lines = [separator.join(["user", "item", *(f"c{column}" for column in range(width))])] if named else []
    size, most = 0, chance.choice((1000, 50_000, 300_000))
    while size < most:
        lines.append(separator.join([users(len(lines)), items(len(lines)), *more]))
        size += len(lines[-1])
    if chance.random() < 0.1:
        lines[chance.randrange(len(lines))] = chance.choice(("", '"', "x", "\n" * 100_000, "a,b,c,d" * 1000))
    return "\n".join(lines) + "\n"


def test_ratings(tmp_path: Path) -> None:
    """Of a gzip file the text counts, which is at most 128 times as long."""
    path, judge = tmp_path / "ratings", Judge("read_ratings")
    with watched():
        for case in range(FIRST, FIRST + CASES):
            chance = random.Random(case)
            raw = text_of(chance).encode()
            zipped = chance.random() < 0.3
            data = gzip.compress(raw * chance.choice((1, 1, 4)), mtime=0) if zipped else raw
            path.write_bytes(data)
            judge(
                case,
                min(len(gzip.decompress(data)), MOST * len(data) + SLACK) if zipped else len(data),
                lambda: read_ratings(path),
            )
    assert 0.05 * CASES < judge.refused < 0.7 * CASES
    LOG.info("%d of %d refused; the worst held %.2f of what is promised", judge.refused, CASES, judge.worst)


LARGE = {
    "all new": lambda line: f"{spelled(line)} {spelled(line)}\n",
    "all new, integers": lambda line: f"{line},{line}\n",
    "one long among short": lambda line: "\U0001f600" * 4096 + ",1\n" if not line else f"{spelled(line)},1\n",
    "all long": lambda line: f"{spelled(line):x<4000},1\n",
    "all the same": lambda line: "a b\n",
    "dates": lambda line: "a,b,1,2001-01-01\n",
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_ratings(kind: str, tmp_path: Path) -> None:
    path, size = tmp_path / "ratings.csv", 0
    with path.open("w", encoding="utf-8") as file:
        while size < 1_500_000:
            size += file.write("".join(LARGE[kind](line) for line in range(size, size + 1000)))
    judge = Judge("read_ratings")
    judge(kind, path.stat().st_size, lambda: read_ratings(path))
    LOG.info("%s: %.2f of what is promised", kind, judge.worst)


@pytest.mark.parametrize("data", [b"\n", b"a,b\n", b"x", b"a,b,\xc3\xa9\n", b'a,"\n",'], ids=repr)
def test_gzip_of_nothing_but_the_same(data: bytes, tmp_path: Path) -> None:
    """8 kB, and 8 MB of text."""
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress(data * (2**23 // len(data)), mtime=0))
    size = path.stat().st_size
    assert Judge("read_ratings")(data, MOST * size + SLACK, lambda: read_ratings(path))
