"""A database that takes nothing for a while: what was done meanwhile is written down later."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Blocked, Retry
from vaultsync.core.names import is_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sync.device import Device


class Disk:
    """Refuses commits of a device's database while `full` says so."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full: Callable[[], bool] = lambda: False
        self.refused = 0
        transaction = device.store.transaction

        @contextmanager
        def refusing(*, durable: bool = False) -> Iterator[None]:
            with transaction(durable=durable):
                yield
                if self.full():
                    self.refused += 1
                    raise Blocked("the disk is full")

        monkeypatch.setattr(device.store, "transaction", refusing)


def test_what_was_sent_while_the_disk_was_full_is_no_edit_of_somebody_else(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(device, monkeypatch)
    device.local.write("f", b"one")
    device.settle()
    device.local.write("f", b"two")
    device.engine.mark("f")
    while device.vault.tree()["f"] != b"two":
        device.engine.turn(0)
        device.clock.time += 0.1
        device.pool.run()
    disk.full = lambda: True
    for _ in range(20):
        device.engine.turn(0)
        device.clock.time += 0.1
        device.pool.run()
    assert disk.refused
    disk.full = lambda: False
    device.local.write("f", b"three")
    device.settle()
    device.local.write("f", b"four")
    device.settle()
    assert device.local.tree() == device.vault.tree() == {"f": b"four"}
    assert device.store.journal() == []


@pytest.mark.parametrize("seed", range(6))
def test_a_disk_that_is_full_now_and_then_costs_nothing_but_time(
    device: Device, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    disk = Disk(device, monkeypatch)
    answers: list[str] = []

    def fault(name: str, path: str) -> None:
        if name == "commit" and chance.random() < 0.2:
            answers.append(name)
            raise Retry(f"{name} of {path} got no answer", unknown_outcome=True)

    device.vault.fault = fault
    wanted: dict[str, bytes] = {}
    for number in range(60):
        path = f"{chance.choice('ab')}/{chance.choice('xyz')}"
        if path in wanted and chance.random() < 0.3:
            device.local.remove(path)
            del wanted[path]
        else:
            wanted[path] = f"{number}".encode()
            device.local.write(path, wanted[path])
        device.engine.mark(path)
        full = chance.random() < 0.4
        disk.full = lambda full=full: full and chance.random() < 0.5  # type: ignore[misc]
        for _ in range(chance.randrange(12)):
            device.step()
            device.clock.time += chance.choice((0.05, 0.3, 2.0))
    device.vault.fault = lambda *_: None
    disk.full = lambda: False
    device.clock.time += 400
    device.settle()
    assert disk.refused
    assert answers
    found = {path: data for path, data in device.local.tree().items() if path[-1] != "/"}
    assert found == wanted
    assert not any(is_conflict(path) for path in device.vault.tree())
    assert {p: d for p, d in device.vault.tree().items() if p[-1] != "/"} == wanted
    assert device.store.journal() == []
