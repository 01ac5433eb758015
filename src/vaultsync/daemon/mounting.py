"""Takes over mounts from the processes that hold them, and serves them.

A holder connects to the drive's socket, hands over the descriptor of /dev/fuse with a description,
and gets one line of JSON: `{"ok": true}` once the kernel is served, or `"ok": false` with the error
and whether to mount afresh (`"remount"`). The connection then stays open for as long as the mount
is served. When it ends although the mount is still there, this process is on its way out: the
holder hands over to the next one, which goes on where this one ended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaultsync.core.errors import AnotherInstance, Fatal, Retry, VaultsyncError
from vaultsync.core.model import Mount
from vaultsync.daemon import wire
from vaultsync.daemon.offer import Offer
from vaultsync.daemon.server import listen
from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.wire import Agreed
from vaultsync.mount.ports import ROOT
from vaultsync.mount.serving import outlives, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.ports import Invalidate
    from vaultsync.mount.serving import Serving
    from vaultsync.mount.tree.tree import Tree

log = logging.getLogger(__name__)

_TAKING = 10.0
"""Seconds that a holder may take to hand over."""
_GREETING = 30.0
"""Seconds for the kernel to begin to speak on a new mount."""
_ENDING = 8.0
"""Seconds that are waited for the thread that serves."""


class Remount(Fatal):
    """This mount cannot be served: another one is needed at its place."""


class Agreement:
    """Keeps what a mount and a tree have agreed on; implements `kernel.Keeper`.

    Args:
        file: Where. It need not outlive the machine, for the mount does not either.
        tree: Tells this tree from one of before, whose inode numbers mean something else.
        mount: The mount.
    """

    def __init__(self, file: Path, tree: str, mount: str) -> None:
        self._file = file
        self._names = [tree, mount]
        self.saved = threading.Event()

    def load(self) -> Agreed | None:
        """See `kernel.Keeper`. None also when it was another mount, or another tree's."""
        try:
            names, values = json.loads(self._file.read_bytes())
            return Agreed(**values) if names == self._names else None
        except (OSError, ValueError, TypeError):
            return None

    def save(self, agreed: Agreed) -> None:
        """See `kernel.Keeper`."""
        values = {item.name: getattr(agreed, item.name) for item in fields(agreed)}
        new = self._file.with_name(self._file.name + ".new")
        new.write_text(json.dumps([self._names, values]))
        new.replace(self._file)
        self.saved.set()


class Telling:
    """Tells the kernel what it must not believe any more; implements `mount.ports.Invalidate`.

    Args:
        kernel: Gives who is to be told, while it is mounted.
        noticed: Called for each name that means something else.
    """

    def __init__(
        self, kernel: Callable[[], Invalidate | None], noticed: Callable[[int, bytes], None]
    ) -> None:
        self._kernel = kernel
        self._noticed = noticed

    def inode(self, node: int, *, content: bool) -> None:
        """See `mount.ports.Invalidate`."""
        kernel = self._kernel()
        if kernel is not None:
            kernel.inode(node, content=content)

    def entry(self, parent: int, name: bytes) -> None:
        """See `mount.ports.Invalidate`."""
        kernel = self._kernel()
        if kernel is not None:
            kernel.entry(parent, name)
        self._noticed(parent, name)


