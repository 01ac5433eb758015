"""The trash beyond synchronisation: nothing in it is lost that somebody still has use for."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock
from tests.local.seeing import hidden, look, shown
from vaultsync.core.errors import Blocked, NotFound
from vaultsync.core.model import Emptied
from vaultsync.local.disk import Disk
from vaultsync.local.files import SystemFiles
from vaultsync.local.recovery import ORPHANS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.worlds import DiskWorld
    from tests.local.hooked import Hooked
    from vaultsync.core.model import Trashed

SOON = 9e9
"""A time that everything in a trash came before."""


def put(folder: DiskWorld, path: str, data: bytes = b"data") -> Path:
    file = folder.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(10**18, 10**18))
    return file


def bin_it(folder: DiskWorld, path: str, data: bytes = b"data") -> Trashed:
    """Write a file and let a remote deletion take it away; its item in the trash."""
    put(folder, path, data)
    folder.disk.delete(path, look(folder, path))
    return folder.disk.bin.items(path)[0]


def control(folder: DiskWorld) -> Path:
    return folder.root / ".vaultsync"


def in_trash(folder: DiskWorld, item: Trashed) -> Path:
    return control(folder) / "trash" / item.id


def test_items_are_listed_newest_first_with_size_and_time(folder: DiskWorld) -> None:
    assert folder.disk.bin.items() == []
    begun = time.time()
    for number in range(5):
        bin_it(folder, f"some/deep/{number}.txt", b"x" * number)
    bin_it(folder, "some.txt")
    items = folder.disk.bin.items()
    assert [item.path for item in items] == [
        "some.txt", *(f"some/deep/{number}.txt" for number in (4, 3, 2, 1, 0)),
    ]  # fmt: skip
    assert [item.size for item in items] == [4, 4, 3, 2, 1, 0]
    assert all(begun <= item.at <= time.time() for item in items)
    assert len(folder.disk.bin.items("some")) == 5
    assert [item.path for item in folder.disk.bin.items("some/deep/3.txt")] == ["some/deep/3.txt"]


def test_a_trash_without_notes_is_listed_all_the_same(folder: DiskWorld) -> None:
    item = bin_it(folder, "a/b.txt")
    for file in (control(folder) / "trashed").iterdir():
        file.unlink()
    (found,) = folder.disk.bin.items()
    assert (found.id, found.path, found.size) == (item.id, item.path, item.size)
    assert abs(found.at - item.at) < 60


def test_a_torn_note_harms_no_other(folder: DiskWorld) -> None:
    bin_it(folder, "first.txt")
    (notes,) = (control(folder) / "trashed").iterdir()
    notes.write_bytes(notes.read_bytes() + b'\n["sec')
    second = bin_it(folder, "second.txt")
    in_trash(folder, second).write_bytes(b"written on")
    # Without its note, nothing would show it any more.
    os.utime(in_trash(folder, second), ns=(10**18, 10**18))
    assert [found.path for found in folder.disk.bin.returns()] == ["second.txt"]


def test_an_item_is_put_back_where_it_was(folder: DiskWorld) -> None:
    item = bin_it(folder, "a/b/c.txt", b"wanted")
    (folder.root / "a/b").rmdir()
    assert folder.disk.bin.put_back(item.id) == "a/b/c.txt"
    assert shown(folder.root) == {"a/b/c.txt": b"wanted"}
    assert list((control(folder) / "trash").iterdir()) == []
    assert list((control(folder) / "trashed").iterdir()) == []


def test_putting_back_replaces_nothing(folder: DiskWorld) -> None:
    names = []
    for number in range(3):
        item = bin_it(folder, "report.pdf", b"old %d" % number)
        put(folder, "report.pdf", b"new")
        names.append(folder.disk.bin.put_back(item.id))
    assert names == ["report (restored).pdf", "report (restored 2).pdf", "report (restored 3).pdf"]
    assert shown(folder.root) == {
        "report.pdf": b"new",
        **{name: b"old %d" % number for number, name in enumerate(names)},
    }


def test_a_file_that_appears_at_the_last_moment_is_not_replaced(
    folder: DiskWorld, hooked: Hooked
) -> None:
    item = bin_it(folder, "f", b"old")

    def appear() -> None:
        put(folder, "f", b"new")

    hooked.before("move", appear)
    assert folder.disk.bin.put_back(item.id) == "f (restored)"
    assert shown(folder.root) == {"f": b"new", "f (restored)": b"old"}


def test_a_folder_that_is_moved_away_meanwhile_takes_nothing_along(
    folder: DiskWorld, hooked: Hooked, tmp_path: Path
) -> None:
    item = bin_it(folder, "a/f", b"old")
    away = tmp_path / "away"

    def move_away() -> None:
        (folder.root / "a").rename(away)

    hooked.before("move", move_away)
    with pytest.raises(Blocked):
        folder.disk.bin.put_back(item.id)
    assert list(away.iterdir()) == []
    assert in_trash(folder, item).read_bytes() == b"old"


def test_a_folder_that_is_moved_away_meanwhile_takes_no_edit_along(
    folder: DiskWorld, hooked: Hooked, tmp_path: Path
) -> None:
    item = bin_it(folder, "a/f", b"old")
    in_trash(folder, item).write_bytes(b"an edit")
    away = tmp_path / "away"

    def move_away() -> None:
        (folder.root / "a").rename(away)

    hooked.before("move", move_away)
    assert folder.disk.bin.returns() == []
    assert list(away.iterdir()) == []
    (found,) = folder.disk.bin.returns()
    assert shown(folder.root) == {found.kept: b"an edit"}


def test_an_item_is_put_elsewhere(folder: DiskWorld) -> None:
    item = bin_it(folder, "f", b"old")
    assert folder.disk.bin.put_back(item.id, "other/place.txt") == "other/place.txt"
    assert shown(folder.root) == {"other/place.txt": b"old"}


@pytest.mark.parametrize(
    "item", ["", "x", "2026-01-01", "2026-01-01/", "2026-01-01/f", "../marker", "2026-01-01/../x"]
)
def test_what_is_not_in_the_trash_is_not_found(folder: DiskWorld, item: str) -> None:
    bin_it(folder, "f")
    with pytest.raises(NotFound):
        folder.disk.bin.put_back(item)


def test_a_folder_of_the_trash_is_no_item(folder: DiskWorld) -> None:
    item = bin_it(folder, "a/b")
    with pytest.raises(NotFound):
        folder.disk.bin.put_back(item.id.removesuffix("/b"))


@pytest.mark.parametrize("target", ["file/x", ".vaultsync/marker", "../out", "link/x"])
def test_nothing_is_put_where_it_cannot_be(folder: DiskWorld, tmp_path: Path, target: str) -> None:
    item = bin_it(folder, "f", b"old")
    put(folder, "file", b"a file")
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.root / "link").symlink_to(outside)
    with pytest.raises(Blocked):
        folder.disk.bin.put_back(item.id, target)
    assert in_trash(folder, item).read_bytes() == b"old"
    assert list(outside.iterdir()) == []


def test_emptying_removes_what_is_older_than_asked_and_nothing_else(folder: DiskWorld) -> None:
    bin_it(folder, "a/old.txt", b"12345")
    between = time.time()
    bin_it(folder, "a/young.txt")
    assert folder.disk.bin.empty(between) == Emptied(1, 5, 0)
    assert [item.path for item in folder.disk.bin.items()] == ["a/young.txt"]
    assert folder.disk.bin.empty(SOON) == Emptied(1, 4, 0)
    assert list((control(folder) / "trash").iterdir()) == []
    assert folder.disk.bin.empty(SOON) == Emptied()


@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_what_a_program_has_open_is_not_removed(folder: DiskWorld, mode: str) -> None:
    file = put(folder, "open.txt", b"data")
    with file.open(mode):
        folder.disk.delete("open.txt", look(folder, "open.txt"))
        bin_it(folder, "closed.txt")
        assert folder.disk.bin.empty(SOON) == Emptied(1, 4, 1)
        assert [item.path for item in folder.disk.bin.items()] == ["open.txt"]
    assert folder.disk.bin.empty(SOON) == Emptied(1, 4, 0)


def test_where_nobody_can_tell_what_is_young_stays(folder: DiskWorld, hooked: Hooked) -> None:
    bin_it(folder, "f")
    hooked.fail("claim", errno.EINVAL)
    assert folder.disk.bin.empty(SOON) == Emptied(0, 0, 1)
    assert hidden(folder.root, "trash") == [b"data"]


def test_links_are_removed_and_not_what_they_lead_to(folder: DiskWorld, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"outside")
    (folder.root / "link").symlink_to(tmp_path / "target")
    folder.disk.delete("link", look(folder, "link"))
    assert folder.disk.bin.empty(SOON).files == 1
    assert (tmp_path / "target").read_bytes() == b"outside"


def test_what_is_written_to_in_the_trash_comes_back_as_a_conflict_copy(folder: DiskWorld) -> None:
    file = put(folder, "gone/letter.txt", b"dear")
    with file.open("ab") as editor:
        folder.disk.delete("gone/letter.txt", look(folder, "gone/letter.txt"))
        file.parent.rmdir()
        assert folder.disk.bin.returns() == []
        editor.write(b" all")
        editor.flush()
        (found,) = folder.disk.bin.returns()
        editor.write(b" of you")
    assert found.path == "gone/letter.txt"
    assert found.kept.startswith("gone/letter (conflict ")
    assert shown(folder.root) == {found.kept: b"dear all of you"}
    assert folder.disk.bin.returns() == []
    assert folder.disk.bin.items() == []


def test_it_comes_back_also_when_a_crash_kept_its_note_from_being_written(
    folder: DiskWorld,
) -> None:
    for name in ("written.txt", "left.txt"):
        put(folder, name, b"dear")
    with (folder.root / "written.txt").open("ab") as editor:
        for name in ("written.txt", "left.txt"):
            folder.disk.delete(name, look(folder, name))
        for file in (control(folder) / "trashed").iterdir():
            file.unlink()
        assert folder.disk.bin.returns() == []
        editor.write(b" all")
    assert [found.path for found in folder.disk.bin.returns()] == ["written.txt"]


def test_it_comes_back_also_when_the_note_is_that_of_an_earlier_item(
    folder: DiskWorld, hooked: Hooked
) -> None:
    earlier = bin_it(folder, "letter.txt", b"earlier")
    bin_it(folder, "another.txt")
    folder.disk.bin.put_back(earlier.id)
    put(folder, "letter.new", b"dear").rename(folder.root / "letter.txt")
    with (folder.root / "letter.txt").open("ab") as editor:
        hooked.fail("append", errno.ENOSPC)
        folder.disk.delete("letter.txt", look(folder, "letter.txt"))
        editor.write(b" all")
    assert folder.disk.bin.empty(SOON) == Emptied(1, 4, 1)
    (found,) = folder.disk.bin.returns()
    assert shown(folder.root) == {found.kept: b"dear all"}


def test_it_comes_back_whatever_its_folder_is_called(folder: DiskWorld) -> None:
    with put(folder, f"{ORPHANS}/letter.txt", b"dear").open("ab") as editor:
        folder.disk.delete(f"{ORPHANS}/letter.txt", look(folder, f"{ORPHANS}/letter.txt"))
        editor.write(b" all")
    assert folder.disk.bin.empty(SOON) == Emptied(0, 0, 1)
    (found,) = folder.disk.bin.returns()
    assert shown(folder.root) == {found.kept: b"dear all"}


def test_what_gets_the_name_of_an_item_at_the_last_moment_is_not_removed(
    folder: DiskWorld, hooked: Hooked
) -> None:
    first = bin_it(folder, "f", b"first")
    bin_it(folder, "keeps the shelf")
    put(folder, "g", b"second")

    def another() -> None:
        folder.disk.bin.put_back(first.id, "first")
        (folder.root / "g").rename(folder.root / "f")
        folder.disk.delete("f", look(folder, "f"))

    other = threading.Thread(target=another)

    def meanwhile() -> None:
        other.start()
        other.join(1)

    hooked.before("unlink", meanwhile)
    folder.disk.bin.empty(first.at + 1e-6)
    other.join()
    contents = [*shown(folder.root).values(), *hidden(folder.root, "trash")]
    assert b"second" in contents


def test_what_was_only_touched_stays_in_the_trash(folder: DiskWorld) -> None:
    item = bin_it(folder, "f")
    in_trash(folder, item).touch()
    assert folder.disk.bin.returns() == []


def test_one_of_several_names_stays_in_the_trash(folder: DiskWorld) -> None:
    file = put(folder, "f")
    os.link(file, folder.root / "second name")
    folder.disk.delete("f", look(folder, "f"))
    (folder.root / "second name").write_bytes(b"written under its other name")
    assert folder.disk.bin.returns() == []


def test_what_was_written_to_is_not_removed(folder: DiskWorld) -> None:
    item = bin_it(folder, "f")
    in_trash(folder, item).write_bytes(b"an edit")
    assert folder.disk.bin.empty(SOON) == Emptied(0, 0, 1)
    assert [found.path for found in folder.disk.bin.returns()] == ["f"]
    assert list(shown(folder.root).values()) == [b"an edit"]


def lived(folder: DiskWorld, days: int) -> None:
    """Let the last so many days have been seen to pass."""
    seen = [time.time() - day * 86_400 for day in range(days)]
    lines = [time.strftime("%Y-%m-%d\n", time.localtime(day)) for day in seen]
    (control(folder) / "trashed/days").write_text("".join(lines))


def test_age_removes_what_is_old(folder: DiskWorld) -> None:
    lived(folder, 40)
    bin_it(folder, "f")
    assert folder.disk.bin.age(1, 1.0) == Emptied()
    old = control(folder) / "trash" / "2020-01-01" / "old.txt"
    old.parent.mkdir()
    old.write_bytes(b"older")
    os.utime(old, ns=(10**18, 10**18))
    assert folder.disk.bin.age(30, 1.0) == Emptied(1, 5, 0)
    assert [item.path for item in folder.disk.bin.items()] == ["f"]


def test_a_clock_that_was_set_ahead_makes_nothing_old(folder: DiskWorld) -> None:
    clock = FakeClock()
    clock.wrong = time.time() - clock.time

    def look_after(share: float = 1.0) -> int:
        """Look after the trash, by a process that has just begun."""
        disk = Disk(folder.root, "laptop", clock, lambda _path: False, folder.disk.bind())
        return disk.bin.age(30, share).files

    bin_it(folder, "f")
    for _ in range(20):
        assert look_after() == 0
        clock.time += 86_400
    for jump in (31, 400):
        clock.wrong += jump * 86_400
        assert look_after() == look_after() == 0
        clock.wrong -= jump * 86_400
    for _ in range(11):
        assert look_after() == 0
        clock.time += 86_400
    assert look_after() == 1


def test_a_clock_that_was_set_ahead_makes_nothing_too_much(folder: DiskWorld) -> None:
    clock = FakeClock()
    clock.wrong = time.time() - clock.time
    marker = folder.disk.bind()
    aged = Disk(folder.root, "laptop", clock, lambda _path: False, marker).bin
    bin_it(folder, "f")
    assert aged.age(30, 0.0) == Emptied()
    clock.wrong += 400 * 86_400
    assert aged.age(30, 0.0) == Emptied()
    clock.time += 2 * 86_400
    assert aged.age(30, 0.0) == Emptied(1, 4, 0)


def test_age_removes_the_oldest_of_what_is_too_much(folder: DiskWorld) -> None:
    lived(folder, 3)
    for days, name in ((4, "first"), (3, "second"), (2, "third")):
        shelf = time.strftime("%Y-%m-%d", time.localtime(time.time() - days * 86_400))
        put(folder, f".vaultsync/trash/{shelf}/{name}", b"x" * 100)
    assert folder.disk.bin.age(30, share_of(folder, 250)) == Emptied(1, 100, 0)
    assert [item.path for item in folder.disk.bin.items()] == ["third", "second"]


def test_holes_take_no_room(folder: DiskWorld) -> None:
    lived(folder, 3)
    file = put(folder, ".vaultsync/trash/2026-01-01/f")
    os.truncate(file, 1 << 30)
    os.utime(file, ns=(10**18, 10**18))
    assert folder.disk.bin.age(36_500, share_of(folder, 1 << 29)) == Emptied()


def test_what_came_within_a_day_stays_however_much_it_is(folder: DiskWorld) -> None:
    bin_it(folder, "f", b"x" * 100)
    assert folder.disk.bin.age(30, share_of(folder, 50)) == Emptied()
    assert hidden(folder.root, "trash") == [b"x" * 100]


def test_nothing_is_too_much_for_a_disk_of_unknown_size(folder: DiskWorld, hooked: Hooked) -> None:
    hooked.real = OfUnknownSize()
    lived(folder, 3)
    put(folder, ".vaultsync/trash/2026-01-01/f")
    assert folder.disk.bin.age(36_500, 0.1) == Emptied()
    assert hidden(folder.root, "trash") == [b"data"]


def share_of(folder: DiskWorld, size: int) -> float:
    """Which part of the disk so many bytes are."""
    total = os.statvfs(folder.root)
    return size / (total.f_blocks * total.f_frsize)


class OfUnknownSize(SystemFiles):
    """A network file system that does not know its size."""

    def space(self, directory: int) -> tuple[int, int]:
        return 0, 0
