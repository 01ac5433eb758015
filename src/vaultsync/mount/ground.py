"""What all operations of the tree stand on: nodes and names in memory over their rows.

Everything here is to be used with the drive's lock held, unless it says otherwise.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from vaultsync.mount.change import Change
from vaultsync.mount.ports import ROOT, Caller, Contents, Dirty, Node, NodeKind
from vaultsync.state.nodes import NodeRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vaultsync.state.drive import DriveStore

NAME_MAX = 255
"""Bytes of a name."""
_FADED = 512
"""How many nodes may have an access time that only memory knows."""
_BARE = 100_000
_UP = 50_000
_KINDS = {kind.value: kind for kind in NodeKind}
_QUIET = 1.0
"""Seconds between two announcements of writes to one node."""
_DAY = 86_400 * 10**9


def fail(code: int) -> OSError:
    """The error of a system call."""
    return OSError(code, os.strerror(code))


@dataclass(slots=True)
class Handle:
    """An open file.

    Attributes:
        node: Which.
        writes: It was opened for writing.
    """

    node: Node
    writes: bool


class Ground:
    """Nodes, names, references and open files.

    Args:
        store: The drive's tables.
        contents: The bytes of files.
        dirty: Called, never with the lock held, with each path that has changed.
        keep: How many nodes are kept in memory for speed, and four times as many names.

    Attributes:
        rows: The tables' rows.
        unsettled: Nodes of which memory knows more than the row: what was written to them.
        faded: The same of access times only, which nobody needs to have soon.
    """

    def __init__(
        self, store: DriveStore, contents: Contents, dirty: Dirty | None, keep: int
    ) -> None:
        self.store = store
        self.contents = contents
        self.rows = NodeRows(store)
        self.unsettled: dict[int, Node] = {}
        self.faded: dict[int, Node] = {}
        self._dirty = dirty
        self._keep = keep
        self._recent: OrderedDict[int, Node] = OrderedDict()
        # Somebody may still work with a node that is not recent: there must not be two of it.
        self._alive: WeakValueDictionary[int, Node] = WeakValueDictionary()
        self._names: OrderedDict[tuple[int, bytes], int] = OrderedDict()
        self._up: dict[int, tuple[int, bytes]] = {}
        self._bare: set[int] = set()
        self._removals = 0
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

    # Nodes

    def node(self, number: int) -> Node:
        """The node of that number. ENOENT."""
        node = self._recent.get(number)
        if node is not None:
            self._recent.move_to_end(number)
            return node
        node = self._alive.get(number)
        if node is None:
            row = self.rows.load(number)
            if row is None:
                raise fail(errno.ENOENT)
            node = self._made(row)
        self.know(node)
        return node

    def fetch(self, numbers: Sequence[int]) -> None:
        """Bring nodes into memory, many at once."""
        missing = [one for one in numbers if one not in self._recent and one not in self._alive]
        for row in self.rows.load_many(missing):
            self.know(self._made(row))

    @staticmethod
    def _made(row: tuple[Any, ...]) -> Node:
        node = Node(*row)
        node.kind = _KINDS[row[1]]
        node.dirty = bool(node.dirty)
        node.pinned = bool(node.pinned)
        return node

    def know(self, node: Node) -> None:
        """Keep a node in memory, instead of the one used longest ago."""
        self._alive[node.id] = node
        recent = self._recent
        recent[node.id] = node
        if len(recent) > self._keep:
            recent.popitem(last=False)

    def unknow(self, node: Node) -> None:
        """Forget a node that is gone."""
        for known in (self._recent, self._alive, self.unsettled, self.faded, self._told):
            known.pop(node.id, None)
        self._up.pop(node.id, None)
        self._bare.discard(node.id)
        self._references.pop(node.id, None)
        self._forgotten.discard(node.id)
        self._written.discard(node.id)

    def doubt(self) -> None:
        """Forget what is derived from rows: a change of them was undone."""
        self._names.clear()
        self._up.clear()
        self._bare.clear()

    def directory(self, number: int) -> Node:
        """The node of a directory. ENOENT, ENOTDIR."""
        node = self.node(number)
        if node.kind is not NodeKind.DIR:
            raise fail(errno.ENOTDIR)
        return node

    def settle(self, node: Node) -> None:
        """Write what memory alone knows of a node to its row, in a transaction."""
        if node.id in self.unsettled:
            with Change(self) as change:
                change.touch(node, whole=True)

    def settle_all(self) -> None:
        """The same of all nodes."""
        if self.unsettled or self.faded:
            with Change(self) as change:
                for node in (*self.unsettled.values(), *self.faded.values()):
                    change.touch(node, whole=True)

    def looked_at(self, node: Node) -> None:
        """Note an access, as relatime does: when none was noted since the last change, or today."""
        now = time.time_ns()
        if node.atime <= node.mtime or node.atime <= node.ctime or now - node.atime > _DAY:
            node.atime = now
            self.faded[node.id] = node
            if len(self.faded) > _FADED:
                with Change(self) as change:
                    for one in self.faded.values():
                        change.touch(one, whole=True)

    # Names

    def find_name(self, parent: int, name: bytes) -> int:
        """The number of the node of a name, 0 when there is none. ENAMETOOLONG."""
        key = (parent, name)
        number = self._names.get(key)
        if number is not None:
            self._names.move_to_end(key)
            return number
        if len(name) > NAME_MAX:
            raise fail(errno.ENAMETOOLONG)
        number = self.rows.find(parent, name)
        self._named(parent, name, number)
        return number

    def _named(self, parent: int, name: bytes, number: int) -> None:
        self._names[parent, name] = number
        if len(self._names) > 4 * self._keep:
            self._names.popitem(last=False)

    def child(self, parent: int, name: bytes) -> Node:
        """The node of a name. ENOENT, ENAMETOOLONG."""
        number = self.find_name(parent, name)
        if not number:
            raise fail(errno.ENOENT)
        return self.node(number)

    def above(self, number: int) -> tuple[int, bytes] | None:
        """The directory that one is in, and its name there; None: it is the root, or removed."""
        up = self._up.get(number)
        if up is None:
            names = self.rows.names_of(number)
            if not names:
                return None
            up = names[0]
            if len(self._up) > _UP:
                self._up.clear()
            self._up[number] = up
        return up

    def within(self, number: int, ancestor: int) -> bool:
        """Whether a directory is another one, or below it."""
        while number != ancestor:
            up = self.above(number)
            if up is None:
                return False
            number = up[0]
        return True

    def path(self, parent: int, name: bytes) -> str | None:
        """The path of a name from the root, without a trailing `/`.

        None when it is not UTF-8, and so never synced, or when the directory was removed.
        """
        parts = [name]
        while parent != ROOT:
            up = self.above(parent)
            if up is None:
                return None
            parent, name = up
            parts.append(name)
        parts.reverse()
        try:
            return b"/".join(parts).decode()
        except UnicodeDecodeError:
            return None

    def paths(self, node: Node) -> list[str]:
        """The paths of all names of a node that have one."""
        found = (self.path(parent, name) for parent, name in self.rows.names_of(node.id))
        return [path for path in found if path is not None]

    # Announcements

    def announce(self, told: list[tuple[str, bool]]) -> None:
        """Tell the engine of paths; without the lock."""
        if self._dirty is not None:
            for path, writing in told:
                self._dirty(path, writing)

    def tell_name(self, change: Change, parent: int, name: bytes, node: Node | None = None) -> None:
        """Have a name announced when the change has happened; without a node it is gone."""
        if self._dirty is not None:
            writing = node is not None and self._writing(node)
            change.tell(self.path(parent, name), writing=writing)

    def tell_node(self, change: Change, node: Node) -> None:
        """Have all names of a node announced when the change has happened."""
        if self._dirty is not None:
            writing = self._writing(node)
            for path in self.paths(node):
                change.tell(path, writing=writing)

    def _writing(self, node: Node) -> bool:
        if node.id not in self._writers:
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
        if node.nlink == 0 and self._exact and not self._held(node.id):
            change.reap(node)

    def _held(self, number: int) -> bool:
        return self._references.get(number, 0) > 0 or number in self._opens

    # Extended attributes: that there are none is what is asked for most, with each write

    def bare(self, node: Node) -> None:
        """Note that a node has no extended attributes."""
        if len(self._bare) >= _BARE:
            self._bare.clear()
        self._bare.add(node.id)

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
            self.rows.forget_replies()
            self._exact = True

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

    # Requests

    def remember(self, caller: Caller, node: int) -> None:
        """Note, within a change, that a request was done."""
        if caller.request:
            self.rows.remember(caller.request, node)

    def remembered(self, request: int) -> int | None:
        """The node that a request made or was about (0: none); None: it was never done."""
        with self.store.lock:
            return self.rows.reply(request)
