"""An adapter for programs in other languages: cases and answers are lines of JSON."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any

from npbloom.conformance.cases.backend import Backend, Crashed, Hung, Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.runner.wire import as_line, as_object, case_object, kind_of, outputs_of

# Bytes of a reply; a program that writes without end is stopped before memory runs out.
MAX_REPLY_BYTES = 1 << 28
PIPE_BYTES = 1 << 20  # bytes
EXIT_SECONDS = 1.0  # seconds that a program has to exit after its input has closed
QUOTED_CHARACTERS = 200  # characters of stderr quoted in a sentence about a death


class CommandBackend(Backend):
    """
    A program as a backend: it reads a case a line from standard input, and writes an answer a line.

    Parameters
    ----------
    command : str or sequence of str
        The program and its arguments; a string is split as in a shell.
    name : str, optional
        Shown in reports; the program's own name by default.
    version : str, default ""
        Shown in reports.
    profile : dict of str to dict, optional
        As in `Backend`: dtypes and the accumulators claimed for them. By default float32, with
        float32 accumulators.
    policy : dict of str to str, optional
        As in `Backend`: choices where backends may differ.
    omits : dict of str to str, optional
        As in `Backend`: checks declined by name, each with the reason.
    limit : float, default 10.0
        Seconds a case may take before the program counts as hung.

    Raises
    ------
    ValueError
        `command` is empty, or `limit` is not positive.

    Notes
    -----
    ``docs/verify-in-c.md`` specifies the protocol. One process answers many cases. It starts with
    the first case, and again after a death. A death, a hang or a malformed answer fails the case
    with a sentence. An ``error`` counts as refusing the case; ``unsupported`` declines it. The
    sentence about a death quotes the program's stderr.

    Examples
    --------
    A runner in one line of Python that declines everything:

    >>> import sys
    >>> reply = 'input().split(",")[0] + chr(44) + chr(34) + "unsupported" + chr(34) + ":1}"'
    >>> code = f"while True: print({reply}, flush=True)"
    >>> with CommandBackend([sys.executable, "-c", code], name="nothing") as backend:
    ...     backend.run(Case("hash", ids=np.arange(3), num_rows=10, seeds=(1, 2)))
    Traceback (most recent call last):
        ...
    npbloom.conformance.cases.backend.Unsupported: 1
    """

    in_process = True  # the program is already another process

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        name: str | None = None,
        version: str = "",
        profile: Mapping[str, Mapping[str, str]] | None = None,
        policy: Mapping[str, str] | None = None,
        omits: Mapping[str, str] | None = None,
        limit: float = 10.0,
    ) -> None:
        self._given = command
        self._words = shlex.split(command) if isinstance(command, str) else [os.fspath(word) for word in command]
        if not self._words:
            raise ValueError("`command` must name a program.")
        if not limit > 0:
            raise ValueError(f"`limit` must be a number of seconds above 0, not {limit}.")
        self.name = os.path.basename(self._words[0]) if name is None else name
        self.version = version
        self.__dict__.update(  # instance attributes: each program has its own
            profile={key: dict(value) for key, value in (profile or Backend.profile).items()},
            policy=dict(policy or {}),
            omits=dict(omits or {}),
        )
        self._limit = limit
        self._runner: _Runner | None = None
        self._number = 0

    def __repr__(self) -> str:
        """Return the call that starts the same program."""
        return f"CommandBackend({self._given!r})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            The case to send to the program.

        Returns
        -------
        dict of str to array
            Outputs of the program.

        Raises
        ------
        Unsupported
            The program answered ``unsupported``.
        RuntimeError
            The program answered ``error``: it refuses the case.
        """
        self._number += 1
        # A forked child shares its parent's pipes.
        if self._runner is None or self._runner.owner != os.getpid():
            self._runner = _Runner(self._words)
        try:
            line = self._runner.ask(as_line(case_object(self._number, case)), self._limit)
            reply = _reply(line, self._number)
        except Crashed:
            self._kill()
            raise
        except TimeoutError:
            self._kill()
            raise Hung(case, f"the program did not answer within {self._limit:g} s") from None
        kind = kind_of(reply)
        if kind == "unsupported":
            raise Unsupported(str(reply[kind]))
        if kind == "error":
            raise RuntimeError(str(reply[kind]))
        try:
            return outputs_of(reply)
        except ValueError as error:
            raise Crashed(f"the program's answer is none: {error}") from None

    def close(self) -> None:
        """Stop the program; the next case starts it again."""
        if self._runner is not None:
            self._runner.end()
            self._runner = None

    def _kill(self) -> None:
        """Kill a program that does not follow the protocol."""
        if self._runner is not None:
            self._runner.kill()
        self.close()

    def __enter__(self) -> CommandBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickling, without the process: a copy starts its own."""
        return {**self.__dict__, "_runner": None}


def _reply(line: bytes, number: int) -> dict[str, Any]:
    """Return the reply to this case; raise a Crashed if the line is no reply."""
    try:
        reply = as_object(line)
        kind_of(reply)
    except ValueError as error:
        raise Crashed(f"the program's answer {error}") from None
    if reply.get("tcId") != number:
        raise Crashed(f"the program answered case {reply.get('tcId')!r} when it was asked case {number}")
    return reply


class _Runner:
    """A running program, and the pipes to it."""

    def __init__(self, words: list[str]) -> None:
        self.owner = os.getpid()
        with contextlib.ExitStack() as opening:
            self._stderr: IO[bytes] = opening.enter_context(tempfile.TemporaryFile())
            try:
                self._process = subprocess.Popen(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0
                )
            except OSError as error:
                raise Crashed(f"the program {words[0]} could not be started: {error.strerror or error}") from None
            opened = opening.pop_all()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        # Longer pipes, where possible, pass a large table in fewer turns.
        for pipe in (self._to, self._from):
            with contextlib.suppress(AttributeError, OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._pending = bytearray()  # bytes read, not returned yet
        # Runs at exit, too.
        self.end = weakref.finalize(self, _end, self._process, opened, self.owner)

    def ask(self, line: str, limit: float) -> bytes:
        """
        Write a line and read the next one, both at once.

        Neither side may wait for the other's full pipe.
        """
        unsent = memoryview(line.encode("ascii") + b"\n")
        until = time.monotonic() + limit
        searched = 0
        with selectors.DefaultSelector() as ready:
            ready.register(self._from, selectors.EVENT_READ)
            ready.register(self._to, selectors.EVENT_WRITE)
            while True:
                end = self._pending.find(b"\n", searched)
                if end >= 0:
                    if unsent:
                        raise Crashed("the program answered before it had read its case")
                    found = bytes(self._pending[:end])
                    del self._pending[: end + 1]
                    return found
                searched = len(self._pending) if end < 0 else end
                if len(self._pending) > MAX_REPLY_BYTES:
                    raise Crashed("the program writes without end")
                left = until - time.monotonic()
                events = ready.select(max(left, 0))
                if left <= 0 and not events:
                    raise TimeoutError
                for key, _ in events:
                    if key.fd == self._to:
                        unsent = self._write(unsent)
                        if not unsent:
                            ready.unregister(self._to)
                    elif not self._read():
                        raise Crashed(self._obituary())

    def _write(self, unsent: memoryview) -> memoryview:
        """
        Write a part of a line and return the rest.

        If the reader has exited, the missing answer reports it later.
        """
        try:
            return unsent[os.write(self._to, unsent) :]
        except BlockingIOError:
            return unsent
        except OSError:
            return unsent[:0]

    def _read(self) -> bool:
        """Read what is there; return True if the program has written something."""
        data = os.read(self._from, 1 << 18)
        self._pending += data
        return bool(data)

    def _obituary(self) -> str:
        """Return a sentence about the end of the program, with its last line of stderr."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the program closed its output"
        how = f"died of {_signal(-code)}" if code < 0 else f"ended with status {code}"
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 4 * QUOTED_CHARACTERS))
        lines = self._stderr.read().decode("utf-8", errors="replace").strip().splitlines()
        words = f"; its last words: {lines[-1].strip()[-QUOTED_CHARACTERS:]}" if lines else ""
        return f"the program {how} instead of answering{words}"

    def kill(self) -> None:
        """Kill the program at once."""
        if self.owner == os.getpid():
            self._process.kill()


def _end(process: subprocess.Popen[bytes], opened: contextlib.ExitStack, owner: int) -> None:
    """
    Close a program's input, and kill it if it does not exit by itself.

    A program of a parent process is left alone.
    """
    opened.close()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if owner == os.getpid():
        try:
            process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _signal(number: int) -> str:
    """Return a signal's name, or its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
