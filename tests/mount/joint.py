"""A tree over the real cache and a vault in memory, which can be killed and started again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.mount.cache.vault import Vault
from vaultsync.mount.cache.cache import Cache
from vaultsync.mount.ports import Caller, Node, NodeKind
from vaultsync.mount.tree.grafting import Values
from vaultsync.mount.tree.tree import Tree
from vaultsync.state.drive import DriveStore
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from pathlib import Path

ME = Caller(0, 0)


class Joint:
    """The drive without an engine.

    Args:
        home: An empty folder.
        limit: Bytes that the cache may take.
    """

    def __init__(self, home: Path, limit: int = 1 << 40) -> None:
        self.home = home
        self.limit = limit
        self.vault = Vault()
        self.told: list[tuple[str, bool]] = []
        self._versions = 0
        Store(home / "state.db").close()
        self.start()

    def start(self) -> None:
        self.store = DriveStore(self.home / "state.db")
        self.cache = Cache(
            self.store,
            self.home / "cache",
            self.vault,
            self.limit,
            kept=lambda _: 0,
            threads=4,
            patience=1.0,
        )
        self.tree = Tree(self.store, self.cache, owner=(0, 0), dirty=self._dirty)

    def _dirty(self, path: str, writing: bool) -> None:
        self.told.append((path, writing))

    def kill(self) -> None:
        """Die, and start again: what the tree has only in memory is lost."""
        self.vault.gate.set()
        self.cache.close()
        self.store.close()
        self.start()

    def close(self) -> None:
        self.vault.gate.set()
        self.tree.close()
        self.cache.close()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.start()

    # The engine's doings

    def values(self, path: str, data: bytes, *, digest: bool = True) -> Values:
        """A new version in the vault."""
        self._versions += 1
        etag = f"etag-{self._versions}"
        self.vault.versions[path, etag] = data
        sha256 = hashlib.sha256(data).hexdigest() if digest else f"etag:{etag}"
        size = len(data)
        return Values(
            NodeKind.FILE, 0o644, 10**18, size, sha256=sha256, path=path, etag=etag, version=etag
        )

    def graft(self, path: str, data: bytes, *, digest: bool = True) -> Node:
        """A new version is pulled."""
        old = self.tree.find(path)
        values = self.values(path, data, digest=digest)
        made = self.tree.graft(path, values, lambda node: node is old).node
        assert made is not None
        return made

    def land(self, path: str) -> bool:
        """What is here is pushed."""
        node = self.tree.find(path)
        assert node is not None
        change = node.change
        data = self.cache.read(node, 0, node.size)
        self._versions += 1
        etag = f"etag-{self._versions}"
        self.vault.versions[path, etag] = data
        sha256 = hashlib.sha256(data).hexdigest()
        return self.tree.landed(node.id, change, sha256, (path, etag, etag))

    # A program's doings

    def node(self, path: str) -> Node:
        found = self.tree.find(path)
        assert found is not None, path
        return found

    def read(self, path: str, offset: int = 0, size: int = 1 << 30) -> bytes:
        return self.tree.read(self.node(path).id, 0, offset, size, wait=True)

    def write(self, path: str, offset: int, data: bytes) -> None:
        done = self.tree.write(self.node(path).id, 0, offset, memoryview(data), wait=True)
        assert done == len(data)
