"""What the engine does to the tree: by paths, and only while what it decided on is still true.

Each change is one transaction that compares and then sets. Nothing here is announced: the engine
knows what it does. The kernel does not: `Effects` is to be passed on to `ports.Invalidate`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale
from vaultsync.mount.ports import ROOT, Node, NodeKind
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.naming import NOREPLACE, Naming

if TYPE_CHECKING:
    from collections.abc import Iterator

Expected = Callable[[Node | None], bool]
"""Whether a path's node is still what was decided on; None: there is nothing."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Values:
    """What a node is to be that the engine brings.

    Attributes:
        kind: FILE, DIR or LINK.
        mode: Permission bits.
        mtime: Nanoseconds since the epoch.
        size: Bytes of a file's content.
        target: A link's.
        sha256: Hex digest of the content, if it is known.
        path: Where the content is read in the vault, with its ETag and VersionId; of files.
        etag: See `path`.
        version: See `path`; None where the bucket keeps no versions.
    """

    kind: NodeKind
    mode: int
    mtime: int
    size: int = 0
    target: bytes | None = None
    sha256: str | None = None
    path: str | None = None
    etag: str | None = None
    version: str | None = None


@dataclass(slots=True)
class Effects:
    """What the engine's change has done, for the kernel to be told once the lock was left.

    Attributes:
        node: The node that is now at the path, None if there is none.
        entries: Directory and name of names that mean something else now.
        inodes: Nodes whose attributes have changed.
    """

    node: Node | None = None
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    inodes: list[int] = field(default_factory=list)


