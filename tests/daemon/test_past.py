"""The past of a profile over the API, and what is done about it between two turns of the engine."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, WithoutExchange
from tests.daemon.test_api import ask
from tests.fakes import FakeClock
from tests.local.hooked import Crash, Hooked
from tests.served import PlainVault, serving
from vaultsync.config import Trash
from vaultsync.core.errors import Blocked, NotFound, Retry
from vaultsync.core.model import Deed, Emptied, Event, Trashed, Verb, Version
from vaultsync.daemon import past as module
from vaultsync.daemon.client import Client
from vaultsync.daemon.past import Past, Sides
from vaultsync.local.disk import Disk
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.local.files import Files

ODD = "grüße ?&#%41+/日本\n.txt"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run" / "default.sock"


@pytest.fixture
def vault(place: Path) -> Iterator[PlainVault]:
    with serving(PlainVault(), place) as served:
        yield served


@pytest.mark.parametrize("rows", [0, 1, 1500])
def test_lists_come_back_as_they_were(vault: PlainVault, place: Path, rows: int) -> None:
    client = Client(place).past
    vault.past.happened = [
        Event(1.25 + n, ODD, Verb.CONFLICT, "why", 7, "ab", "v", "kept", n + 1) for n in range(rows)
    ]
    vault.past.bin = [Trashed(f"2026-11-23/{ODD}{n}", ODD, n, 1.5) for n in range(rows)]
    vault.past.kept = [
        Version(ODD, f"v{n}", 1.0, n, "tag", n == 0, deleted=False) for n in range(rows)
    ]
    newest = vault.past.happened[::-1]
    assert client.events(limit=5000) == newest
    assert client.events() == newest[:100]
    assert client.events(ODD, since=3.25, limit=5000) == [each for each in newest if each.at > 3]
    assert client.events(before=2) == newest[-1:]
    assert client.follow(2, 0) == vault.past.happened[2:1002]
    assert client.trashed(ODD) == vault.past.bin
    if rows:
        assert client.versions(ODD) == vault.past.kept
    assert client.versions_below(ODD) == vault.past.kept
    assert client.versions_below("x", 2.5) == []
    assert vault.past.told[-1] == ("below", "x", 2.5)


def test_what_is_told_arrives(vault: PlainVault, place: Path) -> None:
    client = Client(place).past
    assert client.put_back("2026-11-23/f") == "f"
    assert client.put_back("2026-11-23/f", ODD) == ODD
    assert client.empty_trash(1_700_000_000.123456) == Emptied(2, 3_000, 1)
    assert client.bring_back("f", "v1") == "f"
    assert client.bring_back("f", "v1", ODD) == ODD
    assert vault.past.told == [
        ("put back", "2026-11-23/f", ""),
        ("put back", "2026-11-23/f", ODD),
        ("empty", 1_700_000_000.123456),
        ("bring back", "f", "v1", ""),
        ("bring back", "f", "v1", ODD),
    ]
    vault.past.problem = Blocked("in the way", "move it")
    with pytest.raises(Blocked, match="in the way"):
        client.put_back("2026-11-23/f")
    with pytest.raises(NotFound):
        client.versions("never")


def test_following_waits_for_something_to_happen(vault: PlainVault, place: Path) -> None:
    found: list[list[Event]] = []
    waiters = [
        threading.Thread(target=lambda: found.append(Client(place).past.follow(0, 30)))
        for _ in range(50)
    ]
    for waiter in waiters:
        waiter.start()
    assert Client(place).past.follow(0, 0) == []
    event = Event(1.0, "f", Verb.PULL, "why", id=1)
    vault.past.happen(event)
    for waiter in waiters:
        waiter.join(10)
    assert found == [[event]] * 50


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "events?limit=-1"),
        ("GET", "events?before=x"),
        ("GET", "events?since=yesterday"),
        ("GET", "events?since=2026-11-23T10:00:00"),
        ("GET", "versions"),
        ("GET", "versions/below"),
        ("GET", "versions/below?path=a&at=1"),
        ("POST", "trash/put-back"),
        ("POST", "trash/empty"),
        ("POST", "versions/bring-back?path=a"),
    ],
)
def test_a_request_without_sense_is_refused(
    vault: PlainVault, place: Path, method: str, target: str
) -> None:
    code, told = ask(place, method, f"/v1/{target}")
    assert (code, told["error"]["code"]) == (400, "usage")
    assert vault.past.told == []


class Kept:
    """A profile's past over a real folder and a real database."""

    def __init__(self, home: Path, trash: Trash | None = None) -> None:
        self.root = home / "folder"
        self.root.mkdir()
        self.clock = FakeClock()
        self._marker = Disk(self.root, "laptop", self.clock, lambda _path: False).bind()
        self.open()
        self.store = Store(home / "state.db")
        self.marked: list[str] = []
        self.past = Past(home, trash or Trash(), self.clock, threading.Condition())

    def open(self, files: Files | None = None) -> None:
        self.disk = Disk(self.root, "laptop", self.clock, lambda _path: False, self._marker, files)

    @contextmanager
    def served(self) -> Iterator[Past]:
        with self.past.serving(Sides(self.store, self.disk, mark=self.marked.append)):
            yield self.past

    def bin_it(self, path: str, data: bytes = b"data") -> Path:
        file = self.root / path
        file.write_bytes(data)
        os.utime(file, ns=(10**18, 10**18))
        entry = self.disk.look(path)
        assert entry is not None
        self.disk.delete(path, self.disk.identify(path, entry))
        return self.root / ".vaultsync/trash" / self.disk.bin.items()[0].id

    def deeds(self) -> list[tuple[str, str]]:
        return [(event.verb, event.path) for event in self.past.events()[::-1]]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.store.close()


