"""Two devices on one vault, a drive and a folder in memory, each with its engine."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

from tests.fakes import FakeClock, MemorySide, SeededPool
from tests.mount.joint import ME
from vaultsync.core.errors import Retry
from vaultsync.mount.cache.cache import Cache
from vaultsync.mount.drive import Drive
from vaultsync.mount.ports import ROOT, Changes, Node, NodeKind
from vaultsync.mount.tree.tree import Tree
from vaultsync.state.drive import DriveStore
from vaultsync.state.store import Store
from vaultsync.sync.engine import Engine
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.core.model import Row
    from vaultsync.core.ports import Side
    from vaultsync.remote.bucket import Bucket


class Device:
    """A local side with its engine and database."""

    store: Store
    lazy = False

    def __init__(self, bucket: Bucket, folder: Path, clock: FakeClock, name: str) -> None:
        self.bucket = bucket
        self.clock = clock
        self.name = name
        self.folder = folder
        self.file = folder / f"{name}.db"
        self._ops = count()
        self.ignored: Callable[[str], bool] = lambda _path: False

    def start(self, local: Side) -> None:
        self.pool = SeededPool(1)
        self.engine = Engine(
            self.store,
            local,
            self.bucket,
            self.pool,
            self.clock,
            lambda: f"{self.name}-{next(self._ops)}",
            lambda path: self.ignored(path),  # noqa: PLW0108 - it may be set later
            Settings(poll_seconds=1.0, delete_quiet=0.5, lanes=4, lazy=self.lazy),
        )

    def turn(self) -> None:
        """One round."""
        while self.pool.run():
            pass
        self.engine.turn(0)
        self.clock.time += 0.1

    def settle(self, rounds: int = 3000) -> None:
        """Run until at rest after a look at both sides that began now."""
        ticket = self.engine.request_sync()
        for _ in range(rounds):
            self.turn()
            if self.engine.at_rest and self.engine.served >= ticket and not self.pool.tasks:
                return
        raise AssertionError(f"not at rest: {self.engine.status} {self.engine.waiting}")

    def tree(self) -> dict[str, bytes]:
        """All files, and the directories with `/`."""
        raise NotImplementedError

    def put(self, path: str, data: bytes) -> None:
        raise NotImplementedError

    def remove(self, path: str) -> None:
        raise NotImplementedError

    def rename(self, path: str, to: str) -> None:
        raise NotImplementedError


class FolderDevice(Device):
    """A folder in memory."""

    def __init__(self, bucket: Bucket, folder: Path, clock: FakeClock, name: str) -> None:
        super().__init__(bucket, folder, clock, name)
        self.side = MemorySide(clock, device=name)
        self.store = Store(self.file)
        self.start(self.side)

    def close(self) -> None:
        self.store.close()

    def tree(self) -> dict[str, bytes]:
        return self.side.tree()

    def put(self, path: str, data: bytes) -> None:
        self.side.write(path, data)

    def remove(self, path: str) -> None:
        self.side.remove(path)

    def rename(self, path: str, to: str) -> None:
        self.put(to, self.side.files[path].data)
        self.remove(path)


class Wire:
    """The drive's `Source`: a bucket that can be out of reach, and is counted."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.offline = False
        self.fetched: list[str] = []

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        if self.offline:
            raise Retry("offline")
        self.fetched.append(path)
        yield from self.bucket.fetch(path, etag, version, offset, length)


class DriveDevice(Device):
    """A drive, with programs that use it by paths."""

    lazy = True

    def __init__(self, bucket: Bucket, folder: Path, clock: FakeClock, name: str) -> None:
        super().__init__(bucket, folder, clock, name)
        self.wire = Wire(bucket)
        self.begin()
        self.files.fresh()

    def begin(self) -> None:
        self.store = Store(self.file)
        self.rows = DriveStore(self.file)
        self.cache = Cache(
            self.rows,
            self.folder / "cache",
            self.wire,
            1 << 40,
            kept=lambda _: 0,
            threads=4,
            patience=1.0,
        )
        self.files = Tree(self.rows, self.cache, owner=(0, 0))
        self.drive = Drive(
            self.files,
            self.cache,
            self.folder,
            self.name,
            self.clock,
            lambda path: self.ignored(path),  # noqa: PLW0108 - it may be set later
        )
        self.drive.keeping.lookup = self._lookup
        self.cache.relocate = self.drive.relocate
        self.start(self.drive)

    def _lookup(self, path: str) -> Row:
        with Store(self.file, readonly=True) as reader:
            return reader.row(path)

    def close(self, *, killed: bool = False) -> None:
        if not killed:
            self.files.close()
        self.cache.close()
        self.rows.close()
        self.store.close()

    def kill(self) -> None:
        """Die, and start again; the mount stays."""
        self.close(killed=True)
        self.begin()

    def settle(self, rounds: int = 3000) -> None:
        super().settle(rounds)
        for _ in range(3):
            self.drive.keep(self.store.row)

    # A program's doings

    def node(self, path: str) -> Node:
        node = ROOT
        found = self.files.getattr(node)
        for name in path.encode().split(b"/"):
            found = self.files.lookup(node, name)
            node = found.id
            self.files.forget(node, 1)
        return found

    def parent(self, path: str) -> tuple[int, bytes]:
        folder, _, name = path.rpartition("/")
        return (self.node(folder).id if folder else ROOT), name.encode()

    def make(self, path: str) -> None:
        parent, name = self.parent(path)
        self.files.forget(self.files.mkdir(ME, parent, name, 0o755).id, 1)

    def open(self, path: str, flags: int = os.O_RDONLY) -> tuple[int, int]:
        node = self.node(path)
        return node.id, self.files.open(node.id, flags, wait=True)[0]

    def put(self, path: str, data: bytes) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            try:
                self.node(above)
            except FileNotFoundError:
                self.make(above)
        parent, name = self.parent(path)
        flags = os.O_WRONLY | os.O_TRUNC
        node, handle = self.files.create(ME, parent, name, 0o644, flags)
        if data:
            self.files.write(node.id, handle, 0, memoryview(data), wait=True)
        self.files.release(node.id, handle)
        self.files.forget(node.id, 1)

    def write(self, path: str, offset: int, data: bytes) -> None:
        node, handle = self.open(path, os.O_RDWR)
        try:
            self.files.write(node, handle, offset, memoryview(data), wait=True)
        finally:
            self.files.release(node, handle)

    def read(self, path: str) -> bytes:
        node, handle = self.open(path)
        try:
            return self.files.read(node, handle, 0, 1 << 30, wait=True)
        finally:
            self.files.release(node, handle)

    def touch(self, path: str, mtime: int) -> None:
        self.files.setattr(ME, self.node(path).id, Changes(mtime=mtime), wait=True)

    def remove(self, path: str) -> None:
        self.files.unlink(ME, *self.parent(path))

    def remove_directory(self, path: str) -> None:
        self.files.rmdir(ME, *self.parent(path))

    def rename(self, path: str, to: str) -> None:
        self.files.rename(ME, *self.parent(path), *self.parent(to), 0)

    def tree(self) -> dict[str, bytes]:
        return dict(self._below(ROOT, ""))

    def _below(self, node: int, path: str) -> Iterator[tuple[str, bytes]]:
        for name, child in list(self.files.children(self.files.getattr(node))):
            inner = path + name.decode()
            if child.kind is NodeKind.DIR:
                yield inner + "/", b""
                yield from self._below(child.id, inner + "/")
            else:
                yield inner, self.read(inner)
