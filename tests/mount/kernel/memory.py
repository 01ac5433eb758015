"""A file system for tests of the wire: in memory, or in a folder that outlives its process."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

from vaultsync.mount.ports import (
    NOW,
    ROOT,
    Caller,
    Changes,
    Node,
    NodeKind,
    Space,
    Use,
    WouldBlock,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = Caller(0, 0)
_KINDS = {
    0: NodeKind.FILE,
    stat.S_IFREG: NodeKind.FILE,
    stat.S_IFIFO: NodeKind.FIFO,
    stat.S_IFSOCK: NodeKind.SOCKET,
    stat.S_IFCHR: NodeKind.CHAR,
    stat.S_IFBLK: NodeKind.BLOCK,
}
_NOREPLACE, _EXCHANGE = 1, 2


def fault(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class MemoryFiles:
    """The port `FileSystem`.

    Each change of names and attributes is a call of `_do`, which writes it to a log first; a new
    process does the calls of the log again, and is where the old one was.

    Args:
        place: Folder for the log and the contents; None: in memory.

    Attributes:
        cold: Nodes whose reads, and opens, have to wait for `gate`.
        asked: Names of the methods that had to wait.
        synced: Nodes that were synced.
        kills: Whether setuid was to be taken away, of each open and write.
        lent: How often content was lent, which is done where it is in files.
    """

    def __init__(self, place: Path | None = None) -> None:
        self.cold: set[int] = set()
        self.readers: set[int] = set()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.synced: list[int] = []
        self.forgotten: list[tuple[int, int]] = []
        self.keep = True
        self.kills: list[bool] = []
        self._lock = threading.RLock()
        self.lent = 0
        self._place = place
        self._now = time.time_ns()
        self._nodes: dict[int, Node] = {}
        self._names: dict[int, dict[bytes, int]] = {}
        self._above: dict[int, int] = {ROOT: ROOT}
        self._xattrs: dict[int, dict[bytes, bytes]] = {}
        self._bytes: dict[int, bytearray] = {}
        self._fds: dict[int, int] = {}
        self._remembered: dict[int, int] = {}
        self._listings: dict[int, list[tuple[bytes, int]]] = {}
        self._handle = os.getpid() << 20
        self._last = 0
        self._log = -1
        self._new(NOBODY, NodeKind.DIR, 0o755)
        if place is not None:
            (place / "data").mkdir(exist_ok=True)
            self._replay(place / "log")

    def _replay(self, log: Path) -> None:
        self._log = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with log.open("rb") as file:
            while True:
                try:
                    now, name, arguments = pickle.load(file)  # noqa: S301 - our own
                except EOFError:
                    break
                self._now = now
                try:
                    getattr(self, name)(*arguments)
                except OSError:
                    continue

    def _do(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            self._now = time.time_ns()
            if self._log >= 0:
                os.write(self._log, pickle.dumps((self._now, name, arguments)))
            return getattr(self, name)(*arguments)

    # Looking

    def lookup(self, parent: int, name: bytes) -> Node:
        try:
            return self._nodes[self._names[parent][name]]
        except KeyError:
            raise fault(errno.ENOENT if parent in self._names else errno.ENOTDIR) from None

    def forget(self, node: int, count: int) -> None:
        self.forgotten.append((node, count))

    def getattr(self, node: int) -> Node:
        try:
            return self._nodes[node]
        except KeyError:
            raise fault(errno.ENOENT) from None

    def readlink(self, node: int) -> bytes:
        target = self.getattr(node).target
        if target is None:
            raise fault(errno.EINVAL)
        return target

    def readdir(
        self, node: int, handle: int, offset: int, *, plus: bool
    ) -> Iterator[tuple[bytes, Node, int]]:
        listing = self._listings.get(handle)
        if listing is None or offset == 0:
            listing = [(b".", node), (b"..", self._above[node]), *self._names[node].items()]
            self._listings[handle] = listing
        nodes = self._nodes
        for at in range(offset, len(listing)):
            name, number = listing[at]
            if number in nodes:
                yield name, nodes[number], at + 1

    def statfs(self) -> Space:
        return Space(4096, 1 << 20, 1 << 19, 1 << 18, 1 << 16, 1 << 15)

    # Making and removing

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Node:
        return self._made("_add", caller, parent, name, NodeKind.DIR, mode)

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Node:
        kind = _KINDS[stat.S_IFMT(mode)]
        return self._made("_add", caller, parent, name, kind, mode & 0o7777, rdev)

    def create(
        self, caller: Caller, parent: int, name: bytes, mode: int, flags: int
    ) -> tuple[Node, int]:
        with self._lock:
            there = self._names[parent].get(name)
            if there is not None and not flags & os.O_EXCL:
                return self._nodes[there], self.open(there, flags, wait=True)[0]
            node = self._made("_add", caller, parent, name, NodeKind.FILE, mode)
            return node, self._next_handle()

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Node:
        return self._made("_add", caller, parent, name, NodeKind.LINK, 0o777, 0, target)

    def link(self, caller: Caller, node: int, parent: int, name: bytes) -> Node:
        return self._made("_link", caller, node, parent, name)

    def unlink(self, caller: Caller, parent: int, name: bytes) -> None:
        self._do("_unlink", caller, parent, name)

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> None:
        self._do("_rmdir", caller, parent, name)

    def rename(
        self,
        caller: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
    ) -> None:
        self._do("_rename", caller, parent, name, new_parent, new_name, flags)

    def _made(self, name: str, *arguments: Any) -> Node:
        made = self._do(name, *arguments)
        assert isinstance(made, Node)
        return made

    def _new(self, caller: Caller, kind: NodeKind, mode: int) -> Node:
        self._last += 1
        now = self._now
        links = 2 if kind is NodeKind.DIR else 1
        node = Node(self._last, kind, mode, caller.uid, caller.gid, links, now, now, now, now)
        self._nodes[node.id] = node
        if kind is NodeKind.DIR:
            self._names[node.id] = {}
        return node

    def _touch(self, *directories: int) -> None:
        for directory in directories:
            self._nodes[directory].mtime = self._nodes[directory].ctime = self._now

    def _add(
        self,
        caller: Caller,
        parent: int,
        name: bytes,
        kind: NodeKind,
        mode: int,
        rdev: int = 0,
        target: bytes | None = None,
    ) -> Node:
        if name in self._names[parent]:
            raise fault(errno.EEXIST)
        node = self._new(caller, kind, mode)
        node.rdev = rdev
        node.target = target
        node.size = len(target or b"")
        self._names[parent][name] = node.id
        if kind is NodeKind.DIR:
            self._above[node.id] = parent
            self._nodes[parent].nlink += 1
        self._touch(parent)
        self._remember(caller, node.id)
        return node

    def _link(self, caller: Caller, node: int, parent: int, name: bytes) -> Node:
        if name in self._names[parent]:
            raise fault(errno.EEXIST)
        self._names[parent][name] = node
        self._nodes[node].nlink += 1
        self._touch(parent)
        self._remember(caller, node)
        return self._nodes[node]

    def _unlink(self, caller: Caller, parent: int, name: bytes) -> None:
        node = self.lookup(parent, name)
        if node.kind is NodeKind.DIR:
            raise fault(errno.EISDIR)
        del self._names[parent][name]
        node.nlink -= 1
        self._touch(parent)
        self._remember(caller, 0)

    def _rmdir(self, caller: Caller, parent: int, name: bytes) -> None:
        node = self.lookup(parent, name)
        if node.kind is not NodeKind.DIR:
            raise fault(errno.ENOTDIR)
        if self._names[node.id]:
            raise fault(errno.ENOTEMPTY)
        del self._names[parent][name]
        self._nodes[parent].nlink -= 1
        self._touch(parent)
        self._remember(caller, 0)

    def _rename(
        self,
        caller: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
    ) -> None:
        moved = self.lookup(parent, name).id
        there = self._names[new_parent].get(new_name)
        if flags == _EXCHANGE:
            if there is None:
                raise fault(errno.ENOENT)
            self._names[parent][name] = there
            self._names[new_parent][new_name] = moved
        else:
            if there is not None and flags == _NOREPLACE:
                raise fault(errno.EEXIST)
            if there is not None and self._names.get(there):
                raise fault(errno.ENOTEMPTY)
            del self._names[parent][name]
            self._names[new_parent][new_name] = moved
            if there is not None:
                self._nodes[there].nlink -= 1
        if moved in self._above:
            self._above[moved] = new_parent
        self._touch(parent, new_parent)
        self._remember(caller, 0)

    # Files

    def open(self, node: int, flags: int, *, wait: bool, kill: bool = True) -> tuple[int, bool]:
        self.kills.append(kill)
        if node in self._names:
            raise fault(errno.EISDIR)
        if flags & os.O_TRUNC:
            self.setattr(NOBODY, node, Changes(size=0), wait=wait)
        return self._next_handle(), self.keep

    def opendir(self, node: int) -> int:
        return self._next_handle()

    def _next_handle(self) -> int:
        self._handle += 1
        return self._handle

    def read(
        self, node: int, handle: int, offset: int, size: int, *, wait: bool, pid: int = 0
    ) -> bytes:
        self.readers.add(pid)
        if node in self.cold:
            if not wait:
                raise WouldBlock
            self.entered.set()
            if not self.gate.wait(30):
                raise fault(errno.EIO)
        size = max(0, min(size, self._nodes[node].size - offset))
        if self._place is None:
            content = bytes(self._bytes.get(node, b"")[offset : offset + size])
        else:
            content = os.pread(self._fd(node), size, offset)
        return content + bytes(size - len(content))

    def lend(self, node: int, handle: int, offset: int, size: int, use: Use) -> bool:
        size = max(0, min(size, self._nodes[node].size - offset))
        if self._place is None or node in self.cold or not size:
            return False
        self.lent += 1
        return use(self._fd(node), offset, size)

    def write(
        self,
        node: int,
        handle: int,
        offset: int,
        data: memoryview,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        self.kills.append(kill)
        if node in self.cold and not wait:
            raise WouldBlock
        with self._lock:
            if self._place is None:
                content = self._bytes.setdefault(node, bytearray())
                if len(content) < offset:
                    content += bytes(offset - len(content))
                content[offset : offset + len(data)] = data
            else:
                os.pwrite(self._fd(node), data, offset)
            end = max(self._nodes[node].size, offset + len(data))
            self._do("_resize", node, end)
        return len(data)

    def _resize(self, number: int, size: int) -> None:
        node = self._nodes[number]
        node.size = size
        node.mode &= ~stat.S_ISUID
        node.mtime = node.ctime = self._now

    def _fd(self, node: int) -> int:
        assert self._place is not None
        if node not in self._fds:
            file = self._place / "data" / str(node)
            self._fds[node] = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        return self._fds[node]

    def flush(self, node: int, handle: int) -> None:
        pass

    def release(self, node: int, handle: int) -> None:
        pass

    def releasedir(self, node: int, handle: int) -> None:
        self._listings.pop(handle, None)

    def fsync(self, node: int, handle: int, *, data_only: bool) -> None:
        self.synced.append(node)

    def setattr(self, caller: Caller, node: int, changes: Changes, *, wait: bool) -> Node:
        if changes.size is not None:
            with self._lock:
                if self._place is None:
                    del self._bytes.setdefault(node, bytearray())[changes.size :]
                else:
                    os.ftruncate(self._fd(node), changes.size)
        return self._made("_change", node, changes)

    def _change(self, number: int, changes: Changes) -> Node:
        node = self.getattr(number)
        if changes.size is not None:
            self._resize(number, changes.size)
        for field in ("mode", "uid", "gid", "atime", "mtime"):
            value = getattr(changes, field)
            if value is not None:
                setattr(node, field, self._now if value == NOW else value)
        node.ctime = self._now
        return node

    def fallocate(
        self,
        node: int,
        handle: int,
        mode: int,
        offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> None:
        if mode:
            raise fault(errno.EOPNOTSUPP)
        self._do("_resize", node, max(self._nodes[node].size, offset + length))

    def lseek(self, node: int, handle: int, offset: int, whence: int) -> int:
        size = self._nodes[node].size
        if offset >= size:
            raise fault(errno.ENXIO)
        return size if whence == os.SEEK_HOLE else offset

    def copy_file_range(
        self,
        source: int,
        offset: int,
        target: int,
        target_offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        content = self.read(source, 0, offset, length, wait=True)
        return self.write(target, 0, target_offset, memoryview(content), wait=True)

    # Extended attributes

    def getxattr(self, node: int, name: bytes) -> bytes:
        try:
            return self._xattrs[node][name]
        except KeyError:
            raise fault(errno.ENODATA) from None

    def setxattr(self, caller: Caller, node: int, name: bytes, value: bytes, flags: int) -> None:
        self._do("_setxattr", caller, node, name, value)

    def _setxattr(self, caller: Caller, node: int, name: bytes, value: bytes) -> None:
        self._xattrs.setdefault(node, {})[name] = value
        self._remember(caller, node)

    def listxattr(self, node: int) -> list[bytes]:
        return list(self._xattrs.get(node, {}))

    def removexattr(self, caller: Caller, node: int, name: bytes) -> None:
        self._do("_removexattr", caller, node, name)

    def _removexattr(self, caller: Caller, node: int, name: bytes) -> None:
        self.getxattr(node, name)
        del self._xattrs[node][name]
        self._remember(caller, node)

    # Requests that come again

    def _remember(self, caller: Caller, node: int) -> None:
        if caller.request:
            self._remembered[caller.request] = node

    def remembered(self, request: int) -> int | None:
        return self._remembered.get(request)