def test_what_a_person_does_is_written_down_by_the_engines_thread(kept: Kept) -> None:
    kept.bin_it("a.txt")
    kept.bin_it("b.txt")
    with kept.served() as past:
        past.keep()
        past.put_back(past.trashed("a.txt")[0].id)
        past.empty_trash(kept.clock.now() + 1)
        assert kept.deeds() == []
        past.keep()
    assert kept.deeds() == [(Deed.PUT_BACK, "a.txt"), (Deed.EMPTY, "")]
    assert kept.marked == ["a.txt"]


def test_a_full_disk_loses_no_note(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.bin_it("a.txt")
    with kept.served() as past:
        past.put_back(past.trashed("a.txt")[0].id)
        with monkeypatch.context() as patch:

            def full(_event: Event) -> None:
                raise sqlite3.OperationalError("database or disk is full")

            patch.setattr(kept.store.events, "record", full)
            with pytest.raises(Blocked):
                past.keep()
        past.keep()
    assert kept.deeds() == [(Deed.PUT_BACK, "a.txt")]


def test_the_trash_is_looked_after_about_every_minute(kept: Kept) -> None:
    item = kept.bin_it("a.txt")
    with kept.served() as past:
        past.keep()
        item.write_bytes(b"written on")
        past.keep()
        assert kept.marked == []
        kept.clock.time += module.LOOK_EVERY
        past.keep()
        past.keep()
    (copy,) = kept.marked
    assert copy.startswith("a (conflict laptop ")
    assert (kept.root / copy).read_bytes() == b"written on"
    assert kept.deeds() == [(Deed.RETURN, "a.txt")]
    assert past.events("a.txt")[0].kept == copy


def test_age_is_looked_at_about_every_hour(kept: Kept) -> None:
    kept.bin_it("a.txt")
    with kept.served() as past:
        for _ in range(31):
            past.keep()
            assert past.trashed()
            kept.clock.time += 86_400
        past.keep()
        past.keep()
        assert past.trashed() == []
    assert kept.deeds() == [(Deed.EMPTY, "")]


def test_old_events_go(kept: Kept) -> None:
    with kept.store.transaction():
        for number in range(1500):
            kept.store.events.record(Event(kept.clock.now(), f"{number}", Verb.PUSH, "why"))
    with kept.served() as past:
        past.keep()
        assert len(past.events(limit=5000)) == 1500
        kept.clock.time += module.HISTORY_DAYS * 86_400 + 1
        past.keep()
        past.keep()
        assert past.events() == []


def test_nothing_is_open_before_and_after(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPENING", 0.01)
    with kept.served() as past:
        past.trashed()
        with pytest.raises(Retry, match="vault"):
            past.versions("f")
    with pytest.raises(Retry, match="folder"):
        past.trashed()
    past.keep()
    assert past.events() == []


def test_a_request_waits_for_a_folder_that_is_being_opened(kept: Kept) -> None:
    found: list[object] = []
    waiter = threading.Thread(target=lambda: found.append(kept.past.trashed()))
    waiter.start()
    with kept.served():
        waiter.join(10)
    assert found == [[]]


def bring(kept: Kept, target: str, data: bytes, *, replacing: bool) -> str:
    shown, copy = module._place(kept.disk, BytesContent(data), target, replacing=replacing)
    assert copy is None
    assert list((kept.root / ".vaultsync/staging").iterdir()) == []
    return shown


def test_an_old_version_replaces_the_file_and_that_goes_to_the_trash(kept: Kept) -> None:
    (kept.root / "f").write_bytes(b"now")
    assert bring(kept, "f", b"then", replacing=True) == "f"
    assert (kept.root / "f").read_bytes() == b"then"
    assert [item.path for item in kept.disk.bin.items()] == ["f"]
    assert bring(kept, "f", b"then", replacing=True) == "f"
    assert len(kept.disk.bin.items()) == 1
    assert bring(kept, "new/folder/f", b"then", replacing=True) == "new/folder/f"


def test_what_is_about_to_be_replaced_is_there_after_a_crash(kept: Kept) -> None:
    (kept.root / "f").write_bytes(b"now")
    hooked = Hooked(WithoutExchange())
    kept.open(hooked.files)
    hooked.after("rename", lambda: hooked.crash_at(0))
    with pytest.raises(Crash):
        bring(kept, "f", b"then", replacing=True)
    assert not (kept.root / "f").exists()
    kept.open(WithoutExchange())
    kept.disk.clear_staging()
    assert (kept.root / "f").read_bytes() == b"now"
    assert kept.disk.bin.items() == []


def test_an_old_version_put_elsewhere_replaces_nothing(kept: Kept) -> None:
    (kept.root / "f.txt").write_bytes(b"now")
    (kept.root / "d").mkdir()
    assert bring(kept, "f.txt", b"then", replacing=False) == "f (restored).txt"
    assert bring(kept, "f.txt", b"then", replacing=False) == "f (restored 2).txt"
    assert bring(kept, "d", b"then", replacing=False) == "d (restored)"
    assert (kept.root / "f.txt").read_bytes() == b"now"


@pytest.mark.parametrize("target", ["folder", "file/below", ".vaultsync/marker", "../outside"])
def test_an_old_version_is_not_put_where_it_cannot_be(kept: Kept, target: str) -> None:
    (kept.root / "folder").mkdir()
    (kept.root / "file").write_bytes(b"now")
    with pytest.raises(Blocked):
        bring(kept, target, b"then", replacing=True)
    assert (kept.root / "file").read_bytes() == b"now"
    assert (kept.root / "folder").is_dir()
    assert list((kept.root / ".vaultsync/staging").iterdir()) == []
