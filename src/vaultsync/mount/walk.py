"""Walk the tree in byte order of the full path, holding one directory's names per level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.model import EMPTY, FULL, UNMANAGED, Entry, Kind, Seen, Unseen
from vaultsync.core.names import CONTROL
from vaultsync.mount.ports import NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.mount.ports import Node
    from vaultsync.mount.tree.grafting import Grafting

_SPECIAL = "it is a device, a pipe or a socket, which have no content to sync"
_NOT_UTF8 = "its name is not valid UTF-8"
_RENAME = "Rename it, or ignore it in .vaultsyncignore."
_LEAVES = (NodeKind.FILE, NodeKind.LINK)


class Walk:
    """One walk (see `core.ports.Side.entries`).

    Args:
        tree: What to walk.
        ignored: Whether to leave a path alone; directories end with `/`.
        entry: A node's entry; None for what cannot be synced.
        after: Leave out every path that is not greater.
    """

    def __init__(
        self,
        tree: Grafting,
        ignored: Callable[[str], bool],
        entry: Callable[[Node], Entry | None],
        after: str,
    ) -> None:
        self._tree = tree
        self._ignored = ignored
        self._entry = entry
        self._after = after

    def walk(self, at: str) -> Iterator[Seen | Unseen]:
        """Yield what is at and below `at`."""
        node = self._tree.find(at)
        if node is None:
            return
        for item in self._at(node, at):
            if item.path > self._after:
                yield item

    def _at(self, node: Node, at: str) -> Iterator[Seen | Unseen]:
        if CONTROL in at.split("/"):
            return
        if not at:
            yield from self._below(node, "")
        elif node.kind is NodeKind.DIR:
            if not self._ignored(at + "/"):
                yield from self._directory(node, at + "/")
        elif not self._ignored(at):
            yield self._leaf(node, at)

    def _directory(self, node: Node, path: str) -> Iterator[Seen | Unseen]:
        yield Seen(path, directory_entry(self._tree, node, path, self._ignored))
        yield from self._below(node, path)

    def _below(self, node: Node, path: str) -> Iterator[Seen | Unseen]:
        """What a directory holds: by its names alone the order would be wrong."""
        found = [
            (name + b"/" if child.kind is NodeKind.DIR else name, child.id)
            for name, child in self._tree.children(node)
        ]
        found.sort()
        for name, number in found:
            try:
                inner = path + name.decode()
            except UnicodeDecodeError:
                shown = path + name.decode("utf-8", "backslashreplace")
                yield Unseen(shown, _NOT_UTF8, _RENAME, valid=False)
                continue
            if name.rstrip(b"/") == CONTROL.encode() or self._ignored(inner):
                continue
            if name.endswith(b"/") and inner < self._after and not self._after.startswith(inner):
                continue
            child = self._tree.find(inner.rstrip("/"))
            if child is None or child.id != number:
                yield Unseen(inner, "it moved or vanished while it was being looked at")
            elif child.kind is NodeKind.DIR:
                yield from self._directory(child, inner)
            else:
                yield self._leaf(child, inner)

    def _leaf(self, node: Node, path: str) -> Seen | Unseen:
        entry = self._entry(node)
        return Unseen(path, _SPECIAL, _RENAME) if entry is None else Seen(path, entry)


def directory_entry(tree: Grafting, node: Node, path: str, ignored: Callable[[str], bool]) -> Entry:
    """The entry of a directory, whose tag tells what kind of content it has."""
    tag = EMPTY
    for name, child in tree.children(node):
        tag = UNMANAGED
        if child.kind is not NodeKind.DIR and child.kind not in _LEAVES:
            continue
        try:
            inner = path + name.decode() + ("/" if child.kind is NodeKind.DIR else "")
        except UnicodeDecodeError:
            continue
        if name != CONTROL.encode() and not ignored(inner):
            tag = FULL
            break
    return Entry(Kind.DIR, 0, tag)
