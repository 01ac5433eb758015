"""The bytes of the drive's files: `ports.Contents`, on a folder of sparse files.

`shelf` knows where each content is, `reading` reads it, `hydration` fetches ranges as `readahead`
plans them, `sealing` checks the whole, `eviction` makes room, `opening` repairs after a crash.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vaultsync.core.errors import Blocked, VaultsyncError
from vaultsync.mount.cache.eviction import Room
from vaultsync.mount.cache.files import SETTLED, Files, fallocate, write_fully
from vaultsync.mount.cache.hydration import Hydration
from vaultsync.mount.cache.opening import clear
from vaultsync.mount.cache.pool import Pool
from vaultsync.mount.cache.reading import Reader
from vaultsync.mount.cache.sealing import Sealing
from vaultsync.mount.cache.shelf import Shelf
from vaultsync.mount.ports import Space
from vaultsync.state.extents import ExtentStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from vaultsync.mount.ports import Node, Source, Use
    from vaultsync.state.drive import DriveStore

_COUNTED = 256 << 10
"""Bytes written to a file before the disk is asked again what it takes."""
_KEEP_SIZE = 1
_GOODBYE = 5.0
"""Seconds that requests under way are waited for in the end."""


class Cache:
    """The bytes of the drive's files.

    Args:
        store: The drive's rows.
        folder: For the files; nothing else may be in it. Made, for its owner only.
        source: The vault.
        limit: Bytes of the disk that the cache may take. Dirty and pinned content, and what is
            hydrated to be written to, may exceed it.
        kept: Bytes to be kept free on a disk of so many; None: as everywhere.
        threads: How many requests there are at once, at most.
        patience: Seconds that a passing fault is borne before a read fails with EIO.

    Attributes:
        peek: As in `ports.Contents`; the tree sets it.
        relocate: Asked, without the lock, for a new origin of content that is not at its old one
            any more: it changes the node's, if it knows one, and tells whether it does.
        exact: As in `ports.Contents`.
        losses: Nodes whose dirty content was not there at the start: it is lost.
    """

    def __init__(
        self,
        store: DriveStore,
        folder: Path,
        source: Source,
        limit: int,
        *,
        kept: Callable[[int], int] | None = None,
        threads: int = 16,
        patience: float = 10.0,
    ) -> None:
        self._store = store
        self._rows = ExtentStore(store)
        self._files = Files(folder)
        self._shelf = Shelf(store, self._rows, self._files, self._peeked)
        self._room = Room(
            store, self._rows, self._files, limit, self._shelf.busy, self._shelf.evicted
        )
        if kept is not None:
            self._room.kept = kept
        self._pool = Pool(threads)
        self._sealing = Sealing(store, self._rows, self._files, self._pool, self._shelf.lose)
        self._hydration = Hydration(
            store,
            self._rows,
            self._files,
            self._room,
            self._pool,
            source,
            patience,
            self._sealing,
        )
        self._reader = Reader(store, self._files, self._shelf, self._hydration, self._sealing)
        self.peek: Callable[[int], Node | None] = lambda _: None
        found = clear(store, self._rows, self._files, Path("/proc/sys/kernel/random/boot_id"))
        self.losses = self._shelf.losses = found.losses
        self._boot = found.boot
        self.exact = bool(found.boot) and self._rows.recovered_boot() == found.boot

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End what is under way, within a few seconds. Not with the lock. Idempotent."""
        self._hydration.close()
        self._pool.close(_GOODBYE)
        # When what was last used matters little.
        with self._store.lock, suppress(Blocked):
            self._room.flush()
        self._files.close()

    @property
    def relocate(self) -> Callable[[Node], bool]:
        """As above."""
        return self._hydration.relocate

    @relocate.setter
    def relocate(self, relocate: Callable[[Node], bool]) -> None:
        self._hydration.relocate = relocate

    @property
    def used(self) -> int:
        """Bytes of the disk that the cache takes."""
        return self._files.used

    @property
    def limit(self) -> int:
        """Bytes of the disk that it may take. A lower one makes room at once."""
        return self._room.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._store.lock:
            self._room.limit = limit
            if self._files.used > limit:
                self._room.evict(self._files.used - limit)

    # Reading

    def usable(self, node: Node, offset: int, size: int) -> bool:
        """Whether those bytes are here, so that `read` would not have to wait."""
        stop = min(offset + size, node.size)
        if stop <= offset:
            return True
        if node.here == 2:
            return node.dirty or self._checked(node) or self._shelf.whole(self._shelf.state(node))
        return node.here == 1 and self._hydration.spans(self._shelf.state(node)).covers(
            offset, stop
        )

    def read(self, node: Node, offset: int, size: int, *, ahead: bool = True) -> bytes:
        """The bytes, cut at the node's size, fetched when they are not here.

        Args:
            node: The file.
            offset: The first byte.
            size: How many bytes.
            ahead: Whether more may be fetched than is asked for, by how the file is being read.

        Raises OSError: EIO when they cannot be had, now or at all.
        """
        self._note(node)
        if node.here == 2:
            data = self._reader.quickly(node, offset, size)
            if data is not None:
                return data
        try:
            return self._reader.read(node, offset, size, ahead=ahead)
        except VaultsyncError as error:
            raise OSError(errno.EIO, error.message) from error

    def lend(self, node: Node, offset: int, size: int, use: Use) -> bool:
        """Have `use` take them out of their file; whether they are right. See `ports.Contents`."""
        self._note(node)
        return self._reader.lend(node, offset, size, use)

    def _note(self, node: Node) -> None:
        now = int(time.time())
        if now - node.used >= 60:
            node.used = now // 60 * 60
            self._room.used(node.id, node.used)

    def hydrate(self, node: Node) -> None:
        """Fetch all that is not here, and check the digest of the whole when it is known.

        Raises OSError: EIO when it cannot be had or is damaged, ENOSPC when the disk is full.
        """
        try:
            self._reader.hydrate(node)
        except VaultsyncError as error:
            raise OSError(errno.EIO, error.message) from error

    # Writing, with the lock held

    def write(self, node: Node, offset: int, data: memoryview) -> int:
        """Write into content that is all here (or new). The caller keeps size and `change`.

        Raises OSError: EIO when it is not all here, ENOSPC when the disk is full, EFBIG.
        """
        state = self._shelf.state(node)
        handle = self._shelf.all_of(state)
        try:
            self._room.demand(len(data))
            state.touch()
            write_fully(handle.descriptor, offset, data)
            handle.written += len(data)
            if handle.written >= _COUNTED:
                self._files.count(handle)
        finally:
            self._files.give(handle)
        return len(data)

    def truncate(self, node: Node, size: int) -> None:
        """Make the cache file that long; content that is all here, or becomes so by size 0.

        Where it becomes so, the file goes before the caller's transaction ends. Should that never
        be committed, then what the row says is not there, which is found when it is opened.
        """
        state = self._shelf.state(node)
        if size == 0 and node.here < 2:
            state.renew()
            with self._store.transaction():
                self._rows.wholly(node.id)
            self._files.remove(node.id)
            node.here = 2
            state.touched = True
            return
        if size == 0 and self._files.status(node.id) is None:
            if node.id in self.losses:
                self.losses.remove(node.id)
            return
        handle = self._shelf.all_of(state)
        try:
            state.touched = True
            state.epoch += 1
            os.ftruncate(handle.descriptor, size)
            self._files.count(handle)
        finally:
            self._files.give(handle)

    def allocate(self, node: Node, mode: int, offset: int, length: int) -> None:
        """fallocate(2) on the cache file of content that is all here.

        Raises OSError: ENOSPC, EOPNOTSUPP for modes that the disk's file system lacks.
        """
        state = self._shelf.state(node)
        handle = self._shelf.all_of(state)
        try:
            if mode in (0, _KEEP_SIZE):
                self._room.demand(length)
            state.touched = True
            state.epoch += 1
            fallocate(handle.descriptor, mode, offset, length)
            self._files.count(handle)
        finally:
            self._files.give(handle)

    def fill(self, node: Node, data: bytes) -> None:
        """Keep all bytes of a clean file of which nothing is here, if there is room."""
        with self._store.lock:
            if node.here == 0 and not node.dirty and 0 < node.size == len(data):
                self._hydration.fill(self._shelf.state(node), data)

    def copy(self, source: Node, node: Node) -> None:
        """Begin to copy what a clean file holds wholly to one of which nothing is here."""
        with self._store.lock:
            if node.here or node.dirty or not 0 < node.size == source.size or source.dirty:
                return
            model = self._shelf.state(source)
            if self._shelf.whole(model) and not model.touched:
                self._hydration.copy(self._shelf.state(node), model)

    def replaced(self, node: Node) -> None:
        """The node's size and origin name another version now: what is here is of no use.

        With the lock, in the transaction that changes them, when the node is clean.
        """
        if node.dirty:
            raise OSError(errno.EBUSY, "dirty content is never dropped")
        state = self._shelf.state(node)
        # In this order: `Reader.quickly` says why.
        node.here = node.holes = 0
        state.renew()
        with self._store.transaction():
            if node.size:
                self._rows.nothing(node.id)
            else:
                self._rows.wholly(node.id)
        if not node.size:
            # Now, for it may be written to in a moment. It can be fetched again after a rollback.
            self._files.remove(node.id)
            node.here = 2
        state.touched = False
        self._pool.submit(partial(self._shelf.reap, node.id), urgent=False)

    def clean(self, node: Node) -> None:
        """The content is what the node's origin names: it may be evicted from now on.

        With the lock, in the transaction that sets the origin and `dirty` to 0.
        """
        state = self._shelf.state(node)
        state.touched = False
        if node.size and node.here == 2:
            self._sealing.begin(state, fetched=False)

    def drop(self, node: Node) -> None:
        """The node is gone: its bytes go, once the transaction under way has been committed."""
        self._shelf.state(node).renew()
        self._pool.submit(partial(self._shelf.reap, node.id), urgent=False)

    def opened(self, node: Node) -> None:
        """Somebody has it open now: it must not be evicted. Calls are counted."""
        state = self._shelf.state(node)
        state.users += 1
        if node.here == 2 and not node.dirty and node.size and not self._checked(node):
            # Before it is written to: then nobody could tell any more.
            self._shelf.whole(state)

    def closed(self, node: Node) -> None:
        """The end of one `opened`."""
        state = self._shelf.state(node)
        state.users = max(0, state.users - 1)
        handle = self._files.taken(node.id)
        if handle is not None:
            self._files.count(handle)
            self._files.give(handle)

    # Looking

    def seek(self, node: Node, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE on the cache file of content that is all here. ENXIO."""
        if not 0 <= offset < node.size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        handle = self._shelf.all_of(self._shelf.state(node))
        try:
            return os.lseek(handle.descriptor, offset, whence)
        finally:
            self._files.give(handle)

    def taken(self, node: Node) -> int | None:
        """Bytes of the disk that the cache file takes; None when there is none."""
        return self._files.taken_by(node.id)

    def sync(self, node: Node) -> None:
        """fdatasync(2) of the cache file, and of its name, if there is one. Not with the lock."""
        try:
            handle = self._files.take(node.id)
        except FileNotFoundError:
            return
        try:
            self._files.sync(handle)
        finally:
            self._files.give(handle)

    def descriptor(self, node: Node) -> int:
        """A new descriptor for reading the cache file of content that is all here; close it."""
        handle = self._shelf.all_of(self._shelf.state(node))
        try:
            return self._files.reader(node.id)
        finally:
            self._files.give(handle)

    def settled(self, node: Node) -> None:
        """The row knows of all that was written to this dirty content."""
        self._files.date(node.id, SETTLED)

    def measure(self, node: int) -> tuple[int, int | None] | None:
        """Size of the cache file, and when it was written to since `settled`, if it was."""
        status = self._files.status(node)
        if status is None:
            return None
        when = status.st_mtime_ns
        return status.st_size, when if when > SETTLED else None

    def recovered(self) -> None:
        """All dirty content was looked at: rows and files agree."""
        if self.exact:  # that is written down; nothing is written where nothing has happened
            return
        with self._store.transaction():
            self._rows.set_recovered_boot(self._boot)
        self.exact = True

    def space(self) -> Space:
        """The room of the disk that the cache is on; what is kept free is not available."""
        room = self._files.room()
        kept = self._room.kept(room.f_blocks * room.f_frsize) // room.f_frsize
        return Space(
            room.f_frsize,
            room.f_blocks,
            room.f_bfree,
            max(0, room.f_bavail - kept),
            room.f_files,
            room.f_ffree,
        )

    # The rest

    def _peeked(self, node: int) -> Node | None:
        return self.peek(node)

    def _checked(self, node: Node) -> bool:
        handle = self._files.taken(node.id)
        if handle is not None:
            self._files.give(handle)
        return handle is not None
