"""What the twins cannot show of the tree: references, restarts, waiting, announcements."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.mount.tree.world import ME, World
from vaultsync.mount.ports import NOW, ROOT, Caller, Changes, NodeKind, WouldBlock
from vaultsync.mount.tree.naming import EXCHANGE, NOREPLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.mount.ports import Node

YOU = Caller(1000, 1000)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "drive")
    yield made
    made.close()


def refused(code: int, do: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what matters
        do()
    assert caught.value.errno == code


def gone(world: World, node: Node) -> bool:
    row = world.store.db.execute("SELECT 1 FROM node WHERE id = ?", (node.id,)).fetchone()
    return row is None and not world.contents.file(node).exists()


# References


def test_an_unlinked_file_lives_until_the_last_close_and_the_last_forget(world: World) -> None:
    node = world.make(b"f", b"data")
    handle, _ = world.tree.open(node.id, os.O_RDWR, wait=False)
    world.tree.unlink(ME, ROOT, b"f")
    assert world.read(node) == b"data"
    world.tree.forget(node.id, 1)
    assert world.read(node) == b"data"
    world.tree.release(node.id, handle)
    assert gone(world, node)


def test_an_unlinked_file_lives_until_it_is_forgotten_wholly(world: World) -> None:
    node = world.make(b"f", b"data")
    for _ in range(2):
        world.tree.lookup(ROOT, b"f")
    world.tree.unlink(ME, ROOT, b"f")
    world.tree.forget(node.id, 2)
    assert world.read(node) == b"data"
    world.tree.forget(node.id, 1)
    assert gone(world, node)
    refused(errno.ENOENT, lambda: world.tree.getattr(node.id))


def test_an_unlinked_file_outlives_the_process_until_the_kernel_forgets_it(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.unlink(ME, ROOT, b"f")
    world.kill()
    assert world.read(node) == b"data"
    assert world.tree.getattr(node.id).nlink == 0
    world.tree.release(node.id, 12345)
    assert world.read(node) == b"data"
    world.tree.forget(node.id, 3)
    assert gone(world, node)


def test_a_file_unlinked_after_a_restart_waits_for_the_kernel(world: World) -> None:
    node = world.make(b"f", b"data")
    world.kill()
    world.tree.unlink(ME, ROOT, b"f")
    assert world.read(node) == b"data"
    world.tree.forget(node.id, 1)
    assert gone(world, node)


def test_a_handle_of_an_earlier_process_keeps_its_file(world: World) -> None:
    node, handle = world.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    world.kill()
    world.write(node, b"more", handle=handle)
    assert world.contents.open[node.id] == 1
    world.tree.unlink(ME, ROOT, b"f")
    world.tree.forget(node.id, 1)
    assert world.read(node) == b"more"
    world.tree.release(node.id, handle)
    assert gone(world, node)


def test_a_new_mount_begins_without_what_only_the_old_one_held(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.mkdir(Caller(0, 0, request=7), ROOT, b"d", 0o755)
    world.tree.unlink(ME, ROOT, b"f")
    world.kill()
    world.tree.fresh()
    assert gone(world, node)
    assert world.tree.remembered(7) is None


def test_forgetting_leaves_what_has_a_name(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.forget(node.id, 5)
    assert world.tree.lookup(ROOT, b"f").id == node.id


def test_numbers_are_not_used_again(world: World) -> None:
    first = world.make(b"f")
    world.tree.unlink(ME, ROOT, b"f")
    world.tree.forget(first.id, 1)
    world.kill()
    assert world.make(b"g").id > first.id


# Restarts


def test_what_was_written_is_there_after_a_crash(world: World) -> None:
    node, handle = world.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    world.write(node, b"0123456789", handle=handle)
    before = node.mtime
    world.kill()
    again = world.tree.lookup(ROOT, b"f")
    assert (again.size, again.dirty, again.sha256) == (10, True, None)
    assert before - 10**9 < again.mtime <= time.time_ns()
    assert world.read(again) == b"0123456789"


def test_a_change_that_was_told_names_no_other_content_after_a_crash(world: World) -> None:
    node, handle = world.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    world.write(node, b"one", handle=handle)
    told = world.tree.find("f")
    assert told is not None
    change = told.change
    world.write(node, b"two", handle=handle)
    world.kill()
    again = world.tree.find("f")
    assert again is not None
    assert again.change > change
    assert not world.tree.landed(again.id, change, None, ("f", "etag", None))


def test_a_time_that_was_set_after_the_last_write_outlives_a_crash(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.setattr(ME, node.id, Changes(mtime=10**18), wait=False)
    world.kill()
    assert world.tree.getattr(node.id).mtime == 10**18


def test_the_dirty_mark_is_committed_before_the_first_write_of_clean_content(world: World) -> None:
    node = world.make(b"f", b"data")
    assert world.tree.landed(node.id, node.change, "00" * 32, ("f", "etag", None))
    seen: list[tuple[int, str | None]] = []

    def write(node: Node, offset: int, data: memoryview) -> int:
        with sqlite3.connect(world.base / "state.db") as other:
            seen.append(
                other.execute("SELECT dirty, sha256 FROM node WHERE id = ?", (node.id,)).fetchone()
            )
        other.close()
        return len(data)

    world.contents.write = write  # type: ignore[method-assign]
    world.write(node, b"x")
    assert seen == [(1, None)]


def test_requests_that_were_done_are_remembered_over_a_restart(world: World) -> None:
    def caller(request: int) -> Caller:
        return Caller(0, 0, request=request)

    tree = world.tree
    folder = tree.mkdir(caller(1), ROOT, b"d", 0o755)
    file, _ = tree.create(caller(2), ROOT, b"f", 0o644, os.O_RDWR)
    pipe = tree.mknod(caller(3), ROOT, b"p", stat.S_IFIFO | 0o644, 0)
    link = tree.symlink(caller(4), ROOT, b"l", b"t")
    tree.link(caller(5), file.id, ROOT, b"g")
    tree.rename(caller(6), ROOT, b"g", ROOT, b"h", 0)
    tree.unlink(caller(7), ROOT, b"h")
    tree.rmdir(caller(8), ROOT, b"d")
    tree.setxattr(caller(9), file.id, b"user.a", b"1", 0)
    tree.removexattr(caller(10), file.id, b"user.a")
    with pytest.raises(FileNotFoundError):
        tree.unlink(caller(11), ROOT, b"nothing")
    world.kill()
    expected = [folder.id, file.id, pipe.id, link.id, file.id, 0, 0, 0, file.id, file.id, None]
    assert [world.tree.remembered(request) for request in range(1, 12)] == expected


def test_only_the_newest_replies_are_kept(world: World) -> None:
    with world.store.transaction():
        for request in range(1, 13_001):
            world.tree.rows.remember(request, 5)
    (count,) = world.store.db.execute("SELECT count(*) FROM reply").fetchone()
    assert 10_000 <= count < 11_100
    assert world.tree.remembered(13_000) == 5
    assert world.tree.remembered(1) is None


def test_a_change_that_cannot_be_committed_has_not_happened(world: World) -> None:
    node = world.make(b"f", b"data")
    root = world.tree.getattr(ROOT)
    before = (node.nlink, node.ctime, root.nlink, root.mtime)
    world.store.db.execute("PRAGMA query_only = ON")
    refused(errno.EIO, lambda: world.tree.link(ME, node.id, ROOT, b"g"))
    refused(errno.EIO, lambda: world.tree.mkdir(ME, ROOT, b"d", 0o755))
    refused(errno.EIO, lambda: world.tree.unlink(ME, ROOT, b"f"))
    world.store.db.execute("PRAGMA query_only = OFF")
    assert (node.nlink, node.ctime, root.nlink, root.mtime) == before
    assert world.names() == [b"f"]
    refused(errno.ENOENT, lambda: world.tree.lookup(ROOT, b"d"))


def test_a_change_that_fails_at_its_end_has_not_happened(world: World) -> None:
    node = world.make(b"f", b"data")
    root = world.tree.getattr(ROOT)
    before = (node.nlink, node.ctime, root.nlink, root.mtime)
    world.store.db.execute(
        "CREATE TEMP TRIGGER t BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    attempts: tuple[Callable[[], object], ...] = (
        lambda: world.tree.link(ME, node.id, ROOT, b"g"),
        lambda: world.tree.mkdir(ME, ROOT, b"d", 0o755),
        lambda: world.tree.unlink(ME, ROOT, b"f"),
        lambda: world.tree.rename(ME, ROOT, b"f", ROOT, b"g", 0),
        lambda: world.tree.create(ME, ROOT, b"g", 0o644, os.O_RDWR),
    )
    for do in attempts:
        with pytest.raises(sqlite3.IntegrityError):
            do()
    world.store.db.execute("DROP TRIGGER t")
    assert (node.nlink, node.ctime, root.nlink, root.mtime) == before
    assert world.names() == [b"f"]
    for name in (b"d", b"g"):
        refused(errno.ENOENT, partial(world.tree.lookup, ROOT, name))
    assert world.contents.open[node.id] == 0
    assert world.make(b"g", b"more").nlink == 1


def test_a_directory_that_moves_is_counted_where_it_is(world: World) -> None:
    one = world.tree.mkdir(ME, ROOT, b"one", 0o755)
    two = world.tree.mkdir(ME, ROOT, b"two", 0o755)
    world.tree.mkdir(ME, one.id, b"d", 0o755)
    world.tree.rename(ME, one.id, b"d", two.id, b"d", 0)
    assert (one.nlink, two.nlink) == (2, 3)
    refused(errno.ENOTEMPTY, lambda: world.tree.rename(ME, ROOT, b"one", ROOT, b"two", 0))
    refused(errno.EINVAL, lambda: world.tree.rename(ME, ROOT, b"two", two.id, b"x", 0))
    refused(errno.EINVAL, lambda: world.tree.rename(ME, two.id, b"d", ROOT, b"two", EXCHANGE))
    world.make(b"f")
    world.tree.rename(ME, two.id, b"d", ROOT, b"f", EXCHANGE)
    assert (two.nlink, world.tree.getattr(ROOT).nlink) == (2, 5)


def test_memory_may_be_small(tmp_path: Path) -> None:
    world = World(tmp_path / "drive", keep=4)
    nodes = [world.make(b"%d" % number, b"x" * number) for number in range(50)]
    del nodes[10:]
    for number in range(50):
        assert world.tree.lookup(ROOT, b"%d" % number).size == number
    assert world.tree.lookup(ROOT, b"3") is nodes[3]
    world.close()


# Content that is not here


def cold(world: World, path: str = "f", data: bytes = b"cold content") -> Node:
    world.vault[path] = data
    node = world.graft(path, data)
    world.tree.lookup(ROOT, path.encode())
    return node


def test_what_would_have_to_wait_says_so_and_changes_nothing(world: World) -> None:
    node = cold(world)
    tree, id_ = world.tree, node.id
    handle, _ = tree.open(id_, os.O_RDWR, wait=False)
    other = world.make(b"other", b"abc")
    for do in (
        lambda: tree.read(id_, handle, 0, 4, wait=False),
        lambda: tree.write(id_, handle, 0, memoryview(b"x"), wait=False),
        lambda: tree.setattr(ME, id_, Changes(size=3, mode=0o600), wait=False),
        lambda: tree.fallocate(id_, handle, 0, 0, 100, wait=False),
        lambda: tree.copy_file_range(other.id, 0, id_, 0, 3, wait=False),
        lambda: tree.copy_file_range(id_, 0, other.id, 0, 3, wait=False),
    ):
        with pytest.raises(WouldBlock):
            do()
    assert (node.here, node.dirty, node.size, node.mode) == (0, False, 12, 0o644)
    assert world.read(other) == b"abc"
    assert world.contents.fetched == []


def test_a_write_to_what_is_not_here_waits_for_it(world: World) -> None:
    node = cold(world)
    world.write(node, b"COLD")
    assert world.contents.fetched == ["f"]
    assert world.read(node) == b"COLD content"
    assert (node.dirty, node.here, node.sha256) == (True, 2, None)


def test_what_cannot_be_had_is_an_error_and_not_zeros(world: World) -> None:
    node = cold(world)
    world.vault.clear()
    refused(errno.EIO, lambda: world.read(node))
    refused(errno.EIO, lambda: world.write(node, b"x"))
    refused(errno.EIO, lambda: world.tree.setattr(ME, node.id, Changes(size=3), wait=True))
    assert (node.here, node.dirty, node.size) == (0, False, 12)


@pytest.mark.parametrize("way", ["open", "create", "setattr"])
def test_emptying_needs_nothing_that_is_not_here(world: World, way: str) -> None:
    node = cold(world)
    world.vault.clear()
    if way == "open":
        world.tree.open(node.id, os.O_WRONLY | os.O_TRUNC, wait=False)
    elif way == "create":
        world.tree.create(ME, ROOT, b"f", 0o600, os.O_WRONLY | os.O_TRUNC)
    else:
        world.tree.setattr(ME, node.id, Changes(size=0), wait=False)
    assert (node.size, node.dirty, node.here) == (0, True, 2)
    world.write(node, b"new")
    assert world.read(node) == b"new"


def test_setting_the_size_that_it_has_needs_no_content(world: World) -> None:
    node = cold(world)
    world.tree.setattr(ME, node.id, Changes(size=12), wait=False)
    assert (node.here, node.dirty) == (0, False)


def test_where_nothing_is_here_all_is_data(world: World) -> None:
    node = cold(world)
    assert world.tree.lseek(node.id, 0, 5, os.SEEK_DATA) == 5
    assert world.tree.lseek(node.id, 0, 5, os.SEEK_HOLE) == 12
    refused(errno.ENXIO, lambda: world.tree.lseek(node.id, 0, 12, os.SEEK_HOLE))
    refused(errno.EINVAL, lambda: world.tree.lseek(node.id, 0, 0, os.SEEK_SET))


def test_a_failed_write_leaves_no_bytes_behind_the_end(world: World) -> None:
    node = world.make(b"f", b"data")
    world.contents.fault = OSError(errno.ENOSPC, "full")
    refused(errno.ENOSPC, lambda: world.write(node, b"more", 4))
    assert node.dirty
    assert world.read(node) == b"data"
    world.tree.setattr(ME, node.id, Changes(size=8), wait=False)
    assert world.read(node) == b"data\0\0\0\0"


def test_a_truncation_that_fails_half_way_has_not_happened(world: World) -> None:
    node = cold(world)
    before = (node.mode, node.mtime, node.ctime, node.change)

    def truncate(node: Node, size: int) -> None:
        node.here = 2
        raise OSError(errno.EIO, "broken")

    world.contents.truncate = truncate  # type: ignore[method-assign]
    refused(errno.EIO, lambda: world.tree.setattr(YOU, node.id, Changes(size=0), wait=False))
    assert (node.here, node.dirty, node.size) == (0, False, 12)
    assert (node.mode, node.mtime, node.ctime, node.change) == before


def test_a_release_writes_down_what_was_written(world: World) -> None:
    node = world.make(b"f", b"data")
    row = world.tree.rows.load(node.id)
    assert row is not None
    assert (row[7], row[10], row[13]) == (node.mtime, 4, node.change)


def test_fsync_waits_for_content_and_rows_without_the_lock(world: World) -> None:
    node = world.make(b"f")
    world.write(node, b"data")
    world.tree.fsync(node.id, 0, data_only=False)
    assert world.contents.synced == [node.id]
    row = world.store.db.execute("SELECT size FROM node WHERE id = ?", (node.id,)).fetchone()
    assert row == (4,)


# Announcements


def test_what_changes_is_announced(world: World) -> None:
    tree = world.tree
    folder = tree.mkdir(ME, ROOT, b"d", 0o755).id
    assert world.heard() == [("d", False)]
    node, handle = tree.create(ME, folder, b"f", 0o644, os.O_WRONLY)
    assert world.heard() == [("d/f", True)]
    world.write(node, b"1", handle=handle)
    assert world.heard() == [("d/f", True)]
    for _ in range(10):
        world.write(node, b"2", handle=handle)
    assert world.heard() == []
    tree.release(node.id, handle)
    assert world.heard() == [("d/f", False)]
    tree.link(ME, node.id, ROOT, b"g")
    assert world.heard() == [("g", False)]
    tree.setattr(ME, node.id, Changes(mode=0o600), wait=False)
    assert sorted(world.heard()) == [("d/f", False), ("g", False)]
    tree.rename(ME, ROOT, b"d", ROOT, b"e", 0)
    assert world.heard() == [("d", False), ("e", False)]
    tree.unlink(ME, folder, b"f")
    assert world.heard() == [("e/f", False)]
    tree.rmdir(ME, ROOT, b"e")
    assert world.heard() == [("e", False)]
    tree.symlink(ME, ROOT, b"\xff", b"t")
    assert world.heard() == []


def test_a_file_is_announced_as_closed_once_nobody_writes(world: World) -> None:
    node, first = world.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    second, _ = world.tree.open(node.id, os.O_RDWR, wait=False)
    third, _ = world.tree.open(node.id, os.O_RDONLY, wait=False)
    world.write(node, b"data", handle=first)
    world.heard()
    world.tree.release(node.id, first)
    assert world.heard() == [("f", True)]
    world.tree.release(node.id, second)
    assert world.heard() == [("f", False)]
    world.tree.release(node.id, third)
    assert world.heard() == []


def test_content_that_is_here_is_lent(world: World) -> None:
    here, cold = world.make(b"here", b"content"), world.graft("cold", b"content")
    taken: list[bytes] = []

    def use(descriptor: int, offset: int, length: int) -> bool:
        taken.append(os.pread(descriptor, length, offset))
        return True

    assert world.tree.lend(here.id, 0, 3, 100, use)
    assert taken == [b"tent"]
    assert not world.tree.lend(here.id, 0, 7, 100, use)
    assert not world.tree.lend(cold.id, 0, 0, 100, use)
    assert world.contents.fetched == []
    refused(errno.EISDIR, lambda: world.tree.lend(ROOT, 0, 0, 100, use))
    refused(errno.ENOENT, lambda: world.tree.lend(99, 0, 0, 100, use))


def test_a_reader_announces_nothing(world: World) -> None:
    node = world.make(b"f", b"data")
    world.heard()
    handle, keep = world.tree.open(node.id, os.O_RDONLY, wait=False)
    assert keep
    world.tree.read(node.id, handle, 0, 10, wait=False)
    world.tree.release(node.id, handle)
    assert world.heard() == []


def test_a_writer_that_is_renamed_is_announced_at_its_new_name(world: World) -> None:
    node, handle = world.tree.create(ME, ROOT, b"f", 0o644, os.O_WRONLY)
    world.tree.rename(ME, ROOT, b"f", ROOT, b"g", 0)
    assert world.heard() == [("f", True), ("f", False), ("g", True)]
    world.tree.release(node.id, handle)
    assert world.heard() == [("g", False)]


# Owners, bits, times


def test_a_setgid_directory_gives_its_group_and_the_bit_to_directories(world: World) -> None:
    folder = world.tree.mkdir(ME, ROOT, b"d", 0o755)
    world.tree.setattr(ME, folder.id, Changes(gid=77, mode=0o2775), wait=False)
    below = world.tree.mkdir(YOU, folder.id, b"d", 0o755)
    file, _ = world.tree.create(YOU, folder.id, b"f", 0o644, os.O_RDWR)
    link = world.tree.symlink(YOU, folder.id, b"l", b"t")
    assert (below.uid, below.gid, below.mode) == (1000, 77, 0o2755)
    assert (file.uid, file.gid, file.mode) == (1000, 77, 0o644)
    assert (link.gid, link.mode) == (77, 0o777)


def test_a_umask_that_the_kernel_left_to_us_is_heeded(world: World) -> None:
    caller = Caller(0, 0, umask=0o027)
    assert world.tree.mkdir(caller, ROOT, b"d", 0o777).mode == 0o750
    assert world.tree.create(caller, ROOT, b"f", 0o666, os.O_RDWR)[0].mode == 0o640


@pytest.mark.parametrize(
    ("mode", "left"), [(0o6755, 0o755), (0o6745, 0o2745), (0o755, 0o755), (0o2755, 0o755)]
)
@pytest.mark.parametrize("way", ["write", "size", "owner", "empty"])
def test_setuid_and_setgid_go_when_somebody_else_changes_the_file(
    world: World, mode: int, left: int, way: str
) -> None:
    node = world.make(b"f", b"data", mode=mode)
    world.tree.setxattr(ME, node.id, b"security.capability", b"cap", 0)
    if way == "write":
        world.tree.write(node.id, 0, 0, memoryview(b"x"), wait=False)
    elif way == "size":
        world.tree.setattr(YOU, node.id, Changes(size=2), wait=False)
    elif way == "owner":
        world.tree.setattr(ME, node.id, Changes(gid=5), wait=False)
    else:
        world.tree.open(node.id, os.O_WRONLY | os.O_TRUNC, wait=False)
    assert oct(node.mode) == oct(left)
    refused(errno.ENODATA, lambda: world.tree.getxattr(node.id, b"security.capability"))
    world.kill()
    assert oct(world.tree.getattr(node.id).mode) == oct(left)


def test_root_may_keep_setuid_while_writing(world: World) -> None:
    node = world.make(b"f", b"data", mode=0o6755)
    world.write(node, b"x")
    world.tree.setattr(ME, node.id, Changes(size=2), wait=False)
    assert node.mode == 0o6755


def test_times_follow_posix(world: World) -> None:
    tree = world.tree
    folder = tree.mkdir(ME, ROOT, b"d", 0o755)
    node = world.make(b"f", b"data", parent=folder.id)

    def moved(do: Callable[[], object]) -> dict[str, tuple[bool, bool, bool]]:
        for one in (folder, node):
            one.atime = one.mtime = one.ctime = 10**9
        do()
        return {
            name: (one.atime > 10**9, one.mtime > 10**9, one.ctime > 10**9)
            for name, one in (("d", folder), ("f", node))
        }

    nothing, names, status = (False, False, False), (False, True, True), (False, False, True)
    assert moved(lambda: tree.lookup(folder.id, b"f")) == {"d": nothing, "f": nothing}
    assert moved(lambda: tree.link(ME, node.id, folder.id, b"g")) == {"d": names, "f": status}
    assert moved(lambda: tree.rename(ME, folder.id, b"g", folder.id, b"h", 0)) == {
        "d": names,
        "f": status,
    }
    assert moved(lambda: tree.unlink(ME, folder.id, b"h")) == {"d": names, "f": status}
    assert moved(lambda: world.write(node, b"x")) == {"d": nothing, "f": names}
    assert moved(lambda: tree.setattr(ME, node.id, Changes(size=1), wait=False))["f"] == names
    assert moved(lambda: tree.setattr(ME, node.id, Changes(size=1), wait=False))["f"] == names
    assert moved(lambda: tree.setattr(ME, node.id, Changes(mode=0), wait=False))["f"] == status
    assert moved(lambda: tree.setattr(ME, node.id, Changes(uid=1), wait=False))["f"] == status
    assert moved(lambda: tree.setxattr(ME, node.id, b"user.a", b"", 0))["f"] == status
    assert moved(lambda: world.read(node))["f"] == (True, False, False)
    assert moved(lambda: world.names(folder.id))["d"] == (True, False, False)
    assert moved(lambda: tree.mkdir(ME, folder.id, b"e", 0o755))["d"] == names
    assert moved(lambda: tree.rmdir(ME, folder.id, b"e"))["d"] == names
    tree.setattr(ME, node.id, Changes(atime=NOW, mtime=123), wait=False)
    assert node.mtime == 123
    assert abs(node.atime - time.time_ns()) < 10**10


def test_an_access_time_is_not_worth_a_commit_but_is_kept_at_the_end(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.setattr(ME, node.id, Changes(atime=1), wait=False)
    world.read(node)
    assert node.atime > 1
    kept = node.atime
    world.tree.close()
    world.kill()
    assert world.tree.getattr(node.id).atime == kept


# Errors


def test_errors_are_those_of_posix(world: World) -> None:
    tree = world.tree
    folder = tree.mkdir(ME, ROOT, b"d", 0o755)
    node = world.make(b"f")
    link = tree.symlink(ME, ROOT, b"l", b"t")
    long = b"n" * 256
    for code, do in (
        (errno.ENOTDIR, lambda: tree.lookup(node.id, b"x")),
        (errno.ENAMETOOLONG, lambda: tree.lookup(ROOT, long)),
        (errno.ENOENT, lambda: tree.lookup(999, b"x")),
        (errno.EPERM, lambda: tree.link(ME, folder.id, ROOT, b"x")),
        (errno.EEXIST, lambda: tree.link(ME, node.id, ROOT, b"l")),
        (errno.ENAMETOOLONG, lambda: tree.link(ME, node.id, ROOT, long)),
        (errno.ENAMETOOLONG, lambda: tree.rename(ME, ROOT, b"f", ROOT, long, 0)),
        (errno.EINVAL, lambda: tree.rename(ME, ROOT, b"f", ROOT, b"g", NOREPLACE | EXCHANGE)),
        (errno.EINVAL, lambda: tree.rename(ME, ROOT, b"f", ROOT, b"g", 4)),
        (errno.ENAMETOOLONG, lambda: tree.symlink(ME, ROOT, b"m", b"t" * 4096)),
        (errno.ENOENT, lambda: tree.symlink(ME, ROOT, b"m", b"")),
        (errno.EISDIR, lambda: tree.open(folder.id, os.O_RDONLY, wait=False)),
        (errno.ENOTDIR, lambda: tree.opendir(node.id)),
        (errno.EISDIR, lambda: tree.setattr(ME, folder.id, Changes(size=0), wait=False)),
        (errno.EINVAL, lambda: tree.setattr(ME, link.id, Changes(size=0), wait=False)),
        (errno.EINVAL, lambda: tree.setattr(ME, node.id, Changes(size=-1), wait=False)),
        (errno.EINVAL, lambda: tree.readlink(node.id)),
        (errno.EINVAL, lambda: tree.copy_file_range(node.id, 0, node.id, 0, -1, wait=False)),
        (errno.EFBIG, lambda: tree.fallocate(node.id, 0, 0, 2**62, 2**62, wait=False)),
        (errno.EPERM, lambda: tree.mknod(ME, ROOT, b"x", stat.S_IFDIR, 0)),
    ):
        refused(code, do)


def test_nothing_is_made_in_a_removed_directory(world: World) -> None:
    folder = world.tree.mkdir(ME, ROOT, b"d", 0o755)
    node = world.make(b"f")
    world.tree.rmdir(ME, ROOT, b"d")
    refused(errno.ENOENT, lambda: world.tree.mkdir(ME, folder.id, b"x", 0o755))
    refused(errno.ENOENT, lambda: world.tree.link(ME, node.id, folder.id, b"x"))
    refused(errno.ENOENT, lambda: world.tree.rename(ME, ROOT, b"f", folder.id, b"x", 0))
    assert world.names(folder.id) == []


def test_there_is_an_end_to_names_of_one_node(world: World) -> None:
    node = world.make(b"f")
    node.nlink = 65_000
    refused(errno.EMLINK, lambda: world.tree.link(ME, node.id, ROOT, b"g"))


def test_what_is_unlinked_gets_no_new_name(world: World) -> None:
    node = world.make(b"f")
    world.tree.unlink(ME, ROOT, b"f")
    refused(errno.ENOENT, lambda: world.tree.link(ME, node.id, ROOT, b"g"))


def test_devices_keep_their_numbers(world: World) -> None:
    device = world.tree.mknod(ME, ROOT, b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    pipe = world.tree.mknod(ME, ROOT, b"pipe", stat.S_IFIFO | 0o600, 99)
    world.kill()
    again = world.tree.lookup(ROOT, b"null")
    assert (again.kind, again.rdev, again.mode) == (NodeKind.CHAR, device.rdev, 0o666)
    assert world.tree.getattr(pipe.id).rdev == 0


# Extended attributes


def test_extended_attributes(world: World) -> None:
    tree = world.tree
    node = world.make(b"f")
    link = tree.symlink(ME, ROOT, b"l", b"t")
    assert list(tree.listxattr(node.id)) == []
    tree.setxattr(ME, node.id, b"user.a", b"1", 0)
    tree.setxattr(ME, node.id, b"trusted.b", b"\0\xff", 0)
    tree.setxattr(ME, node.id, b"security.c", b"", 1)
    world.kill()
    tree = world.tree
    assert sorted(tree.listxattr(node.id)) == [b"security.c", b"trusted.b", b"user.a"]
    assert tree.getxattr(node.id, b"trusted.b") == b"\0\xff"
    tree.setxattr(ME, node.id, b"user.a", b"2", 2)
    assert tree.getxattr(node.id, b"user.a") == b"2"
    tree.removexattr(ME, node.id, b"user.a")
    for code, do in (
        (errno.ENODATA, lambda: tree.getxattr(node.id, b"user.a")),
        (errno.ENODATA, lambda: tree.removexattr(ME, node.id, b"user.a")),
        (errno.ENODATA, lambda: tree.setxattr(ME, node.id, b"user.a", b"", 2)),
        (errno.EEXIST, lambda: tree.setxattr(ME, node.id, b"trusted.b", b"", 1)),
        (errno.EINVAL, lambda: tree.setxattr(ME, node.id, b"user.a", b"", 3)),
        (errno.ENOSPC, lambda: tree.setxattr(ME, node.id, b"user.a", b"x" * 65_537, 0)),
        (errno.ERANGE, lambda: tree.setxattr(ME, node.id, b"user." + b"a" * 251, b"", 0)),
        (errno.EOPNOTSUPP, lambda: tree.getxattr(node.id, b"system.posix_acl_access")),
        (errno.EOPNOTSUPP, lambda: tree.setxattr(ME, node.id, b"other.a", b"", 0)),
        (errno.EPERM, lambda: tree.setxattr(YOU, node.id, b"trusted.d", b"", 0)),
        (errno.EPERM, lambda: tree.setxattr(ME, link.id, b"user.a", b"", 0)),
        (errno.ENODATA, lambda: tree.getxattr(node.id, b"user.vaultsync.status")),
        (errno.EPERM, lambda: tree.setxattr(ME, node.id, b"user.vaultsync.pinned", b"1", 0)),
    ):
        refused(code, do)


class Marked:
    """Answers for attributes of ours."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def get(self, node: Node, name: bytes) -> bytes:
        return self.kept[name]

    def set(self, node: Node, name: bytes, value: bytes | None) -> None:
        if value is None:
            del self.kept[name]
        else:
            self.kept[name] = value


