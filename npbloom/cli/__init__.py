"""The command line: ``npbloom``, also ``python -m npbloom``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from npbloom.cli._arguments import parser
from npbloom.cli._errors import Refused

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 done, 1 it did not work out, 2 wrong use, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parser().parse_args(words or ["demo"])
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except Refused as refusal:
        print(f"npbloom: error: {refusal}", file=sys.stderr)
        return refusal.status
    except MemoryError:
        print("npbloom: error: there is not enough memory for tables of this size", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has gone; the flush at exit must not complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
