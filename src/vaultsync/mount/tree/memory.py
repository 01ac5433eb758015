"""Nodes and names in memory, over their rows.

Everything here is to be used with the drive's lock held, unless it says otherwise.
"""

from __future__ import annotations

import errno
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from vaultsync.mount.ports import ROOT, Caller, Contents, Dirty, Node, NodeKind
from vaultsync.mount.tree.change import Change
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
_DAY = 86_400 * 10**9


def fail(code: int) -> OSError:
    """The error of a system call."""
    return OSError(code, os.strerror(code))


class Memory:
    """Nodes and names.

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

    def known(self, number: int) -> Node | None:
        """The node of that number, if there is one in memory."""
        return self._alive.get(number)

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

    def dismiss(self, node: Node) -> None:
        """Forget a node that is gone."""
        for known in (self._recent, self._alive, self.unsettled, self.faded, self._up):
            known.pop(node.id, None)
        self._bare.discard(node.id)

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

    def settle(self, node: Node, *, asked: bool = True) -> None:
        """Write what memory alone knows of a node to its row, in a transaction (see `Change`)."""
        if node.id in self.unsettled:
            with Change(self, asked=asked) as change:
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

    # Extended attributes: that there are none is what is asked for most, with each write

    def bare(self, node: Node) -> None:
        """Note that a node has no extended attributes."""
        if len(self._bare) >= _BARE:
            self._bare.clear()
        self._bare.add(node.id)

    # Announcements and requests

    def announce(self, told: list[tuple[str, bool]]) -> None:
        """Tell the engine of paths; without the lock."""
        if self._dirty is not None:
            for path, writing in told:
                self._dirty(path, writing)

    def remember(self, caller: Caller, node: int) -> None:
        """Note, within a change, that a request was done."""
        if caller.request:
            self.rows.remember(caller.request, node)

    def remembered(self, request: int) -> int | None:
        """The node that a request made or was about (0: none); None: it was never done."""
        with self.store.lock:
            return self.rows.reply(request)
