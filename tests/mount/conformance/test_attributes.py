"""Modes, owners, times, extended attributes, and the room that there is."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.conformance.calls import Served, libc, refused
from tests.mount.kernel.mounted import needs_fuse
from vaultsync.mount.serving import KERNEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs_fuse, pytest.mark.timeout(120)]


def test_modes_owners_and_times(top: Path) -> None:
    file = top / "file"
    file.touch()
    for mode in (0o600, 0o4755, 0o2755, 0o444):
        file.chmod(mode)
        assert stat.S_IMODE(file.stat().st_mode) == mode
    if os.getuid() == 0:
        os.chown(file, 12, 34)
        assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)
        os.chown(file, -1, 56)
        assert (file.stat().st_uid, file.stat().st_gid) == (12, 56)
        file.chmod(0o4755)
        os.chown(file, 13, -1)
        assert stat.S_IMODE(file.stat().st_mode) == 0o755
    for times in ((5, 1_234_567_890_123_456_789), (-1_500_000_001, -1), (0, 2**32 * 10**9 + 1)):
        os.utime(file, ns=times)
        found = file.stat()
        assert (found.st_atime_ns, found.st_mtime_ns) == times
    assert libc.utimensat(-100, os.fsencode(file), omitted(), 0) == 0
    assert file.stat().st_atime_ns == 0
    assert file.stat().st_mtime_ns > 1_600_000_000 * 10**9
    before = file.stat().st_ctime_ns
    os.utime(file)
    assert file.stat().st_ctime_ns > before
    folder = top.stat().st_mtime_ns
    (top / "another").touch()
    assert top.stat().st_mtime_ns > folder


def test_a_chown_that_changes_nothing(served: Served, top: Path) -> None:
    before = top.stat().st_ctime_ns
    os.chown(top, -1, -1)
    assert (top.stat().st_ctime_ns > before) is (served.backend == KERNEL)


def test_other_people(top: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    top.chmod(0o777)
    for name, mode in (("secret", 0o600), ("program", 0o4777), ("other", 0o6777)):
        (top / name).write_text(name)
        (top / name).chmod(mode)
    os.setxattr(top / "secret", "trusted.mark", b"root's")
    with (top / "program").open("a") as stream:
        stream.write("by root")
    assert stat.S_IMODE((top / "program").stat().st_mode) == 0o4777
    script = (
        "echo mine > mine; mkdir folder; ln -s x link; cat secret; echo x >> program; : > other;"
        " mv secret moved; chmod 777 moved"
    )
    # The parents of the folder may be closed to them: they begin inside it.
    subprocess.run(
        ["sh", "-c", script], cwd=top, user=65534, group=65533, check=False, capture_output=True
    )
    for name in ("mine", "folder", "link"):
        found = (top / name).lstat()
        assert (found.st_uid, found.st_gid) == (65534, 65533)
    assert stat.S_IMODE((top / "program").stat().st_mode) == 0o777
    assert stat.S_IMODE((top / "other").stat().st_mode) == 0o777
    assert stat.S_IMODE((top / "moved").stat().st_mode) == 0o600
    assert os.listxattr(top / "moved") == ["trusted.mark"]


def omitted() -> Any:
    """Two `struct timespec`: leave the time of access, and set that of change to now."""
    return (ctypes.c_long * 4)(0, (1 << 30) - 2, 0, (1 << 30) - 1)


def test_extended_attributes(top: Path) -> None:
    file = top / "file"
    file.touch()
    os.setxattr(file, "user.name", b"value\0\xff")
    os.setxattr(file, "user.empty", b"")
    os.setxattr(file, "user.long", b"x" * 60_000)
    assert sorted(os.listxattr(file)) == ["user.empty", "user.long", "user.name"]
    assert os.getxattr(file, "user.name") == b"value\0\xff"
    assert os.getxattr(file, "user.empty") == b""
    assert len(os.getxattr(file, "user.long")) == 60_000
    assert refused(lambda: os.getxattr(file, "user.none")) == errno.ENODATA
    assert refused(lambda: os.removexattr(file, "user.none")) == errno.ENODATA
    create, replace = os.XATTR_CREATE, os.XATTR_REPLACE
    assert refused(lambda: os.setxattr(file, "user.name", b"", create)) == errno.EEXIST
    assert refused(lambda: os.setxattr(file, "user.none", b"", replace)) == errno.ENODATA
    assert refused(lambda: os.getxattr(file, "security.capability")) == errno.EOPNOTSUPP
    os.removexattr(file, "user.name")
    assert sorted(os.listxattr(file)) == ["user.empty", "user.long"]
    os.setxattr(top, "user.name", b"folder's")
    assert os.getxattr(top, "user.name") == b"folder's"


def test_room(top: Path) -> None:
    space = os.statvfs(top)
    assert space.f_bsize == 4096
    assert space.f_namemax == 255
    assert space.f_blocks > space.f_bfree >= space.f_bavail > 0
    assert space.f_files > 0
