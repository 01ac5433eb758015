"""What waits is neither lost nor forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.errors import Retry
from vaultsync.core.model import Base, Kind, Verb
from vaultsync.state.store import Journalled

if TYPE_CHECKING:
    from tests.sync.device import Device


def test_an_operation_without_answer_is_asked_after_although_its_path_was_busy(
    device: Device,
) -> None:
    device.local.write("a", b"one")
    device.settle()
    engine = device.engine
    row = device.store.row("a")
    operation = Journalled("a", "op", Verb.PUSH, "op", Base(Kind.FILE, 3, "", "", ""))
    engine._backlog.unanswered["a"] = operation
    engine._backlog.delays.hold("a", "retry", Retry("no answer"))
    engine._flight.look(row)  # somebody looks at it when its time comes
    device.clock.time += 5
    engine._backlog.retry()
    device.local.write("a", b"two")
    device.settle()
    assert device.vault.files["a"].data == b"two"
    assert not engine._backlog.unanswered
