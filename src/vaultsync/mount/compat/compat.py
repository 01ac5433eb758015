"""The drive behind libfuse, for systems where the kernel's own protocol cannot be spoken.

One request at a time, plain: what waits for the network lets all others wait. The kernel is told to
believe nothing for longer than a call, because libfuse has no way to take a name back. A connection
ends with the process that serves it.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from vaultsync.mount.compat.library import Library
from vaultsync.mount.compat.paths import Paths
from vaultsync.mount.kernel.wire import Agreed

if TYPE_CHECKING:
    from vaultsync.mount.kernel.kernel import Keeper
    from vaultsync.mount.ports import FileSystem


class Compat:
    """Serves a connection through mfusepy; implements `serving.Serving`.

    Args:
        files: The file system.
        keeper: Told once the kernel has spoken.

    Raises MachineRefused without libfuse3.
    """

    def __init__(self, files: FileSystem, keeper: Keeper) -> None:
        self.ready = threading.Event()
        self._library = Library()
        self._keeper = keeper
        module = self._library.session
        self._session = module.Session(Paths(files, module.caller), self._greeted)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._waking = threading.Lock()

    def serve(self, fd: int, *, fresh: bool) -> None:
        """See `serving.Serving`. Raises OSError when libfuse refuses."""
        if not fresh:
            raise ValueError("a connection that somebody has served cannot be taken over")
        os.set_blocking(fd, False)
        try:
            self._library.serve(self._session, fd, self._wake)
        finally:
            self.ready.clear()
            with self._waking:
                os.close(self._wake)
                self._wake = -1

    def close(self) -> None:
        """See `serving.Serving`."""
        with self._waking:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def inode(self, node: int, *, content: bool) -> None:
        """See `ports.Invalidate`: the kernel believes nothing."""

    def entry(self, parent: int, name: bytes) -> None:
        """See `ports.Invalidate`: the kernel believes nothing."""

    def _greeted(self, minor: int, flags: int, max_write: int, readahead: int) -> None:
        self._keeper.save(Agreed(minor, flags, max_write, readahead))
        self.ready.set()