def test_attributes_of_ours_are_answered_but_not_listed(tmp_path: Path) -> None:
    world = World(tmp_path / "drive", marks=Marked())
    node = world.make(b"f")
    world.tree.setxattr(Caller(0, 0, request=4), node.id, b"user.vaultsync.pinned", b"1", 0)
    assert world.tree.getxattr(node.id, b"user.vaultsync.pinned") == b"1"
    assert list(world.tree.listxattr(node.id)) == []
    assert world.tree.remembered(4) == node.id
    world.tree.removexattr(ME, node.id, b"user.vaultsync.pinned")
    world.close()


# Reading directories


def read_all(world: World, handle: int, offset: int, most: int) -> tuple[list[bytes], int]:
    found = []
    for name, _, after in world.tree.readdir(ROOT, handle, offset, plus=False):
        found.append(name)
        offset = after
        if len(found) == most:
            break
    return found, offset


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_there_throughout_a_reading_is_told_once(world: World, restart: bool) -> None:
    stays = [b"stays-%d" % number for number in range(40)]
    for number, name in enumerate(stays):
        world.make(name)
        world.make(b"goes-%d" % number)
    for number in range(3):
        world.tree.link(ME, world.tree.lookup(ROOT, stays[7]).id, ROOT, b"link-%d" % number)
        stays.append(b"link-%d" % number)
    handle = world.tree.opendir(ROOT)
    seen: list[bytes] = []
    offset = 0
    step = 0
    while True:
        some, offset = read_all(world, handle, offset, 3)
        if not some:
            break
        seen += some
        if step < 40:
            world.tree.unlink(ME, ROOT, b"goes-%d" % (39 - step))
            world.make(b"comes-%d" % step)
        if restart and step % 5 == 4:
            world.kill()
        step += 1
    told = [name for name in seen if name in stays]
    assert sorted(told) == sorted(stays)
    assert len(seen) == len(set(seen))
    assert seen[:2] == [b".", b".."]
    assert b"goes-39" not in seen


