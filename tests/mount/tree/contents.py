"""A cache of contents for tests: whole files in a folder, and a vault that is a dictionary."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vaultsync.mount.ports import Node, Space, Use

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vaultsync.state.drive import DriveStore

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class FolderContents:
    """A `ports.Contents` without cleverness: what is here is here wholly.

    Attributes:
        vault: Path in the vault to content; what is missing cannot be had.
        fetched: Paths that were fetched.
        open: How often each node is open.
        synced: Nodes that were synced.
        fault: Raised by the next write, half-way.
        cleaned: Nodes that became clean.
        looked: Nodes of which `here` may be believed, as of the last call.
    """

    def __init__(self, folder: Path, store: DriveStore) -> None:
        self._folder = folder
        self._store = store
        self.vault: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.open: dict[int, int] = {}
        self.synced: list[int] = []
        self.fault: OSError | None = None
        self.cleaned: list[int] = []
        self.looked: int = 0
        self.peek: Callable[[int], Node | None] = lambda _: None
        self.exact = True

    def file(self, node: Node) -> Path:
        return self._folder / str(node.id)

    def usable(self, node: Node, offset: int, size: int) -> bool:
        self.looked = node.id
        return node.here == 2

    def read(self, node: Node, offset: int, size: int, *, ahead: bool = True) -> bytes:
        self.hydrate(node)
        size = min(size, max(0, node.size - offset))
        if not self.file(node).exists():
            return bytes(size)
        with self.file(node).open("rb") as file:
            return os.pread(file.fileno(), size, offset).ljust(size, b"\0")

    def lend(self, node: Node, offset: int, size: int, use: Use) -> bool:
        if node.here < 2 or not self.file(node).exists():
            return False
        with self.file(node).open("rb") as file:
            return use(file.fileno(), offset, min(size, node.size - offset))

    def hydrate(self, node: Node) -> None:
        if node.here == 2:
            return
        assert self._unlocked()
        path = node.o_path or ""
        self.fetched.append(path)
        if path not in self.vault:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.file(node).write_bytes(self.vault[path])
        with self._store.transaction():
            self._whole(node)

    def _unlocked(self) -> bool:
        """Whether this thread does not hold the drive's lock, as the contract wants it."""
        return not self._store.lock._is_owned()  # type: ignore[attr-defined]

    def _whole(self, node: Node) -> None:
        self._store.db.execute("UPDATE node SET here = 2 WHERE id = ?", (node.id,))
        node.here = 2

    def write(self, node: Node, offset: int, data: memoryview) -> int:
        assert node.here == 2
        assert self.looked == node.id
        if self.fault is not None:
            fault, self.fault = self.fault, None
            self._put(node, offset, data[: len(data) // 2])
            raise fault
        return self._put(node, offset, data)

    def _put(self, node: Node, offset: int, data: memoryview) -> int:
        descriptor = self._opened(node)
        try:
            return os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def _opened(self, node: Node) -> int:
        return os.open(self.file(node), os.O_RDWR | os.O_CREAT, 0o600)

    def truncate(self, node: Node, size: int) -> None:
        assert node.here == 2 or size == 0
        assert self.looked == node.id
        descriptor = self._opened(node)
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)
        with self._store.transaction():
            self._whole(node)

    def allocate(self, node: Node, mode: int, offset: int, length: int) -> None:
        assert node.here == 2
        assert self.looked == node.id
        descriptor = self._opened(node)
        try:
            if os.fstat(descriptor).st_size < node.size:
                os.ftruncate(descriptor, node.size)
            if _fallocate(descriptor, mode, offset, length):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(descriptor)

    def seek(self, node: Node, offset: int, whence: int) -> int:
        descriptor = self._opened(node)
        try:
            return os.lseek(descriptor, offset, whence)
        finally:
            os.close(descriptor)

    def taken(self, node: Node) -> int | None:
        try:
            return self.file(node).stat().st_blocks * 512
        except FileNotFoundError:
            return None

    def sync(self, node: Node) -> None:
        assert self._unlocked()
        self.synced.append(node.id)

    def descriptor(self, node: Node) -> int:
        return os.open(self.file(node), os.O_RDONLY)

    def opened(self, node: Node) -> None:
        self.open[node.id] = self.open.get(node.id, 0) + 1

    def closed(self, node: Node) -> None:
        self.open[node.id] -= 1
        assert self.open[node.id] >= 0

    def fill(self, node: Node, data: bytes) -> None:
        assert not node.dirty
        assert len(data) == node.size
        if node.here == 0:
            self.file(node).write_bytes(data)
            with self._store.transaction():
                self._whole(node)

    def copy(self, source: Node, node: Node) -> None:
        if source.here == 2 and not source.dirty:
            self.fill(node, self.file(source).read_bytes())

    def replaced(self, node: Node) -> None:
        raise NotImplementedError

    def clean(self, node: Node) -> None:
        assert self._store._depth, "outside of the transaction"
        assert not node.dirty
        self.cleaned.append(node.id)

    def drop(self, node: Node) -> None:
        self.file(node).unlink(missing_ok=True)

    def settled(self, node: Node) -> None:
        with suppress(FileNotFoundError):
            os.utime(self.file(node), ns=(0, 0))

    def measure(self, node: int) -> tuple[int, int | None] | None:
        try:
            found = (self._folder / str(node)).stat()
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime_ns or None

    def recovered(self) -> None:
        self.exact = True

    def space(self) -> Space:
        return Space(4096, 1000, 500, 400, 1000, 500)
