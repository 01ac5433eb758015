"""The cache of the drive: what is read, how it is fetched, what is written."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.mount.cache.vault import KIB, MIB, noise
from vaultsync.core.errors import Blocked, Fatal, Retry, SignIn, Stale
from vaultsync.mount.cache import reading
from vaultsync.mount.cache.files import read_fully

if TYPE_CHECKING:
    from tests.mount.cache.vault import World
    from vaultsync.mount.cache.files import Handle
    from vaultsync.mount.ports import Contents

PUNCH = 2 | 1


def fails_with(number: int) -> pytest.RaisesExc[OSError]:
    return pytest.RaisesExc(OSError, check=lambda error: error.errno == number)


def test_it_is_what_the_drive_asks_for(world: World) -> None:
    contents: Contents = world.cache
    assert contents.space().blocks > 0


def test_the_folder_is_for_its_owner_only(world: World) -> None:
    assert world.folder.stat().st_mode & 0o777 == 0o700


def test_a_file_is_read_as_it_is_in_the_vault(world: World) -> None:
    data = noise(3 * MIB + 17)
    node = world.add(data)
    assert not world.path(node).exists()
    assert world.cache.read(node, 0, len(data) + 99) == data
    assert world.cache.read(node, len(data) - 5, 100) == data[-5:]
    assert world.cache.read(node, len(data), 100) == b""
    assert world.path(node).stat().st_mode & 0o777 == 0o600


def test_all_here_is_noted_once_it_was_checked(world: World) -> None:
    data = noise(2 * MIB)
    node = world.add(data)
    assert not world.cache.usable(node, 0, 1)
    world.cache.hydrate(node)
    assert world.row(node) == (2, [])
    assert node.here == 2
    assert world.cache.usable(node, 0, len(data))
    asked = len(world.vault.asked)
    assert world.cache.read(node, 0, len(data)) == data
    assert len(world.vault.asked) == asked


def test_what_is_here_is_lent(world: World) -> None:
    data = noise(2 * MIB)
    node = world.add(data)
    taken: list[bytes] = []

    def use(descriptor: int, offset: int, length: int) -> bool:
        taken.append(read_fully(descriptor, offset, length))
        return True

    assert not world.cache.lend(node, 0, MIB, use)
    world.cache.read(node, 0, MIB)
    assert not world.cache.lend(node, 0, MIB, use)
    world.cache.hydrate(node)
    world.cache.read(node, 0, MIB)
    asked = len(world.vault.asked)
    assert world.cache.lend(node, 5, MIB, use)
    assert world.cache.lend(node, 2 * MIB - 3, MIB, use)
    assert not world.cache.lend(node, 2 * MIB, MIB, use)
    assert not world.cache.lend(node, 0, MIB, lambda *_: False)
    assert taken == [data[5 : MIB + 5], data[-3:]]
    assert len(world.vault.asked) == asked


def test_what_is_taken_away_while_it_is_lent_is_not_right(world: World) -> None:
    node = world.add(noise(MIB))
    world.cache.hydrate(node)
    world.cache.read(node, 0, 1)

    def use(descriptor: int, offset: int, length: int) -> bool:
        assert len(read_fully(descriptor, offset, length)) == length
        with world.store.transaction():
            world.cache.replaced(node)
        return True

    assert not world.cache.lend(node, 0, MIB, use)


def test_what_is_here_survives_a_restart(world: World) -> None:
    data = noise(10 * MIB)
    part, whole = world.add(data), world.add(data)
    world.cache.read(part, 5 * MIB, 10)
    world.cache.hydrate(whole)
    world.restart()
    world.vault.always = Retry("offline")
    part, whole = world.node(part.id), world.node(whole.id)
    assert world.cache.read(part, 5 * MIB, 10) == data[5 * MIB : 5 * MIB + 10]
    assert world.cache.read(whole, 0, len(data)) == data


def test_readers_of_the_same_bytes_wait_for_one_request(world: World) -> None:
    data = noise(MIB)
    node = world.add(data)
    world.vault.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(world.cache.read, node, 100 * n, 100) for n in range(8)]
        world.vault.entered.acquire()
        while pool._work_queue.qsize():
            pass
        world.vault.gate.set()
        assert [reader.result() for reader in readers] == [
            data[100 * n : 100 * n + 100] for n in range(8)
        ]
    assert world.vault.asked == [("p1", 0, MIB)]


def test_who_reads_on_gets_more_in_advance_each_time(world: World) -> None:
    data = noise(64 * MIB)
    node = world.add(data, digest=None)
    lengths = []
    for at in range(0, len(data), 128 * KIB):
        told = at in (0, 4 * MIB, 32 * MIB)
        if told:
            world.idle()
        assert world.cache.read(node, at, 128 * KIB) == data[at : at + 128 * KIB]
        if told:
            world.idle()
            lengths.append(sum(one[2] for one in world.vault.asked) - at)
    assert lengths == [MIB, 8 * MIB, 32 * MIB]
    assert sum(one[2] for one in world.vault.asked) == len(data)


def test_several_ranges_are_on_their_way_at_once(world: World) -> None:
    node = world.add(noise(64 * MIB), digest=None)
    for at in range(0, 4 * MIB, MIB):
        world.cache.read(node, at, MIB)
        world.idle()
    while world.vault.entered.acquire(blocking=False):
        pass
    world.vault.gate.clear()
    world.cache.read(node, 4 * MIB, 2 * MIB)
    for _ in range(4):
        assert world.vault.entered.acquire(timeout=20)


def test_who_jumps_about_gets_little_more_than_he_wants(world: World) -> None:
    data = noise(64 * MIB)
    node = world.add(data)
    for n in range(1, 20):
        at = n * 3 * MIB + 5000
        assert world.cache.read(node, at, 4 * KIB) == data[at : at + 4 * KIB]
    assert sum(one[2] for one in world.vault.asked) == 19 * 128 * KIB


def test_without_ahead_exactly_the_blocks_are_fetched(world: World) -> None:
    node = world.add(noise(16 * MIB))
    for at in range(0, 2 * MIB, 64 * KIB):
        world.cache.read(node, at, 64 * KIB, ahead=False)
    assert world.vault.asked == [("p1", n * 128 * KIB, 128 * KIB) for n in range(16)]
    assert world.row(node) == (1, [(0, 2 * MIB)])


@pytest.mark.parametrize(
    "fault", [Stale("x"), SignIn("x"), Blocked("x"), Fatal("x"), ValueError("x"), OSError(5, "x")]
)
def test_a_fault_is_an_error_and_never_zeros(world: World, fault: Exception) -> None:
    data = noise(MIB)
    node = world.add(data)
    world.vault.faults = [fault]
    with fails_with(errno.EIO):
        world.cache.read(node, 0, 10)
    assert not world.cache.usable(node, 0, 10)
    assert world.cache.read(node, 0, 10) == data[:10]


def test_a_passing_fault_is_borne(world: World) -> None:
    data = noise(MIB)
    node = world.add(data)
    world.vault.faults = [Retry("x"), Retry("x")]
    assert world.cache.read(node, 0, 10) == data[:10]


def test_a_fault_that_does_not_pass_is_an_error(world: World) -> None:
    node = world.add(noise(MIB))
    world.vault.always = Retry("offline")
    with fails_with(errno.EIO):
        world.cache.read(node, 0, 10)
    first = len(world.vault.asked)
    with fails_with(errno.EIO):
        world.cache.read(node, 0, 10)
    assert len(world.vault.asked) - first < first


def test_an_answer_that_is_too_short_is_gone_on_with(world: World) -> None:
    data = noise(MIB)
    node = world.add(data)
    world.vault.cut = [1000]
    assert world.cache.read(node, 0, MIB) == data
    assert world.vault.asked[1] == ("p1", MIB - 1000, 1000)


def test_an_answer_that_is_too_long_is_an_error(world: World) -> None:
    node = world.add(noise(MIB))
    world.vault.cut = [-1000]
    world.vault.versions["p1", "e1"] += noise(2000)
    with fails_with(errno.EIO):
        world.cache.read(node, 0, MIB)
    assert len(world.vault.asked) == 1


def test_a_wrong_digest_drops_the_content(world: World) -> None:
    data = noise(MIB)
    node = world.add(data, digest="0" * 64)
    with fails_with(errno.EIO):
        world.cache.hydrate(node)
    assert world.row(node) == (0, [])
    assert not world.path(node).exists()
    with fails_with(errno.EIO):
        world.cache.read(node, 0, 10)
    world.replace(node, data)
    world.cache.hydrate(node)
    assert world.cache.read(node, 0, MIB) == data


def test_bytes_of_what_was_replaced_are_thrown_away(world: World) -> None:
    old, new = noise(MIB, 1), noise(MIB, 2)
    node = world.add(old)
    world.vault.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(world.cache.read, node, 0, MIB)
        world.vault.entered.acquire()
        world.replace(node, new)
        world.vault.gate.set()
        assert reader.result() == new
    world.cache.hydrate(node)
    assert world.cache.read(node, 0, MIB) == new


def test_bytes_that_were_all_there_when_it_was_replaced_are_thrown_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The old file stays for a while.
    monkeypatch.setattr(world.cache._shelf, "reap", lambda _: None)
    old, new = noise(MIB, 1), noise(MIB, 2)
    node = world.add(old, digest=None)
    end = threading.Event()
    world.vault.tails.append(end)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(world.cache.read, node, 0, MIB)
        world.vault.entered.acquire()
        world.vault.entered.acquire()
        world.replace(node, new, digest=None)
        end.set()
        assert reader.result() == new
    assert world.cache.read(node, 0, MIB) == new


@pytest.mark.parametrize("whole", [True, False])
def test_what_changes_while_it_is_read_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    node = world.add(noise(2 * MIB))
    world.cache.read(node, 0, MIB, ahead=False)
    if whole:
        world.cache.hydrate(node)
    turns = [1, 2]

    def meddled(descriptor: int, offset: int, size: int) -> bytes:
        if turns:
            turns.pop()
            world.truncate(node, 0)
            world.write(node, 0, b"new")
        return read_fully(descriptor, offset, size)

    monkeypatch.setattr(reading, "read_fully", meddled)
    assert world.cache.read(node, 0, MIB) == b"new"
    assert not turns


def test_a_file_that_is_not_all_here_yet_is_not_taken_for_the_one_that_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = noise(MIB, 1), noise(MIB, 2)
    node = world.add(old)
    world.cache.hydrate(node)
    world.cache.read(node, 0, 1)
    turns, taken = [1], world.cache._files.taken

    def meddled(node_id: int) -> Handle | None:
        if turns:
            turns.pop()
            world.replace(node, new)
            world.cache.read(node, 0, 10, ahead=False)
            handle = world.cache._files.take(node_id)
            world.cache._files.give(handle)
        return taken(node_id)

    monkeypatch.setattr(world.cache._files, "taken", meddled)
    assert world.cache.read(node, 500 * KIB, 10) == new[500 * KIB :][:10]
    assert not turns


def test_bytes_of_what_was_emptied_are_thrown_away(world: World) -> None:
    node = world.add(noise(MIB, 1))
    world.vault.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(world.cache.read, node, 0, MIB)
        world.vault.entered.acquire()
        world.truncate(node, 0)
        world.write(node, 10, b"new")
        world.vault.gate.set()
        assert reader.result() == bytes(10) + b"new"
    assert world.row(node) == (2, [])
    assert world.cache.read(node, 0, MIB) == bytes(10) + b"new"


def test_a_node_that_is_gone_leaves_no_file(world: World) -> None:
    node = world.add(noise(MIB))
    world.cache.hydrate(node)
    with world.store.transaction():
        world.cache.drop(node)
        world.store.db.execute("DELETE FROM node WHERE id = ?", (node.id,))
        assert world.path(node).exists()
    world.idle()
    assert not world.path(node).exists()
    assert world.cache.used == 0


def test_a_drop_that_is_rolled_back_leaves_the_content(world: World) -> None:
    node = world.add(b"", dirty=True)
    world.write(node, 0, b"precious")
    with suppress(ZeroDivisionError), world.store.transaction():
        world.cache.drop(node)
        world.store.db.execute("DELETE FROM node WHERE id = ?", (node.id,))
        raise ZeroDivisionError
    assert world.cache.read(node, 0, 99) == b"precious"
    world.idle()
    assert world.path(node).read_bytes() == b"precious"


def test_a_change_that_is_rolled_back_is_not_shown(world: World) -> None:
    data = noise(MIB)
    node = world.add(data)
    world.cache.hydrate(node)
    with suppress(ZeroDivisionError), world.store.transaction():
        node.dirty = True
        world.cache.write(node, 5, memoryview(b"never"))
        raise ZeroDivisionError
    node.dirty = False
    assert world.cache.read(node, 0, MIB) == data


def test_writing_needs_all_of_the_content(world: World) -> None:
    node = world.add(noise(MIB))
    with fails_with(errno.EIO), world.store.transaction():
        world.cache.write(node, 0, memoryview(b"x"))
    world.cache.read(node, 0, 10, ahead=False)
    with fails_with(errno.EIO), world.store.transaction():
        world.cache.write(node, 0, memoryview(b"x"))


def test_holes_are_made_and_found(world: World) -> None:
    node = world.add(b"", dirty=True)
    world.write(node, 0, b"x" * MIB)
    with world.store.lock:
        world.cache.allocate(node, PUNCH, 256 * KIB, 256 * KIB)
        assert world.cache.seek(node, 0, os.SEEK_HOLE) == 256 * KIB
        assert world.cache.seek(node, 256 * KIB, os.SEEK_DATA) == 512 * KIB
        with fails_with(errno.ENXIO):
            world.cache.seek(node, MIB, os.SEEK_DATA)
    assert world.cache.read(node, 0, MIB).count(0) == 256 * KIB
    before = world.cache.used
    with world.store.lock:
        world.cache.allocate(node, 1, 0, 4 * MIB)
    assert world.cache.used >= before + 3 * MIB
    assert world.path(node).stat().st_size == MIB


def test_descriptors_and_measures(world: World) -> None:
    node = world.add(b"", dirty=True)
    assert world.cache.measure(node.id) is None
    world.write(node, 0, b"hello")
    assert world.cache.measure(node.id) == (5, world.path(node).stat().st_mtime_ns)
    world.cache.settled(node)
    assert world.cache.measure(node.id) == (5, None)
    world.write(node, 0, b"hello!")
    assert world.cache.measure(node.id) == (6, world.path(node).stat().st_mtime_ns)
    descriptor = world.cache.descriptor(node)
    assert os.read(descriptor, 10) == b"hello!"
    os.close(descriptor)
    world.cache.sync(node)


def test_closing_does_not_hang(world: World) -> None:
    node = world.add(noise(MIB))
    world.vault.gate.clear()
    failed = []

    def read() -> None:
        with fails_with(errno.EIO):
            world.cache.read(node, 0, 1)
        failed.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    world.vault.entered.acquire()
    world.cache._hydration.close()
    world.cache._pool.close(0.1)
    reader.join(20)
    assert failed
