"""Control-C while the command line is imported ends it quietly, as it does once a command runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _leave(*_: Any) -> None:
    """End at once: nothing is open yet."""
    os._exit(INTERRUPTED)


def is_command() -> bool:
    """Tell whether this process is `npbloom` or `python -m npbloom`, which has not found its main module yet."""
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":
        return not {"npbloom", "-mnpbloom"}.isdisjoint(sys.orig_argv[1:3])
    return os.path.splitext(os.path.basename(name))[0] == "npbloom"


def quiet_interrupt() -> None:
    """Let Control-C end the process without a traceback, in a process of the command only: imports take a second."""
    main = threading.current_thread() is threading.main_thread()
    if main and is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def hand_over() -> None:
    """Let Control-C raise a KeyboardInterrupt again, which a command handles."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


quiet_interrupt()
