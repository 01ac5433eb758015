"""How much of the disk the cache may take, and what goes when that is not enough."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked
from vaultsync.local.room import kept_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.cache.files import Files
    from vaultsync.state.drive import DriveStore
    from vaultsync.state.extents import ExtentStore

_BATCH = 64
_LEEWAY = 64
"""So that not each new range evicts a file, a part of the limit is freed at once: one in this."""
_GLANCE = 16 << 20
"""Bytes that may be written before the disk is asked for its space again."""
_GLANCE_SECONDS = 1.0
_BARREN_SECONDS = 1.0
"""For how long nobody looks again for something to evict after there was too little."""


class Room:
    """Says what may be stored, and makes room for it. Used with the drive's lock held.

    Args:
        store: The drive's rows.
        rows: The same.
        files: The cache folder.
        limit: Bytes of the disk that clean content may take.
        busy: Tells whether a node's content is open or on its way.
        evicted: Called with each node whose content is not here any more, to remove its file.
        kept: Bytes of a disk of so many to be kept free.

    Attributes:
        promised: Bytes that are on their way.
        limit: As given.
        kept: As given.
    """

    def __init__(
        self,
        store: DriveStore,
        rows: ExtentStore,
        files: Files,
        limit: int,
        busy: Callable[[int], bool],
        evicted: Callable[[int], None],
        kept: Callable[[int], int] = kept_free,
    ) -> None:
        self._store = store
        self._rows = rows
        self._files = files
        self._busy = busy
        self._evicted = evicted
        self.kept = kept
        self._granted = 0
        self._asked = 0.0
        self._barren = 0.0
        self._uses: dict[int, int] = {}
        self.promised = 0
        self.limit = limit

    def used(self, node: int, when: int) -> None:
        """Note a use, in seconds since the epoch. Needs no lock; rows learn of it later."""
        self._uses[node] = when

    def flush(self) -> None:
        """Write the uses down."""
        uses, self._uses = self._uses, {}
        if uses:
            with self._store.transaction():
                self._rows.used(uses)

    def promise(self, *sizes: int, above: bool = False) -> bool:
        """Promise bytes for what is to be stored, evicting others; each to be kept by `keep`.

        Args:
            sizes: Bytes.
            above: The limit does not matter, only the disk does.

        Returns:
            Whether there is room.
        """
        size = sum(map(_rounded, sizes))
        over = self._files.used + self.promised + size - self.limit
        if over > 0 and not self._freed(over) and not above:
            return False
        lack = self.promised + size - self._free()
        if lack > 0 and not self._freed(lack):
            return False
        self.promised += size
        return True

    def keep(self, size: int) -> None:
        """The end of a promise: it is stored and counted, or given up."""
        self.promised -= _rounded(size)

    def demand(self, size: int) -> None:
        """Let so many bytes be written, however many there are already.

        Raises OSError with ENOSPC when too little would be left on the disk: its last bytes are
        kept for the databases.
        """
        now = time.monotonic()
        if self._granted < size or now - self._asked > _GLANCE_SECONDS:
            free = self._free() - self.promised
            if free < size:
                self.evict(size - free)
                free = self._free() - self.promised
            if free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._granted = min(free, max(_GLANCE, size))
            self._asked = now
        self._granted -= size

    def evict(self, size: int) -> int:
        """Free so many bytes, or as many as can be; returns how many.

        Where the database cannot be written, nothing can.
        Content that is dirty, pinned or nowhere else is not even looked at; what is open or on its
        way is passed over. The lock keeps all that from changing meanwhile.
        """
        before = self._files.used
        with suppress(Blocked):
            self._evict(before, size)
        return before - self._files.used

    def _evict(self, before: int, size: int) -> None:
        after = (-1, -1)
        self.flush()
        while before - self._files.used < size:
            candidates = self._rows.candidates(after, _BATCH)
            if not candidates:
                break
            after = candidates[-1]
            chosen = self._chosen(candidates, size - (before - self._files.used))
            with self._store.transaction():
                gone = [node for node in chosen if self._rows.evict(node)]
            # Should the transaction around this one not be committed, the row claims a file that
            # is not there. That is found when it is opened, and clean content is fetched again.
            for node in gone:
                self._evicted(node)

    def _freed(self, size: int) -> bool:
        """Whether so many bytes could be freed; not tried again at once when they could not."""
        now = time.monotonic()
        if now < self._barren:
            return False
        if self.evict(size + self.limit // _LEEWAY) >= size:
            return True
        self._barren = now + _BARREN_SECONDS
        return False

    def _chosen(self, candidates: list[tuple[int, int]], size: int) -> list[int]:
        chosen: list[int] = []
        for _, node in candidates:
            if size <= 0:
                break
            status = None if self._busy(node) else self._files.status(node)
            if status is not None:
                chosen.append(node)
                size -= status.st_blocks * 512
        return chosen

    def _free(self) -> int:
        room = self._files.room()
        total = room.f_blocks * room.f_frsize
        # Some network file systems do not know their size, and say 0.
        return room.f_bavail * room.f_frsize - self.kept(total) if total else self.limit


def _rounded(size: int) -> int:
    """Bytes of the disk that so many take, in whole blocks."""
    return -(-size // 4096) * 4096
