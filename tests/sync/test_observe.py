"""When the engine looks where: after jumps of time, after looks that came at a bad moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide
from tests.sync.device import Device
from vaultsync.core.errors import Blocked, Retry, Stale
from vaultsync.core.model import Absence, Base, Kind, Unseen, Verb
from vaultsync.state.store import Journalled
from vaultsync.sync.clockwork import NAP, STEP, Clockwork
from vaultsync.sync.observe import INTENT_LIFETIME
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.core.model import Seen


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(MemorySide(FakeClock(), remote=True), tmp_path)
    device.settle()
    yield device
    device.close()


def pass_time(device: Device, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        while device.pool.run():
            pass
        device.engine.turn(0)
        device.clock.time += 0.1


def suspend(clock: FakeClock) -> None:
    clock.suspended += 3 * NAP


def advance(clock: FakeClock) -> None:
    clock.wrong += 86_400


def set_back(clock: FakeClock) -> None:
    clock.wrong -= 86_400


@pytest.mark.parametrize("jump", [suspend, advance, set_back])
def test_after_a_jump_of_time_everything_is_looked_at(device: Device, jump: object) -> None:
    assert callable(jump)
    device.local.write("unnoticed", b"x")
    pass_time(device, 5)
    assert "unnoticed" not in device.vault.files
    jump(device.clock)
    pass_time(device, 5)
    assert "unnoticed" in device.vault.files


def test_a_clock_that_is_slewed_is_no_jump(device: Device) -> None:
    device.local.write("unnoticed", b"x")
    for _ in range(50):
        device.clock.wrong += 0.2
        pass_time(device, 0.3)
    assert "unnoticed" not in device.vault.files


def test_listing_a_large_vault_leaves_as_much_time_for_other_work(device: Device) -> None:
    def slow(name: str, _path: str) -> None:
        if name == "entries":
            begun.append(device.clock.time)
            device.clock.time += 5  # the poll is due every second

    begun: list[float] = []
    device.vault.fault = slow
    pass_time(device, 60)
    assert 10 <= len(begun) <= 13


def test_the_folder_is_scanned_every_hour(device: Device) -> None:
    device.local.write("unnoticed", b"x")
    device.clock.time += 3300
    pass_time(device, 5)
    assert "unnoticed" not in device.vault.files
    device.clock.time += 300
    pass_time(device, 5)
    assert "unnoticed" in device.vault.files


@pytest.mark.parametrize(("chance", "after"), [(0.0, 3240), (0.5, 3600), (1.0, 3960)])
def test_scans_are_spread(chance: float, after: float) -> None:
    assert Settings(chance=lambda: chance).rescan_after() == pytest.approx(after)


class TestIntents:
    """A request of unknown outcome is remembered for as long as it can still arrive."""

    def intend(self, device: Device) -> None:
        base = Base(Kind.FILE, 1, "ab", "", "tag")
        operation = Journalled("a", "op", Verb.PUSH, "", base)
        with device.store.transaction():
            device.store.intend(operation, device.engine._observer.lasting())

    def kept(self, device: Device) -> bool:
        return device.store.intended("op", "a") is not None

    @pytest.mark.parametrize("jump", [advance, set_back])
    def test_setting_the_clock_makes_them_neither_older_nor_younger(
        self, device: Device, jump: object
    ) -> None:
        assert callable(jump)
        self.intend(device)
        jump(device.clock)
        pass_time(device, 5)
        assert self.kept(device)
        device.clock.time += INTENT_LIFETIME - 10
        pass_time(device, 3)
        assert self.kept(device)
        device.clock.time += 10
        pass_time(device, 3)
        assert not self.kept(device)

    def test_they_age_while_the_machine_is_suspended(self, device: Device) -> None:
        self.intend(device)
        device.clock.suspended += INTENT_LIFETIME
        pass_time(device, 5)
        assert not self.kept(device)

    def test_only_a_listing_that_began_after_their_time_ends_them(self, device: Device) -> None:
        self.intend(device)
        device.clock.time += INTENT_LIFETIME - 10

        def linger(name: str, _path: str) -> None:
            if name == "entries":
                device.clock.time += 20

        device.vault.fault = linger
        passes = device.engine.status.observed
        while device.engine.status.observed == passes:
            device.step()
        assert self.kept(device)
        device.settle()
        assert not self.kept(device)

    def test_a_listing_that_passed_their_path_by_does_not_end_them(self, device: Device) -> None:
        """With a look under way, what it will find is not known yet."""
        self.intend(device)
        device.clock.time += INTENT_LIFETIME + 10
        device.engine._flight.look(device.store.row("a"))
        passes = device.engine.status.observed
        while device.engine.status.observed == passes:
            device.engine.turn(0)
            device.clock.time += 0.1
        assert self.kept(device)
        device.settle()
        assert not self.kept(device)

    @pytest.mark.parametrize("wrong", [-86_400.0, 0.0, 86_400.0])
    def test_after_a_restart_their_time_begins_anew(self, device: Device, wrong: float) -> None:
        self.intend(device)
        device.clock.time += INTENT_LIFETIME - 10
        device.clock.wrong = wrong
        device.crash()
        device.clock.time += INTENT_LIFETIME - 10
        pass_time(device, 5)
        assert self.kept(device)
        device.clock.time += 10
        pass_time(device, 5)
        assert not self.kept(device)


@pytest.mark.parametrize("known", [0, 1])
def test_an_old_intent_does_not_turn_base_back(device: Device, known: int) -> None:
    """It is kept for a while after it was found to be done; later versions are built upon it."""
    for data in (b"one", b"two", b"three"):
        device.local.write("a", data)
        device.settle()
    row = device.store.row("a")
    assert row.base is not None
    first = row.base.ops[-1]
    base = Base(Kind.FILE, 3, "ab", "", "tag", ops=(first,))
    with device.store.transaction():
        device.store.intend(Journalled("a", first, Verb.PUSH, "", base), device.clock.now())
    device.local.write("a", b"four")
    if known:
        device.vault.write("a", b"three")
        device.vault.files["a"] = replace(device.vault.files["a"], ops=("else", *row.base.ops))
    device.engine._flight.look(device.store.row("a"))
    device.settle()
    assert set(device.local.tree()) == {"a"}
    assert device.vault.files["a"].data == b"four"


def test_lasting_times_are_those_of_the_clock_at_the_start() -> None:
    clock = FakeClock()
    clockwork = Clockwork(clock)
    assert clockwork.lasting() == clock.now()
    clock.wrong += 10 * STEP
    assert clockwork.jumped() == "the clock was set by +20 seconds"
    assert clockwork.jumped() == ""
    assert clockwork.lasting() == clock.now() - 10 * STEP


def test_a_change_that_is_seen_while_the_file_is_in_flight_is_seen_again(device: Device) -> None:
    """The look tells nothing about a path in flight; afterwards it has to be made up for."""
    device.local.write("a", b"one")
    device.engine.mark("a")

    def change(name: str, path: str) -> None:
        if (name, path) == ("after commit", "a") and device.vault.files["a"].data == b"one":
            device.local.write("a", b"two")
            device.engine.mark("a")
            device.clock.time += 1
            device.engine.turn(0)

    device.vault.fault = change
    pass_time(device, 10)
    assert device.vault.files["a"].data == b"two"
    assert device.engine.at_rest


def test_a_listing_tells_nothing_of_what_was_committed_after_it_began(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule R4: what it shows may be older than our last commit."""
    for number in range(50):
        device.local.write(f"a{number:02}", b"one")
    device.local.write("b", b"one")
    device.settle()
    monkeypatch.setattr("vaultsync.sync.sweep.SLICE", 1)
    before = list(device.vault.entries())
    monkeypatch.setattr(device.vault, "entries", lambda *_: iter(before))
    device.engine._observer.poll_now()
    device.local.write("b", b"two")
    device.engine.mark("b")
    while device.vault.files["b"].data != b"two":
        device.clock.time += 0.1
        device.step()
    device.step()
    assert device.engine._observer._there is not None
    passes = device.engine.status.observed
    while device.engine.status.observed == passes:
        device.step()
    remote = device.store.row("b").remote
    assert remote is not None
    assert remote.tag == device.vault.files["b"].tag


