"""Operations on names: finding, making, linking, removing and renaming."""

from __future__ import annotations

import errno
import stat
from functools import partial

from vaultsync.mount.ports import Caller, Node, NodeKind
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.ground import Ground
from vaultsync.mount.tree.memory import fail

LINK_MAX = 65_000
"""Names of one node, as ext4 has it."""
TARGET_MAX = 4095
"""Bytes of a symbolic link's target."""
NOREPLACE = 1
EXCHANGE = 2
_TYPES = {
    0: NodeKind.FILE,
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFIFO: NodeKind.FIFO,
    stat.S_IFSOCK: NodeKind.SOCKET,
    stat.S_IFCHR: NodeKind.CHAR,
    stat.S_IFBLK: NodeKind.BLOCK,
}
_DEVICES = (NodeKind.CHAR, NodeKind.BLOCK)


class Naming(Ground):
    """The part of a `ports.FileSystem` that is about names; its law is there."""

    def lookup(self, parent: int, name: bytes) -> Node:
        """See `ports.FileSystem`."""
        with self.store.lock:
            self.directory(parent)
            return self.refer(self.child(parent, name))

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Node:
        """See `ports.FileSystem`."""
        with Change(self) as change:
            node = self.make(change, caller, parent, name, NodeKind.DIR, mode)
            change.then(partial(self.refer, node))
        return node

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Node:
        """See `ports.FileSystem`."""
        kind = _TYPES.get(stat.S_IFMT(mode))
        if kind is None:
            raise fail(errno.EPERM if stat.S_ISDIR(mode) else errno.EINVAL)
        with Change(self) as change:
            rdev = rdev if kind in _DEVICES else 0
            node = self.make(change, caller, parent, name, kind, mode, rdev=rdev)
            change.then(partial(self.refer, node))
        return node

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Node:
        """See `ports.FileSystem`. An empty target is ENOENT."""
        if not target:
            raise fail(errno.ENOENT)
        if len(target) > TARGET_MAX:
            raise fail(errno.ENAMETOOLONG)
        with Change(self) as change:
            node = self.make(change, caller, parent, name, NodeKind.LINK, 0o777, target=target)
            change.then(partial(self.refer, node))
        return node

    def make(
        self,
        change: Change,
        caller: Caller,
        parent: int,
        name: bytes,
        kind: NodeKind,
        mode: int,
        *,
        rdev: int = 0,
        target: bytes | None = None,
        opening: bool = False,
    ) -> Node:
        """Make a node with a name that must be free, for whom it is asked; remembers it."""
        folder = self.room(parent)
        if self.find_name(parent, name):
            raise fail(errno.EEXIST)
        mode &= 0o7777
        if kind is not NodeKind.LINK:
            mode &= ~caller.umask
        gid = caller.gid
        if folder.mode & stat.S_ISGID:
            gid = folder.gid
            if kind is NodeKind.DIR:
                mode |= stat.S_ISGID
        node = change.new(kind, mode, (caller.uid, gid), rdev=rdev, target=target)
        self.bare(node)
        self.attach(change, folder, name, node)
        self.remember(caller, node.id)
        self.tell_name(change, parent, name, node, opening=opening)
        return node

    def room(self, number: int) -> Node:
        """The node of a directory in which something may be made: not of a removed one, ENOENT."""
        folder = self.directory(number)
        if not folder.nlink:
            raise fail(errno.ENOENT)
        return folder

    def link(self, caller: Caller, node: int, parent: int, name: bytes) -> Node:
        """See `ports.FileSystem`. EMLINK at LINK_MAX names, ENOENT for what has none any more."""
        with Change(self) as change:
            linked = self.node(node)
            folder = self.room(parent)
            if self.find_name(parent, name):
                raise fail(errno.EEXIST)
            if linked.kind is NodeKind.DIR:
                raise fail(errno.EPERM)
            if not linked.nlink:
                raise fail(errno.ENOENT)
            if linked.nlink >= LINK_MAX:
                raise fail(errno.EMLINK)
            change.touch(linked)
            linked.nlink += 1
            linked.ctime = change.now
            self.attach(change, folder, name, linked)
            self.remember(caller, node)
            self.tell_name(change, parent, name, linked)
            change.then(partial(self.refer, linked))
        return linked

    def unlink(self, caller: Caller, parent: int, name: bytes) -> None:
        """See `ports.FileSystem`."""
        with Change(self) as change:
            folder = self.directory(parent)
            node = self.child(parent, name)
            if node.kind is NodeKind.DIR:
                raise fail(errno.EISDIR)
            self.detach(change, folder, name, node)
            self.remember(caller, 0)
            self.tell_name(change, parent, name)

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> None:
        """See `ports.FileSystem`."""
        with Change(self) as change:
            folder = self.directory(parent)
            node = self.child(parent, name)
            if node.kind is not NodeKind.DIR:
                raise fail(errno.ENOTDIR)
            if self.rows.occupied(node.id):
                raise fail(errno.ENOTEMPTY)
            self.detach(change, folder, name, node)
            self.remember(caller, 0)
            self.tell_name(change, parent, name)

    def rename(
        self,
        caller: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
    ) -> None:
        """See `ports.FileSystem`."""
        if flags not in (0, NOREPLACE, EXCHANGE):
            raise fail(errno.EINVAL)
        with Change(self) as change:
            old, new = (parent, name), (new_parent, new_name)
            if self.renamed(change, old, new, flags):
                self._renames += 1
                for folder, one in (old, new):
                    number = self.find_name(folder, one)
                    self.tell_name(change, folder, one, self.node(number) if number else None)
            self.remember(caller, 0)

    def renamed(
        self, change: Change, old: tuple[int, bytes], new: tuple[int, bytes], flags: int
    ) -> bool:
        """Rename within a change; returns whether there was anything to do."""
        folder, new_folder = self.directory(old[0]), self.room(new[0])
        node = self.child(*old)
        number = self.find_name(*new)
        target = self.node(number) if number else None
        if target is None and flags == EXCHANGE:
            raise fail(errno.ENOENT)
        if target is not None and flags == NOREPLACE:
            raise fail(errno.EEXIST)
        moved = folder is not new_folder
        if moved and node.kind is NodeKind.DIR and self.within(new_folder.id, node.id):
            raise fail(errno.EINVAL)
        if flags == EXCHANGE and target is not None:
            if moved and target.kind is NodeKind.DIR and self.within(folder.id, target.id):
                raise fail(errno.EINVAL)
            return self._exchanged(change, old, new, node, target)
        if target is node:
            return False
        if target is not None:
            if moved and target.kind is NodeKind.DIR and self.within(folder.id, target.id):
                raise fail(errno.ENOTEMPTY)
            self._replaceable(node, target)
            self.rows.point(*new, node.id)
            self.unlinked(change, new_folder, target)
        else:
            self.rows.add(*new, node.id)
        self.rows.remove(*old)
        self._removals += 1
        self._names.pop(old, None)
        self._named(*new, node.id)
        for one in (folder, new_folder):
            change.touch(one)
            one.mtime = one.ctime = change.now
        change.touch(node)
        node.ctime = change.now
        if node.kind is NodeKind.DIR:
            folder.nlink -= 1
            new_folder.nlink += 1
            self._up[node.id] = new
        return True

    def _replaceable(self, node: Node, target: Node) -> None:
        if target.kind is NodeKind.DIR:
            if node.kind is not NodeKind.DIR:
                raise fail(errno.EISDIR)
            if self.rows.occupied(target.id):
                raise fail(errno.ENOTEMPTY)
        elif node.kind is NodeKind.DIR:
            raise fail(errno.ENOTDIR)

    def _exchanged(
        self,
        change: Change,
        old: tuple[int, bytes],
        new: tuple[int, bytes],
        node: Node,
        target: Node,
    ) -> bool:
        if node is target:
            return False
        self.rows.point(*old, target.id)
        self.rows.point(*new, node.id)
        self._removals += 1
        for place, one in ((old, target), (new, node)):
            self._named(*place, one.id)
            folder = change.touch(self.node(place[0]))
            folder.mtime = folder.ctime = change.now
            change.touch(one).ctime = change.now
            if one.kind is NodeKind.DIR:
                folder.nlink += 1
                self._up[one.id] = place
        if node.kind is NodeKind.DIR:
            self.node(old[0]).nlink -= 1
        if target.kind is NodeKind.DIR:
            self.node(new[0]).nlink -= 1
        return True
