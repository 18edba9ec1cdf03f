"""Huge pages: the kernel's policy, and how much memory of this process lies in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ROLLUP = Path("/proc/self/smaps_rollup")
FIELDS = ("Anonymous", "AnonHugePages", "FilePmdMapped")

Pages = dict[str, int]
_NOTES: ContextVar[list[Pages] | None] = ContextVar("notes", default=None)


def mode() -> str:
    """
    Return the kernel's policy: `always`, `madvise` or `never`.

    With `madvise`, NumPy's large arrays have huge pages, and torch's do not.
    """
    try:
        match = re.search(r"\[(\w+)\]", POLICY.read_text(encoding="ascii"))
    except OSError:
        match = None
    return match[1] if match else "unknown"


def of_this_process() -> Pages:
    """
    Return bytes of this process: anonymous memory, the part of it in huge pages, and mapped files
    in huge pages.

    `/proc/meminfo` has fields of the same names, but counts all processes of the machine. The
    dictionary is empty where the kernel does not say.
    """
    try:
        text = ROLLUP.read_text(encoding="ascii")
    except OSError:
        return {}
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, flags=re.M) if name in FIELDS}


@contextmanager
def noted() -> Iterator[list[Pages]]:
    """Yield a list that `note` appends to within the block."""
    notes: list[Pages] = []
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note(pages: Pages | None = None) -> None:
    """
    Note the pages of this process, or those that another process returned.

    Call it when all tables exist and have been written to. Outside of `noted` it does nothing.
    """
    notes = _NOTES.get()
    if notes is not None:
        notes.append(of_this_process() if pages is None else pages)


def ranges(notes: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """Return the least and the largest of each field, in bytes."""
    found = {name: [pages[name] for pages in notes if name in pages] for name in FIELDS}
    return {name: [min(values), max(values)] for name, values in found.items() if values}
