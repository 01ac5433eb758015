"""What all operations of the tree stand on: who holds a node, and what follows when nobody does.

Everything here is to be used with the drive's lock held, unless it says otherwise.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vaultsync.mount.ports import ROOT, Contents, Dirty, Node, NodeKind
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.memory import Memory

if TYPE_CHECKING:
    from vaultsync.state.drive import DriveStore

Noted = Callable[[int, int], object]
"""Told of a range of bytes: the first one, and the one after the last."""
_QUIET = 1.0
"""Seconds between two announcements of writes to one node."""


@dataclass(slots=True)
class Handle:
    """An open file.

    Attributes:
        node: Which.
        writes: It was opened for writing.
        glances: Its reader only looks into files; None: nobody has asked yet.
    """

    node: Node
    writes: bool
    glances: bool | None = None


class Ground(Memory):
    """References, open files, and names that come and go.

    Attributes:
        rescued: Makes, of the old name, that of a file that was replaced or removed in the vault's
            name, and is written to all the same.
        deliver: Called, without the lock, at the end of each fsync of a file; what it raises is
            what that fails with.
        glances: Tells whether a process only looks into files (see `onlookers`).
    """

    def __init__(
        self, store: DriveStore, contents: Contents, dirty: Dirty | None, keep: int
    ) -> None:
        super().__init__(store, contents, dirty, keep)
        self._removals = 0
        self._renames = 0
        # Files that the engine took the last name of. Somebody may write to one of them still: who
        # had it open before this process, or finds it by what the kernel knew a moment ago.
        with store.lock:
            self._displaced = self.rows.displaced()
        self.rescued: Callable[[bytes], bytes] = lambda name: name + b" (rescued)"
        self.deliver: Callable[[Node], None] = lambda _: None
        self.glances: Callable[[int], bool] = lambda _: False
        self._references: dict[int, int] = {}
        self._forgotten: set[int] = set()
        # A process before this one may have told the kernel of references and handles.
        self._exact = False
        self._handle = secrets.randbits(61)
        self._handles: dict[int, Handle] = {}
        self._opens: dict[int, int] = {}
        self._writers: dict[int, int] = {}
        # What was announced as still open for writing: its end is announced too.
        self._written: set[int] = set()
        self._told: dict[int, float] = {}
        self._watched: dict[int, list[Noted]] = {}

    def dismiss(self, node: Node) -> None:
        """Forget a node that is gone."""
        super().dismiss(node)
        self._references.pop(node.id, None)
        self._told.pop(node.id, None)
        self._displaced.pop(node.id, None)
        self._forgotten.discard(node.id)
        self._written.discard(node.id)

    def is_written(self, node: Node) -> bool:
        """Whether somebody has it open for writing, as far as this process knows."""
        return node.id in self._writers

    # Announcements

    def tell_name(
        self,
        change: Change,
        parent: int,
        name: bytes,
        node: Node | None = None,
        *,
        opening: bool = False,
    ) -> None:
        """Have a name announced when the change has happened.

        Args:
            change: It.
            parent: The directory.
            name: The name in it.
            node: What it means now; None: it is gone.
            opening: The node is about to be open for writing.
        """
        if self._dirty is not None:
            writing = node is not None and self._writing(node, opening=opening)
            change.tell(self.path(parent, name), writing=writing)

    def tell_node(self, change: Change, node: Node) -> None:
        """Have all names of a node announced when the change has happened."""
        if self._dirty is not None:
            writing = self._writing(node)
            for path in self.paths(node):
                change.tell(path, writing=writing)

    def _writing(self, node: Node, *, opening: bool = False) -> bool:
        if not opening and node.id not in self._writers:
            return False
        self._written.add(node.id)
        return True

    def stream(self, node: Node) -> list[tuple[str, bool]]:
        """What to announce of a write: all names, but about once a second only."""
        if self._dirty is None:
            return []
        now = time.monotonic()
        if now - self._told.get(node.id, -_QUIET) < _QUIET:
            return []
        writing = self._writing(node)
        if writing:  # or else nobody would announce what is written in the second to come
            self._told[node.id] = now
        return [(path, writing) for path in self.paths(node)]

    # Names that come and go

    def attach(self, change: Change, parent: Node, name: bytes, node: Node) -> None:
        """Give a node a name that is free; its link count is the caller's to keep."""
        self.rows.add(parent.id, name, node.id)
        self._named(parent.id, name, node.id)
        change.touch(parent)
        parent.mtime = parent.ctime = change.now
        if parent.pinned and not node.pinned:
            change.touch(node).pinned = True
        if node.kind is NodeKind.DIR:
            parent.nlink += 1
            self._up[node.id] = (parent.id, name)

    def detach(self, change: Change, parent: Node, name: bytes, node: Node) -> None:
        """Take a name from a node, and the node away when that was all that kept it."""
        self.rows.remove(parent.id, name)
        self._named(parent.id, name, 0)
        self.unlinked(change, parent, node)

    def unlinked(self, change: Change, parent: Node, node: Node) -> None:
        """Do what follows when a node has lost a name in a directory."""
        self._removals += 1
        change.touch(parent)
        change.touch(node)
        parent.mtime = parent.ctime = node.ctime = change.now
        if node.kind is NodeKind.DIR:
            parent.nlink -= 1
            node.nlink = 0
            self._up.pop(node.id, None)
        else:
            node.nlink -= 1
            self._renames += node.nlink > 0  # what is left may be another name than the vault's
        if node.nlink == 0 and self._exact and not self._held(node.id):
            change.reap(node)

    def displace(self, parent: Node, name: bytes, node: Node) -> None:
        """Note, within a change, that the engine takes a name from what somebody may hold."""
        if node.kind is not NodeKind.FILE or node.nlink != 1:
            return
        if not self._exact or self._held(node.id):
            self.rows.displace(node.id, parent.id, name)
            self._displaced[node.id] = (parent.id, name)

    def rescue(self, change: Change, node: Node) -> None:
        """Give a file that was displaced, and is about to be written to, a name again."""
        place = self._displaced.get(node.id)
        if place is None:
            return
        # When that has happened, and not before: a write that fails may be tried again.
        change.then(partial(self._displaced.pop, node.id, None))
        self.rows.forget_displaced(node.id)
        if node.nlink:
            return
        number, old = place
        name = self.rescued(old)
        if self.rows.load(number) is None or not self.node(number).nlink:
            number = ROOT
        while self.find_name(number, name):
            name = self.rescued(name)
        change.touch(node)
        node.nlink = 1
        self.attach(change, self.node(number), name, node)
        self.tell_name(change, number, name, node)

    def _held(self, number: int) -> bool:
        return self._references.get(number, 0) > 0 or number in self._opens

    # References

    def refer(self, node: Node) -> Node:
        """Count one more reference of the kernel; returns the node."""
        self._references[node.id] = self._references.get(node.id, 0) + 1
        if self._forgotten:
            self._forgotten.discard(node.id)
        return node

    def forget(self, node: int, count: int) -> None:
        """The kernel has dropped so many references; takes the lock itself."""
        with self.store.lock:
            left = self._references.get(node, 0) - count
            if left > 0:
                self._references[node] = left
                return
            # At or below 0: also those were dropped that a process before this one gave out.
            self._references.pop(node, None)
            found = self._recent.get(node) or self._alive.get(node)
            if found is None:
                row = self.rows.load(node)
                if row is None:
                    return
                found = self._made(row)
            if found.nlink:
                return
            if node in self._opens:
                self._forgotten.add(node)
                return
            with Change(self) as change:
                change.reap(found)

    def fresh(self) -> None:
        """A new mount has begun: the kernel knows of nothing. Takes the lock itself.

        Nodes without names go, and the answers to requests of earlier mounts; references are exact
        from now on. Without it, an earlier process of ours is taken to have served this mount.
        """
        with self.store.lock, Change(self) as change:
            self._references.clear()
            self._forgotten.clear()
            for handle in self._handles.values():
                self.contents.closed(handle.node)
            self._handles.clear()
            self._opens.clear()
            self._writers.clear()
            self._written.clear()
            for number in self.rows.loose():
                change.reap(self.node(number))
            self.rows.forget_displaced()
            self._displaced.clear()
            self.rows.forget_replies()
            self._exact = True

    # Watching what is written

    def watch(self, node: Node, noted: Noted) -> None:
        """Have each range told, from now on, before it is written to, cut, filled or emptied."""
        self._watched.setdefault(node.id, []).append(noted)

    def unwatch(self, node: Node, noted: Noted) -> None:
        """The end of that."""
        self._watched[node.id].remove(noted)
        if not self._watched[node.id]:
            del self._watched[node.id]

    def noted(self, node: Node, start: int, stop: int) -> None:
        """Tell that the bytes [start, stop) are about to change."""
        if self._watched:
            for tell in self._watched.get(node.id, ()):
                tell(start, stop)

    # Open files

    def opened(self, node: Node, *, writes: bool) -> int:
        """Note that a file was opened; returns a new handle."""
        number = self.next_handle()
        self.keep_open(number, node, writes=writes)
        return number

    def next_handle(self) -> int:
        """A number that was no handle before."""
        self._handle += 1
        return self._handle

    def keep_open(self, number: int, node: Node, *, writes: bool) -> Handle:
        """Note that a handle is of a node."""
        handle = self._handles[number] = Handle(node, writes)
        self._opens[node.id] = self._opens.get(node.id, 0) + 1
        if writes:
            self._writers[node.id] = self._writers.get(node.id, 0) + 1
        self.contents.opened(node)
        return handle

    def adopt(self, number: int, node: Node, *, writes: bool = False) -> None:
        """Take a handle of an earlier process as ours; 0 is none."""
        if number and number not in self._handles:
            self.keep_open(number, node, writes=writes)

    def closed(self, number: int) -> list[tuple[str, bool]]:
        """Note that a handle is gone; returns what to announce."""
        handle = self._handles.pop(number, None)
        if handle is None:
            return []
        node = handle.node
        self._less(self._opens, node.id)
        if handle.writes:
            self._less(self._writers, node.id)
        self.contents.closed(node)
        self.settle(node)
        told: list[tuple[str, bool]] = []
        if handle.writes and node.id in self._written:
            writing = node.id in self._writers
            told = [(path, writing) for path in self.paths(node)]
            if not writing:
                self._written.discard(node.id)
                self._told.pop(node.id, None)
        if node.nlink == 0 and node.id not in self._opens:
            unheld = self._exact and node.id not in self._references
            if unheld or node.id in self._forgotten:
                with Change(self) as change:
                    change.reap(node)
        return told

    @staticmethod
    def _less(counts: dict[int, int], number: int) -> None:
        counts[number] -= 1
        if not counts[number]:
            del counts[number]
