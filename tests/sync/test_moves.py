"""A move sends and fetches nothing, and loses nothing whatever meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Stale
from vaultsync.core.model import Verb
from vaultsync.sync.flight import LONG

if TYPE_CHECKING:
    from collections import Counter

    from tests.fakes import MemorySide
    from tests.sync.device import Device


def counting(side: MemorySide) -> Counter[str]:
    """How often each operation of a side is called from now on."""
    from collections import Counter

    found: Counter[str] = Counter()

    def count(name: str, _path: str) -> None:
        found[name] += 1

    side.fault = count
    return found


def move(side: MemorySide, old: str, new: str) -> None:
    """What `mv` does."""
    side.files[new] = side.files.pop(old)
    side.write(new, side.files[new].data, side.files[new].mode)


def both(device: Device, other: Device) -> None:
    for _ in range(2):
        device.settle()
        other.settle()


def test_a_moved_file_is_copied_in_the_vault_and_fetched_by_nobody(
    device: Device, other: Device
) -> None:
    device.local.write("z.txt", b"content")
    both(device, other)
    move(device.local, "z.txt", "a.txt")
    sent, fetched = counting(device.vault), counting(other.local)
    device.settle()
    other.settle()
    assert (sent["stage"], sent["borrow"], sent["open"]) == (0, 1, 0)
    assert (fetched["stage"], fetched["borrow"]) == (0, 1)
    assert other.local.tree() == device.local.tree() == {"a.txt": b"content"}
    assert device.store.row("a.txt").moved_from is None


@pytest.mark.parametrize("names", [("a/", "z/"), ("z/", "a/")])
def test_a_moved_folder_moves_each_file(
    device: Device, other: Device, names: tuple[str, str]
) -> None:
    old, new = names
    for number in range(40):
        device.local.write(f"{old}{number % 3}/{number}.txt", b"%08d" % (number // 2))
    both(device, other)
    for path in list(device.local.files):
        move(device.local, path, new + path.removeprefix(old))
    device.local.directories = {path for path in device.local.directories if path[0] == new[0]}
    sent, fetched = counting(device.vault), counting(other.local)
    device.settle()
    other.settle()
    assert (sent["stage"], sent["borrow"], sent["delete"]) == (0, 40, 40)
    assert (fetched["stage"], fetched["borrow"]) == (0, 40)
    assert other.local.tree() == device.local.tree()
    assert not any(path.startswith(old) for path in other.local.tree())


@pytest.mark.parametrize("here", [True, False], ids=["in the vault", "on the other device"])
def test_the_old_path_stays_while_a_large_file_is_copied_from_it(
    device: Device, other: Device, here: bool
) -> None:
    device.local.write("a.bin", bytes(LONG + 1))
    both(device, other)
    move(device.local, "a.bin", "z.bin")
    side, busy = (device.vault, device) if here else (other.local, other)
    found = counting(side)
    count = side.fault

    def take_long(name: str, path: str) -> None:
        count(name, path)
        if name == "borrow":
            for _ in range(100):
                busy.step()
                busy.clock.time += 0.1

    side.fault = take_long
    both(device, other)
    assert (found["stage"], found["borrow"]) == (0, 1)
    assert list(other.local.tree()) == list(device.local.tree()) == ["z.bin"]


def test_a_moved_and_edited_file_is_sent(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    both(device, other)
    device.local.remove("a.txt")
    device.local.write("b.txt", b"another")  # of the same size
    both(device, other)
    assert other.local.tree() == {"b.txt": b"another"}


def test_a_file_moved_on_both_devices_is_under_both_names(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    both(device, other)
    move(device.local, "a.txt", "b.txt")
    move(other.local, "a.txt", "c.txt")
    both(device, other)
    assert other.local.tree() == device.local.tree()
    assert device.local.tree() == {"b.txt": b"content", "c.txt": b"content"}


def test_opposite_moves_at_once_keep_both_contents(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content 1")
    device.local.write("b.txt", b"content 2")
    both(device, other)
    device.local.remove("b.txt")
    move(device.local, "a.txt", "b.txt")
    other.local.remove("a.txt")
    move(other.local, "b.txt", "a.txt")
    both(device, other)
    both(device, other)
    assert device.local.tree() == other.local.tree()
    kept = {*device.local.files.values(), *other.local.files.values()}
    lost = {*device.local.trash, *other.local.trash, *device.vault.trash}
    assert {b"content 1", b"content 2"} <= {version.data for version in kept} | lost


def test_two_names_are_swapped(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"one")
    device.local.write("b.txt", b"two")
    both(device, other)
    device.local.write("a.txt", b"two")
    device.local.write("b.txt", b"one")
    both(device, other)
    assert other.local.tree() == {"a.txt": b"two", "b.txt": b"one"}


def test_a_log_is_rotated(device: Device, other: Device) -> None:
    device.local.write("log", b"first day")
    both(device, other)
    move(device.local, "log", "log.1")
    device.local.write("log", b"x")
    both(device, other)
    assert other.local.tree() == {"log": b"x", "log.1": b"first day"}


def test_moved_there_and_back_with_the_same_bytes(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    both(device, other)
    move(device.local, "a.txt", "b.txt")
    device.settle()
    move(device.local, "b.txt", "a.txt")
    both(device, other)
    assert other.local.tree() == device.local.tree() == {"a.txt": b"content"}


def test_what_another_device_edited_before_the_move_is_kept(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    both(device, other)
    other.local.write("a.txt", b"edited there")
    other.settle()
    move(device.local, "a.txt", "b.txt")
    both(device, other)
    assert other.local.tree() == device.local.tree()
    assert device.local.tree() == {"a.txt": b"edited there", "b.txt": b"content"}


def test_the_source_vanishes_before_the_copy(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    both(device, other)
    move(device.local, "a.txt", "b.txt")

    def vanish(name: str, _path: str) -> None:
        if name == "borrow":
            device.vault.files.pop("a.txt", None)
            raise Stale("gone")

    device.vault.fault = vanish
    both(device, other)
    assert other.local.tree() == device.local.tree() == {"b.txt": b"content"}


def test_a_deletion_of_the_same_bytes_meets_the_copy(device: Device, other: Device) -> None:
    """Rule R6: another device's deletion of an older file of that name takes our copy away."""
    device.local.write("a.txt", b"content")
    both(device, other)
    move(device.local, "a.txt", "b.txt")
    hit: list[object] = []

    def late(name: str, path: str) -> None:
        # A DELETE with the ETag of these bytes, sent long ago, arrives after our copy.
        if name == "delete" and path == "a.txt" and not hit:
            hit.append(device.vault.files.pop("b.txt"))

    device.vault.fault = late
    both(device, other)
    assert hit
    assert device.local.tree() == other.local.tree() == {"b.txt": b"content"}
    assert not device.local.trash


