"""Standard streams that are closed, full, or of an encoding without the letters that are needed."""

from __future__ import annotations

import io
import os
import sys

from npbloom.cli._errors import Refused


def prepare_streams() -> None:
    """Refuse to work for nobody, and let letters that an encoding lacks be printed as escapes."""
    if sys.stderr is None:  # as where a shell says 2>&-
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        raise Refused("standard output is closed", status=1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is buffered, while an error can still be told."""
    sys.stdout.flush()


def discard_output() -> None:
    """Send what is buffered nowhere: the flush at exit must not complain again."""
    try:
        sys.stdout.flush()
        return
    except OSError:
        pass
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # a stream of a test, or of a notebook
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
