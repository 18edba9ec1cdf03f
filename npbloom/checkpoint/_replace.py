"""Replacement of whole files: readers find the old or the new one, even after a power cut."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

SUFFIX: Final = ".npbloom-save"
LONGEST: Final = 200  # bytes of a name that fits into the name of the file beside it
ACL: Final = "system.posix_acl_access"
# Other attributes of the system, such as signatures, belong to the content.
SELINUX: Final = "security.selinux"
NO_FLUSH: Final = (errno.EINVAL, errno.ENOTSUP)  # of file systems that cannot flush a directory


def replace(target: str, write: Callable[[io.FileIO], None]) -> None:
    """
    Write a new file, flush it and put it in the place of the target; leave nothing on failure.

    The file lies beside the target, and its writer locks it (``flock``) while it lives. So a file
    without a lock belongs to a killed writer, and the next writer removes it.
    """
    folder, name = os.path.split(target)
    try:
        before = _kept_of(target)
        _remove_leftovers(folder, name)
        while not _replaced(os.path.join(folder, f"{_stem(name)}{secrets.token_hex(8)}{SUFFIX}"), target, before, write):
            pass
        _flush_folder(folder)
    except OSError as error:
        error.filename = target  # the name that the caller knows, and that one only
        del error.filename2
        raise


def _replaced(path: str, target: str, before: _Kept | None, write: Callable[[io.FileIO], None]) -> bool:
    """
    Write the file at a path of its own and rename it; return True.

    Return False if another writer took the file for a leftover and removed it. The file is removed
    twice: an exception may come between any two lines, also just before the first removal.
    """
    try:
        try:
            with io.FileIO(path, "xb") as file:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if not os.path.exists(path):
                    return False
                if before is not None:
                    _keep(before, file.fileno())
                write(file)
                os.fsync(file.fileno())
                os.replace(path, target)
                return True
        finally:
            _unlink(path)  # it is gone where all went well
    finally:
        _unlink(path)


def _unlink(path: str) -> None:
    """Remove a file, if it is there."""
    with suppress(OSError):
        os.unlink(path)


def _stem(name: str) -> str:
    """Return the beginning of the names of the files beside a target."""
    short = name if len(os.fsencode(name)) <= LONGEST else hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{short}."


# ---- what a file that is replaced passes on ------------------------------------------------------


class _Kept(NamedTuple):
    """Permissions, owner, group, and extended attributes, which include an ACL."""

    mode: int
    owner: int
    group: int
    attributes: dict[str, bytes]


def _kept_of(target: str) -> _Kept | None:
    """Return owner, permissions and attributes of the file to replace, or None if there is none."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"`path` must name a regular file, not a device or a pipe: {target}.")
    return _Kept(found.st_mode & 0o777, found.st_uid, found.st_gid, _attributes(target))


def _attributes(file: str | int) -> dict[str, bytes]:
    """Return the extended attributes, with an ACL, or none if the system has none."""
    found = {}
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(file):
                if not name.startswith("security.") or name == SELINUX:
                    with suppress(OSError):
                        found[name] = os.getxattr(file, name)
    return found


def _keep(before: _Kept, number: int) -> None:
    """
    Give a new, empty file the properties of the old one, as far as this process may.

    No user gains rights by a property that is lost. If the group cannot be kept, the group gets the
    rights of others, and an ACL is left out, since its rights are the group's too. The owner comes
    last, since only an owner may set the other properties.
    """
    mode, attributes = before.mode, dict(before.attributes)
    fewer = mode & 0o707 | (mode & 0o007) << 3
    if os.fstat(number).st_gid != before.group:
        try:
            os.fchown(number, -1, before.group)
        except OSError:
            mode = fewer
            attributes.pop(ACL, None)
    if ACL not in attributes and ACL in _attributes(number):  # one that the folder hands down
        with suppress(OSError):
            os.removexattr(number, ACL)
    for name, value in attributes.items():
        try:
            os.setxattr(number, name, value)
        except OSError:
            mode = fewer if name == ACL else mode  # else the group has the mask's rights
    os.fchmod(number, mode)
    with suppress(OSError):
        os.fchown(number, before.owner, -1)


# ---- what killed writers left --------------------------------------------------------------------


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove files of killed writers of this target; keep those of living writers."""
    pattern = re.compile(re.escape(_stem(name)) + "[0-9a-f]{16}" + re.escape(SUFFIX))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    """Remove a file without a lock; raise an OSError for a locked one."""
    with _opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


def _opened(path: str) -> io.FileIO:
    """Open a file to lock it: for writing, as some file systems need, else for reading."""

    def way(access: int) -> io.FileIO:
        flags = access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return io.FileIO(path, "rb", opener=lambda name, _: os.open(name, flags))

    try:
        return way(os.O_RDWR)
    except PermissionError:
        return way(os.O_RDONLY)


def _flush_folder(folder: str) -> None:
    """Flush the directory, so that the new name survives a power cut, if the file system can."""
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
