"""
Owner, group, ACL and extended attributes of a replaced file: they are kept, or nobody gains rights
by their loss.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npbloom import checkpoint

ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"
NOBODY = 2**32 - 1  # id of an entry that names no user or group
OTHERS = (12_345, 54_321)  # ids that no account has


def acl(user: int = 7, other: int = 0, named: int = 6, group: int = 0, mask: int = 6) -> bytes:
    """
    Return an ACL in which one named user may read and write, and the group less than the mask.
    """
    entries = ((1, user, NOBODY), (2, named, OTHERS[0]), (4, group, NOBODY), (16, mask, NOBODY), (32, other, NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_attribute(path: Path, name: str, value: bytes) -> None:
    """Set an attribute, or skip the test if the file system has none of the kind."""
    if not hasattr(os, "setxattr"):
        pytest.skip("no extended attributes on this system")
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
        pytest.skip(f"no attribute {name} on this file system")


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, wanted: Callable[..., bool]) -> None:
    """Make a system call fail as if this process had no right to it."""
    real = getattr(os, name)

    def call(*arguments: Any) -> Any:
        if wanted(*arguments):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return real(*arguments)

    monkeypatch.setattr(os, name, call)


def owner_of(path: Path) -> tuple[int, int, int]:
    """Return owner, group and permissions."""
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@as_root
def test_root_that_saves_over_the_file_of_a_user_does_not_lock_them_out(saved: Path) -> None:
    os.chown(saved, *OTHERS)
    saved.chmod(0o600)
    checkpoint.save(saved, {})
    assert owner_of(saved) == (*OTHERS, 0o600)


def test_a_group_of_ones_own_is_kept(saved: Path) -> None:
    groups = [group for group in os.getgroups() if group != saved.stat().st_gid]
    if not groups and os.geteuid() != 0:
        pytest.skip("a member of one group only")
    group = groups[0] if groups else OTHERS[1]
    os.chown(saved, -1, group)
    saved.chmod(0o660)
    checkpoint.save(saved, {})
    assert owner_of(saved) == (os.geteuid(), group, 0o660)


def test_extended_attributes_are_kept(saved: Path) -> None:
    set_attribute(saved, "user.note", b"mine")
    set_attribute(saved, "user.empty", b"")
    checkpoint.save(saved, {})
    assert {name: os.getxattr(saved, name) for name in os.listxattr(saved) if name.startswith("user.")} == {
        "user.note": b"mine",
        "user.empty": b"",
    }


def test_an_acl_is_kept_with_its_mask(saved: Path) -> None:
    set_attribute(saved, ACL, acl())
    before = owner_of(saved)
    checkpoint.save(saved, {})
    assert os.getxattr(saved, ACL) == acl()
    assert owner_of(saved) == before
    saved.chmod(0o600)  # the mask: the named user has no rights
    checkpoint.save(saved, {})
    assert os.getxattr(saved, ACL) == acl(user=6, mask=0)


def test_an_acl_that_the_folder_hands_down_gives_no_right_that_the_old_file_did_not_give(saved: Path) -> None:
    set_attribute(saved.parent, DEFAULT_ACL, acl())
    before = owner_of(saved)
    checkpoint.save(saved, {})
    assert ACL not in os.listxattr(saved)
    assert owner_of(saved) == before
    checkpoint.save(saved.with_name("new"), {})  # a new file takes it from the folder
    assert ACL in os.listxattr(saved.with_name("new"))


# ---- without the right to -----------------------------------------------------------------------


def test_without_the_right_to_give_files_away_the_new_owner_is_the_writer(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved.chmod(0o640)
    refusing(monkeypatch, "fchown", lambda number, owner, group: owner != -1)
    checkpoint.save(saved, {})
    assert owner_of(saved) == (os.geteuid(), saved.stat().st_gid, 0o640)


@as_root
@pytest.mark.parametrize(("mode", "left"), [(0o660, 0o600), (0o664, 0o644), (0o640, 0o600), (0o606, 0o666)])
def test_another_group_gets_the_rights_of_others_only(mode: int, left: int, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(saved, -1, OTHERS[1])
    saved.chmod(mode)
    refusing(monkeypatch, "fchown", lambda number, owner, group: group != -1)
    checkpoint.save(saved, {})
    assert owner_of(saved)[2] == left
    assert saved.stat().st_gid != OTHERS[1]


@as_root
def test_where_the_group_is_lost_so_is_the_acl(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_attribute(saved, ACL, acl(group=6))
    os.chown(saved, -1, OTHERS[1])
    refusing(monkeypatch, "fchown", lambda number, owner, group: group != -1)
    checkpoint.save(saved, {})
    assert ACL not in os.listxattr(saved)
    assert owner_of(saved)[2] == 0o700


def test_where_the_acl_is_lost_the_group_does_not_get_the_rights_of_its_mask(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_attribute(saved, ACL, acl())  # the group has no rights, although the mask in the mode says read and write
    assert owner_of(saved)[2] == 0o760
    refusing(monkeypatch, "setxattr", lambda number, name, value: name == ACL)
    checkpoint.save(saved, {})
    assert ACL not in os.listxattr(saved)
    assert owner_of(saved)[2] == 0o700


def test_file_systems_and_systems_without_attributes(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = owner_of(saved)
    monkeypatch.delattr(os, "listxattr", raising=False)
    checkpoint.save(saved, {})

    def none(file: Any) -> list[str]:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "listxattr", none, raising=False)
    checkpoint.save(saved, {})
    assert owner_of(saved) == before
