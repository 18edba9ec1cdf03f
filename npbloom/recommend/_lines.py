"""
Lines of a text file, gzipped or not, with limits on their length.

A few kilobytes of gzip can hold gigabytes of text, or a single line of that size.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from typing import IO, Final

LONGEST: Final = 2**20  # characters of a row: of a line, or of several lines joined by quotes
# Limit of the text's length, in multiples of the gzip file's: MovieLens has 2 to 4, zeros 1,000.
MOST: Final = 128
SLACK: Final = 2**20  # bytes of text that are always allowed


class Lines(io.TextIOWrapper):
    """
    A text file that counts the `lines` and `characters` it has read.

    The reader of rows must set `row_start` after each row.
    """

    def __init__(self, path: str) -> None:
        """Open the file and skip a byte order mark."""
        super().__init__(opened(path), encoding="utf-8-sig", newline="")
        self.path = path
        self.lines = self.characters = self.row_start = 0

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # typeshed wants an IO
        """
        Yield each line, and refuse a NUL character.

        NumPy would drop a NUL at the end of a label, and two labels could become one.
        """
        readline = self.readline
        while line := readline(LONGEST + 1):
            self.lines += 1
            self.characters += len(line)
            if self.characters - self.row_start > LONGEST:
                raise ValueError(f"{self.path}, line {self.lines}: a row must have at most {LONGEST:,} characters.")
            if "\0" in line:
                raise ValueError(f"{self.path}, line {self.lines}: there is a NUL character in the text.")
            yield line


class _Unzipped(gzip.GzipFile):
    """A gzip file whose text may be at most a multiple of the file's size."""

    def read1(self, size: int = -1) -> bytes:
        """Read some bytes of the text."""
        data = super().read1(size)
        packed = os.fstat(self.fileno()).st_size
        if self.tell() > MOST * packed + SLACK:
            raise ValueError(
                f"{self.name}: the text must be at most {MOST} times as long as the gzip file, which has {packed:,} bytes."
            )
        return data


def check_length(path: str) -> None:
    """
    Raise a ValueError if a gzip file holds too much text.

    The check runs before any text is split into rows, which takes far longer.
    """
    with opened(path) as text:
        if isinstance(text, _Unzipped):
            while text.read1(SLACK):
                pass


def opened(path: str) -> IO[bytes]:
    """Open the text as bytes, unzipped if the file is gzipped."""
    with open(path, "rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    return _Unzipped(path, "rb") if zipped else open(path, "rb")  # type: ignore[return-value]
