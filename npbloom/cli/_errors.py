"""Errors of the command line: one sentence on stderr, never a traceback."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Refused(Exception):
    """A sentence for stderr and an exit status: 2 for wrong use, 1 for failed work."""

    def __init__(self, sentence: str, status: int = 2) -> None:
        """Take a sentence, and make it one line."""
        super().__init__(" ".join(sentence.split()))
        self.status = status


def last_words(error: Exception) -> Refused:
    """Return one line for any error, as the last resort of the command line."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, MemoryError):
        return Refused("there is not enough memory for tables of this size", 1)
    if isinstance(error, OSError):
        return Refused(f"{error.filename or 'standard output'}: {_reason(error)}", 1)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Refused(f"{words} (a fault of npbloom; NPBLOOM_TRACEBACK=1 shows where)", 1)


@contextmanager
def refusing(subject: str = "", status: int = 2) -> Iterator[None]:
    """Turn errors of the block about its input into a refusal that names the subject."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename or subject}: {_reason(error)}", status) from None
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        sentence = str(error)
        raise Refused(sentence if subject in sentence else f"{subject}: {sentence}", status) from None


def check_writable(path: str | None, option: str, source: str | None = None, regular: bool = False) -> None:
    """
    Refuse, before the work, a file that cannot be written later or that will be read.

    With `regular` refuse also a device or a pipe: a file that is written beside it cannot replace
    it.
    """
    if path is None:
        return
    target = Path(path)
    if source is not None and same_file(path, source):
        raise Refused(f"{option} {path}: would overwrite the ratings")
    with refusing(f"{option} {path}"):  # names that are too long, or have impossible characters
        if target.is_dir():
            raise Refused(f"{option} {path}: is a folder")
        if regular and target.exists() and not target.is_file():
            raise Refused(f"{option} {path}: is a device or a pipe, not a regular file")
        if target.exists() and not os.access(target, os.W_OK):
            raise Refused(f"{option} {path}: permission denied")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise Refused(f"{option} {path}: cannot write to the folder {target.parent}: {_reason(error)}") from None


def same_file(one: str, other: str) -> bool:
    """
    Return True if two names are of the same file.

    Links are followed, and the file need not exist.
    """
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def check_plot(path: str | None, source: str | None = None) -> None:
    """
    Refuse a plot that cannot be drawn later.

    Either matplotlib is missing, or the name ends in no format that it has.
    """
    if path is None:
        return
    if Path(path).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise Refused(f"--plot {path}: the name must end in .png, .pdf or .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise Refused('--plot needs matplotlib: python -m pip install "npbloom[plots]"')
    check_writable(path, "--plot", source)


def _reason(error: OSError) -> str:
    """Return the system's words as part of a sentence; names in capitals stay."""
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:] if words[1:2].islower() else words