def test_a_page_that_fails_proves_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a", "b", "c"):
        device.local.write(path, b"one")
    device.settle()
    monkeypatch.setattr("vaultsync.sync.sweep.SLICE", 1)
    entries = device.vault.entries
    pages: list[str] = []

    def broken(at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        pages.append(after)
        yield next(entries(at, after))
        raise Retry("cut off")

    monkeypatch.setattr(device.vault, "entries", broken)
    pass_time(device, 10)
    assert len(pages) > 2
    assert all(device.store.row(path).remote is not None for path in ("a", "b", "c"))
    monkeypatch.undo()
    device.settle()
    assert set(device.local.tree()) == {"a", "b", "c"}


def test_what_is_missing_at_one_look_is_deleted_nowhere(device: Device) -> None:
    """A file that an editor is about to put back, and a key that a listing left out."""
    for path in ("a", "b"):
        device.local.write(path, b"one")
    device.settle()
    here, there = device.local.files.pop("a"), device.vault.files.pop("b")
    device.engine.mark("a")
    device.engine._observer.poll_now()
    device.clock.time += 0.3
    returned: list[str] = []

    def again(name: str, at: str) -> None:
        if name == "entries" and not returned:
            returned.append(at)
            device.vault.files["b"] = there

    device.engine.turn(0)
    device.vault.fault = again
    device.local.files["a"] = here
    assert [row.path for row in device.store.unsure(remote=False)] == ["a"]
    assert [row.path for row in device.store.unsure(remote=True)] == ["b"]
    changed = [*device.local.mutations, *device.vault.mutations]
    pass_time(device, 10)
    assert returned
    assert set(device.local.tree()) == set(device.vault.tree()) == {"a", "b"}
    assert [*device.local.mutations, *device.vault.mutations] == changed


def test_what_cannot_be_read_is_not_gone(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("d/a", "d/e/b", "f"):
        device.local.write(path, b"one")
    device.settle()
    entries = device.local.entries

    def unreadable(at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        yield Unseen("d/", "it cannot be read")
        yield from (seen for seen in entries(at, after) if not seen.path.startswith("d/"))

    def fails(path: str) -> None:
        raise Blocked(f"{path} cannot be read")

    monkeypatch.setattr(device.local, "entries", unreadable)
    monkeypatch.setattr(device.local, "look", fails)
    device.engine.request_sync()
    pass_time(device, 10)
    assert device.store.unsure(remote=False) == []
    assert set(device.vault.tree()) >= {"d/a", "d/e/b", "f"}


def test_becoming_ignored_deletes_nothing_and_ceasing_to_be_merges(device: Device) -> None:
    device.local.write("a.tmp", b"here")
    device.settle()
    device.ignored = device.local.ignored = device.vault.ignored = lambda path: path == "a.tmp"
    for _ in range(2):  # two scans before the vault is listed again
        device.engine._observer.look_at("")
        for _ in range(5):
            device.step()
    pass_time(device, 5)
    assert "a.tmp" in device.vault.files
    assert device.store.row("a.tmp").base is None
    device.local.remove("a.tmp")
    device.settle()
    assert "a.tmp" in device.vault.files
    device.ignored = device.local.ignored = device.vault.ignored = lambda _path: False
    device.settle()
    assert device.local.files["a.tmp"].data == b"here"


def test_an_absence_is_confirmed_by_a_look_that_began_later(device: Device) -> None:
    """One pass, however often it is asked for, is one look."""
    device.local.write("a", b"one")
    device.settle()
    device.vault.fault = device.local.fault = lambda _name, _path: None
    device.local.remove("a")
    device.engine.mark("a")
    device.clock.time += 0.3
    device.engine.turn(0)
    assert device.store.row("a").local_absence is Absence.ONCE
    device.engine.turn(0)
    assert device.store.row("a").local_absence is Absence.ONCE
    assert "a" in device.vault.files


def test_a_request_may_be_late_by_the_life_of_its_signature(device: Device) -> None:
    """Signatures are valid for a quarter of an hour; five minutes more are for clocks."""
    intents = TestIntents()
    intents.intend(device)
    device.clock.time += 19 * 60
    pass_time(device, 3)
    assert intents.kept(device)
    device.clock.time += 60
    pass_time(device, 3)
    assert not intents.kept(device)


def test_a_folder_that_vanishes_while_it_is_looked_at_ends_nothing(device: Device) -> None:
    device.local.write("d/a", b"one")
    device.settle()
    device.vault.remove("d/a")
    raised: list[str] = []

    def vanish(name: str, path: str) -> None:
        if name == "look" and path == "d/":
            raised.append(path)
            raise Stale("it changed while it was being handled")

    device.local.fault = vanish
    device.settle()
    assert raised
    assert "d/a" not in device.local.files
