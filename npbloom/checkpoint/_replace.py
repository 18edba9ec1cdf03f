"""Files that are replaced as a whole: whoever looks finds the old one or the new one, also after a kill or a power cut."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

SUFFIX: Final = ".npbloom-save"
LONGEST: Final = 200  # bytes of a name that fits into the name of the file beside it
NO_FLUSH: Final = (errno.EINVAL, errno.ENOTSUP)  # of file systems that cannot flush a directory


@contextmanager
def replacing(target: str) -> Iterator[io.FileIO]:
    """A new file to write; flushed and put in the place of the target when the block ends well, removed when it does not.

    The file lies beside the target and is locked (``flock``) as long as its writer lives. So a file that nobody locks was left
    by a writer that was killed, and is removed by the next one.
    """
    folder, name = os.path.split(target)
    mode = _mode_of(target)
    _remove_leftovers(folder, name)
    try:
        file = _beside(folder, name)
        try:
            with file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                yield file
                os.fsync(file.fileno())
                os.replace(file.name, target)
        finally:
            with suppress(OSError):  # it is gone where all went well
                os.unlink(file.name)
        _flush_folder(folder)
    except OSError as error:
        error.filename = target  # the name that the caller knows, and that one only
        del error.filename2
        raise


def _mode_of(target: str) -> int | None:
    """Permissions of the file that will be replaced; None where there is none. A folder or a device is not replaced."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(mode):
        raise ValueError(f"`path` must name a regular file, not a device or a pipe: {target}.")
    return stat.S_IMODE(mode) & 0o777


def _stem(name: str) -> str:
    """How the names of the files beside a target begin."""
    short = name if len(os.fsencode(name)) <= LONGEST else hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{short}."


def _beside(folder: str, name: str) -> io.FileIO:
    """A new locked file in the folder."""
    while True:
        path = os.path.join(folder, f"{_stem(name)}{secrets.token_hex(8)}{SUFFIX}")
        file = io.FileIO(path, "xb")
        with suppress(OSError):  # a file system without locks: there nobody can lock it to remove it either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.exists(path):
            return file
        file.close()  # another writer locked it first, took it for a leftover, and removed it


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove what killed writers of this very target have left; what a living one is writing stays."""
    pattern = re.compile(re.escape(_stem(name)) + "[0-9a-f]{16}" + re.escape(SUFFIX))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    """Remove a file that nobody holds a lock on; an OSError for one that somebody does."""
    number = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(number)


def _flush_folder(folder: str) -> None:
    """Make the new name last, where the file system can."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that may be written to, but not read
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in NO_FLUSH:
            raise
    finally:
        os.close(number)
