"""sd_notify against a socket such as systemd would listen on."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING

import pytest

from vaultsync.daemon import notify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A listening notify socket, announced in the environment."""
    abstract = f"@vaultsync-test-{secrets.token_hex(8)}"
    address = abstract if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1) if address == abstract else address)
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listening


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (notify.ready, b"READY=1"),
        (notify.stopping, b"STOPPING=1"),
        (notify.watchdog, b"WATCHDOG=1"),
        (lambda: notify.status("in sync, 3 files"), b"STATUS=in sync, 3 files"),
        (lambda: notify.status("größer"), "STATUS=größer".encode()),
        (lambda: notify.status("one\nREADY=1\ntwo"), b"STATUS=one READY=1 two"),
    ],
)
def test_each_message_is_one_datagram(
    manager: socket.socket, call: Callable[[], None], sent: bytes
) -> None:
    call()
    assert manager.recv(4096) == sent


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready()
    notify.status("nobody hears this")


def test_a_manager_that_went_away_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify.ready()


@pytest.mark.timeout(20)
def test_a_manager_that_does_not_read_holds_nothing_up(manager: socket.socket) -> None:
    for _ in range(2000):
        notify.watchdog()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_half_of_the_allowed_time_is_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval() == 90


@pytest.mark.parametrize(
    ("allowed", "watched"), [("", ""), ("0", ""), ("soon", ""), ("180000000", "1")]
)
def test_no_interval_when_this_process_is_not_watched(
    monkeypatch: pytest.MonkeyPatch, allowed: str, watched: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", allowed)
    monkeypatch.setenv("WATCHDOG_PID", watched)
    assert notify.watchdog_interval() is None
