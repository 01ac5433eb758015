"""A database of an earlier version becomes one of today's, with all that was in it."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from vaultsync.core.errors import Fatal
from vaultsync.core.model import Base, Entry, Kind, Row
from vaultsync.state.store import Store

FIRST = Path(__file__).with_name("schema_1.sql")


def old(file: Path) -> sqlite3.Connection:
    """A database as version 1 made it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.executescript(FIRST.read_text())
    return connection


def shape(file: Path) -> set[tuple[str, ...]]:
    """Tables with their columns in any order, and indexes and triggers as they were written."""
    connection = sqlite3.connect(file)
    found: set[tuple[str, ...]] = set()
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind == "table":
            for column in connection.execute(f"PRAGMA table_xinfo({name})"):
                found.add((name, *map(str, column[1:])))
        else:
            found.add((kind, name, re.sub(r"\s+", " ", sql or "")))
    connection.close()
    return found


def test_an_upgraded_database_has_the_shape_of_a_new_one(tmp_path: Path) -> None:
    old(tmp_path / "old.db").close()
    Store(tmp_path / "old.db").close()
    Store(tmp_path / "new.db").close()
    assert shape(tmp_path / "old.db") == shape(tmp_path / "new.db")


def test_what_was_in_it_is_still_there(tmp_path: Path) -> None:
    connection = old(tmp_path / "state.db")
    connection.execute(
        "INSERT INTO path (path, l_kind, l_size, l_tag, b_kind, b_size, b_sha256, b_ltag, b_rtag,"
        " b_gone, r_kind, r_size, r_tag) VALUES"
        " ('a', 'file', 3, 't', 'file', 3, 'aa', 't', 'e', 1, 'file', 3, 'e')"
    )
    base = '{"kind":"file","size":3,"sha256":"aa","local_tag":"t","remote_tag":"","ops":["op"]}'
    connection.execute("INSERT INTO intent VALUES ('op', 'a', ?, 5.0)", (base,))
    connection.execute("INSERT INTO meta VALUES ('binding', 'b')")
    connection.close()
    with Store(tmp_path / "state.db") as store:
        assert store.row("a") == Row(
            "a",
            Entry(Kind.FILE, 3, "t"),
            Base(Kind.FILE, 3, "aa", "t", "e"),
            Entry(Kind.FILE, 3, "e"),
            store.row("a").local_absence,
            store.row("a").remote_absence,
            local_gone=True,
            intents=("op",),
        )
        assert store.intended("op", "a") == Base(Kind.FILE, 3, "aa", "t", "", ops=("op",))
        assert store.meta("binding") == "b"
        assert store.totals() == (1, 3)


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    connection = old(tmp_path / "state.db")
    connection.execute("CREATE TABLE event (other)")
    connection.close()
    before = shape(tmp_path / "state.db")
    with pytest.raises(Fatal):
        Store(tmp_path / "state.db")
    assert shape(tmp_path / "state.db") == before
