"""A file of the drive that never holds still, as it was at one moment.

Where the disk can share blocks between files, a clone is taken in one step while its writers wait.
Else the file is copied while it is written to, and what is written meanwhile is noted: that is
copied again, and again, until it is little enough to be copied while the writers wait. All that was
copied before is then as it is at that moment, for it was not written to since.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Stale
from vaultsync.mount.cache.spans import Spans
from vaultsync.mount.holding import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from vaultsync.core.model import Entry
    from vaultsync.mount.ports import Contents, Node
    from vaultsync.mount.tree.tree import Tree

LAST = 2 << 20
"""Bytes that are copied while the file's writers wait, at most: a millisecond or two."""
ROUNDS = 20
"""Times that what was written meanwhile is copied again before the file is given up for now."""
_STEP = 8 << 20
"""Bytes copied at once, while nobody waits."""
_FICLONE = 0x40049409
"""Of ioctl(2): the file shares the other one's blocks (linux/fs.h)."""


class Snapshot(Whole):
    """A copy of a file as it was at one moment, under no name.

    Args:
        entry: The version that the file was then.
        descriptor: The copy; owned from now on.
    """

    def __init__(self, entry: Entry, descriptor: int) -> None:
        self.entry = entry
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes of the copy."""
        return os.pread(self._descriptor, min(length, self.entry.size - offset), offset)

    def close(self) -> None:
        """Drop the copy. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Photographer:
    """Takes a snapshot of one file.

    Args:
        tree: The file's tree.
        contents: Its bytes.
        node: The file.
        entry: Tells the version that a node is.
    """

    def __init__(
        self, tree: Tree, contents: Contents, node: Node, entry: Callable[[Node], Entry | None]
    ) -> None:
        self._tree = tree
        self._contents = contents
        self._node = node
        self._entry = entry
        self._written = Spans()

    def take(self, scratch: Path) -> Snapshot:
        """Take it.

        Args:
            scratch: A folder on the disk of the contents.

        Raises:
            Stale: It is not all here, or is written to faster than it can be copied.
            Blocked: There is no room for a copy.
        """
        target = os.open(scratch, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with self._watched() as source:
                found = self._cloned(source, target) or self._copied(source, target)
            return Snapshot(replace(found, sha256=None), target)
        except OSError as error:
            os.close(target)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise Stale("no moment of the file can be had") from error
            raise Blocked("There is no room for a copy.", "Free some space.") from error
        except BaseException:
            os.close(target)
            raise

    @contextmanager
    def _watched(self) -> Iterator[int]:
        """The file, opened; what is written to it meanwhile is noted."""
        with self._tree.store.lock:
            self._momentary()
            source = self._contents.descriptor(self._node)
            # What is evicted would have to be fetched again before it is written to.
            self._contents.opened(self._node)
            self._tree.watch(self._node, self._note)
        try:
            yield source
        finally:
            os.close(source)
            with self._tree.store.lock:
                self._tree.unwatch(self._node, self._note)
                self._contents.closed(self._node)

    def _note(self, start: int, stop: int) -> None:
        if start < stop:
            self._written.add(start, stop)

    def _momentary(self) -> Entry:
        """With the lock: the version that the file is now."""
        self._tree.settle(self._node)
        entry = self._entry(self._node)
        if entry is None or self._node.here != 2:
            raise Stale("no moment of the file can be had")
        return entry

    def _cloned(self, source: int, target: int) -> Entry | None:
        # Some file systems write out first what is only in memory: not while anybody waits.
        os.fdatasync(source)
        with self._tree.store.lock:
            entry = self._momentary()
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError:
                return None
            os.ftruncate(target, entry.size)
            return entry

    def _copied(self, source: int, target: int) -> Entry:
        self._require_room(source)
        _copy(source, target, _data(source))
        for _ in range(ROUNDS):
            with self._tree.store.lock:
                entry = self._momentary()
                left, self._written = self._written, Spans()
                end = min(entry.size, os.fstat(source).st_size)
                within = list(_cut(left, end))
                # What was behind the end must not come back when the file grows again.
                os.ftruncate(target, end)
                if sum(stop - start for start, stop in within) <= LAST:
                    _copy(source, target, within)
                    os.ftruncate(target, entry.size)
                    return entry
            _copy(source, target, within)
        raise Stale("It is written to faster than it can be copied.")

    def _require_room(self, source: int) -> None:
        """A copy must not fill the disk on which others are to write."""
        found = os.fstat(source)
        with self._tree.store.lock:
            space = self._contents.space()
        if min(found.st_size, found.st_blocks * 512) > space.available * space.block:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _cut(spans: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The spans as far as they are within so many bytes."""
    for start, stop in spans:
        if start < size:
            yield start, min(stop, size)


def _data(source: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes, as they are found; it may change meanwhile."""
    at = 0
    while True:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
            at = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        yield start, at


def _copy(source: int, target: int, spans: Iterable[tuple[int, int]]) -> None:
    """Copy parts of a file as far as they are within it."""
    for start, stop in spans:
        at = start
        while at < stop:
            count = os.copy_file_range(source, target, min(_STEP, stop - at), at, at)
            if not count:
                break
            at += count
