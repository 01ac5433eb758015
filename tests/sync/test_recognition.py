"""Whether the vault is the one that it was."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide, SeededPool
from vaultsync.core.errors import Retry, Stale
from vaultsync.core.safety import Guard
from vaultsync.state.store import Store
from vaultsync.sync.engine import Engine
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class MemoryMark:
    """The mark of a vault in memory.

    Attributes:
        mark: What it says and its tag, or None.
        fault: Raised by reading and putting.
    """

    def __init__(self) -> None:
        self.mark: tuple[str, str] | None = None
        self.fault: Exception | None = None

    def shown(self) -> str | None:
        return None if self.mark is None else self.mark[1]

    def read(self) -> tuple[str, str] | None:
        if self.fault is not None:
            raise self.fault
        return self.mark

    def put(self, identity: str) -> str:
        if self.fault is not None:
            raise self.fault
        if self.mark is not None:
            raise Stale("there is one")
        self.mark = (identity, f"tag of {identity}")
        return self.mark[1]


class Device:
    """A folder with two files, on a vault with a mark."""

    def __init__(self, file: Path) -> None:
        self.clock = FakeClock()
        self.local = MemorySide(self.clock)
        self.vault = MemorySide(self.clock, remote=True)
        self.mark = MemoryMark()
        self.file = file
        self.ops = count()
        self.start()

    def start(self) -> None:
        self.store, self.pool = Store(self.file), SeededPool()
        self.engine = Engine(
            self.store,
            self.local,
            self.vault,
            self.pool,
            self.clock,
            lambda: f"op-{next(self.ops)}",
            lambda _path: False,
            Settings(poll_seconds=1.0, delete_quiet=0.5),
            self.mark,
        )

    def restart(self) -> None:
        self.store.close()
        self.start()

    def settle(self) -> None:
        ticket = self.engine.request_sync()
        for _ in range(1000):
            while self.pool.run():
                pass
            self.engine.turn(0)
            if self.engine.at_rest and self.engine.served >= ticket and not self.pool.tasks:
                return
            self.clock.time += 0.1
        raise AssertionError(f"not at rest: {self.engine.status} {self.engine.waiting}")

    @property
    def held(self) -> list[str]:
        return [item.guard for item in self.engine.guards.held]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "state.db")
    for path in ("a", "b"):
        device.local.write(path, path.encode())
    device.settle()
    yield device
    device.store.close()


def test_a_new_vault_is_marked_and_known_again(device: Device) -> None:
    first = device.mark.mark
    assert first is not None
    device.restart()
    device.vault.remove("a")
    device.settle()
    assert device.mark.mark == first
    assert device.local.files.keys() == {"b"}


@pytest.mark.parametrize("other", [None, ("other", "tag of other")])
def test_without_its_mark_a_vault_deletes_nothing(
    device: Device, other: tuple[str, str] | None
) -> None:
    device.mark.mark = other
    device.vault.remove("a")
    device.local.remove("b")
    device.settle()
    device.restart()
    device.settle()
    assert device.held == [Guard.VAULT]
    assert device.local.files.keys() == {"a"}
    assert device.vault.files.keys() == {"b"}


def test_not_even_the_first_turn_of_a_new_life_deletes(device: Device) -> None:
    device.vault.remove("a")
    device.mark.mark = None
    device.engine.request_sync()
    # The first look finds it absent; the process dies before the second.
    while device.store.row("a").remote is not None:
        device.engine.turn(0)
        device.clock.time += 0.1
    device.restart()
    device.settle()
    assert "a" in device.local.files


def test_all_goes_on_when_the_mark_is_back(device: Device) -> None:
    mark, device.mark.mark = device.mark.mark, None
    device.vault.remove("a")
    device.settle()
    device.mark.mark = mark
    device.settle()
    assert not device.held
    assert device.local.files.keys() == {"b"}


@pytest.mark.parametrize(("word", "left"), [("allow", {"b"}), ("restore", {"a", "b"})])
def test_a_person_decides_about_a_vault_without_its_mark(
    device: Device, word: str, left: set[str]
) -> None:
    device.mark.mark = None
    device.vault.remove("a")
    device.settle()
    device.engine.decide(word, None)
    device.settle()
    device.settle()
    assert not device.held
    assert device.local.files.keys() == device.vault.files.keys() == left
    assert device.mark.mark is not None


def test_a_mark_stored_anew_is_the_same_mark(device: Device) -> None:
    assert device.mark.mark is not None
    device.mark.mark = (device.mark.mark[0], "another tag")
    device.vault.remove("a")
    device.settle()
    assert not device.held
    assert device.local.files.keys() == {"b"}


def test_a_mark_that_goes_between_listing_and_reading_is_missing(device: Device) -> None:
    device.mark.shown = lambda: "another tag"  # type: ignore[method-assign]
    device.mark.mark = None
    device.vault.remove("a")
    device.settle()
    assert device.held == [Guard.VAULT]
    assert "a" in device.local.files


def test_a_mark_that_cannot_be_read_is_trusted_later(device: Device) -> None:
    assert device.mark.mark is not None
    device.mark.mark = (device.mark.mark[0], "another tag")
    device.restart()
    device.mark.fault = Retry("no answer")
    device.vault.remove("a")
    device.settle()
    assert device.local.files.keys() == {"a", "b"}
    device.mark.fault = None
    device.settle()
    assert device.local.files.keys() == {"b"}


def test_a_vault_that_cannot_be_marked_is_used_without(tmp_path: Path) -> None:
    device = Device(tmp_path / "state.db")
    device.mark.fault = Retry("not now")
    device.local.write("a", b"a")
    device.local.write("b", b"b")
    device.settle()
    device.local.remove("a")
    device.settle()
    assert device.vault.files.keys() == {"b"}
    device.store.close()
