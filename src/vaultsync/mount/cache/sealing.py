"""The end of a hydration: the whole is checked, synced and stamped, off the readers' way."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import time
from functools import partial
from typing import TYPE_CHECKING

from vaultsync.mount.cache.content import Flight
from vaultsync.mount.cache.files import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.cache.content import Content
    from vaultsync.mount.cache.files import Files, Handle
    from vaultsync.mount.cache.pool import Pool
    from vaultsync.state.drive import DriveStore
    from vaultsync.state.extents import ExtentStore

_PIECE = 1 << 20
_PAUSE = 5.0
"""Seconds for which content with a wrong digest is not fetched again."""
_HEX = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


class Sealing:
    """Makes content that is here last; `hydration` says why it is done so.

    Args:
        store: The drive's rows, and the lock.
        rows: Those that say what is here.
        files: The cache folder.
        pool: The threads.
        lose: Called with the lock, in a transaction, when content turned out to be damaged.
    """

    def __init__(
        self,
        store: DriveStore,
        rows: ExtentStore,
        files: Files,
        pool: Pool,
        lose: Callable[[Content], None],
    ) -> None:
        self._store = store
        self._rows = rows
        self._files = files
        self._pool = pool
        self._lose = lose

    def begin(self, state: Content, *, fetched: bool) -> Flight:
        """Have it sealed. With the lock; called again, what is under way goes on.

        Args:
            state: The content.
            fetched: It came from the vault just now, and is to be checked; otherwise it was
                written here and is clean from now on.
        """
        if state.seal is None or not fetched:
            # A seal of what was written before the last write is not one of what is there now.
            state.seal = seal = Flight(state, state.epoch, 0, state.node.size)
            if not self._pool.submit(partial(self._run, seal, fetched), urgent=True):
                state.seal = None
                seal.error = OSError(errno.EIO, "the drive is being closed")
                seal.landed.set()
            return seal
        return state.seal

    def _run(self, seal: Flight, fetched: bool) -> None:
        state = seal.state
        seal.begun = True
        try:
            with self._store.lock:
                if not self._current(seal):
                    return
                digest = state.node.sha256 or ""
                handle = self._files.take(state.node.id)
            try:
                known = fetched and _HEX.fullmatch(digest)
                right = not known or digest == self._digest(seal, handle)
                if right:
                    self._files.sync(handle)
                with self._store.lock:
                    if self._current(seal):
                        self._settle(seal, handle, fetched=fetched, right=right)
            finally:
                self._files.give(handle)
        except Exception as error:  # noqa: BLE001 - whoever waits has to be told of anything
            _log.warning("A file of the cache could not be sealed: %s", error)
            seal.error = OSError(errno.EIO, type(error).__name__)
        finally:
            with self._store.lock:
                if state.seal is seal:
                    state.seal = None
            seal.landed.set()

    def _current(self, seal: Flight) -> bool:
        return seal.state.seal is seal and seal.epoch == seal.state.epoch

    def _settle(self, seal: Flight, handle: Handle, *, fetched: bool, right: bool) -> None:
        state = seal.state
        node = state.node
        if not right:
            _log.warning("The content of node %d has another digest than it should.", node.id)
            seal.error = OSError(errno.EIO, "the digest is wrong")
            with self._store.transaction():
                self._lose(state)
            state.failed = time.monotonic() + _PAUSE
            return
        held = self._rows.held(node.id)
        if held is None or held.dirty or state.touched or held.here != (1 if fetched else 2):
            return
        when = stamp(held.o_etag, held.o_version)
        self._files.count(handle)
        os.utime(handle.descriptor, ns=(when, when))
        if fetched:
            with self._store.transaction():
                self._rows.wholly(node.id)
            node.here = 2
            state.spans = None

    def _digest(self, seal: Flight, handle: Handle) -> str:
        digest = hashlib.sha256()
        at = 0
        while at < seal.stop and self._current(seal):
            piece = os.pread(handle.descriptor, min(_PIECE, seal.stop - at), at)
            if not piece:
                break
            digest.update(piece)
            at += len(piece)
            seal.moved = time.monotonic()
        return digest.hexdigest()