def test_after_the_old_path_is_deleted_the_new_one_is_looked_at(device: Device) -> None:
    """Rule R6: at once, not with the next listing."""
    device.local.write("a.txt", b"content")
    device.settle()
    move(device.local, "a.txt", "b.txt")
    calls: list[tuple[str, str]] = []
    device.vault.fault = lambda name, path: calls.append((name, path))
    device.settle()
    after = calls[calls.index(("after delete", "a.txt")) :]
    assert ("look", "b.txt") in after
    assert "entries" not in [name for name, _ in after[: after.index(("look", "b.txt"))]]
    assert device.store.row("b.txt").moved_from is None


def test_another_file_of_the_same_size_is_no_move(device: Device) -> None:
    """A new file takes a freed inode at once, and may have the size; its content decides."""
    device.local.write("a.txt", b"content")
    device.settle()
    device.local.remove("a.txt")
    device.local.write("b.txt", b"another")
    calls = counting(device.vault)
    device.settle()
    assert (calls["borrow"], calls["stage"]) == (0, 1)
    assert device.vault.tree() == {"b.txt": b"another"}


def test_a_crash_after_the_copy_makes_no_second_one(device: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    move(device.local, "a.txt", "b.txt")

    def die(name: str, path: str) -> None:
        if name == "after commit" and path == "b.txt":
            raise KeyboardInterrupt

    device.vault.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.crash()
    calls = counting(device.vault)
    device.settle()
    assert device.vault.tree() == {"b.txt": b"content"}
    assert (calls["stage"], calls["borrow"]) == (0, 0)


def test_a_move_is_settled_after_a_crash(device: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    move(device.local, "a.txt", "b.txt")

    def die(name: str, path: str) -> None:
        if name == "after delete" and path == "a.txt":
            raise KeyboardInterrupt

    device.vault.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    assert [row.path for row in device.store.moved()] == ["b.txt"]
    device.vault.fault = lambda _name, _path: None
    device.crash()
    for _ in range(3):
        device.settle()
    assert device.local.tree() == device.vault.tree() == {"b.txt": b"content"}
    assert device.store.moved() == []


def test_a_move_is_settled_when_the_old_path_is_used_again(device: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    move(device.local, "a.txt", "b.txt")

    def use(name: str, path: str) -> None:
        if name == "after commit" and path == "b.txt":
            device.local.write("a.txt", b"a new one")

    device.vault.fault = use
    for _ in range(3):
        device.settle()
    assert device.local.tree() == device.vault.tree()
    assert device.local.tree() == {"a.txt": b"a new one", "b.txt": b"content"}
    assert device.store.moved() == []


def test_the_history_tells_of_a_move(device: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    move(device.local, "a.txt", "b.txt")
    device.settle()
    rows = device.store._db.execute("SELECT path, verb, reason FROM event ORDER BY id").fetchall()
    assert ("b.txt", Verb.PUSH.value, "moved from a.txt") in rows
