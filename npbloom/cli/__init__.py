"""The command line: ``npbloom``, also ``python -m npbloom``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from npbloom import _startup, get_num_threads
from npbloom.cli._arguments import parser
from npbloom.cli._errors import last_words, refusing
from npbloom.cli._streams import discard_output, flush, prepare_streams

__all__ = ["main"]

TRACEBACK = "NPBLOOM_TRACEBACK"  # anything but 0: show the traceback of unforeseen errors


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after ``npbloom``; by default those of this process.

    Returns
    -------
    int
        Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted.

    Notes
    -----
    Every error is one line on standard error. With ``NPBLOOM_TRACEBACK=1`` in the environment an
    unforeseen error is raised instead, with its traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _startup.hand_over()
        prepare_streams()
        return _run(words)
    except KeyboardInterrupt:
        return _startup.INTERRUPTED
    except BrokenPipeError:  # the reader of the output has closed it
        discard_output()
        return 1
    except Exception as error:
        refusal = last_words(error)
        if refusal is not error and os.environ.get(TRACEBACK, "0") not in ("", "0"):
            raise
        discard_output()
        print(f"npbloom: error: {refusal}", file=sys.stderr)
        return refusal.status


def _run(words: list[str]) -> int:
    """Parse the arguments, run the command, and flush all output."""
    try:
        arguments = parser().parse_args(words or ["demo"])
    except SystemExit:  # of --help, --version and wrong arguments
        flush()
        raise
    with refusing("the environment"):
        get_num_threads()
    status: int = arguments.run(arguments)
    flush()
    return status
