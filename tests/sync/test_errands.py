"""What somebody waits for is looked at at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide
from tests.sync.device import Device
from vaultsync.core.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(MemorySide(FakeClock()), tmp_path)
    made.settle()
    yield made
    made.close()


def turns(device: Device, count: int = 20) -> None:
    """Rounds in which no time passes."""
    for _ in range(count):
        while device.pool.run():
            pass
        device.engine.turn(0)


def test_a_local_file_is_sent_without_waiting_for_it_to_be_quiet(device: Device) -> None:
    device.local.write("a", b"a")
    device.engine.mark("a", writing=True)
    turns(device)
    assert "a" not in device.vault.files
    device.engine.errands.ask("a", there=False)
    turns(device)
    assert device.vault.files["a"].data == b"a"


def test_no_pause_comes_before_what_is_sent_often(device: Device) -> None:
    for number in range(20):
        device.local.write("log", bytes(number + 1))
        device.engine.errands.ask("log", there=False)
        turns(device)
        assert device.vault.files["log"].data == bytes(number + 1)


def test_the_vault_is_asked_before_it_is_polled(device: Device) -> None:
    device.vault.write("b", b"b")
    turns(device)
    assert "b" not in device.local.files
    device.engine.errands.ask("b", there=True)
    turns(device)
    assert device.local.files["b"].data == b"b"


def test_what_waits_after_a_fault_is_tried_again_at_once(device: Device) -> None:
    failing = True

    def fault(name: str, path: str) -> None:
        if failing and (name, path) == ("stage", "a"):
            raise Retry("Not now.", after=100.0)

    device.vault.fault = fault
    device.local.write("a", b"a")
    device.engine.errands.ask("a", there=False)
    turns(device)
    failing = False
    turns(device)
    assert "a" not in device.vault.files
    device.engine.errands.ask("a", there=False)
    turns(device)
    assert device.vault.files["a"].data == b"a"


def test_what_is_under_way_is_looked_at_when_it_has_ended(device: Device) -> None:
    device.local.write("a", b"first")
    device.engine.errands.ask("a", there=False)
    device.engine.turn(0)
    device.engine.turn(0)
    assert device.engine.status.transfers
    device.local.write("a", b"second")
    device.engine.errands.ask("a", there=False)
    turns(device)
    assert device.vault.files["a"].data == b"second"