class Grafting(Naming):
    """The engine's side of the tree. Paths are relative to the root, without a trailing `/`.

    Nodes are told settled: their rows say the same. All methods take the lock themselves, and raise
    Blocked when the database cannot be written.
    """

    _owner: tuple[int, int]

    def find(self, path: str) -> Node | None:
        """The node at a path, None when there is none; the empty path is the root."""
        with self.store.lock:
            if not path:
                return self.node(ROOT)
            try:
                node = self._at(self._place(path))
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return None
                raise
            if node is not None:
                self.settle(node, asked=False)
            return node

    def path_of(self, node: int) -> str | None:
        """A path of a node: the first in the order of names that is UTF-8. The root's is empty."""
        with self.store.lock:
            if node == ROOT:
                return ""
            for parent, name in self.rows.names_of(node):
                path = self.path(parent, name)
                if path is not None:
                    return path
            return None

    @property
    def renames(self) -> int:
        """How often files were left with other names than before: it grows only."""
        return self._renames

    def is_at(self, node: int, change: int) -> bool:
        """Whether there is a node, and nothing was done to it since that `change`."""
        with self.store.lock:
            return self._as_it_was(node, change) is not None

    def dirty_after(self, node: int, limit: int) -> list[Node]:
        """The first files after a number whose content is not in the vault, as far as is known."""
        with self.store.lock:
            return self._nodes(self.rows.dirty_after(node, limit))

    def clean_after(self, node: int, limit: int) -> list[Node]:
        """The first files after a number whose content is in the vault."""
        with self.store.lock:
            return self._nodes(self.rows.clean_after(node, limit))

    def _nodes(self, numbers: list[int]) -> list[Node]:
        self.fetch(numbers)
        return [self.node(number) for number in numbers]

    def paths_of(self, node: int) -> list[str]:
        """All paths of a node: there are several of hard links."""
        with self.store.lock:
            found = (self.path(parent, name) for parent, name in self.rows.names_of(node))
            return [path for path in found if path is not None]

    def children(self, node: Node) -> Iterator[tuple[bytes, Node]]:
        """Yield the names in a directory in their order, with their nodes.

        The lock is left after each thousand: what is made or removed meanwhile may be told or not.
        """
        after = b""
        while True:
            with self.store.lock:
                page = self.rows.children(node.id, after, _PAGE)
                self.fetch([number for _, number in page])
                found = [(name, self.node(number)) for name, number in page]
                for _, child in found:
                    self.settle(child, asked=False)
            yield from found
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def graft(self, path: str, values: Values, expected: Expected) -> Effects:
        """Put a new node at a path, with the directories that it needs; the old one is unlinked.

        What is put there has an inode number of its own, so that who has the old one open keeps it,
        and none of its bytes is here. Owner and group are the drive's. Raises Stale, with nothing
        changed, when the old node is not as expected, or when a directory or something that is none
        is in the way.
        """
        effects = Effects()
        with Change(self, asked=False) as change:
            parent, name = self._parent(change, path, effects)
            old = self._child(parent, name)
            self._compare(change, path, old, expected)
            if old is not None:
                if old.kind is NodeKind.DIR:
                    raise Stale(f"'{path}' is a directory now")
                self.displace(parent, name, old)
                self.detach(change, parent, name, old)
                effects.inodes.append(old.id)
            node = change.new(values.kind, values.mode & 0o7777, self._owner, target=values.target)
            node.pinned = old is not None and old.pinned
            self.bare(node)
            self.attach(change, parent, name, node)
            node.mtime = values.mtime
            if values.kind is NodeKind.FILE:
                node.size = values.size
                node.dirty = False
                node.sha256 = values.sha256
                node.o_path, node.o_etag, node.o_version = values.path, values.etag, values.version
                if values.size:
                    node.here = 0
                    self.rows.set_here(node.id, 0)
            effects.node = node
            effects.entries.append((parent.id, name))
            effects.inodes.append(parent.id)
        return effects

    def prune(self, path: str, expected: Expected) -> Effects:
        """Remove a name, or an empty directory.

        Raises Stale, with nothing changed, when the node is not as expected, when there is none, or
        when the directory is not empty.
        """
        with Change(self, asked=False) as change:
            parent, name, node = self._there(change, path, expected)
            if node.kind is NodeKind.DIR and self.rows.occupied(node.id):
                raise Stale(f"'{path}' is not empty any more")
            self.displace(parent, name, node)
            self.detach(change, parent, name, node)
            return Effects(None, [(parent.id, name)], [parent.id, node.id])

    def shift(self, path: str, new_path: str, expected: Expected) -> Effects:
        """Rename, with the directories that it needs.

        Raises Stale, with nothing changed, when the node is not as expected, when there is
        something at the new path, or when it is below the old one.
        """
        effects = Effects()
        with Change(self, asked=False) as change:
            parent, name, node = self._there(change, path, expected)
            new_parent, new_name = self._parent(change, new_path, effects)
            try:
                old, new = (parent.id, name), (new_parent.id, new_name)
                self.renamed(change, old, new, NOREPLACE)
            except OSError as error:
                raise Stale(f"'{path}' cannot be moved to '{new_path}' any more") from error
            effects.node = node
            effects.entries += [old, new]
            effects.inodes += [parent.id, new_parent.id, node.id]
        return effects

    def adjust(
        self, path: str, expected: Expected, *, mtime_ns: int | None, mode: int | None
    ) -> Effects:
        """Set modification time and permission bits; None leaves them.

        Raises Stale when the node is not as expected, or when there is none.
        """
        with Change(self, asked=False) as change:
            _, _, node = self._there(change, path, expected)
            before = (node.mtime, node.mode)
            if mtime_ns is not None:
                node.mtime = mtime_ns
            if mode is not None:
                node.mode = mode & 0o7777
            if (node.mtime, node.mode) != before:
                node.change += 1
                node.ctime = change.now
            return Effects(node, [], [node.id])

    def pin(self, node: int) -> Effects:
        """Have a file stay here, if there is one."""
        with Change(self, asked=False) as change:
            try:
                change.touch(self.node(node)).pinned = True
            except FileNotFoundError:
                return Effects()
            return Effects(None, self.rows.names_of(node), [node])

    def digested(self, node: int, change: int, sha256: str) -> bool:
        """Note the digest of the content as it was at that `change`; False: it is another now."""
        with Change(self, asked=False) as doing:
            noted = self._as_it_was(node, change)
            if noted is None:
                return False
            doing.touch(noted).sha256 = sha256
            return True

    def landed(
        self,
        node: int,
        change: int,
        sha256: str | None,
        origin: tuple[str, str, str | None],
    ) -> bool:
        """Note that content, as it was at that `change`, is in the vault: it is not dirty any more.

        Args:
            node: The file.
            change: As it was when the content was read.
            sha256: Hex digest of what was brought there, if it is known.
            origin: Path in the vault, ETag and VersionId.

        Returns:
            False when the content is another one now: nothing was noted.
        """
        with Change(self, asked=False) as doing:
            noted = self._as_it_was(node, change)
            if noted is None:
                return False
            doing.touch(noted)
            noted.dirty = False
            noted.sha256 = sha256
            noted.o_path, noted.o_etag, noted.o_version = origin
            self.contents.clean(noted)
            return True

    def _as_it_was(self, number: int, change: int) -> Node | None:
        try:
            node = self.node(number)
        except FileNotFoundError:
            return None
        return node if node.change == change else None

    # Paths

    def _compare(self, change: Change, path: str, node: Node | None, expected: Expected) -> None:
        if node is not None:
            # Settled with the change, or else not at all: memory has to know which.
            change.touch(node)
        if not expected(node):
            raise Stale(f"'{path}' changed in the drive")

    def _there(self, change: Change, path: str, expected: Expected) -> tuple[Node, bytes, Node]:
        place = self._place(path)
        node = self._at(place)
        self._compare(change, path, node, expected)
        if node is None or place is None:
            raise Stale(f"'{path}' is not in the drive any more")
        return self.node(place[0]), place[1], node

    def _place(self, path: str) -> tuple[int, bytes] | None:
        """Directory and name of a path, None when there is no such directory."""
        number = ROOT
        *folders, last = path.encode().split(b"/")
        for folder in folders:
            number = self.find_name(number, folder)
            if not number or self.node(number).kind is not NodeKind.DIR:
                return None
        return number, last

    def _at(self, place: tuple[int, bytes] | None) -> Node | None:
        number = self.find_name(*place) if place else 0
        return self.node(number) if number else None

    def _child(self, parent: Node, name: bytes) -> Node | None:
        return self._at((parent.id, name))

    def _parent(self, change: Change, path: str, effects: Effects) -> tuple[Node, bytes]:
        """The directory of a path, made where it is missing, and the name in it."""
        node = self.node(ROOT)
        *folders, last = path.encode().split(b"/")
        for folder in folders:
            below = self._child(node, folder)
            if below is None:
                below = change.new(NodeKind.DIR, 0o755, self._owner)
                self.bare(below)
                self.attach(change, node, folder, below)
                effects.entries.append((node.id, folder))
                effects.inodes.append(node.id)
            elif below.kind is not NodeKind.DIR:
                raise Stale(f"what is in the way of '{path}' is no directory")
            node = below
        return node, last
