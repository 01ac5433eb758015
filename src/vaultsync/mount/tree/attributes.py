"""Operations on attributes: those of stat(2), and extended ones."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, Protocol

from vaultsync.mount.ports import NOW, Caller, Changes, Node, NodeKind, Space
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.files import SIZE_MAX, Files
from vaultsync.mount.tree.memory import NAME_MAX, fail

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN = b"user.vaultsync."
"""What extended attributes of ours begin with: told, not kept."""
VALUE_MAX = 65_536
"""Bytes of an extended attribute's value."""
_CREATE = 1
_REPLACE = 2
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_KEPT = (b"user.", b"trusted.", b"security.")


class Marks(Protocol):
    """Answers for the extended attributes below `user.vaultsync.`; without the lock."""

    def get(self, node: Node, name: bytes) -> bytes:
        """The value of an attribute, by its whole name. ENODATA when there is none."""
        ...

    def set(self, node: Node, name: bytes, value: bytes | None) -> None:
        """Set it; None removes it. EPERM for what cannot be set, EINVAL for a value."""
        ...


class Attributes(Files):
    """The part of a `ports.FileSystem` that is about attributes; its law is there."""

    _marks: Marks | None

    def getattr(self, node: int) -> Node:
        """See `ports.FileSystem`."""
        with self.store.lock:
            return self.node(node)

    def readlink(self, node: int) -> bytes:
        """See `ports.FileSystem`."""
        with self.store.lock:
            link = self.node(node)
            if link.target is None:
                raise fail(errno.EINVAL)
            self.looked_at(link)
            return link.target

    def statfs(self) -> Space:
        """See `ports.FileSystem`."""
        with self.store.lock:
            return self.contents.space()

    def setattr(self, caller: Caller, node: int, changes: Changes, *, wait: bool) -> Node:
        """See `ports.FileSystem`."""
        size = changes.size
        if size is not None:
            if size < 0:
                raise fail(errno.EINVAL)
            if size > SIZE_MAX:
                raise fail(errno.EFBIG)
            self.resize(node, size, wait=wait, kill=caller.uid != 0)
        with Change(self) as change:
            changed = self.node(node)
            if self._meddling(caller, changed, changes):
                return changed
            change.touch(changed)
            before = (changed.mode, changed.mtime)
            self._own(changed, changes)
            if changes.mode is not None:
                changed.mode = changes.mode & 0o7777
            if changes.atime is not None:
                changed.atime = change.now if changes.atime == NOW else changes.atime
            if changes.mtime is not None:
                changed.mtime = change.now if changes.mtime == NOW else changes.mtime
            changed.ctime = change.now if changes.ctime in (None, NOW) else changes.ctime
            if (changed.mode, changed.mtime) != before:
                changed.change += 1
            if size is not None or (changed.mode, changed.mtime) != before:
                self.tell_node(change, changed)
            return changed

    def _own(self, node: Node, changes: Changes) -> None:
        """Change owner and group, which takes setuid and setgid away, even for root.

        So does a chown(2) to nobody and no group, which asks for no change at all.
        """
        if changes.uid is None and changes.gid is None and changes != Changes():
            return
        if changes.uid is not None:
            node.uid = changes.uid
        if changes.gid is not None:
            node.gid = changes.gid
        if node.kind is not NodeKind.DIR:
            self._strip(node)

    def _meddling(self, caller: Caller, node: Node, changes: Changes) -> bool:
        """Whether somebody asks to take setuid or setgid from a file that is not his to change.

        The kernel asks so for everybody who calls chown(2) with nobody and no group, and just the
        same before a write, which must not fail. So this is neither done nor refused.
        """
        if changes != Changes() or caller.uid in (0, node.uid):
            return False
        return not node.mode & _OTHERS_WRITE and self._stripped(node) != node.mode

    # Extended attributes

    def getxattr(self, node: int, name: bytes) -> bytes:
        """See `ports.FileSystem`."""
        with self.store.lock:
            if node in self._bare and not name.startswith(OWN):
                self._kept(name)
                raise fail(errno.ENODATA)
            asked = self.node(node)
            if not name.startswith(OWN):
                self._kept(name)
                value = self.rows.attribute(node, name)
                if value is None:
                    raise fail(errno.ENODATA)
                return value
        if self._marks is None:
            raise fail(errno.ENODATA)
        return self._marks.get(asked, name)

    def setxattr(self, caller: Caller, node: int, name: bytes, value: bytes, flags: int) -> None:
        """See `ports.FileSystem`. EPERM for `trusted.` by who is not root, EINVAL for flags."""
        if flags & ~(_CREATE | _REPLACE) or flags == (_CREATE | _REPLACE):
            raise fail(errno.EINVAL)
        if name.startswith(OWN):
            self._mark(caller, node, name, value)
            return
        self._settable(caller, name)
        if len(value) > VALUE_MAX:
            raise fail(errno.ENOSPC)
        with Change(self) as change:
            changed = self.node(node)
            self._carries(changed, name)
            there = self.rows.attribute(node, name) is not None
            if there and flags == _CREATE:
                raise fail(errno.EEXIST)
            if not there and flags == _REPLACE:
                raise fail(errno.ENODATA)
            change.touch(changed)
            self._bare.discard(node)
            self.rows.set_attribute(node, name, value)
            changed.ctime = change.now
            self.remember(caller, node)

    def listxattr(self, node: int) -> Sequence[bytes]:
        """See `ports.FileSystem`."""
        with self.store.lock:
            asked = self.node(node)
            if node in self._bare:
                return ()
            names = self.rows.attributes(node)
            if not names:
                self.bare(asked)
            return names

    def removexattr(self, caller: Caller, node: int, name: bytes) -> None:
        """See `ports.FileSystem`."""
        if name.startswith(OWN):
            self._mark(caller, node, name, None)
            return
        self._settable(caller, name)
        with Change(self) as change:
            changed = self.node(node)
            self._carries(changed, name)
            if not self.rows.remove_attribute(node, name):
                raise fail(errno.ENODATA)
            change.touch(changed)
            changed.ctime = change.now
            self.remember(caller, node)

    def _mark(self, caller: Caller, number: int, name: bytes, value: bytes | None) -> None:
        with self.store.lock:
            node = self.node(number)
        if self._marks is None:
            raise fail(errno.EPERM)
        self._marks.set(node, name, value)
        if caller.request:
            with Change(self):
                self.remember(caller, number)

    @staticmethod
    def _kept(name: bytes) -> None:
        if len(name) > NAME_MAX:
            raise fail(errno.ERANGE)
        if not name.startswith(_KEPT):
            raise fail(errno.EOPNOTSUPP)
        if name in _KEPT:
            raise fail(errno.EINVAL)

    def _settable(self, caller: Caller, name: bytes) -> None:
        self._kept(name)
        if name.startswith(b"trusted.") and caller.uid:
            raise fail(errno.EPERM)

    @staticmethod
    def _carries(node: Node, name: bytes) -> None:
        """Links and special files have none of `user.`, on every file system of Linux."""
        if name.startswith(b"user.") and node.kind not in (NodeKind.FILE, NodeKind.DIR):
            raise fail(errno.EPERM)
