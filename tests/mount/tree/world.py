"""A tree over a database and a folder of contents, and a process that uses it by paths."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.mount.tree.contents import FolderContents
from vaultsync.mount.ports import ROOT, Caller, Node, NodeKind
from vaultsync.mount.tree.grafting import Values
from vaultsync.mount.tree.tree import Tree
from vaultsync.state.drive import DriveStore
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from vaultsync.mount.tree.attributes import Marks

ME = Caller(0, 0)
TYPES = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.DIR: stat.S_IFDIR,
    NodeKind.LINK: stat.S_IFLNK,
    NodeKind.FIFO: stat.S_IFIFO,
    NodeKind.SOCKET: stat.S_IFSOCK,
    NodeKind.CHAR: stat.S_IFCHR,
    NodeKind.BLOCK: stat.S_IFBLK,
}


@dataclass
class World:
    """A drive that can be killed and started again.

    Attributes:
        base: A folder for its files.
        marks: What answers for attributes of ours.
        keep: How many nodes the tree keeps in memory.
        told: What was announced.
    """

    base: Path
    marks: Marks | None = None
    keep: int = 50_000
    told: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        (self.base / "cache").mkdir(exist_ok=True)
        Store(self.base / "state.db").close()
        self.vault: dict[str, bytes] = {}
        self._start()
        self.tree.fresh()

    def _start(self) -> None:
        self.store = DriveStore(self.base / "state.db")
        self.contents = FolderContents(self.base / "cache", self.store)
        self.contents.vault = self.vault
        self.tree = Tree(
            self.store,
            self.contents,
            owner=(0, 0),
            dirty=self._dirty,
            marks=self.marks,
            keep=self.keep,
        )

    def _dirty(self, path: str, writing: bool) -> None:
        assert not self.store.lock._is_owned()  # type: ignore[attr-defined]
        self.told.append((path, writing))

    def heard(self) -> list[tuple[str, bool]]:
        """What was announced since the last call."""
        told, self.told = self.told, []
        return told

    def kill(self) -> None:
        """Let the process die and a new one go on: what memory alone knew is lost."""
        self.store.close()
        self._start()

    def close(self) -> None:
        self.store.close()

    # Files by name

    def make(self, name: bytes, data: bytes = b"", parent: int = ROOT, mode: int = 0o644) -> Node:
        """A closed file, with one reference."""
        node, handle = self.tree.create(ME, parent, name, mode, os.O_WRONLY)
        self.write(node, data, handle=handle)
        self.tree.release(node.id, handle)
        return node

    def write(self, node: Node, data: bytes, offset: int = 0, handle: int = 0) -> None:
        done = self.tree.write(node.id, handle, offset, memoryview(data), wait=True, kill=False)
        assert done == len(data)

    def read(self, node: Node) -> bytes:
        return self.tree.read(node.id, 0, 0, 1 << 30, wait=True)

    def names(self, node: int = ROOT) -> list[bytes]:
        """The names in a directory, in their order."""
        handle = self.tree.opendir(node)
        found = [name for name, _, _ in self.tree.readdir(node, handle, 0, plus=False)]
        self.tree.releasedir(node, handle)
        assert found[:2] == [b".", b".."]
        return sorted(found[2:])

    def graft(self, path: str, data: bytes) -> Node:
        """Content of the vault that is not here."""
        values = Values(
            NodeKind.FILE, 0o644, 10**18, len(data), path=path, etag="etag", sha256="00" * 32
        )
        made = self.tree.graft(path, values, lambda old: old is None).node
        assert made is not None
        return made
