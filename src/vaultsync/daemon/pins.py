"""What stays on this machine: content that is pinned is fetched, and never evicted."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError
from vaultsync.mount.ports import Node, NodeKind
from vaultsync.mount.tree.change import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.mount.ports import Contents
    from vaultsync.mount.tree.tree import Tree

log = logging.getLogger(__name__)

AGAIN = 30.0
"""Seconds until what could not be fetched is tried again."""
_BATCH = 500


class Pins:
    """Pins and unpins, and fetches what is pinned on a thread of its own. For any thread.

    What comes into a pinned directory later is pinned as well: the tree sees to that.
    """

    def __init__(self, tree: Tree, contents: Contents) -> None:
        self._tree = tree
        self._contents = contents
        self._wanted: dict[int, None] = {}
        self._more = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None
        # What an earlier process of ours had not fetched yet.
        with tree.store.lock:
            missing = tree.rows.pinned_elsewhere()
        self._want(missing)

    def set(self, node: Node, *, pinned: bool) -> None:
        """Pin or unpin a node, and all that is below a directory. Raises OSError."""
        for some in _batches(self._below(node)):
            with Change(self._tree) as change:
                for one in some:
                    change.touch(one).pinned = pinned
            if pinned:
                self._want([one.id for one in some if _lacks(one)])

    def noticed(self, parent: int, name: bytes) -> None:
        """What a name means has changed by the engine's doing: is it pinned, and not here?"""
        with self._tree.store.lock:
            number = self._tree.find_name(parent, name)
            try:
                node = self._tree.node(number) if number else None
            except FileNotFoundError:
                return
        if node is not None and node.pinned and _lacks(node):
            self._want([node.id])

    def wake(self) -> None:
        """The vault can be reached now: try again at once."""
        with self._more:
            self._more.notify()

    def close(self) -> None:
        """End the thread; what is being fetched is given up when the cache closes."""
        with self._more:
            self._ended = True
            self._more.notify()

    def _below(self, node: Node) -> Iterator[Node]:
        yield node
        if node.kind is NodeKind.DIR:
            for _, child in self._tree.children(node):
                yield from self._below(child)

    def _want(self, nodes: list[int]) -> None:
        if not nodes:
            return
        with self._more:
            self._wanted.update(dict.fromkeys(nodes))
            self._more.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="drive-pins", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._more:
                self._more.wait_for(lambda: self._wanted or self._ended)
                if self._ended:
                    return
                number = next(iter(self._wanted))
                del self._wanted[number]
            try:
                self._fetch(number)
            except (OSError, VaultsyncError) as error:
                log.debug("pinned content is not here yet: %s", error)
                with self._more:
                    self._wanted[number] = None
                    self._more.wait(AGAIN)

    def _fetch(self, number: int) -> None:
        with self._tree.store.lock:
            try:
                node = self._tree.node(number)
            except FileNotFoundError:
                return
            if not node.pinned or not _lacks(node):
                return
            self._contents.opened(node)
        try:
            self._contents.hydrate(node)
        finally:
            with self._tree.store.lock:
                self._contents.closed(node)


def _lacks(node: Node) -> bool:
    return node.kind is NodeKind.FILE and node.here < 2


def _batches(nodes: Iterator[Node]) -> Iterator[list[Node]]:
    some: list[Node] = []
    for node in nodes:
        some.append(node)
        if len(some) == _BATCH:
            yield some
            some = []
    if some:
        yield some
