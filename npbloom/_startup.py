"""Quiet end of the command line on Control-C during imports, as while a command runs."""

# Until the handler is set no module may be loaded from a file, or Control-C would show a traceback.
# `_signal` is part of the interpreter, and `os` and `sys` are loaded when it starts. `signal`,
# `threading`, `typing` and `__future__` are files.
import _signal  # type: ignore[import-not-found]
import os
import sys

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _leave(*_: object) -> None:
    """End the process at once: no file is open yet."""
    os._exit(INTERRUPTED)


def is_command() -> bool:
    """
    Return True in a process of `npbloom` or `python -m npbloom`.

    The latter has not found its main module yet.
    """
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":
        return not {"npbloom", "-mnpbloom"}.isdisjoint(sys.orig_argv[1:3])
    return os.path.splitext(os.path.basename(name))[0] == "npbloom"


def quiet_interrupt() -> None:
    """
    Let Control-C end the process without a traceback while modules are imported.

    Imports take a second. Only processes of the command are changed.
    """
    if is_command() and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        try:  # noqa: SIM105 (`contextlib` is a file)
            _signal.signal(_signal.SIGINT, _leave)
        except ValueError:  # only the main thread may set a handler
            pass


def hand_over() -> None:
    """Let Control-C raise a KeyboardInterrupt again, which a command handles."""
    if _signal.getsignal(_signal.SIGINT) is _leave:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


quiet_interrupt()
