"""What is in the vault need not be kept here: finding out when pushes have arrived.

The engine writes into its rows what both sides agreed on. Where that is what a file of the drive
is, its content is in the vault at that path: the file is clean from then on, may be evicted, and is
fetched from there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vaultsync.core.model import Kind
from vaultsync.core.names import CONTROL
from vaultsync.mount.holding import tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.model import Row
    from vaultsync.mount.ports import Node
    from vaultsync.mount.tree.grafting import Effects
    from vaultsync.mount.tree.tree import Tree

FEW = 200
"""Files that are looked at in one call."""
PAUSE = 5.0
"""Seconds before `missing` is told of the same version again."""


class Keeping:
    """Compares files with rows, a few at a time.

    Args:
        tree: The files.
        ignored: Whether to leave a path alone.

    Attributes:
        lookup: Gives the row of a path, from any thread; for content that is to be read and is not
            where it was. None: nobody can be asked.
        missing: Told, from any thread, of a path whose version was not found in the vault any
            more: it should be looked at there.
    """

    def __init__(self, tree: Tree, ignored: Callable[[str], bool]) -> None:
        self.lookup: Callable[[str], Row] | None = None
        self.missing: Callable[[str], object] = lambda _: None
        self._told: dict[int, tuple[str | None, float]] = {}
        self._tree = tree
        self._ignored = ignored
        self._strays: list[Effects] = []
        self._dirty = 0
        self._moved = 0
        # A process before this one may have left some.
        self._left = True
        self._renames = tree.renames

    def keep(self, row: Callable[[str], Row], limit: int = FEW) -> int:
        """Look at the next files; returns how many were found to be in the vault.

        Called now and then by the engine's thread, not within a transaction of its.

        Args:
            row: Gives the row of a path.
            limit: Files that are looked at, at most.
        """
        nodes = self._tree.dirty_after(self._dirty, limit)
        self._dirty = nodes[-1].id if len(nodes) == limit else 0
        return sum(self._found(node, row) for node in nodes) + self._follow(row, limit)

    def strays(self) -> list[Effects]:
        """What was done, since the last call, to files that left the part that is synced.

        They are pinned: the vault deletes them now, and keeps them as old versions for a while.
        """
        strays, self._strays = self._strays, []
        return strays

    def relocate(self, node: Node) -> bool:
        """Find out where content is that is not at its origin any more; whether that is known.

        When it is not, `missing` is told, once in a while: whoever reads it may try again at once.
        """
        if self.lookup is not None and self._found(node, self.lookup):
            return True
        now = time.monotonic()
        etag, told = self._told.get(node.id, (None, -PAUSE))
        if etag != node.o_etag or now - told >= PAUSE:
            if len(self._told) >= FEW:
                self._told.clear()
            self._told[node.id] = node.o_etag, now
            for path in self._tree.paths_of(node.id):
                self.missing(path)
        return False

    def _follow(self, row: Callable[[str], Row], limit: int) -> int:
        """Look at clean files whose origin is not where they are: they were renamed.

        All of them once after each renaming, and again as long as some of them have not arrived.
        """
        if not self._moved:
            if not self._left and self._renames == self._tree.renames:
                return 0
            self._left, self._renames = False, self._tree.renames
        nodes = self._tree.clean_after(self._moved, limit)
        self._moved = nodes[-1].id if len(nodes) == limit else 0
        found = 0
        for node in nodes:
            paths = self._tree.paths_of(node.id)
            if node.o_path in paths or not node.nlink:
                continue
            if all(CONTROL in path.split("/") or self._ignored(path) for path in paths):
                self._strays += [] if node.pinned else [self._tree.pin(node.id)]
            elif self._found(node, row):
                found += 1
            else:
                self._left = True
        return found

    def _found(self, node: Node, row: Callable[[str], Row]) -> bool:
        """Note where the vault has a file's content, if it does and that is news."""
        change = node.change
        name = tag(node)
        for path in self._tree.paths_of(node.id):
            shown = row(path)
            base, remote = shown.base, shown.remote
            if base is None or remote is None or base.kind is not Kind.FILE:
                continue
            if base.local_tag != name or remote.tag != base.remote_tag:
                continue
            origin = (path, base.remote_tag, base.version)
            if node.dirty or origin[:2] != (node.o_path, node.o_etag):
                return self._tree.landed(node.id, change, base.sha256, origin)
        return False
