"""Requests without an answer: they may have been carried out, or will be, or never."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes import Version
from vaultsync.core.errors import Retry
from vaultsync.sync.observe import INTENT_LIFETIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sync.device import Device


def without_answer(device: Device, wanted: tuple[str, str], then: Callable[[], None]) -> list[str]:
    """Let one operation of the vault end without an answer, and something happen meanwhile.

    Returns:
        What is filled once it has happened.
    """
    happened: list[str] = []

    def fault(name: str, path: str) -> None:
        if (name, path) == wanted and not happened:
            happened.append(name)
            then()
            raise Retry("no answer", unknown_outcome=True)

    device.vault.fault = fault
    return happened


def test_what_was_edited_while_an_upload_had_no_answer_meets_only_itself(device: Device) -> None:
    """Rule R1."""
    device.local.write("a", b"one")
    happened = without_answer(
        device, ("after commit", "a"), lambda: device.local.write("a", b"two")
    )
    device.settle()
    assert happened
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"two"}


def test_what_was_edited_after_a_crash_meets_only_itself(device: Device) -> None:
    """Rule R1: what the journal tells of is asked after before anything is planned."""
    device.local.write("a", b"one")

    def die(name: str, path: str) -> None:
        if (name, path) == ("after commit", "a"):
            raise KeyboardInterrupt

    device.vault.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.vault.fault = lambda _name, _path: None
    device.local.write("a", b"two")
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"two"}


def test_who_builds_upon_an_upload_without_an_answer_is_no_stranger(device: Device) -> None:
    """Rule R1: our operation is among the ancestors of what another device made of it."""
    device.local.write("a", b"one")

    def build() -> None:
        ours = device.vault.files["a"]
        device.vault.write("a", b"theirs")
        theirs = device.vault.files["a"]
        device.vault.files["a"] = replace(theirs, ops=("theirs", *ours.ops))

    happened = without_answer(device, ("after commit", "a"), build)
    device.settle()
    assert happened
    assert device.local.tree() == device.vault.tree() == {"a": b"theirs"}


def test_an_upload_that_arrives_late_is_our_own(device: Device) -> None:
    """A zombie: it was looked for and not there, then it arrives before the next version."""
    device.local.write("a", b"one")
    late: list[Version] = []

    def fault(name: str, path: str) -> None:
        if (name, path) == ("commit", "a"):
            if not late:
                late.append(Version(b"one", "etag-one", ops=("laptop-0",), stamp="early"))
                raise Retry("no answer", unknown_outcome=True)
            device.vault.files.setdefault("a", late[0])
        elif (name, path) == ("recover", "a"):
            device.local.write("a", b"two")

    device.vault.fault = fault
    device.settle()
    assert late
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"two"}


@pytest.mark.parametrize("wanted", [("apply", "a"), ("after apply", "a")])
def test_a_change_of_mode_without_an_answer_is_our_own(
    device: Device, wanted: tuple[str, str]
) -> None:
    """Rule R1: what was changed back meanwhile does not come again from the vault."""
    device.local.write("a", b"one", 0o644)
    device.settle()
    device.local.write("a", b"one", 0o755)
    happened = without_answer(device, wanted, lambda: device.local.write("a", b"one", 0o644))
    device.settle()
    assert happened
    device.settle()
    assert device.local.files["a"].mode == device.vault.files["a"].mode == 0o644


def test_a_change_of_mode_that_arrives_late_is_our_own(device: Device) -> None:
    """A zombie: it was looked for and not there, then it arrives after it was changed back."""
    device.local.write("a", b"one", 0o644)
    device.settle()
    device.local.write("a", b"one", 0o755)
    late: list[Version] = []

    def fault(name: str, path: str) -> None:
        if (name, path) == ("apply", "a") and not late:
            now = device.vault.files["a"]
            (op,) = (each.op for each in device.store.journal())
            late.append(replace(now, mode=0o755, tag="late", ops=(op, *now.ops), stamp="late"))
            device.local.write("a", b"one", 0o644)
            raise Retry("no answer", unknown_outcome=True)

    device.vault.fault = fault
    device.settle()
    assert late
    device.vault.files["a"] = late[0]
    device.settle()
    assert device.local.files["a"].mode == device.vault.files["a"].mode == 0o644


def lose_contact(device: Device, path: str) -> None:
    """A write to a path has no answer, was not carried out, and then the vault is out of reach."""

    def fault(name: str, at: str) -> None:
        write = at == path and name in ("commit", "make_directory")
        if write or device.store.row(path).intents:
            raise Retry("no answer", unknown_outcome=True)

    device.vault.fault = fault
    device.engine.request_sync()
    while not device.store.row(path).intents or device.pool.tasks:
        device.step()
        device.clock.time += 0.1
    assert path not in device.vault.tree()


def test_an_upload_that_nobody_saw_arrive_is_our_own(device: Device) -> None:
    """The first listing after its time shows it, and not whose it is: a look has to tell."""
    device.local.write("a", b"one")
    lose_contact(device, "a")
    device.vault.write("a", b"one")
    ours = replace(device.vault.files["a"], ops=device.store.row("a").intents)
    device.vault.files["a"] = ours
    device.local.write("a", b"two")
    device.clock.time += INTENT_LIFETIME + 60
    device.vault.fault = lambda _name, _path: None
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"two"}
    device.settle()
    assert not device.store.row("a").intents


def test_a_folder_that_nobody_saw_arrive_is_our_own(device: Device) -> None:
    """It was removed here before anybody knew that it is in the vault."""
    device.local.make("d/")
    lose_contact(device, "d/")
    device.vault.make("d/")
    device.local.directories.clear()
    device.clock.time += INTENT_LIFETIME + 60
    device.vault.fault = lambda _name, _path: None
    device.settle()
    assert device.local.tree() == device.vault.tree() == {}


def lose_deletion(device: Device, *, carried_out: bool) -> None:
    """`a` is deleted here, the DELETE has no answer, and `a` comes back with the same bytes."""
    device.local.write("a", b"one")
    device.settle()
    device.local.remove("a")
    when = "after delete" if carried_out else "delete"
    happened = without_answer(device, (when, "a"), lambda: device.local.write("a", b"one"))
    device.settle()
    assert happened


def test_what_came_back_outlives_its_deletion(device: Device) -> None:
    """Rules R2 and R5: a file that came back is an edit, though it has the same bytes."""
    lose_deletion(device, carried_out=True)
    assert device.local.tree() == device.vault.tree() == {"a": b"one"}
    assert not device.local.trash


def test_what_came_back_outlives_a_deletion_that_a_crash_hid(device: Device) -> None:
    """Rule R2: what is journalled before the DELETE leaves tells of it after a crash."""
    device.local.write("a", b"one")
    device.settle()
    device.local.remove("a")

    def die(name: str, path: str) -> None:
        if (name, path) == ("after delete", "a"):
            device.local.write("a", b"one")
            raise KeyboardInterrupt

    device.vault.fault = die
    with pytest.raises(KeyboardInterrupt):
        device.settle()
    device.vault.fault = lambda _name, _path: None
    device.crash()
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"one"}
    assert not device.local.trash


def test_a_deletion_that_arrives_late_takes_nothing_away(device: Device) -> None:
    """The mark does not end as long as the DELETE may still be on its way."""
    lose_deletion(device, carried_out=False)
    assert device.local.tree() == device.vault.tree() == {"a": b"one"}
    device.clock.time += INTENT_LIFETIME - 60
    device.settle()
    device.vault.files.pop("a")
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"a": b"one"}
    assert not device.local.trash


def test_once_nothing_can_arrive_a_deletion_is_one(device: Device) -> None:
    """The mark does not live for ever: what others delete later goes here as well."""
    lose_deletion(device, carried_out=False)
    device.clock.time += INTENT_LIFETIME + 60
    device.settle()
    assert not device.store.row("a").local_gone
    device.vault.files.pop("a")
    device.settle()
    assert device.local.tree() == device.vault.tree() == {}
