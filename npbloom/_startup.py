"""Control-C while the command line is imported ends it quietly, as it does once a command runs."""

# Before the handler is set nothing may be loaded from a file, during which Control-C would be a traceback: `_signal` is part
# of the interpreter, `os` and `sys` were loaded when it started. So not `signal`, `threading`, `typing`, `__future__`.
import _signal  # type: ignore[import-not-found]
import os
import sys

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _leave(*_: object) -> None:
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
    if is_command() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        try:  # noqa: SIM105 (`contextlib` is a file)
            _signal.signal(_signal.SIGINT, _leave)
        except ValueError:  # not in the main thread, which alone may say so
            pass


def hand_over() -> None:
    """Let Control-C raise a KeyboardInterrupt again, which a command handles."""
    if _signal.getsignal(_signal.SIGINT) is _leave:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


quiet_interrupt()
