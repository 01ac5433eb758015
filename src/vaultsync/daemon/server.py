"""The daemon's sockets, which only their owner can use, and what serves the API on one.

What answers is imported by the thread that serves: until then clients wait, and nobody else for it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

from vaultsync.core.errors import AnotherInstance
from vaultsync.paths import make_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import uvicorn

    from vaultsync.core.ports import Vault

_log = logging.getLogger(__name__)

_PEER = struct.Struct("3i")


class _OwnersOnly(socket.socket):
    """A listening socket that hangs up on everybody but one user (SO_PEERCRED, unix(7)).

    The folder's mode keeps others out already; this also holds where somebody loosens it.
    """

    user = -1

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection, or raise ConnectionAbortedError, which event loops pass over."""
        connection, address = super().accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, user, _ = _PEER.unpack(credentials)
        if user == self.user:
            return connection, address
        connection.close()
        _log.warning("Hung up on user %d, who has no business here.", user)
        raise ConnectionAbortedError


def listen(path: Path, user: int | None = None) -> socket.socket:
    """Bind a Unix socket of mode 0600 in a folder of mode 0700 and listen on it.

    Args:
        path: Where. What a dead daemon left there is replaced.
        user: The user id that may connect; this process's own by default.

    Raises AnotherInstance when somebody answers there.
    """
    folder = os.open(make_private(path.parent), os.O_RDONLY | os.O_DIRECTORY)
    server = _OwnersOnly(socket.AF_UNIX, socket.SOCK_STREAM)
    server.user = os.getuid() if user is None else user
    try:
        # Two daemons that start at the same moment must not remove each other's socket.
        fcntl.flock(folder, fcntl.LOCK_EX)
        _remove_stale(path)
        server.bind(os.fspath(path))
        path.chmod(0o600)
        server.listen(128)
    except BaseException:
        server.close()
        raise
    finally:
        os.close(folder)
    return server


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on; AnotherInstance when somebody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink()
            return
    raise AnotherInstance(
        "Another daemon already serves this profile.", "Use it, or end it with `vaultsync stop`."
    )


class Server:
    """The API, served in a thread of its own."""

    def __init__(self, vault: Vault, path: Path, stop: Callable[[], None]) -> None:
        """Prepare; nothing is open yet.

        Args:
            vault: What to serve.
            path: Where to listen.
            stop: Called when a client asks the daemon to end. It must return at once.
        """
        self._vault = vault
        self._path = path
        self._stop = stop
        self._server: uvicorn.Server | None = None
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; when this returns, clients can connect. Raises AnotherInstance."""
        listener = listen(self._path)
        self._thread = threading.Thread(target=self._run, args=(listener,), name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a second at most for answers under way, and remove the socket."""
        if self._thread is None:
            return
        self._ending = True
        if self._server is not None:
            self._server.should_exit = True
        # Nobody may find a socket on which nobody will answer any more.
        self._path.unlink(missing_ok=True)
        self._thread.join()
        self._thread = None

    def _run(self, listener: socket.socket) -> None:
        import uvicorn  # noqa: PLC0415 - a drive is mounted sooner without them

        from vaultsync.daemon.api import application  # noqa: PLC0415

        config = uvicorn.Config(
            application(self._vault, self._stop),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # In this order: who ends us says so first, and looks for the server then.
        if self._ending:
            self._server.should_exit = True
        self._server.run([listener])
