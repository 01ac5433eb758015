"""The disk refuses: the item is blocked with a reason, and nothing is lost or left over."""

from __future__ import annotations

import errno
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, DiskWorld
from tests.local.seeing import hidden, look, shown
from vaultsync.core.errors import Blocked, Fatal, Retry, Stale
from vaultsync.core.model import Kind

if TYPE_CHECKING:
    from tests.local.hooked import Hooked


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("operation", ["create", "write", "sync", "chmod", "utime"])
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.ENOSPC, Blocked, "the disk is full"),
        (errno.EDQUOT, Blocked, "quota"),
        (errno.EROFS, Blocked, "read-only"),
        (errno.EACCES, Blocked, "denied"),
        (errno.EIO, Blocked, "input/output"),
        (errno.ESTALE, Retry, "not available"),
    ],
)
def test_staging(
    folder: DiskWorld,
    hooked: Hooked,
    operation: str,
    code: int,
    error: type[Exception],
    words: str,
) -> None:
    folder.disk.check()
    hooked.fail(operation, code)
    with pytest.raises(error, match=words):
        folder.disk.stage("f", BytesContent(b"new"), "op")
    assert hidden(folder.root, "staging") == []


def test_every_call_of_a_replacement_may_fail(folder: DiskWorld, hooked: Hooked) -> None:
    folder.put_behind("f", b"old")
    old = look(folder, "f")
    staged = folder.disk.stage("f", BytesContent(b"new"), "rehearsal")
    hooked.calls.clear()
    folder.disk.commit(staged, old)
    rehearsal = Counter(hooked.calls)
    assert {"exchange", "sync", "move", "mkdir", "stat"} <= set(rehearsal)
    for operation, count in rehearsal.items():
        for nth in range(count):
            folder.put_behind("f", b"old")
            expected = look(folder, "f")
            staged = folder.disk.stage("f", BytesContent(b"new"), f"op-{operation}-{nth}")
            for _ in range(nth):
                hooked.before(operation, lambda: None)
            hooked.fail(operation, errno.ENOSPC)
            opened = open_descriptors()
            try:
                folder.disk.commit(staged, expected)
                now = b"new"
            except (Blocked, Stale, Fatal):
                now = b"old"
            hooked.forget()
            folder.disk.discard(staged.token)
            assert open_descriptors() == opened
            assert (operation, nth, shown(folder.root)) == (operation, nth, {"f": now})
            assert hidden(folder.root, "staging") == []
            if now == b"new":
                assert b"old" in hidden(folder.root, "trash")


@pytest.mark.parametrize("operation", ["move", "sync", "mkdir"])
def test_delete(folder: DiskWorld, hooked: Hooked, operation: str) -> None:
    folder.put_behind("f", b"old")
    old = look(folder, "f")
    hooked.fail(operation, errno.ENOSPC)
    with pytest.raises(Blocked, match="the disk is full"):
        folder.disk.delete("f", old)
    assert shown(folder.root) == {"f": b"old"}


def test_parents_made_for_nothing_are_removed(folder: DiskWorld, hooked: Hooked) -> None:
    staged = folder.disk.stage("a/b/f", BytesContent(b"new"), "op")
    hooked.fail("move", errno.ENOSPC)
    with pytest.raises(Blocked):
        folder.disk.commit(staged, None)
    assert list(folder.disk.entries()) == []


@pytest.mark.parametrize("path", ["../f", "a/../../f", "a//f", "x" * 256, "a\0b", ".vaultsync/f"])
def test_names_that_cannot_be(folder: DiskWorld, path: str) -> None:
    with pytest.raises(Blocked):
        folder.disk.look(path)
    staged = folder.disk.stage(path, BytesContent(b"x"), "op")
    with pytest.raises(Blocked):
        folder.disk.commit(staged, None)
    assert list(folder.disk.entries(path)) == []


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 5000])
def test_links_that_cannot_be(folder: DiskWorld, target: bytes) -> None:
    with pytest.raises(Blocked):
        folder.disk.stage("l", BytesContent(target, kind=Kind.LINK), "op")
    assert hidden(folder.root, "staging") == []


def test_times_that_no_file_system_holds(folder: DiskWorld) -> None:
    staged = folder.disk.stage("f", BytesContent(b"x", mtime_ns=10**30), "op")
    folder.disk.commit(staged, None)
    with pytest.raises(Blocked):
        folder.disk.apply("f", look(folder, "f"), 10**30, None)


def test_special_files_are_blocked(folder: DiskWorld) -> None:
    os.mkfifo(folder.root / "pipe")
    with pytest.raises(Blocked, match="pipe"):
        folder.disk.look("pipe")


def test_really_full_disk(tmp_path: Path) -> None:
    root = tmp_path / "small"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting needs rights that this run does not have")
    try:
        world = DiskWorld(root)
        world.put_behind("f", b"old")
        old = look(world, "f")
        content = BytesContent(b"x" * (700 << 10))
        # Another program fills the disk while the file is on its way.
        content.on_chunk = lambda: _fill(root / ".vaultsync/filler")
        with pytest.raises(Blocked, match="the disk is full"):
            world.disk.stage("f", content, "op")
        (root / ".vaultsync/filler").unlink()
        assert hidden(root, "staging") == []
        assert look(world, "f") == old
        world.disk.commit(world.disk.stage("f", BytesContent(b"new"), "op-2"), old)
        assert shown(root) == {"f": b"new"}
    finally:
        subprocess.run(["umount", str(root)], check=True)


def _fill(file: Path) -> None:
    file.write_bytes(b"y" * (400 << 10))
