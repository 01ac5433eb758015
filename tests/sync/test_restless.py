"""Files that never hold still are sent all the same, and no other one waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide
from tests.sync.device import Device
from vaultsync.core.errors import Stale
from vaultsync.sync import restless
from vaultsync.sync.restless import Restless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Writer:
    """Appends to a file again and again, also while it is being read."""

    def __init__(self, device: Device, path: str = "log") -> None:
        self.device = device
        self.path = path
        self.lines = 0
        self.ending = False
        self.sent: list[float] = []
        self.reads = 0
        device.local.write(path, b"")
        device.local.fault = self._opened
        device.vault.fault = self._committed

    def write(self) -> None:
        self.lines += 1
        data = self.device.local.files[self.path].data
        self.device.local.write(self.path, data + b"line\n")
        self.device.engine.mark(self.path, writing=True)

    def _opened(self, name: str, path: str) -> None:
        if path == self.path and name in ("open", "identify", "snapshot"):
            self.reads += 1
            if not self.ending:
                self.write()

    def _committed(self, name: str, path: str) -> None:
        if (name, path) == ("after commit", self.path):
            self.sent.append(self.device.clock.time)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            if not self.ending:
                self.write()
            self.device.engine.turn(0)
            while self.device.pool.run():
                pass
            self.device.clock.time += 0.1


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(MemorySide(FakeClock(), remote=True), tmp_path)
    yield device
    device.close()


def test_a_log_is_sent_as_a_snapshot_once_and_again(device: Device) -> None:
    writer = Writer(device)
    begun = device.clock.time
    writer.run(28)
    assert "log" not in device.vault.files
    waiting = {item.path: item for item in device.engine.waiting}
    assert "it is sent once it holds still" in waiting["log"].reason
    assert waiting["log"].next_try is not None
    writer.run(40)
    assert device.vault.files["log"].data.count(b"\n") > 250
    assert restless.PATIENCE <= writer.sent[0] - begun < 50
    waiting = {item.path: item for item in device.engine.waiting}
    assert "once a minute at most" in waiting["log"].reason
    writer.run(600)
    gaps = [after - before for before, after in zip(writer.sent, writer.sent[1:], strict=False)]
    assert len(gaps) >= 8
    assert all(gap >= 60 for gap in gaps[3:])
    assert writer.reads < 60
    writer.ending = True
    writer.run(70)
    assert device.engine.at_rest
    assert device.vault.files["log"].data == device.local.files["log"].data


def test_a_file_that_is_written_for_a_minute(device: Device) -> None:
    writer = Writer(device)
    writer.run(60)
    writer.ending = True
    writer.run(60)
    assert device.vault.files["log"].data == device.local.files["log"].data
    assert device.engine.at_rest
    assert len(writer.sent) <= 4
    assert not device.vault.trash or writer.lines > 600


def test_other_files_do_not_wait(device: Device) -> None:
    writer = Writer(device)
    writer.run(10)
    for number in range(20):
        device.local.write(f"{number}", b"x")
        device.engine.mark(f"{number}")
    writer.run(5)
    assert {str(number) for number in range(20)} <= set(device.vault.files)


def test_a_file_that_is_saved_again_and_again_is_sent_less_often(device: Device) -> None:
    writer = Writer(device)
    device.local.fault = lambda _name, _path: None
    writer.run(300)
    assert restless.EAGER <= len(writer.sent) <= 20
    writer.ending = True
    writer.run(130)
    assert device.engine.at_rest
    assert device.vault.files["log"].data == device.local.files["log"].data
    sent = len(writer.sent)
    writer.run(200)
    writer.write()
    writer.run(5)
    assert len(writer.sent) == sent + 1, "after a while of quiet, it is sent at once again"


class TestRestless:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def files(self, clock: FakeClock) -> Restless:
        return Restless(clock.monotonic)

    def test_a_vault_that_changes_is_no_restless_file(
        self, files: Restless, clock: FakeClock
    ) -> None:
        error = Stale("the vault changed")
        for _ in range(10):
            assert files.failed("f", "tag", error) is error
            clock.time += 10
        assert not files.wants_snapshot("f", "tag")
        assert not files.wants_snapshot("f", "moved at last")

    def test_not_even_a_snapshot(self, files: Restless, clock: FakeClock) -> None:
        files.failed("f", "1", Stale(""))
        clock.time += restless.PATIENCE
        assert files.wants_snapshot("f", "2")
        told = files.failed("f", "2", Stale(""), snapshot=True)
        assert "rewritten all the time" in told.message
        assert told.hint
        clock.time += 300
        assert files.wants_snapshot("f", "3"), "the longest pause between two tries is no calm"
        clock.time += restless.FORGOTTEN
        assert not files.wants_snapshot("f", "4")

    def test_what_is_quiet_is_forgotten(self, files: Restless, clock: FakeClock) -> None:
        for number in range(5000):
            files.sent(f"{number}", "tag")
            clock.time += 0.1
        assert len(files._files) <= 1000
