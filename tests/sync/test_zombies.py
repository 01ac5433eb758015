"""A deletion whose answer was lost may still arrive: what is there again by then is not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes import MemorySide
    from tests.sync.device import Device


def lose(side: MemorySide, path: str) -> Callable[[], None]:
    """Let the next deletion of a path time out; returns what makes it arrive."""
    tag = side.files[path].tag
    before = side.fault

    def fault(name: str, at: str) -> None:
        before(name, at)
        if (name, at) == ("delete", path):
            side.fault = before
            raise Retry("no answer", unknown_outcome=True)

    def arrive() -> None:
        if path in side.files and side.files[path].tag == tag:
            side.files.pop(path)

    side.fault = fault
    return arrive


def test_it_meets_the_same_bytes_of_another_device(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    other.settle()
    arrive = lose(device.vault, "a.txt")
    device.local.remove("a.txt")
    device.settle()
    other.settle()
    assert not device.vault.files
    other.local.write("a.txt", b"content")
    other.settle()
    device.settle()
    assert device.local.tree() == {"a.txt": b"content"}
    arrive()
    device.settle()
    other.settle()
    assert device.local.tree() == other.local.tree() == {"a.txt": b"content"}


def test_it_meets_what_a_person_restored(device: Device) -> None:
    paths = [f"{number:03}.txt" for number in range(100)]
    for path in paths:
        device.local.write(path, path.encode())
    device.settle()
    arrive = lose(device.vault, paths[0])
    lost = device.vault.fault
    sent: list[str] = []

    def refuse(name: str, path: str) -> None:
        if name == "delete":
            sent.append(path)
            lost(name, path)
            raise Retry("The vault is busy.")

    device.vault.fault = refuse
    device.local.remove(paths[0])
    device.engine.request_sync()
    while not sent:
        device.step()
        device.clock.time += 0.1
    device.step()
    for path in paths[1:40]:
        device.local.remove(path)
    device.engine.request_sync()
    for _ in range(100):
        device.step()
        device.clock.time += 0.01
    device.vault.fault = lambda _name, _path: None
    device.settle()
    assert device.engine.guards.held
    device.engine.decide("restore", None)
    device.settle()
    assert paths[0] in device.local.files
    arrive()
    device.settle()
    assert device.local.tree() == {path: path.encode() for path in paths}


def test_it_meets_what_came_back_after_a_crash(device: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    arrive = lose(device.vault, "a.txt")
    lost = device.vault.fault
    sent: list[str] = []

    def send(name: str, path: str) -> None:
        if name == "delete":
            sent.append(path)
        lost(name, path)

    device.vault.fault = send
    device.local.remove("a.txt")
    device.engine.request_sync()
    while not sent:
        if not device.pool.run():
            device.engine.turn(0)
            device.clock.time += 0.1
    device.crash()
    device.local.write("a.txt", b"content")
    device.settle()
    arrive()
    device.settle()
    assert device.local.tree() == {"a.txt": b"content"}


def test_a_later_deletion_by_another_device_is_obeyed(device: Device, other: Device) -> None:
    device.local.write("a.txt", b"content")
    device.settle()
    other.settle()
    lose(device.vault, "a.txt")
    device.local.remove("a.txt")
    device.settle()
    other.settle()
    other.local.write("a.txt", b"other content")
    other.settle()
    device.settle()
    other.local.remove("a.txt")
    other.settle()
    device.settle()
    assert device.local.tree() == other.local.tree() == {}
