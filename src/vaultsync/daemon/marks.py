"""The extended attributes `user.vaultsync.*`: how a file of the drive stands, and whether it stays.

status   a word of `core.standing.Condition`
pinned   1 or 0; can be set
etag     of the version in the vault that a file is
version  its VersionId, where the bucket keeps versions
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from vaultsync.core.standing import Condition, Shown
from vaultsync.daemon.standing import Standings
from vaultsync.mount.holding import tag
from vaultsync.mount.ports import Node, NodeKind
from vaultsync.mount.tree.attributes import OWN
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vaultsync.core.model import Row
    from vaultsync.daemon.pins import Pins
    from vaultsync.mount.tree.tree import Tree
    from vaultsync.sync.engine import Engine

_YES, _NO = (b"1", b"yes", b"true", b"on"), (b"0", b"no", b"false", b"off")


def shown(node: Node) -> Shown:
    """A node as `core.standing` wants it."""
    return Shown(node.kind is NodeKind.DIR, tag(node), node.here == 2)


class FileMarks:
    """Answers for these attributes; implements `mount.tree.attributes.Marks`. For any thread.

    Args:
        database: The engine's rows.
        engine: Gives the engine, while there is one.
        rule: Gives the rule by which a path is ignored, or None.

    Attributes:
        tree: Knows the paths of nodes.
        pins: Sets what is pinned.
    """

    tree: Tree | None = None
    pins: Pins | None = None

    def __init__(
        self,
        database: Path,
        engine: Callable[[], Engine | None],
        rule: Callable[[str], str | None],
    ) -> None:
        self._database = database
        self._engine = engine
        self._rule = rule
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._told: object = None
        self._standings: Standings | None = None

    def get(self, node: Node, name: bytes) -> bytes:
        """See `mount.tree.attributes.Marks`."""
        value: str | None = None
        what = name.removeprefix(OWN)
        if what == b"pinned":
            value = str(int(node.pinned))
        elif node.kind is NodeKind.FILE:
            if what == b"status":
                value = self._status(node)
            elif what == b"etag" and not node.dirty:
                value = node.o_etag
            elif what == b"version" and not node.dirty:
                value = node.o_version
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return value.encode()

    def set(self, node: Node, name: bytes, value: bytes | None) -> None:
        """See `mount.tree.attributes.Marks`."""
        if name != OWN + b"pinned" or self.pins is None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        wanted = b"0" if value is None else value.rstrip(b"\0\n").lower()
        if wanted not in _YES + _NO:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.pins.set(node, pinned=wanted in _YES)

    def row(self, path: str) -> Row:
        """What the engine knows of a path."""
        with self._lock:
            return self._rows.row(path)

    def close(self) -> None:
        """Close the rows."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = self._standings = None

    @property
    def _rows(self) -> Store:
        """With the lock."""
        if self._store is None:
            self._store = Store(self._database, readonly=True)
        return self._store

    def _status(self, node: Node) -> str:
        path = None if self.tree is None else self.tree.path_of(node.id)
        if path is None:
            return Condition.PENDING
        engine = self._engine()
        told = None if engine is None else engine.status
        with self._lock:
            if self._standings is None or told is not self._told:
                # Once for each turn of the engine: whoever lists a folder asks for many files.
                self._told, self._standings = told, Standings(self._rows, engine, self._rule)
            return self._standings.file(path, shown(node)).condition or Condition.PENDING
