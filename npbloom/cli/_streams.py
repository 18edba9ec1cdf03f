"""Standard streams that are closed, are full, or have an encoding that lacks letters."""

from __future__ import annotations

import io
import os
import sys

from npbloom.cli._errors import Refused


def prepare_streams() -> None:
    """
    Refuse to run with a closed standard output.

    Letters that the encoding lacks are printed as escapes.
    """
    if sys.stderr is None:  # as with 2>&- in a shell
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        raise Refused("standard output is closed", status=1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write buffered output, while an error can still be reported."""
    sys.stdout.flush()


def discard_output() -> None:
    """Discard buffered output, so that the flush at exit reports no error again."""
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
