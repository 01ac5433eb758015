"""The process that holds a mount.

It mounts, hands the connection to the daemon, and again to the next one when that has ended, until
the drive is unmounted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaultsync.core.errors import TimedOut, VaultsyncError
from vaultsync.daemon import notify, wire
from vaultsync.daemon.offer import Offer
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_MOUNTS = Path("/proc/self/mountinfo")
_SHORTEST, _LONGEST = 0.02, 0.2
"""Seconds between two looks whether there is a daemon."""
_GLANCE = 0.5
"""Seconds between two looks whether a mount that was detached is still in use."""
_REST = 30.0
"""Seconds between two looks at the mount although nobody said that mounts have changed."""
_ANSWER = 60.0
"""Seconds for a daemon to take a mount over."""
_LONGEST_ANSWER = 65_536


class _Ended(Exception):  # noqa: N818 - not a fault
    """The mount is gone, or is to go."""


class Holder:
    """Mounts, and keeps the mount alive until it is unmounted. `run` owns the main thread.

    Args:
        point: Where.
        options: How.
        path: The daemon's socket for holders.
        cache: Gigabytes that the cache may take meanwhile; None: as is set.
        timeout: Seconds for the daemon to serve the mount for the first time.
        starting: Called now and then until it does; raises when there is no hope.
        served: Called once it does.
    """

    def __init__(
        self,
        point: Path,
        options: holder.Options,
        path: Path,
        cache: float | None,
        timeout: float,
        starting: Callable[[], None],
        served: Callable[[], None],
    ) -> None:
        self._point = point
        self._options = options
        self._path = path
        self._cache = cache
        self._timeout = timeout
        self._starting = starting
        self._tell: Callable[[], None] | None = served
        self._fd = -1
        self._name = ""
        self._served = False
        self._told = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()

    def run(self) -> None:
        """Hold the mount until it is unmounted, or a signal says so; it is unmounted then.

        Raises what `holder.mount` raises, and what a daemon says that refuses it.
        """
        with ExitStack() as stack:
            stack.callback(os.close, self._wake)
            for number in (signal.SIGTERM, signal.SIGINT):
                stack.callback(signal.signal, number, signal.signal(number, self._end))
            mounts = stack.enter_context(_MOUNTS.open("rb"))
            self._poll.register(mounts, select.POLLPRI | select.POLLERR)
            self._poll.register(self._wake, select.POLLIN)
            stack.callback(self._leave)
            self._mount()
            with contextlib.suppress(_Ended):
                while True:
                    with self._hand_over() as connection:
                        self._begin()
                        self._await(connection, None)
                    notify.status("waiting for the daemon")

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True
        os.eventfd_write(self._wake, 1)

    def _mount(self) -> None:
        self._fd = holder.mount(self._point, self._options)
        self._name = secrets.token_hex(8)
        self._served = False

    def _leave(self) -> None:
        """Unmount, if it is mounted, and let go."""
        notify.stopping()
        if self._fd < 0:
            return
        if not self._gone():
            self._unmount(lazy=not self._served)
        os.close(self._fd)
        self._fd = -1

    def _unmount(self, *, lazy: bool) -> None:
        """Unmount what is ours; while it is in use it is detached, and goes with its last user."""
        if holder.mounted(self._point) != holder.FSTYPE:
            return
        try:
            holder.unmount(self._point, lazy=lazy)
        except VaultsyncError:
            with contextlib.suppress(VaultsyncError):
                holder.unmount(self._point, lazy=True)

    def _begin(self) -> None:
        """The mount is served."""
        self._served = True
        notify.status(f"mounted at {self._point}")
        if self._tell is not None:
            tell, self._tell = self._tell, None
            notify.ready()
            tell()

    def _hand_over(self) -> socket.socket:
        """Give the connection to a daemon, as soon as there is one that takes it."""
        pause = _SHORTEST
        ends = time.monotonic() + self._timeout
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                if self._offered(connection):
                    return connection
            except OSError:
                pass
            except BaseException:
                connection.close()
                raise
            connection.close()
            if self._tell is None:
                self._wait(pause)
                pause = min(pause * 1.5, _LONGEST)
                continue
            # Somebody waits for it.
            self._starting()
            if time.monotonic() > ends:
                raise TimedOut(
                    f"No daemon served the drive within {self._timeout:g} seconds.",
                    "See `vaultsync status` and the daemon's log.",
                )
            self._wait(_SHORTEST)

    def _offered(self, connection: socket.socket) -> bool:
        """Whether the daemon took it. Raises OSError when there is none."""
        connection.settimeout(_ANSWER)
        connection.connect(os.fspath(self._path))
        offer = Offer(
            self._name,
            os.fspath(self._point),
            os.getpid(),
            self._served,
            self._cache,
            self._options.backend,
        )
        holder.offer(connection, self._fd, offer.described())
        answer = self._answer(connection)
        if answer.get("ok"):
            return True
        if answer.get("remount"):
            # Inode numbers that the kernel knows would mean something else now.
            self._unmount(lazy=True)
            os.close(self._fd)
            self._fd = -1
            self._mount()
            return False
        error = wire.error_from_json(answer.get("error", {}))
        if error.code == "offline":
            return False
        raise error

    def _answer(self, connection: socket.socket) -> dict[str, Any]:
        """What the daemon says; nothing when it ends instead."""
        said = b""
        while not said.endswith(b"\n") and len(said) < _LONGEST_ANSWER:
            self._await(connection, _ANSWER)
            part = connection.recv(4096)
            if not part:
                raise ConnectionAbortedError
            said += part
        told: dict[str, Any] = json.loads(said)
        return told

    def _await(self, connection: socket.socket, seconds: float | None) -> None:
        """Return when something comes from the daemon, or it ends."""
        ends = None if seconds is None else time.monotonic() + seconds
        self._poll.register(connection, select.POLLIN)
        try:
            while True:
                left = _REST if ends is None else ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if connection.fileno() in self._wait(min(left, _REST)):
                    return
        finally:
            self._poll.unregister(connection)

    def _wait(self, seconds: float) -> set[int]:
        """Wait for something to happen; raises _Ended when the mount is gone, or is to go."""
        detached = holder.mounted(self._point) != holder.FSTYPE
        # The descriptor itself is not waited for: it wakes its waiters at each request.
        events = self._poll.poll(1000 * (min(seconds, _GLANCE) if detached else seconds))
        if self._told or self._gone():
            raise _Ended
        return {number for number, _ in events}

    def _gone(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(0))
