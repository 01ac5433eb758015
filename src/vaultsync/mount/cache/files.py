"""The cache folder: one sparse file per node, a few of them open, and the disk that they take."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FAN = 256
_BLOCK = 512
"""Bytes of what `st_blocks` counts."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


SETTLED = (1 << 30) * 1_000_000_000
"""The mtime, in nanoseconds, of a dirty file of which the row knows all; no version's stamp."""


def stamp(etag: str | None, version: str | None) -> int:
    """The mtime, in nanoseconds, of a file that holds exactly that version, safely on the disk.

    Whole seconds before 2004, so that every file system keeps it; any write into the file sets
    another time, the clock's.
    """
    digest = hashlib.sha256(f"{etag}\n{version}".encode()).digest()
    return (int.from_bytes(digest[:4], "big") >> 2) * 1_000_000_000


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """Do what the system call does; the os module has it without modes only."""
    while _LIBC.fallocate(descriptor, mode, offset, length):
        error = ctypes.get_errno()
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))


def read_fully(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes; fewer at the end of the file only."""
    data = os.pread(descriptor, size, offset)
    if len(data) == size or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < size and (data := os.pread(descriptor, size - got, offset + got)):
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def write_fully(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """All of it."""
    done = os.pwrite(descriptor, data, offset)
    while done < len(data):
        done += os.pwrite(descriptor, memoryview(data)[done:], offset + done)


class Handle:
    """An open cache file.

    Attributes:
        descriptor: For reading and writing; valid until the handle is given back.
        checked: Whether the file was compared with what the rows say of it.
        written: Bytes written since it was counted.
    """

    __slots__ = ("checked", "counted", "descriptor", "gone", "node", "users", "written")

    def __init__(self, node: int, descriptor: int) -> None:
        self.node = node
        self.descriptor = descriptor
        self.checked = False
        self.users = 1
        self.gone = False
        self.counted = 0
        self.written = 0


class Files:
    """The files of the folder, by node. Safe for use from several threads.

    Args:
        folder: Made, for its owner only, when it is not there.
        most: How many descriptors are kept open, besides those in use.

    Attributes:
        used: Bytes of the disk that the files take, as last counted.
    """

    def __init__(self, folder: Path, most: int = 128) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = os.fspath(folder)
        self._most = most
        self._open: OrderedDict[int, Handle] = OrderedDict()
        # Files whose names would survive a power cut; those of an earlier process may not yet.
        self._named: set[int] = set()
        self._lock = threading.Lock()
        self.used = 0

    def all(self) -> Iterator[tuple[int | None, str, os.stat_result]]:
        """Yield (node, path, stat) of all that is in the folder; no node: it is none of ours."""
        for fan in range(_FAN):
            try:
                entries = list(os.scandir(f"{self._folder}/{fan:02x}"))
            except OSError:
                continue
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                node = int(entry.name) if entry.name.isascii() and entry.name.isdigit() else None
                if node is not None and entry.path != self._path(node):
                    node = None
                yield node, entry.path, status

    def take(self, node: int) -> Handle:
        """Its file, opened; to be given back. FileNotFoundError when there is none."""
        with self._lock:
            handle = self._open.get(node)
            if handle is not None:
                self._open.move_to_end(node)
                handle.users += 1
                return handle
            descriptor = os.open(self._path(node), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            handle = Handle(node, descriptor)
            handle.counted = os.fstat(descriptor).st_blocks * _BLOCK
            return self._keep(handle)

    def taken(self, node: int) -> Handle | None:
        """The same, only if it is open and checked already."""
        with self._lock:
            handle = self._open.get(node)
            if handle is None or not handle.checked:
                return None
            self._open.move_to_end(node)
            handle.users += 1
            return handle

    def make(self, node: int, size: int) -> Handle:
        """A new file of so many bytes, all of them holes, in the place of what may be there."""
        self.remove(node)
        path = self._path(node)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._lock:
            descriptor = self._made(path, flags)
            os.ftruncate(descriptor, size)
            handle = Handle(node, descriptor)
            handle.checked = True
            return self._keep(handle)

    def put_back(self, handle: Handle) -> None:
        """Give a file a name again that somebody has taken away from outside, if it has none.

        Nobody may write to it meanwhile. Raises OSError: there is no room for a copy.
        """
        if os.fstat(handle.descriptor).st_nlink:
            return
        with self._lock:
            path = self._path(handle.node)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            copy = self._made(path, flags)
            try:
                size = os.fstat(handle.descriptor).st_size
                done = 0
                while done < size:
                    done += os.copy_file_range(handle.descriptor, copy, size - done, done, done)
                # Whoever reads goes on with the same number.
                os.dup2(copy, handle.descriptor, inheritable=False)
            except OSError:
                os.unlink(path)  # noqa: PTH108 - text is quicker
                raise
            finally:
                os.close(copy)
            self._named.discard(handle.node)

    def _made(self, path: str, flags: int) -> int:
        """A new descriptor; the folders are made when they are not there."""
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            for folder in (self._folder, os.path.dirname(path)):  # noqa: PTH120 - text is quicker
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o700)  # noqa: PTH102
            return os.open(path, flags, 0o600)

    def give(self, handle: Handle) -> None:
        """The end of one `take`, `taken` or `make`."""
        with self._lock:
            handle.users -= 1
            if handle.gone and not handle.users:
                os.close(handle.descriptor)

    def count(self, handle: Handle) -> None:
        """Bring `used` up to date with what this file takes now."""
        with self._lock:
            self._count(handle)

    def remove(self, node: int) -> None:
        """Remove its file, if there is one; who has it in use reads on undisturbed."""
        with self._lock:
            path = self._path(node)
            handle = self._open.pop(node, None)
            self._named.discard(node)
            try:
                if handle is None:
                    counted = os.lstat(path).st_blocks * _BLOCK
                else:
                    counted = handle.counted
                    self._retire(handle)
                os.unlink(path)  # noqa: PTH108 - text is quicker
            except FileNotFoundError:
                return
            self.used -= counted

    def sync(self, handle: Handle) -> None:
        """Return once the content, and the name of the file, would survive a power cut."""
        os.fdatasync(handle.descriptor)
        with self._lock:
            unnamed = handle.node not in self._named and not handle.gone
        if unnamed:
            for folder in (os.path.dirname(self._path(handle.node)), self._folder):  # noqa: PTH120
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            with self._lock:
                self._named.add(handle.node)

    def reader(self, node: int) -> int:
        """A new descriptor for reading. FileNotFoundError."""
        return os.open(self._path(node), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def date(self, node: int, when: int) -> None:
        """Set its file's mtime, in nanoseconds, if there is a file."""
        with self._lock:
            handle = self._open.get(node)
            with suppress(FileNotFoundError):
                target = self._path(node) if handle is None else handle.descriptor
                os.utime(target, ns=(when, when))

    def status(self, node: int) -> os.stat_result | None:
        """What stat(2) says; None when there is no such file."""
        with self._lock:
            handle = self._open.get(node)
            try:
                return os.fstat(handle.descriptor) if handle else os.lstat(self._path(node))
            except FileNotFoundError:
                return None

    def room(self) -> os.statvfs_result:
        """What statvfs(3) says of the disk."""
        return os.statvfs(self._folder)

    def close(self) -> None:
        """Close all that nobody uses. Idempotent."""
        with self._lock:
            while self._open:
                self._retire(self._open.popitem()[1])

    def _path(self, node: int) -> str:
        return f"{self._folder}/{node % _FAN:02x}/{node}"

    def _keep(self, handle: Handle) -> Handle:
        self._open[handle.node] = handle
        if len(self._open) > self._most:
            for other in self._open.values():
                if not other.users:
                    self._count(other)
                    del self._open[other.node]
                    self._retire(other)
                    break
        return handle

    def _retire(self, handle: Handle) -> None:
        handle.gone = True
        if not handle.users:
            os.close(handle.descriptor)

    def _count(self, handle: Handle) -> None:
        if not handle.gone:
            now = os.fstat(handle.descriptor).st_blocks * _BLOCK
            self.used += now - handle.counted
            handle.counted = now
            handle.written = 0
