"""
Replacement of a file: permissions, links, a full disk, leftovers of killed writers, several
writers, memory.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom import checkpoint
from tests.checkpoint._constant import constant, value_of
from tests.support._files import LAYERS, assert_same_layer

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
