"""Faults of the database, as whoever uses the drive's rows meets them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Blocked
from vaultsync.state.connection import Damaged
from vaultsync.state.drive import DriveStore
from vaultsync.state.nodes import NodeRows
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = ("file", 0o644, 0, 0, 1, 0, 0, 0, 0, 0, 0, None, 0, 1, None, 2, 0, 0, None, None, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DriveStore]:
    Store(tmp_path / "state.db").close()
    with DriveStore(tmp_path / "state.db") as made:
        yield made


def limit(store: DriveStore) -> None:
    """No more room on the disk."""
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_blocked_and_undoes_all(store: DriveStore) -> None:
    rows = NodeRows(store)
    limit(store)

    def fill() -> None:
        with store.transaction():
            for number in range(10_000):
                rows.insert(FILE)
                rows.set_attribute(number, b"user.x", bytes(500))

    with pytest.raises(Blocked, match="state") as blocked:
        fill()
    assert getattr(blocked.value.__cause__, "sqlite_errorname", "") == "SQLITE_FULL"
    assert rows.dirty() == {}
    with store.transaction():
        pass


def test_a_broken_file_is_damaged_wherever_it_is_read(store: DriveStore, tmp_path: Path) -> None:
    rows = NodeRows(store)
    with store.transaction():
        for number in range(2000):
            rows.add(1, b"%05d" % number, number + 2)
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.db.execute("PRAGMA shrink_memory")
    content = bytearray((tmp_path / "state.db").read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(Damaged):
        rows.children(1)
    with pytest.raises(Damaged), store.transaction():
        rows.add(1, b"x", 2)
    with store.lock, pytest.raises(Damaged):
        for _ in store.db.execute("SELECT * FROM name"):
            pass


def test_a_mistake_of_ours_stays_one(store: DriveStore) -> None:
    rows = NodeRows(store)

    def twice() -> None:
        with store.transaction():
            rows.add(1, b"x", 2)
            rows.add(1, b"x", 2)

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    assert rows.find(1, b"x") == 0


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Blocked):
        DriveStore(tmp_path / "missing.db")


def test_the_engines_rows_tell_of_damage_too(tmp_path: Path) -> None:
    with Store(tmp_path / "state.db") as store:
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store._db.execute("PRAGMA shrink_memory")
        (tmp_path / "state.db").write_bytes(b"no database " * 10_000)
        with pytest.raises(Damaged):
            store.row("a")