def test_a_reading_from_the_start_sees_what_has_come(world: World) -> None:
    world.make(b"a")
    handle = world.tree.opendir(ROOT)
    assert read_all(world, handle, 0, 9)[0] == [b".", b"..", b"a"]
    world.make(b"b")
    assert read_all(world, handle, 0, 9)[0] == [b".", b"..", b"a", b"b"]


def test_the_way_up_is_the_directory_above(world: World) -> None:
    above = world.tree.mkdir(ME, ROOT, b"a", 0o755)
    below = world.tree.mkdir(ME, above.id, b"b", 0o755)
    found = [(name, node.id) for name, node, _ in world.tree.readdir(below.id, 0, 0, plus=True)]
    assert found == [(b".", below.id), (b"..", above.id)]


def test_readdirplus_counts_references_of_what_it_yields(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.forget(node.id, 1)
    told = list(world.tree.readdir(ROOT, 0, 0, plus=True))
    assert [name for name, _, _ in told] == [b".", b"..", b"f"]
    world.tree.unlink(ME, ROOT, b"f")
    assert world.read(node) == b"data"
    world.tree.forget(node.id, 1)
    assert gone(world, node)


# Threads


def test_threads_get_along(world: World) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(40):
                name = b"%d-%d" % (number, step)
                node = world.make(name, b"x" * step)
                world.tree.rename(ME, ROOT, name, ROOT, b"common", 0)
                world.tree.forget(node.id, 1)
                world.names()
        except BaseException as fault:  # noqa: BLE001 - told below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert world.names() == [b"common"]
    (count,) = world.store.db.execute("SELECT count(*) FROM node").fetchone()
    assert count == 2
