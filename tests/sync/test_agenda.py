"""What makes or changes something comes before what deletes, however much is planned at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vaultsync.core.model import Base, Entry, Kind, Row, Verb
from vaultsync.state.store import Store
from vaultsync.sync.agenda import PLANS, Agenda

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = Base(Kind.FILE, 1, "digest", "local", "remote")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state.db")
    yield store
    store.close()


def show(store: Store, *rows: Row) -> None:
    with store.transaction():
        store.save(rows)


def gone(path: str) -> Row:
    return Row(path, base=BASE, remote=Entry(Kind.FILE, 1, "remote"))


def new(path: str) -> Row:
    return Row(path, local=Entry(Kind.FILE, 1, "local"))


def test_what_is_noticed_while_deletions_wait_goes_before_them(store: Store) -> None:
    busy = [True]
    agenda = Agenda(store, lambda: busy[0])
    old = [f"old {number}" for number in range(PLANS + 1)]
    for path in old:
        show(store, gone(path))
        agenda.changed.add(path)
        assert agenda.take() is None
        assert agenda.stalled
    show(store, new("new"))
    agenda.changed.add("new")
    busy[0] = False
    found = [agenda.take() for _ in range(len(old) + 1)]
    assert [action and (action.verb, action.path) for action in found] == [
        (Verb.PUSH, "new"),
        *((Verb.DELETE_REMOTE, path) for path in old),
    ]
    assert agenda.take() is None
    assert not agenda


def test_a_deletion_that_waited_is_planned_afresh(store: Store) -> None:
    busy = [True]
    agenda = Agenda(store, lambda: busy[0])
    show(store, gone("a"), gone("b"))
    assert agenda.take() is None
    show(store, Row("a", Entry(Kind.FILE, 1, "local"), BASE, Entry(Kind.FILE, 1, "remote")))
    busy[0] = False
    action = agenda.take()
    assert action is not None
    assert (action.verb, action.path) == (Verb.DELETE_REMOTE, "b")
    assert agenda.take() is None
