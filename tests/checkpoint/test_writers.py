"""Files beside other writers: leftovers of killed ones, threads that save, exceptions anywhere."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from npbloom import checkpoint
from npbloom.checkpoint import _replace
from tests.checkpoint._constant import constant, value_of


def leftover(path: Path, token: str = "0123456789abcdef") -> Path:
    """Write the leftover of a killed writer, and return its path."""
    beside = path.with_name(f".{path.name}.{token}.npbloom-save")
    beside.write_bytes(b"half a file")
    return beside


def test_the_next_save_removes_what_killed_ones_left_and_nothing_else(saved: Path) -> None:
    folder = saved.parent
    dead = [leftover(saved), leftover(saved, "f" * 16)]
    other = leftover(folder / "other.safetensors")
    mine = [folder / f".{saved.name}.{name}" for name in ("tmp", "0123.npbloom-save", "0123456789abcdeg.npbloom-save", "bak")]
    for file in mine:
        file.write_text("mine")
    (folder / f".{saved.name}.{'1' * 16}.npbloom-save").mkdir()
    (folder / f".{saved.name}.{'2' * 16}.npbloom-save").symlink_to(other)
    checkpoint.save(saved, {})
    assert [file for file in dead if file.exists()] == []
    assert all(file.exists() for file in (other, *mine))
    assert (folder / f".{saved.name}.{'1' * 16}.npbloom-save").is_dir()
    assert checkpoint.load(saved).layers == {}


def test_what_a_living_writer_writes_is_not_removed(saved: Path) -> None:
    beside = leftover(saved)
    with open(beside, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        checkpoint.save(saved, {})
        assert beside.exists()
    checkpoint.save(saved, {})
    assert not beside.exists()


def test_a_leftover_that_may_only_be_read_is_removed(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Save over a read-only file after a killed save.

    Root may write to any file, so `os.open` is patched to refuse.
    """
    beside = leftover(saved)
    beside.chmod(0o444)
    real = os.open

    def as_a_user(path: Any, flags: int, *mode: int) -> int:
        if path == str(beside) and flags & (os.O_RDWR | os.O_WRONLY):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", as_a_user)
    checkpoint.save(saved, {})
    assert not beside.exists()


@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning", "ignore:.*FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_exception_at_any_line_leaves_a_whole_file_and_nothing_beside_it(kind: type[BaseException], saved: Path) -> None:
    """
    Raise between any two lines of `_replace`, as a signal or a lack of memory does.

    Python closes the file and warns.
    """
    hurt = 0
    for at in itertools.count():
        checkpoint.save(saved, {}, metadata={"note": "old"})
        leftover(saved)  # so that the lines that remove one run, too
        lines = 0

        def trace(frame: FrameType, event: str, argument: Any, at: int = at) -> Any:
            nonlocal lines
            if frame.f_code.co_filename != _replace.__file__:
                return None
            if event == "line":
                lines += 1
                if lines == at + 1:
                    raise kind
            return trace

        sys.settrace(trace)
        try:
            checkpoint.save(saved, {}, metadata={"note": "new"})
        except kind:
            hurt += 1
        finally:
            sys.settrace(None)
        assert checkpoint.load(saved).metadata["note"] in ("old", "new")
        beside = [entry.name for entry in saved.parent.iterdir() if entry != saved]
        assert beside in ([], [leftover_name(saved)]), f"line {at} of those that run"
        if lines <= at:
            break
    assert hurt > 40


def leftover_name(path: Path) -> str:
    """Return the name that `leftover` gives."""
    return f".{path.name}.0123456789abcdef.npbloom-save"


def test_leftovers_go_before_the_new_file_is_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove leftovers first: they may be what fills the disk."""
    beside = leftover(saved)

    def look(number: int) -> None:
        assert not beside.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", look)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(saved, {})


def test_a_file_that_was_taken_for_a_leftover_is_made_again(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat the creation: between it and the lock another writer may remove the file."""
    lock, removed = fcntl.flock, []

    def late(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX and len(removed) < 3:
            removed.append(file.name)
            os.unlink(file.name)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    checkpoint.save(saved, constant(3.0, 2))
    assert len(set(removed)) == 3
    assert value_of(saved) == 3.0
    assert list(saved.parent.iterdir()) == [saved]


def test_file_systems_without_locks(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = leftover(saved)

    def no_locks(file: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    checkpoint.save(saved, constant(3.0, 2))
    assert value_of(saved) == 3.0
    assert beside.exists()  # its writer may still be alive


def test_threads_may_save_to_one_file_while_others_load_it(path: Path) -> None:
    checkpoint.save(path, constant(0.0))
    faults: list[BaseException] = []
    seen = set()
    done = threading.Event()

    def write(value: float) -> None:
        try:
            for _ in range(8):
                checkpoint.save(path, constant(value))
        except BaseException as error:
            faults.append(error)

    def read() -> None:
        try:
            while not done.is_set():
                seen.add(value_of(path))
        except BaseException as error:
            faults.append(error)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(float(number),)) for number in range(1, 5)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert faults == []
    assert seen <= set(map(float, range(5)))
    assert list(path.parent.iterdir()) == [path]


def test_a_table_that_is_trained_during_the_save_is_a_whole_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = constant(1.0)
    done = threading.Event()

    def train() -> None:
        while not done.is_set():
            layers["items"].weight[...] += 1

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            checkpoint.save(path, layers)
            checkpoint.verify(path)
    finally:
        done.set()
        thread.join()
    assert np.isin(checkpoint.load(path).layers["items"].weight, np.arange(1, layers["items"].weight.max() + 1)).all()
