"""How much the cache takes of the disk, and what never goes."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mount.cache.vault import MIB, World, noise
from tests.mount.cache.vault import world as world_of
from vaultsync.core.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.mount.ports import Node


@pytest.fixture
def small(tmp_path: Path) -> Iterator[World]:
    """A world with room for 4 MiB."""
    made = World(tmp_path, 4 * MIB)
    yield made
    made.close()


def on_disk(world: World) -> int:
    return sum(path.lstat().st_blocks * 512 for path in world.folder.glob("*/*") if path.is_file())


def fill(world: World, node: Node) -> None:
    world.cache.read(node, 0, node.size)
    world.idle()


def test_the_least_lately_used_goes(small: World) -> None:
    nodes = [small.add(noise(MIB, n), used=1000 - n) for n in range(6)]
    for node in nodes:
        node.used = 1 << 40  # as if it was used this minute, so that the rows stay as they are
    for node in nodes[:4]:
        fill(small, node)
    # A little more goes than is needed.
    fill(small, nodes[4])
    assert [small.row(node)[0] for node in nodes] == [2, 2, 0, 0, 2, 0]
    assert nodes[3].here == 0
    assert not small.path(nodes[3]).exists()
    assert small.cache.used == on_disk(small) <= 4 * MIB
    assert small.cache.read(nodes[3], 0, MIB) == noise(MIB, 3)


def test_the_limit_is_kept_by_readers_at_once(small: World) -> None:
    nodes = [small.add(noise(MIB - n, n)) for n in range(12)]

    def read(n: int) -> bool:
        assert small.cache.read(nodes[n], 0, MIB) == noise(MIB - n, n)
        with small.store.lock:
            return on_disk(small) <= 4 * MIB

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(read, list(range(12)) * 5))
    small.idle()
    assert small.cache.used == on_disk(small) <= 4 * MIB
    assert small.cache._room.promised == 0


def test_a_use_is_remembered(small: World) -> None:
    nodes = [small.add(noise(MIB, n)) for n in range(5)]
    for node in nodes[:4]:
        fill(small, node)
        small.cache._room.used(node.id, 1000)
    small.cache._room.used(nodes[0].id, 2000)
    fill(small, nodes[4])
    assert small.row(nodes[0])[0] == 2
    assert small.row(nodes[1])[0] == 0


@pytest.mark.parametrize("why", ["dirty", "open", "pinned", "folder", "nameless", "nowhere"])
def test_what_may_not_go_stays_and_readers_are_served(small: World, why: str) -> None:
    kept = [small.add(noise(MIB - 4096, n)) for n in range(4)]
    for node in kept:
        fill(small, node)
    with small.store.transaction():
        for node in kept:
            if why == "dirty":
                node.dirty = True
            elif why == "open":
                small.cache.opened(node)
            elif why == "pinned":
                node.pinned = True
            elif why == "folder":
                small.store.db.execute(
                    "INSERT INTO node (id, kind, mode, uid, gid, nlink, atime, mtime, ctime, born,"
                    " pinned) VALUES (?, 'dir', 0, 0, 0, 2, 0, 0, 0, 0, ?), (?, 'dir', 0, 0, 0, 2,"
                    " 0, 0, 0, 0, 0)",
                    (node.id + 100, True, node.id + 200),
                )
                small.store.db.execute(
                    "INSERT INTO name VALUES (?, ?, ?), (?, ?, ?)",
                    (node.id + 100, b"d", node.id + 200, node.id + 200, b"f", node.id),
                )
            elif why == "nameless":
                node.nlink = 0
            else:
                node.o_path = node.o_etag = None
            small.save(node)
    other = small.add(noise(3 * MIB, 9))
    for _ in range(2):
        assert small.cache.read(other, MIB, MIB) == noise(3 * MIB, 9)[MIB : 2 * MIB]
    assert small.cache.read(other, 0, 3 * MIB) == noise(3 * MIB, 9)
    assert small.row(other) == (0, [])
    assert [small.row(node)[0] for node in kept] == [2] * 4
    assert all(small.path(node).exists() for node in kept)
    small.cache.limit = 0
    assert [small.row(node)[0] for node in kept] == [2] * 4
    if why == "open":
        with small.store.lock:
            for node in kept:
                small.cache.closed(node)
        small.cache.limit = 0
        assert [small.row(node)[0] for node in kept] == [0] * 4


def test_readers_share_what_could_not_be_stored(tmp_path: Path) -> None:
    made = World(tmp_path, 0)
    try:
        data = noise(MIB)
        node = made.add(data)
        made.vault.gate.clear()
        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(made.cache.read, node, 1000 * n, 1000) for n in range(6)]
            made.vault.entered.acquire()
            while pool._work_queue.qsize():
                pass
            made.vault.gate.set()
            got = [reader.result() for reader in readers]
        assert got == [data[1000 * n : 1000 * n + 1000] for n in range(6)]
        assert len(made.vault.asked) == 1
        assert on_disk(made) == 0
    finally:
        made.close()


def test_writes_may_exceed_the_limit(small: World) -> None:
    node = small.add(b"", dirty=True)
    for n in range(8):
        small.write(node, n * MIB, noise(MIB, n))
    assert small.cache.read(node, 7 * MIB, MIB) == noise(MIB, 7)
    cold = small.add(noise(6 * MIB, 3))
    small.write(cold, 1, b"x")
    assert small.cache.read(cold, 0, 2) == noise(6 * MIB, 3)[:1] + b"x"


@pytest.mark.timeout(20)
def test_what_is_fetched_to_be_written_to_is_not_evicted_for_its_own_rest(tmp_path: Path) -> None:
    """Else it would be fetched for ever: each half makes room for the other one."""
    data = noise(4 * MIB)
    with world_of(tmp_path, 5 * MIB // 2) as world:
        node = world.add(data)
        world.cache.read(node, 0, 2 * MIB, ahead=False)
        world.write(node, 7, b"edited")
        assert world.cache.read(node, 0, 20) == data[:7] + b"edited" + data[13:20]
        assert sum(length for _, _, length in world.vault.asked) == 4 * MIB


def test_writes_stop_before_the_disk_is_full(world: World) -> None:
    clean = world.add(noise(MIB))
    fill(world, clean)
    node = world.add(b"", dirty=True)
    world.cache._room.kept = lambda total: total
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
        world.write(node, 0, b"x")
    assert not world.path(clean).exists()
    assert not world.cache.usable(clean, 0, 1)
    other = world.add(noise(MIB, 5))
    assert world.cache.read(other, 0, MIB) == noise(MIB, 5)
    assert world.row(other) == (0, [])
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOSPC):
        world.cache.hydrate(other)


def test_what_was_uploaded_may_go_and_not_before(small: World) -> None:
    node = small.add(b"", dirty=True)
    small.write(node, 0, noise(MIB))
    small.cache.limit = 0
    assert small.row(node)[0] == 2
    small.upload(node)
    small.idle()
    small.cache.limit = 0
    assert small.row(node)[0] == 0
    small.cache.limit = 4 * MIB
    assert small.cache.read(node, 0, MIB) == noise(MIB)


def test_what_was_uploaded_is_still_known_after_a_restart(world: World) -> None:
    node = world.add(b"", dirty=True)
    world.write(node, 0, noise(MIB))
    world.upload(node)
    world.idle()
    world.restart()
    world.vault.always = Retry("offline")
    assert world.cache.read(world.node(node.id), 0, MIB) == noise(MIB)


def test_a_start_removes_what_nobody_knows(world: World) -> None:
    cold, known = world.add(noise(MIB)), world.add(noise(MIB))
    fill(world, known)
    for path in (world.path(cold), world.folder / "01" / "99", world.folder / "02" / "temp"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
    (world.folder / "03").mkdir(exist_ok=True)
    (world.folder / "03" / "3").mkdir()
    world.restart()
    assert [path for path in world.folder.glob("*/*") if path.is_file()] == [world.path(known)]
    assert world.cache.used == on_disk(world)


def test_a_start_tells_what_is_lost(world: World) -> None:
    mine, theirs = world.add(b"", dirty=True), world.add(noise(MIB))
    empty = world.add(b"", dirty=True)
    world.write(mine, 0, b"x")
    fill(world, theirs)
    world.path(mine).unlink()
    world.path(theirs).unlink()
    world.restart()
    assert world.cache.losses == [mine.id]
    assert world.row(theirs) == (0, [])
    assert world.row(mine)[0] == world.row(empty)[0] == 2
    mine = world.node(mine.id)
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EIO):
        world.cache.read(mine, 0, 1)
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EIO):
        world.write(mine, 5, b"x")


def test_another_boot_believes_only_what_was_synced(world: World) -> None:
    part, whole = world.add(noise(4 * MIB)), world.add(noise(MIB))
    mine = world.add(b"", dirty=True)
    world.write(mine, 0, b"mine")
    world.cache.read(part, 0, 10)
    fill(world, whole)
    assert world.row(part)[0] == 1
    world.store.db.execute("UPDATE meta SET value = 'before' WHERE key = 'drive.boot'")
    world.restart()
    assert world.row(part) == (0, [])
    assert not world.path(part).exists()
    assert world.row(whole) == (2, [])
    assert world.cache.read(world.node(mine.id), 0, 9) == b"mine"


@pytest.mark.parametrize("how", ["cut", "written", "older", "gone"])
def test_a_clean_file_that_is_not_as_it_should_be_is_fetched_again(world: World, how: str) -> None:
    node = world.add(noise(MIB))
    fill(world, node)
    path = world.path(node)
    world.close()
    if how == "cut":
        times = path.stat().st_mtime_ns
        os.truncate(path, 10)
        os.utime(path, ns=(times, times))
    elif how == "written":
        with path.open("r+b") as file:
            file.write(b"xxx")
    elif how == "older":
        path.write_bytes(noise(MIB, 7))
        os.utime(path, ns=(5, 5))
    else:
        path.unlink()
    world.start()
    node = world.node(node.id)
    assert world.cache.usable(node, 0, 1) is False
    assert world.cache.read(node, 0, MIB) == noise(MIB)
