"""Tell systemd how the daemon is doing, by the protocol of sd_notify(3).

Each message is one datagram to the socket that NOTIFY_SOCKET names. Without that variable (started
from a terminal, by cron, by a test) nothing is sent. Nobody has to listen: a message that cannot be
delivered is dropped, because the daemon's work does not depend on it.
"""

from __future__ import annotations

import contextlib
import os
import socket


def ready() -> None:
    """Say that the API answers and the engine runs; `systemctl start` returns at this."""
    _send("READY=1")


def status(text: str) -> None:
    """Show one sentence about the daemon in `systemctl status`.

    Args:
        text: The sentence. Line breaks, which would begin another message, become spaces.
    """
    _send("STATUS=" + " ".join(text.split()))


def stopping() -> None:
    """Say that the daemon is on its way out."""
    _send("STOPPING=1")


def watchdog() -> None:
    """Say that the sync loop has made progress since the last time."""
    _send("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """How often to call `watchdog`: seconds, half of what the unit allows.

    None when nobody watches, or when the watch is for another process (our parent's).
    """
    allowed = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID") or str(os.getpid())
    if not allowed.isdecimal() or int(allowed) == 0 or watched != str(os.getpid()):
        return None
    return int(allowed) / 1e6 / 2


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
    ):
        # A manager that does not read must not hold up the loop that reports to it.
        out.setblocking(False)
        out.sendto(message.encode(), address)
