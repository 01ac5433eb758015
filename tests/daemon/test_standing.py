"""How paths of a real database stand, with the engine's word on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from vaultsync.core.errors import NotFound, Retry
from vaultsync.core.model import (
    Base,
    Entry,
    Held,
    Kind,
    Row,
    State,
    Status,
    Transfer,
    Verb,
    Waiting,
)  # fmt: skip
from vaultsync.core.safety import Guard, Hold
from vaultsync.core.standing import Condition, Shown
from vaultsync.daemon.standing import Standings
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.sync.engine import Engine

FILE = Entry(Kind.FILE, 1, "tag", "ab" * 32)
AGREED = Base(Kind.FILE, 1, "ab" * 32, "tag", "tag")


def engine(
    *transfers: Transfer,
    waiting: tuple[Waiting, ...] = (),
    held: tuple[Held, ...] = (),
    trouble: Retry | None = None,
    state: State = State.IDLE,
) -> Engine:
    guards = SimpleNamespace(held=held, conflicts=())
    status = Status(state, transfers=transfers)
    error = None if trouble is None else (trouble, 1)
    made = SimpleNamespace(
        guards=guards, status=status, waiting=waiting, trouble=error, tries_again=9.0
    )
    return cast("Engine", made)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as made:
        with made.transaction():
            made.save([
                Row("d/", None, Base(Kind.DIR, 0, "", "full", "full"), None),
                Row("d/equal", FILE, AGREED, FILE),
                Row("d/gone", None, AGREED, FILE),
                Row("d/new", FILE),
                Row("e", FILE, AGREED, FILE),
            ])  # fmt: skip
        yield made


def show(*folders: str, whole: bool = True) -> Callable[[str], Shown | None]:
    there = {"d/equal", "d/new", "e", "d/x.log"}
    return lambda path: (
        Shown(directory=True)
        if path in ("", "d", *folders)
        else Shown(directory=False, whole=whole)
        if path in there
        else None
    )


def rule(path: str) -> str | None:
    return "*.log" if path.rstrip("/").endswith(".log") else None


def test_a_folder_tells_how_many_files_stand_how(store: Store) -> None:
    blocked = Waiting("d/socket", "blocked", "It is a socket.")
    found = Standings(store, engine(waiting=(blocked,)), rule).tell("d", show())
    assert found.condition is None
    assert found.counts == {"error": 1, "pending": 2, "synced": 1}
    whole = Standings(store, engine(waiting=(blocked,)), rule).tell("", show())
    assert whole.counts == {"error": 1, "pending": 2, "synced": 2}
    empty = Standings(store, engine(), rule).tell("empty", show("empty"))
    assert empty.counts == {}


def test_a_folder_of_the_vault_alone_is_one_too(store: Store) -> None:
    found = Standings(store, engine(), rule).tell("d/", lambda _: None)
    assert found.counts is not None


def test_what_nobody_knows_is_not_found(store: Store) -> None:
    told = Standings(store, engine(), rule)
    with pytest.raises(NotFound):
        told.tell("d/nothing", show())
    assert told.tell("d/x.log", show()).condition is Condition.IGNORED
    assert told.tell("x.log", show("x.log")).condition is Condition.IGNORED


def test_a_transfer_and_a_guard_are_told_of(store: Store) -> None:
    sending = engine(Transfer(Verb.PUSH, "d/new", 1, 0.0))
    assert Standings(store, sending, rule).tell("d/new", show()).condition is Condition.UPLOADING
    guard = Guard.DELETIONS_THERE
    with store.transaction():
        store.held.set_hold(guard, Hold(1.0, 1))
    holding = engine(held=(Held(str(guard), "Many.", 1, 1.0),))
    held = Standings(store, holding, rule).tell("d/gone", show())
    assert (held.condition, held.reason) == (Condition.HELD, "Many.")
    assert Standings(store, holding, rule).tell("e", show()).condition is Condition.SYNCED


def test_what_everything_waits_for(store: Store) -> None:
    offline = Retry("Nobody answers.", "Look.")
    found = Standings(store, engine(trouble=offline), rule).tell("d/new", show())
    assert (found.reason, found.next_try) == ("Nobody answers.", 9.0)
    assert Standings(store, None, rule, offline).tell("d/new", show()).reason == "Nobody answers."
    assert "starting" in Standings(store, None, rule).tell("d/new", show()).reason
    paused = Standings(store, engine(state=State.PAUSED), rule).tell("d/new", show())
    assert "resume" in paused.hint
