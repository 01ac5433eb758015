"""A snapshot is a version that the file had at one moment, or there is none."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.local.hooked import Hooked
from vaultsync.core.errors import Blocked, Stale
from vaultsync.local import content, snapshot
from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.worlds import DiskWorld
    from vaultsync.core.model import Entry


class Cloning(SystemFiles):
    """A file system that can share blocks: nothing comes between the bytes of one clone."""

    def clone(self, source: int, target: int) -> None:
        os.pwrite(target, self.read(source, 0, 1 << 30), 0)


@pytest.fixture
def hooked() -> Hooked:
    """Shadows the fixture of the others: the file system cannot clone."""
    hooked = Hooked()

    def refuse() -> None:
        raise OSError(errno.EOPNOTSUPP, "no clones here")

    for _ in range(10):
        hooked.before("clone", refuse)
    return hooked


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (content, snapshot):
        monkeypatch.setattr(module, "CHUNK", 100)


def seen(folder: DiskWorld, path: str = "f") -> Entry:
    entry = folder.side.look(path)
    assert entry is not None
    return entry


def edit(folder: DiskWorld, where: int, data: bytes) -> Callable[[], None]:
    def write() -> None:
        with (folder.root / "f").open("r+b") as file:
            file.seek(where, os.SEEK_END if where < 0 else os.SEEK_SET)
            file.write(data)

    return write


def append(folder: DiskWorld, data: bytes) -> Callable[[], None]:
    def write() -> None:
        with (folder.root / "f").open("ab") as file:
            file.write(data)

    return write


def read(folder: DiskWorld) -> bytes:
    with folder.side.snapshot("f", seen(folder)) as taken:
        data = b"".join(taken.chunks())
        assert taken.entry.size == len(data)
        assert taken.read(0, 10) == data[:10]
        return data


def test_a_file_that_holds_still(folder: DiskWorld) -> None:
    folder.put_behind("f", b"x" * 350)
    entry = seen(folder)
    with folder.side.snapshot("f", entry) as taken:
        assert b"".join(taken.chunks()) == b"x" * 350
        assert taken.entry.tag == entry.tag
        assert (taken.entry.mtime_ns, taken.entry.mode) == (entry.mtime_ns, entry.mode)
        assert taken.entry.sha256 == taken.sha256() == folder.side.identify("f", entry).sha256


def test_a_file_of_another_inode_is_as_good(folder: DiskWorld) -> None:
    folder.put_behind("f", b"old")
    entry = seen(folder)
    folder.put_behind("g", b"new")
    (folder.root / "g").rename(folder.root / "f")
    with folder.side.snapshot("f", entry) as taken:
        assert b"".join(taken.chunks()) == b"new"


def test_later_writes_do_not_reach_it(folder: DiskWorld) -> None:
    folder.put_behind("f", b"x" * 350)
    with folder.side.snapshot("f", seen(folder)) as taken:
        folder.put_behind("f", b"y" * 350)
        assert b"".join(taken.chunks()) == b"x" * 350
        assert taken.entry.tag != seen(folder).tag


def test_appends_while_it_is_copied_are_no_harm(folder: DiskWorld, hooked: Hooked) -> None:
    folder.put_behind("f", b"".join(b"line %4d\n" % number for number in range(100)))
    for number in range(7):
        hooked.before("write", append(folder, b"late %4d\n" % number))
    data = read(folder)
    assert data == (folder.root / "f").read_bytes()[: len(data)]
    assert len(data) >= 1000


@pytest.mark.parametrize(
    ("first", "second"), [(first, second) for first in range(6) for second in range(first + 1, 9)]
)
def test_appends_with_changes_before_them_make_no_mixture(
    folder: DiskWorld, hooked: Hooked, first: int, second: int
) -> None:
    """As a database does: a page is added, and another one says so."""
    versions = [b"1" * 350, b"2" + b"1" * 349 + b"2" * 100, b"2" + b"1" * 349 + b"3" * 200]
    folder.put_behind("f", versions[0])

    def add_one() -> None:
        append(folder, b"2" * 100)()
        edit(folder, 0, b"2")()

    def add_another() -> None:
        append(folder, b"3" * 100)()
        edit(folder, 350, b"3" * 100)()

    at_read(hooked, first, add_one)
    at_read(hooked, second, add_another)
    assert read(folder) in versions
    hooked.forget()


def at_read(hooked: Hooked, number: int, action: Callable[[], None]) -> None:
    """Let something happen right before the read of that number, counted from here."""

    def count_down(left: int) -> Callable[[], None]:
        return action if left == 0 else lambda: hooked.before("read", count_down(left - 1))

    hooked.before("read", count_down(number))


def test_a_file_that_is_rewritten_all_the_time_gives_none(
    folder: DiskWorld, hooked: Hooked
) -> None:
    folder.put_behind("f", b"x" * 350)
    rounds = iter(range(10_000))

    def rewrite() -> None:
        edit(folder, 0, b"%05d" % next(rounds))()
        hooked.before("read", rewrite)

    hooked.before("read", rewrite)
    with pytest.raises(Stale, match="rewritten"):
        folder.side.snapshot("f", seen(folder))


@pytest.mark.parametrize("fate", ["shorter", "gone", "directory"])
def test_a_file_that_is_not_there_any_more(folder: DiskWorld, hooked: Hooked, fate: str) -> None:
    folder.put_behind("f", b"x" * 350)
    entry = seen(folder)
    if fate == "shorter":
        hooked.after("read", lambda: os.truncate(folder.root / "f", 50))
        assert read(folder) == b"x" * 50
        return
    (folder.root / "f").unlink()
    if fate == "directory":
        (folder.root / "f").mkdir()
    with pytest.raises((Stale, Blocked)):
        folder.side.snapshot("f", entry)


def test_nothing_stays_behind(folder: DiskWorld) -> None:
    folder.put_behind("f", b"x" * 350)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with folder.side.snapshot("f", seen(folder)):
        assert not list((folder.root / ".vaultsync/staging").iterdir())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_clone_is_taken_where_there_are_clones(folder: DiskWorld, hooked: Hooked) -> None:
    hooked.forget()
    hooked.real = Cloning()
    folder.put_behind("f", b"x" * 350)
    hooked.after("clone", edit(folder, 0, b"yyyyy"))
    entry = seen(folder)
    with folder.side.snapshot("f", entry) as taken:
        assert b"".join(taken.chunks()) == b"x" * 350
        assert taken.entry.tag == entry.tag
        assert "write" not in hooked.calls[hooked.calls.index("clone") :]


def test_a_log_that_never_pauses(
    folder: DiskWorld, hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real writer, as fast as it can."""
    for module in (content, snapshot):
        monkeypatch.setattr(module, "CHUNK", 10_000)
    hooked.forget()
    ending = threading.Event()
    (folder.root / "f").write_bytes(b"")

    def write() -> None:
        number = 0
        with (folder.root / "f").open("ab", buffering=0) as file:
            while not ending.is_set():
                file.write(b"line %8d\n" % number)
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            data = read(folder)
            lines = [b"line %8d\n" % number for number in range(len(data) // 14)]
            assert data == b"".join(lines)
    finally:
        ending.set()
        writer.join()


def test_a_file_that_was_moved_meanwhile_is_not_what_was_there(
    folder: DiskWorld, hooked: Hooked
) -> None:
    (folder.root / "f").write_bytes(b"x" * 50)
    entry = seen(folder)

    def move_and_write() -> None:
        (folder.root / "f").rename(folder.root / "g")
        (folder.root / "g").write_bytes(b"y" * 70)

    hooked.before("create", move_and_write)
    with pytest.raises(Stale):
        folder.side.snapshot("f", entry)
