"""The drive's tree: a `ports.FileSystem` over the state database and a cache of contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.mount.ports import ROOT, Contents, Dirty, Node, NodeKind
from vaultsync.mount.tree.attributes import Attributes, Marks
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.grafting import Grafting
from vaultsync.mount.tree.listing import Listing

if TYPE_CHECKING:
    from vaultsync.state.drive import DriveStore

_BATCH = 100
"""Dirty files that are looked at in one go at the start."""


class Tree(Attributes, Listing, Grafting):
    """Inodes and names in the database, bytes in the cache.

    Each operation takes the drive's lock; content is fetched, and disks are waited for, without it.
    What was written to a file before a crash and is not in its row is taken from its cache file.

    Args:
        store: The drive's tables.
        contents: The bytes of files.
        owner: User and group of the root and of what the engine brings.
        dirty: Called, never with the lock held, with each path that has changed, and whether it is
            still open for writing.
        marks: Answers for extended attributes below `user.vaultsync.`.
        keep: How many nodes are kept in memory for speed, and four times as many names.

    Raises OSError when the database cannot be written.
    """

    def __init__(
        self,
        store: DriveStore,
        contents: Contents,
        *,
        owner: tuple[int, int],
        dirty: Dirty | None = None,
        marks: Marks | None = None,
        keep: int = 50_000,
    ) -> None:
        super().__init__(store, contents, dirty, keep)
        contents.peek = self.known
        self._owner = owner
        self._marks = marks
        self._readings = {}
        with Change(self) as change:
            if self.rows.load(ROOT) is None:
                uid, gid = owner
                now = change.now
                columns = (NodeKind.DIR, 0o755, uid, gid, 2, now, now, now, now, 0, 0, None, 0, 0)
                self.rows.insert_root((*columns, None, 2, 0, 0, None, None, None))
        self._recover_all()

    def _recover_all(self) -> None:
        """Let the rows of dirty files catch up with what a crash kept from them.

        Most know all: nothing was written since. A few at a time, for others want to write as well.
        """
        with self.store.lock:
            sizes = self.rows.dirty()
        dirty = list(sizes)
        for start in range(0, len(dirty), _BATCH):
            with self.store.lock:
                found = {one: self.contents.measure(one) for one in dirty[start : start + _BATCH]}
                changed = [one for one in found if not self._complete(sizes[one], found[one])]
                if changed:
                    self.fetch(changed)
                    with Change(self) as change:
                        for one in changed:
                            self._recover(change, self.node(one), found[one])
        self.contents.recovered()

    def _complete(self, size: int, measured: tuple[int, int | None] | None) -> bool:
        """Whether a row knows all that was done to its content, and all that it knows was done."""
        return self.contents.exact and (measured or (0, None)) == (size, None)

    @staticmethod
    def _recover(change: Change, node: Node, measured: tuple[int, int | None] | None) -> None:
        """Let one row catch up.

        `change` grows in any case: the content may be another one than at the last value that
        somebody was told, and must not pass for that.
        """
        change.touch(node)
        node.change += 1
        node.sha256 = None
        if measured is None:
            return
        node.size, written = measured
        # Times that somebody set since the last write are kept: that was settled, and later. The
        # clocks of files and of rows are not compared: that of files may be a tick behind.
        if written is not None:
            node.mtime = written
            node.ctime = max(node.ctime, written)

    def close(self) -> None:
        """Write what memory alone knows. The database is the caller's to close."""
        with self.store.lock:
            self.settle_all()
