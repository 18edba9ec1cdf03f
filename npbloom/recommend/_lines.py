"""The lines of a text, gzipped or not, with limits: kilobytes of gzip may be gigabytes of text, or one line of them."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from typing import IO, Final

LONGEST: Final = 2**20  # characters of a row: of a line, or of several that quotes hold together
MOST: Final = 128  # times its own size that a gzip file may be unzipped to: MovieLens has 2 to 4 times, zeros 1,000
SLACK: Final = 2**20  # bytes of text that any gzip file may be


class Lines(io.TextIOWrapper):
    """A text that knows how much it gave: `lines`, and `characters`. Who reads rows sets `row_start` after each of them."""

    def __init__(self, path: str) -> None:
        """Open the file; a byte order mark is passed over."""
        super().__init__(opened(path), encoding="utf-8-sig", newline="")
        self.path = path
        self.lines = self.characters = self.row_start = 0

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # typeshed wants an IO
        """Each line; NumPy would drop a NUL at the end of a label, and so make two of them one."""
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
    """A gzip file that is read to a multiple of its size."""

    def read1(self, size: int = -1) -> bytes:
        """Some bytes of the text."""
        data = super().read1(size)
        packed = os.fstat(self.fileno()).st_size
        if self.tell() > MOST * packed + SLACK:
            raise ValueError(
                f"{self.name}: the text must be at most {MOST} times as long as the gzip file, which has {packed:,} bytes."
            )
        return data


def check_length(path: str) -> None:
    """A ValueError for a gzip file of too much text before any of it is split into rows, which takes far longer."""
    with opened(path) as text:
        if isinstance(text, _Unzipped):
            while text.read1(SLACK):
                pass


def opened(path: str) -> IO[bytes]:
    """The bytes of the text."""
    with open(path, "rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    return _Unzipped(path, "rb") if zipped else open(path, "rb")  # type: ignore[return-value]
