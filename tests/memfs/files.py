"""The port `local.files.Files` on a tree in memory."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.memfs.inodes import Inode, fault
from vaultsync.local.files import Names

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.memfs.tree import Tree
    from vaultsync.local.files import Node

_LONGEST_PATH = 4096
_FIRST = 1000
"""No real descriptor is taken for one of ours by accident."""


@dataclass(slots=True)
class _Handle:
    inode: Inode
    writable: bool = False
    position: int = 0
    appending: bool = False


class MemoryFiles:
    """The port.

    Args:
        tree: The file system.

    Attributes:
        before: Called before each operation with its name, the directory (or what is open) and the
            name in question; may raise. For a rename once with each of the two names.
        reflinks: Whether files can share blocks (`clone`), as on btrfs and xfs.
        refused: Errnos to raise at whatever names an inode's name, by absolute path.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.before: Callable[[str, Inode, str], None] = lambda _operation, _inode, _name: None
        self.refused: dict[str, int] = {}
        self.mask = 0o022
        self.reflinks = False
        self.killed = False
        self._handles: dict[int, _Handle] = {}
        self._last = _FIRST

    @property
    def open_descriptors(self) -> int:
        return len(self._handles)

    def kill(self) -> None:
        """`kill -9`: all descriptors are closed, everything else stays; take new files then."""
        self.killed = True
        for descriptor in list(self._handles):
            self._close(descriptor)

    def crash(self, chance: random.Random) -> MemoryFiles:
        """The file system after a power cut, with chance for what was not synced."""
        after = MemoryFiles(self.tree.crash(chance))
        after.before, after.mask, after.refused = self.before, self.mask, self.refused
        return after

    # The port

    def top(self, path: Path) -> int:
        inode = self.tree.root
        for segment in path.parts[1:]:
            inode = self.tree.child(inode, segment)
        if not inode.is_directory:
            raise fault(errno.ENOTDIR, str(path))
        self._ask("top", inode, "")
        return self._open(inode)

    def enter(self, directory: int, path: str) -> int:
        start = self._inode(directory)
        self._ask("enter", start, path)
        path = path.rstrip("/")
        if path.startswith("/"):
            raise fault(errno.EXDEV, path)
        if len(path.encode("utf-8", "surrogateescape")) >= _LONGEST_PATH:
            raise fault(errno.ENAMETOOLONG, path)
        here, depth = start, 0
        segments = path.split("/")
        for number, segment in enumerate(segments, 1):
            if not here.is_directory:
                raise fault(errno.ENOTDIR, path)
            if segment in ("", "."):
                continue
            if segment == "..":
                depth -= 1
                if depth < 0 or here.above is None:
                    raise fault(errno.EXDEV, path)
                here = here.above
                continue
            depth += 1
            found = self.tree.child(here, segment)
            if found.is_link:  # the last one is opened itself, and is no directory
                raise fault(errno.ENOTDIR if number == len(segments) else errno.ELOOP, path)
            if found.device != start.device:
                raise fault(errno.EXDEV, path)
            here = found
        if not here.is_directory:
            raise fault(errno.ENOTDIR, path)
        return self._open(here)

    def open(self, directory: int, name: str) -> int:
        above = self._inode(directory)
        self._ask("open", above, name)
        inode = self.tree.child(above, name)
        if inode.is_link:
            raise fault(errno.ELOOP, name)
        if stat.S_ISSOCK(inode.mode):
            raise fault(errno.ENXIO, name)
        return self._open(inode)

    def create(self, directory: int, name: str) -> int:
        above = self._inode(directory)
        self._ask("create", above, name)
        inode = self.tree.make(above, name, stat.S_IFREG | (0o600 & ~self.mask))
        descriptor = self._open(inode)
        self._handles[descriptor].writable = True
        return descriptor

    def append(self, directory: int, name: str) -> int:
        above = self._inode(directory)
        self._ask("append", above, name)
        inode = self.tree.find(above, name)
        if inode is None:
            inode = self.tree.make(above, name, stat.S_IFREG | (0o600 & ~self.mask))
        elif inode.is_link:
            raise fault(errno.ELOOP, name)
        elif inode.is_directory:
            raise fault(errno.EISDIR, name)
        descriptor = self._open(inode)
        handle = self._handles[descriptor]
        handle.writable = handle.appending = True
        return descriptor

    def claim(self, descriptor: int) -> bool:
        inode = self._inode(descriptor)
        self._ask("claim", inode, "")
        if not inode.is_file:
            raise fault(errno.EINVAL)
        return inode.opened == 1

    def clone(self, source: int, target: int) -> None:
        inode, handle = self._inode(source), self._handle(target)
        self._ask("clone", handle.inode, "")
        if not self.reflinks:
            raise fault(errno.EOPNOTSUPP)
        if not handle.writable:
            raise fault(errno.EBADF)
        self.tree.put(handle.inode, inode.data)

    def close(self, descriptor: int) -> None:
        if self.killed:
            return
        self._handle(descriptor)
        self._close(descriptor)

    def read(self, descriptor: int, offset: int, length: int) -> bytes:
        inode = self._inode(descriptor)
        self._ask("read", inode, "")
        if length <= 0:
            return b""
        if inode.is_directory:
            raise fault(errno.EISDIR)
        if not inode.is_file:
            raise fault(errno.ESPIPE)
        return inode.data[offset : offset + length]

    def write(self, descriptor: int, data: bytes) -> None:
        handle = self._handle(descriptor)
        self._ask("write", handle.inode, "")
        if not handle.writable:
            raise fault(errno.EBADF)
        if not data:
            return
        inode, at = handle.inode, handle.position
        if handle.appending:
            at = len(inode.data)
        before = inode.data[:at].ljust(at, b"\0")
        try:
            self.tree.put(inode, before + bytes(data) + inode.data[at + len(data) :])
        finally:
            handle.position = min(at + len(data), len(inode.data))

    def sync(self, descriptor: int) -> None:
        inode = self._inode(descriptor)
        self._ask("sync", inode, "")
        self.tree.sync(inode)

    def stat(self, directory: int, name: str) -> Node:
        above = self._inode(directory)
        self._ask("stat", above, name)
        return self.tree.child(above, name).node()

    def fstat(self, descriptor: int) -> Node:
        inode = self._inode(descriptor)
        self._ask("fstat", inode, "")
        return inode.node()

    def names(self, directory: int) -> Names:
        inode = self._inode(directory)
        self._ask("names", inode, "")
        if not inode.is_directory:
            raise fault(errno.ENOTDIR)
        directories, others, special = [], [], []
        for name, below in inode.entries.items():
            if below.is_directory:
                directories.append(name)
                continue
            others.append(name)
            if not below.is_file and not below.is_link:
                special.append(name)
        return Names(directories, others, frozenset(special))

    def move(self, source: int, name: str, target: int, new: str) -> None:
        one, other = self._pair("move", source, name, target, new)
        self.tree.rename(one, name, other, new, replace=False)

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        one, other = self._pair("rename", source, name, target, new)
        self.tree.rename(one, name, other, new)

    def exchange(self, source: int, name: str, target: int, new: str) -> None:
        one, other = self._pair("exchange", source, name, target, new)
        self.tree.exchange(one, name, other, new)

    def link(self, source: int, name: str, target: int, new: str) -> None:
        one, other = self._pair("link", source, name, target, new)
        self.tree.link(self.tree.child(one, name), other, new)

    def unlink(self, directory: int, name: str) -> None:
        above = self._inode(directory)
        self._ask("unlink", above, name)
        self.tree.unlink(above, name)

    def mkdir(self, directory: int, name: str, mode: int) -> None:
        above = self._inode(directory)
        self._ask("mkdir", above, name)
        self.tree.make(above, name, stat.S_IFDIR | (mode & 0o1777 & ~self.mask))

    def rmdir(self, directory: int, name: str) -> None:
        above = self._inode(directory)
        self._ask("rmdir", above, name)
        self.tree.rmdir(above, name)

    def symlink(self, directory: int, name: str, target: bytes) -> None:
        above = self._inode(directory)
        self._ask("symlink", above, name)
        if b"\0" in target:
            raise ValueError("embedded null byte")
        if not target:
            raise fault(errno.ENOENT, name)
        if len(target) >= _LONGEST_PATH:
            raise fault(errno.ENAMETOOLONG, name)
        self.tree.make(above, name, stat.S_IFLNK | 0o777, target)

    def readlink(self, directory: int, name: str) -> bytes:
        above = self._inode(directory)
        self._ask("readlink", above, name)
        inode = self.tree.child(above, name)
        if not inode.is_link:
            raise fault(errno.EINVAL, name)
        return inode.data

    def chmod(self, descriptor: int, mode: int) -> None:
        inode = self._inode(descriptor)
        self._ask("chmod", inode, "")
        self.tree.chmod(inode, mode)

    def utime(self, descriptor: int, mtime_ns: int) -> None:
        inode = self._inode(descriptor)
        self._ask("utime", inode, "")
        self.tree.utime(inode, _held(mtime_ns))

    def utime_link(self, directory: int, name: str, mtime_ns: int) -> None:
        above = self._inode(directory)
        self._ask("utime_link", above, name)
        self.tree.utime(self.tree.child(above, name), _held(mtime_ns))

    def space(self, directory: int) -> tuple[int, int]:
        self._ask("space", self._inode(directory), "")
        return self.tree.size, max(0, self.tree.size - self.tree.used)

    def writable(self, directory: int) -> bool:
        inode = self._inode(directory)
        try:
            self._ask("writable", inode, "")
        except OSError:
            return False
        return not self.tree.readonly

    def umask(self) -> int:
        return self.mask

    def now_ns(self) -> int:
        return self.tree.clock()

    # Inside

    def _ask(self, operation: str, inode: Inode, name: str) -> None:
        self.before(operation, inode, name)
        if self.refused and (code := self._refusal(inode, name)):
            raise fault(code, name)

    def _refusal(self, inode: Inode, name: str) -> int:
        for path, code in self.refused.items():
            here: Inode | None = self.tree.root
            above: Inode | None = None
            *_, last = segments = path.strip("/").split("/")
            for segment in segments:
                above = here
                here = None if here is None else here.entries.get(segment)
            if here is inode or (above is inode and name == last):
                return code
        return 0

    def _pair(
        self, operation: str, source: int, name: str, target: int, new: str
    ) -> tuple[Inode, Inode]:
        one, other = self._inode(source), self._inode(target)
        self._ask(operation, one, name)
        self._ask(operation, other, new)
        return one, other

    def _open(self, inode: Inode) -> int:
        self._last += 1
        self._handles[self._last] = _Handle(inode)
        inode.opened += 1
        return self._last

    def _close(self, descriptor: int) -> None:
        inode = self._handles.pop(descriptor).inode
        inode.opened -= 1
        self.tree.release(inode)

    def _handle(self, descriptor: int) -> _Handle:
        try:
            return self._handles[descriptor]
        except KeyError:
            raise fault(errno.EBADF) from None

    def _inode(self, descriptor: int) -> Inode:
        return self._handle(descriptor).inode


def _held(mtime_ns: int) -> int:
    """A time as the system takes it."""
    if not -(1 << 63) <= mtime_ns // 1_000_000_000 < 1 << 63:
        raise OverflowError("timestamp out of range")
    return mtime_ns
