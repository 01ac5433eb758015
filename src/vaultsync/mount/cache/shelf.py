"""Where the content of each node is: what the rows say, what the file is, and what is in memory."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError
from vaultsync.mount.cache.content import Content
from vaultsync.mount.cache.files import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.cache.files import Files, Handle
    from vaultsync.mount.ports import Node
    from vaultsync.state.drive import DriveStore
    from vaultsync.state.extents import ExtentStore

_STATES = 4096
_log = logging.getLogger(__name__)


class Shelf:
    """The content of all nodes. Everything is called with the drive's lock held, but for `reap`.

    Args:
        store: The drive's rows.
        rows: Those that say what is here.
        files: The cache folder.
        peek: Gives the `Node` of an inode, if there is one in memory.

    Attributes:
        states: What is remembered of nodes in use, and of some others.
        losses: Nodes whose dirty content is lost.
    """

    def __init__(
        self,
        store: DriveStore,
        rows: ExtentStore,
        files: Files,
        peek: Callable[[int], Node | None],
    ) -> None:
        self._store = store
        self._rows = rows
        self._files = files
        self._peek = peek
        self.states: dict[int, Content] = {}
        self.losses: list[int] = []

    def state(self, node: Node) -> Content:
        """What is remembered of it, from now on at least."""
        state = self.states.get(node.id)
        if state is None:
            if len(self.states) >= _STATES:
                for other in [one for one in self.states.values() if one.idle()]:
                    del self.states[other.node.id]
            state = self.states[node.id] = Content(node)
        state.node = node
        return state

    def whole(self, state: Content) -> bool:
        """Whether all is here, after a look at the rows and at the file."""
        node = state.node
        held = self._rows.held(node.id)
        if held is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if held.here != node.here:
            node.here = held.here
            state.spans = None
        if node.size == 0:
            if node.here < 2:
                with self._store.transaction():
                    self._rows.wholly(node.id)
                node.here = 2
            return True
        if node.here and not self.right(state):
            _log.warning("The cache file of node %d is not as it should be.", node.id)
            with self._store.transaction():
                self.lose(state)
        return node.here == 2

    def right(self, state: Content) -> bool:
        """Whether the file is what a clean node's should be."""
        node = state.node
        if node.dirty or node.o_etag is None:
            return True
        if state.touched:
            # It was written to in a transaction that was never committed.
            return False
        try:
            handle = self._files.take(node.id)
        except FileNotFoundError:
            return False
        try:
            if not handle.checked and state.seal is None:
                status = os.fstat(handle.descriptor)
                when = stamp(node.o_etag, node.o_version)
                handle.checked = status.st_size == node.size and (
                    node.here == 1 or status.st_mtime_ns == when
                )
                return handle.checked
            return True
        finally:
            self._files.give(handle)

    def all_of(self, state: Content) -> Handle:
        """The file of content that is all here; it is made when there is nothing in it.

        Raises OSError: EIO when it is not all here.
        """
        node = state.node
        if not node.dirty and node.size and not self.whole(state):
            raise OSError(errno.EIO, "the content is not all here")
        if node.here < 2 or node.id in self.losses:
            raise OSError(errno.EIO, "the content is not all here")
        try:
            handle = self._files.take(node.id)
        except FileNotFoundError:
            if node.size:
                raise OSError(errno.EIO, "the content is lost") from None
            handle = self._files.make(node.id, 0)
        else:
            self._files.put_back(handle)
        handle.checked = True
        return handle

    def lose(self, state: Content) -> None:
        """Drop clean content that is no good; what nobody else has stays as it is."""
        node = state.node
        held = self._rows.held(node.id)
        if held is None or held.dirty or held.o_etag is None:
            return
        self._rows.nothing(node.id)
        self.evicted(node.id)

    def busy(self, node: int) -> bool:
        """Whether it is open, or bytes of it are on their way."""
        state = self.states.get(node)
        return state is not None and not state.idle()

    def evicted(self, node: int) -> None:
        """Nothing is here any more, say the rows: the file goes."""
        known = self._peek(node)
        if known is not None:
            known.here = 0
        state = self.states.get(node)
        if state is not None:
            state.node.here = 0
            state.renew()
            state.touched = False
        self._files.remove(node)

    def reap(self, node: int) -> None:
        """Remove a file that is of no use. Takes the lock, after the transaction has ended."""
        try:
            with self._store.lock:
                state = self.states.get(node)
                held = self._rows.held(node)
                if held is None:
                    self._files.remove(node)
                    self.states.pop(node, None)
                elif held.here == 0 and not (state and state.started):
                    self._files.remove(node)
        except (OSError, VaultsyncError) as error:
            _log.warning("A file of the cache was not removed: %s", error)
