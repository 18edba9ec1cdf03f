"""
Replacement of a file: permissions, links, a full disk, leftovers of killed writers, several
writers, memory.
"""

from __future__ import annotations

import errno
import fcntl
import io
import itertools
import os
import resource
import sys
import threading
import tracemalloc
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom import checkpoint
from npbloom.checkpoint import _replace
from tests.support._files import LAYERS, assert_same_layer


def constant(value: float, rows: int = 2000) -> dict[str, Any]:
    """Return a layer whose values are all the same."""
    return {"items": nb.ScaledEmbedding(rows, 64, weight=np.full((rows, 64), value))}


def value_of(path: Path) -> float:
    """Return the one value of all of the layer's numbers."""
    weight = checkpoint.load(path).layers["items"].weight
    assert (weight == weight[0, 0]).all()
    return float(weight[0, 0])


# ---- where and with which rights ----------------------------------------------------------------


def test_files_have_the_usual_permissions_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    checkpoint.save(tmp_path / "link", {"zero": LAYERS["zero"]()})
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert [entry.name for entry in (tmp_path / "real").iterdir()] == ["file"]


def test_a_file_that_is_replaced_keeps_its_permissions(saved: Path) -> None:
    for mode in (0o600, 0o640, 0o444):
        saved.chmod(mode)
        checkpoint.save(saved, {"zero": LAYERS["zero"]()})
        assert saved.stat().st_mode & 0o7777 == mode


def test_the_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "no such folder" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        checkpoint.save(target, {})
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(target)!r}"
    with pytest.raises(IsADirectoryError) as refused:
        checkpoint.save(tmp_path, {})
    assert refused.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_length_and_kind(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "a.b\n*?[", b"\xff".decode("utf-8", "surrogateescape")):
        checkpoint.save(tmp_path / name, constant(1.0, 2))
        encoded: Any = os.fsencode(tmp_path / name)
        checkpoint.save(encoded, constant(2.0, 2))
        assert value_of(tmp_path / name) == 2.0
        (tmp_path / name).unlink()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_flushed_after_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    flush, replace = os.fsync, os.replace

    def fsync(number: int) -> None:
        name = os.readlink(f"/proc/self/fd/{number}")
        events.append("flush folder" if name == str(path.parent) else f"flush {Path(name).suffix}")
        flush(number)

    def rename(source: Any, target: Any) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    checkpoint.save(path, {})
    assert events == ["flush .npbloom-save", "rename", "flush folder"]


# ---- saves that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "fchmod", "seek"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(
    call: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    owner: Any = os
    if call in ("write", "seek"):
        owner = Refusing
        monkeypatch.setattr(io, "FileIO", Refusing)

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, call, full)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(saved, constant(1.0))
    assert str(caught.value) == f"[Errno 28] No space left on device: {str(saved)!r}"
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


class Refusing(io.FileIO):
    """File with methods that a test can replace."""


def test_a_disk_that_fills_up_at_any_byte_leaves_the_old_file(saved: Path) -> None:
    """
    Lower the system's limit for the size of files, so that each save is cut off a little later.

    The last is not.
    """
    before, found = saved.read_bytes(), checkpoint.load(saved)
    size = len(before)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in (*range(0, size, 61), size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(OSError, match="File too large") as caught:
                checkpoint.save(saved, *found[:2], {"note": "neuer"})
            assert caught.value.filename == str(saved)
            assert saved.read_bytes() == before
            assert list(saved.parent.iterdir()) == [saved]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        checkpoint.save(saved, *found[:2], {"note": "neuer"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.load(saved).metadata == {"note": "neuer"}


def test_an_interrupt_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(saved, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_flushed(number: int, refused: bool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(path.parent):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if refused:
        with pytest.raises(OSError, match=os.strerror(number)):
            checkpoint.save(path, constant(1.0, 2))
    else:
        checkpoint.save(path, constant(1.0, 2))
    assert value_of(path) == 1.0  # whole in any case


# ---- leftovers and other writers ----------------------------------------------------------------


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


# ---- memory -------------------------------------------------------------------------------------


def peak(call: Any) -> int:
    """Return the most memory that a call held."""
    tracemalloc.start()
    call()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_saving_and_verifying_take_a_few_megabytes(path: Path) -> None:
    layer = nb.ScaledEmbedding(60_000, 64, rng=0)  # 15 MB, and Adam's state twice that
    optimizer = nb.Adam(layer)
    assert peak(lambda: checkpoint.save(path, {"big": layer}, optimizer)) < 4 * 2**20
    assert peak(lambda: checkpoint.verify(path)) < 4 * 2**20


def test_loading_takes_what_it_returns_and_mapping_takes_nothing(path: Path) -> None:
    layer = nb.ScaledEmbedding(60_000, 64, rng=0)
    optimizer = nb.Adam(layer)
    optimizer.update(layer, [1], np.ones((1, 64), np.float32))
    checkpoint.save(path, {"big": layer}, optimizer)
    assert peak(lambda: checkpoint.load(path)) < 3 * layer.nbytes + 4 * 2**20
    assert peak(lambda: checkpoint.load(path, mmap=True)) < 2**20
    found = checkpoint.load(path, mmap=True)
    assert_same_layer(found.layers["big"], layer)
