"""A vault in memory that delays, breaks and counts, and nodes for it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale
from vaultsync.mount.cache.cache import Cache
from vaultsync.mount.ports import Node, NodeKind
from vaultsync.state.drive import DriveStore
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.mount.ports import Source

KIB = 1 << 10
MIB = 1 << 20
_COLUMNS = "size, here, dirty, sha256, pinned, used, o_path, o_etag, o_version, nlink"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class Vault:
    """A `ports.Source`.

    Attributes:
        asked: (path, offset, length) of all requests so far.
        faults: Raised by the next requests, one each; None lets one pass.
        gate: Requests wait until it is open.
        entered: Released once by each request that has come in.
        tails: The next answers end, after their last byte, once these are set; `entered` tells.
        cut: Bytes that the next answers leave out, one each.
    """

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, int, int]] = []
        self.faults: list[Exception | None] = []
        self.always: Exception | None = None
        self.cut: list[int] = []
        self.tails: list[threading.Event] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.lock = threading.Lock()

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        with self.lock:
            self.asked.append((path, offset, length))
            fault = self.faults.pop(0) if self.faults else None
            short = self.cut.pop(0) if self.cut else 0
        self.entered.release()
        self.gate.wait()
        if fault or self.always:
            raise fault or self.always or AssertionError
        try:
            data = self.versions[path, etag]
        except KeyError:
            raise Stale("gone") from None
        end = offset + length - short
        for at in range(offset, end, 256 * KIB):
            yield data[at : min(at + 256 * KIB, end)]
        tail = self.tails.pop(0) if self.tails else None
        if tail:
            self.entered.release()
            tail.wait()


class World:
    """A state database, a vault and a cache that can be started again.

    Args:
        home: An empty folder.
    """

    def __init__(self, home: Path, limit: int = 1 << 40) -> None:
        self.home = home
        self.folder = home / "cache"
        self.limit = limit
        self.kept: Callable[[int], int] = lambda _: 0
        self.threads = 16
        self.patience = 0.5
        self.vault = Vault()
        self.source: Source = self.vault
        self.nodes: dict[int, Node] = {}
        self.file = home / "state.db"
        if not self.file.exists():
            Store(self.file).close()
        self.start()

    def start(self) -> None:
        self.store = DriveStore(self.file)
        self.nodes.clear()
        self.cache = Cache(
            self.store,
            self.folder,
            self.source,
            self.limit,
            kept=self.kept,
            threads=self.threads,
            patience=self.patience,
        )
        self.cache.peek = self.nodes.get

    def close(self) -> None:
        self.vault.gate.set()
        self.cache.close()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.start()

    def add(
        self,
        data: bytes,
        *,
        digest: str | None = "",
        dirty: bool = False,
        used: int = 0,
        pinned: bool = False,
    ) -> Node:
        """A node whose content is in the vault only; with `dirty`, a new one without content."""
        sha256 = hashlib.sha256(data).hexdigest() if digest == "" else digest
        with self.store.transaction():
            cursor = self.store.db.execute(
                "INSERT INTO node (kind, mode, uid, gid, nlink, atime, mtime, ctime, born, size,"
                " here, dirty, sha256, pinned, used) VALUES ('file', 420, 0, 0, 1, 0, 0, 0, 0,"
                " ?, ?, ?, ?, ?, ?)",
                (0 if dirty else len(data), 2 if dirty else 0, dirty, sha256, pinned, used),
            )
            id_ = cursor.lastrowid
            assert id_ is not None
            if not dirty:
                self.store.db.execute(
                    "UPDATE node SET o_path = ?, o_etag = ? WHERE id = ?",
                    (f"p{id_}", f"e{id_}", id_),
                )
                self.vault.versions[f"p{id_}", f"e{id_}"] = data
        return self.node(id_)

    def node(self, id_: int) -> Node:
        """The one `Node` of an inode."""
        with self.store.lock:
            if id_ not in self.nodes:
                row = self.store.db.execute(
                    f"SELECT {_COLUMNS} FROM node WHERE id = ?",  # noqa: S608 - a constant
                    (id_,),
                ).fetchone()
                size, here, dirty, sha256, pinned, used, path, etag, version, nlink = row
                self.nodes[id_] = Node(
                    id_, NodeKind.FILE, 420, 0, 0, nlink, 0, 0, 0, 0,
                    size=size, here=here, dirty=bool(dirty), sha256=sha256, pinned=bool(pinned),
                    used=used, o_path=path, o_etag=etag, o_version=version,
                )  # fmt: skip
            return self.nodes[id_]

    def save(self, node: Node) -> None:
        self.store.db.execute(
            "UPDATE node SET size = ?, dirty = ?, sha256 = ?, pinned = ?, o_path = ?, o_etag = ?,"
            " o_version = ?, nlink = ? WHERE id = ?",
            (node.size, node.dirty, node.sha256, node.pinned, node.o_path, node.o_etag,
             node.o_version, node.nlink, node.id),
        )  # fmt: skip

    def write(self, node: Node, offset: int, data: bytes) -> None:
        """As the tree does it."""
        self._whole(node)
        with self.store.transaction():
            node.dirty, node.sha256 = True, None
            size = max(node.size, offset + len(data)) if data else node.size
            self.cache.write(node, offset, memoryview(data))
            node.size = size
            self.save(node)

    def truncate(self, node: Node, size: int) -> None:
        if size:
            self._whole(node)
        with self.store.transaction():
            node.dirty, node.sha256 = True, None
            self.cache.truncate(node, size)
            node.size = size
            self.save(node)

    def _whole(self, node: Node) -> None:
        with self.store.lock:
            self.cache.usable(node, 0, node.size)
            here = node.here
        if here < 2:
            self.cache.hydrate(node)

    def upload(self, node: Node) -> None:
        """As the engine does it: the content goes to the vault and is clean."""
        data = self.cache.read(node, 0, node.size)
        etag = f"e{node.id}-{hashlib.sha256(data).hexdigest()[:8]}"
        self.vault.versions[f"p{node.id}", etag] = data
        with self.store.transaction():
            node.o_path, node.o_etag, node.dirty = f"p{node.id}", etag, False
            node.sha256 = hashlib.sha256(data).hexdigest()
            self.save(node)
            self.cache.clean(node)

    def replace(self, node: Node, data: bytes, digest: str | None = "") -> None:
        """As the engine does it: somebody else wrote another version."""
        etag = f"r{node.id}-{hashlib.sha256(data).hexdigest()[:8]}"
        self.vault.versions[f"p{node.id}", etag] = data
        with self.store.transaction():
            node.o_path, node.o_etag, node.size = f"p{node.id}", etag, len(data)
            node.sha256 = hashlib.sha256(data).hexdigest() if digest == "" else digest
            self.save(node)
            self.cache.replaced(node)

    def idle(self) -> None:
        """Wait until nothing is under way."""
        pool = self.cache._pool
        while True:
            with pool._wake:
                if not pool._later and not pool._urgent and pool._idle == len(pool._threads):
                    return
            time.sleep(0.001)

    def row(self, node: Node) -> tuple[int, list[tuple[int, int]]]:
        """What the rows say: here, extents."""
        with self.store.lock:
            here = self.store.db.execute(
                "SELECT here FROM node WHERE id = ?", (node.id,)
            ).fetchone()[0]
            spans = self.store.db.execute(
                "SELECT start, stop FROM extent WHERE node = ? ORDER BY start", (node.id,)
            ).fetchall()
        return here, spans

    def path(self, node: Node) -> Path:
        return self.folder / f"{node.id % 256:02x}" / str(node.id)


@contextmanager
def world(home: Path, limit: int = 1 << 40) -> Iterator[World]:
    made = World(home, limit)
    try:
        yield made
    finally:
        made.close()