class Mounting:
    """Serves one mount of a tree at a time, on threads of its own. For any thread.

    Args:
        path: The socket for holders.
        agreement: The file for what was agreed on with the kernel.
        tree: What to serve.
        resized: Told how many gigabytes the cache may take; None: as is set.
        ended: Called when a mount is gone.
    """

    def __init__(
        self,
        path: Path,
        agreement: Path,
        tree: Tree,
        resized: Callable[[float | None], None],
        ended: Callable[[], None],
    ) -> None:
        self._path = path
        self._agreement = agreement
        self._tree = tree
        self._name = str(tree.getattr(ROOT).born)
        self._resized = resized
        self._ended = ended
        self._free = threading.Condition()
        self._listener: socket.socket | None = None
        self._served: tuple[Offer, Serving] | None = None
        self._held: Offer | None = None
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen for holders. Idempotent. Raises AnotherInstance."""
        if self._listener is None:
            self._listener = listen(self._path)
            self._spawn("drive-holders", lambda: self._accept(self._sure))

    def stop(self) -> None:
        """End within a few seconds; the mount is left to whoever comes next. Idempotent."""
        self._stopping = True
        listener, self._listener = self._listener, None
        if listener is not None:
            self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        served = self._served
        if served is not None:
            served[1].close()
        for thread in self._threads:
            thread.join(_ENDING)

    def state(self) -> Mount:
        """Where it is mounted."""
        served = self._served
        if served is None or not served[1].ready.is_set() or self._detached():
            return Mount()
        offer = served[0]
        return Mount(offer.at, offer.pid if self._held is offer else None, backend=offer.backend)

    def _detached(self) -> bool:
        """Whether what is served is only left to those who still have something of it open."""
        served = self._served
        return (
            served is not None
            and self._held is not served[0]
            and holder.mounted(Path(served[0].at)) != holder.FSTYPE
        )

    def telling(self, noticed: Callable[[int, bytes], None]) -> Telling:
        """What tells the kernel, while there is one, and `noticed` in any case."""
        return Telling(lambda: None if self._served is None else self._served[1], noticed)

    @property
    def _sure(self) -> socket.socket:
        if self._listener is None:
            raise RuntimeError("nobody listens")
        return self._listener

    def _spawn(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                connection, _ = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            self._spawn("drive-holder", lambda taken=connection: self._answer(taken))  # type: ignore[misc]

    def _answer(self, connection: socket.socket) -> None:
        """Take over what a holder offers, and let it know; returns when its end has come."""
        with connection:
            connection.settimeout(_TAKING)
            try:
                fd, words = holder.take(connection)
            except (OSError, ValueError, VaultsyncError) as error:
                log.warning("What a holder of a mount offered could not be taken: %s", error)
                return
            try:
                self._take(connection, fd, Offer(**words))
            except VaultsyncError as error:
                log.info("A mount was not taken over: %s", error.message)
                told = wire.failure(error) | {"remount": isinstance(error, Remount)}
                _say(connection, told)
            except TypeError:
                log.warning("The holder of a mount is of another version of vaultsync.")
            finally:
                os.close(fd)

    def _take(self, connection: socket.socket, fd: int, offer: Offer) -> None:
        keeper = Agreement(self._agreement, self._name, offer.mount)
        fresh = keeper.load() is None or not outlives(offer.backend)
        with self._free:
            # One that has ended is being wound up, and may be this one's predecessor.
            self._free.wait_for(self._settled, _ENDING)
            if self._served is not None and self._detached():
                # Its last users lose it: two mounts of one tree would have to be told apart.
                self._served[1].close()
                self._free.wait_for(lambda: self._served is None, _ENDING)
            if self._stopping:
                raise Retry("The daemon is stopping.", "It goes on when it is started again.")
            if self._served is not None:
                raise AnotherInstance(
                    f"The drive is mounted at {self._served[0].at} already.",
                    "Unmount it there first, with `vaultsync unmount`.",
                )
            if fresh and offer.served:
                raise Remount("What was mounted cannot be served any more.")
            kernel = serving(offer.backend, self._tree, keeper)
            self._served, self._held = (offer, kernel), offer
        refusal: list[Exception] = []
        self._resized(offer.cache)
        thread = self._spawn("drive", lambda: self._serve(kernel, fd, refusal, fresh=fresh))
        begun = keeper.saved if fresh else kernel.ready
        waited = 0.0
        while not begun.wait(0.02) and thread.is_alive() and waited < _GREETING:
            waited += 0.02
        if not begun.is_set() and thread.is_alive():
            kernel.close()
            thread.join(_ENDING)
            raise Remount("The kernel does not speak on this mount.")
        if refusal:
            error = refusal[0]
            if isinstance(error, VaultsyncError) and fresh:
                raise error
            raise Remount(str(error))
        log.info("The drive is mounted at %s (held by process %d).", offer.at, offer.pid)
        _say(connection, {"ok": True})
        connection.settimeout(None)
        watcher = threading.Thread(
            target=self._await_end, args=[connection, offer], name="drive-held", daemon=True
        )
        watcher.start()
        thread.join()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _settled(self) -> bool:
        served = self._served
        return self._stopping or served is None or served[1].ready.is_set()

    def _await_end(self, connection: socket.socket, offer: Offer) -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        # As long as this process has the descriptor, the mount goes on; it ends with it.
        if self._held is offer:
            self._held = None

    def _serve(self, kernel: Serving, fd: int, refusal: list[Exception], *, fresh: bool) -> None:
        """Serve a mount until it is gone, or until this process is to end."""
        try:
            if fresh:
                self._tree.fresh()
            kernel.serve(fd, fresh=fresh)
        except (VaultsyncError, OSError) as error:
            refusal.append(error)
            log.warning("The drive cannot be served: %s", error)
        except Exception as error:
            refusal.append(error)
            log.exception("an error of vaultsync's own ends the serving of the drive")
        finally:
            if not self._stopping:
                self._wind_up()
            with self._free:
                self._served = None
                self._free.notify_all()

    def _wind_up(self) -> None:
        """A mount is gone: whoever had something open has it no longer."""
        log.info("The drive is not mounted any more.")
        self._agreement.unlink(missing_ok=True)
        self._resized(None)
        try:
            self._tree.fresh()
        except OSError as error:
            log.warning("What was open in the drive could not be closed: %s", error)
        self._ended()


def _say(connection: socket.socket, told: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(told).encode() + b"\n")
