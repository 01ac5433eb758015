"""The history: read by path, in pages, newest first; pruned from its old end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.model import Deed, Event, Verb
from vaultsync.state import events as module
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COPY = "a/f (conflict laptop 2026-11-23 143005 3f9a1c).txt"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as made:
        yield made


def record(store: Store, *events: Event) -> None:
    with store.transaction():
        for event in events:
            store.events.record(event)


def numbered(*paths: str) -> list[Event]:
    return [Event(float(n), path, Verb.PUSH, "why") for n, path in enumerate(paths, 1)]


def test_an_event_comes_back_as_it_was(store: Store) -> None:
    full = Event(1.5, "a b", Verb.CONFLICT, "why", 7, "ab" * 32, "v1", "kept")
    record(store, full, *(Event(2.0, "", deed, "why") for deed in Deed))
    found = store.events.read()[::-1]
    assert found[0] == replace(full, id=1)
    assert [event.verb for event in found[1:]] == list(Deed)


def test_reading_is_newest_first_and_in_pages(store: Store) -> None:
    record(store, *numbered(*(f"f{n}" for n in range(10))))
    with store.reader() as reader:
        first = reader.events.read(limit=4)
        second = reader.events.read(limit=4, before=first[-1].id)
        third = reader.events.read(limit=4, before=second[-1].id)
    assert [event.path for event in (*first, *second, *third)] == [
        f"f{n}" for n in reversed(range(10))
    ]
    assert [event.path for event in store.events.read(since=8.0)] == ["f9", "f8", "f7"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a", ["a", "a/", "a/b", "a/b/c"]),
        ("a/", ["a", "a/", "a/b", "a/b/c"]),
        ("a/b", ["a/b", "a/b/c"]),
        ("a/b/c", ["a/b/c"]),
        ("A", []),
        ("%", []),
        ("", ["a", "a/", "a/b", "a/b/c", "a!", "ab", "a0"]),
    ],
)
def test_reading_by_path(store: Store, path: str, wanted: list[str]) -> None:
    record(store, *numbered("a", "a/", "a/b", "a/b/c", "a!", "ab", "a0"))
    assert [event.path for event in store.events.read(path)][::-1] == wanted


def test_the_history_of_a_copy_begins_with_how_it_was_made(store: Store) -> None:
    record(
        store,
        Event(1.0, "a/f.txt", Verb.PUSH, "why"),
        Event(2.0, "a/f.txt", Verb.CONFLICT, "both changed", kept=COPY),
        Event(3.0, "a/f.txt", Verb.CONFLICT, "again", kept="another"),
        Event(4.0, COPY, Verb.PUSH, "why"),
    )
    assert [event.at for event in store.events.read(COPY)] == [4.0, 2.0]


def test_following_is_oldest_first_after_a_number(store: Store) -> None:
    record(store, *numbered(*"abcde"))
    assert [event.path for event in store.events.after(2, 2)] == ["c", "d"]
    assert store.events.after(5, 10) == []


def test_pruning_drops_what_is_old_a_bounded_number_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    record(store, *numbered(*"abcdefgh"))
    assert not store.events.prune(1.0)
    assert store.events.prune(6.0)
    assert [event.path for event in store.events.read()][::-1] == list("defgh")
    assert not store.events.prune(6.0)
    assert [event.path for event in store.events.read()][::-1] == list("fgh")


def test_pruning_drops_what_is_too_much(store: Store) -> None:
    record(store, *numbered(*"abcdefgh"))
    store.events.prune(0.0, most=3)
    assert [event.path for event in store.events.read()][::-1] == list("fgh")


def test_numbers_are_never_given_out_again(store: Store) -> None:
    record(store, *numbered(*"abc"))
    store.events.prune(9.0)
    record(store, *numbered("d"))
    assert [event.id for event in store.events.read()] == [4]
