"""The extended attributes `user.vaultsync.*`: how a file of the drive stands, and whether it stays.

status   synced, online-only, pending, uploading, conflict or error
pinned   1 or 0; can be set
etag     of the version in the vault that a file is
version  its VersionId, where the bucket keeps versions
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from vaultsync.core.model import Verb
from vaultsync.core.names import is_conflict
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
_FAULTS = ("blocked", "error", "failed", "refused")
"""Reasons for waiting that do not pass by themselves."""


class FileMarks:
    """Answers for these attributes; implements `mount.tree.attributes.Marks`. For any thread.

    Args:
        database: The engine's rows.
        engine: Gives the engine, while there is one.

    Attributes:
        tree: Knows the paths of nodes.
        pins: Sets what is pinned.
    """

    tree: Tree | None = None
    pins: Pins | None = None

    def __init__(self, database: Path, engine: Callable[[], Engine | None]) -> None:
        self._database = database
        self._engine = engine
        self._lock = threading.Lock()
        self._store: Store | None = None

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
            if self._store is None:
                self._store = Store(self._database, readonly=True)
            return self._store.row(path)

    def close(self) -> None:
        """Close the rows."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _status(self, node: Node) -> str:
        path = None if self.tree is None else self.tree.path_of(node.id)
        if path is None:
            return "pending"
        engine = self._engine()
        if engine is not None:
            for transfer in engine.status.transfers:
                if transfer.path == path and transfer.verb is Verb.PUSH:
                    return "uploading"
            if any(item.path == path and item.code in _FAULTS for item in engine.waiting):
                return "error"
        if not self._agreed(node, path):
            return "pending"
        if is_conflict(path):
            return "conflict"
        return "synced" if node.here == 2 else "online-only"

    def _agreed(self, node: Node, path: str) -> bool:
        """Whether both sides have the file as it is."""
        base = self.row(path).base
        return base is not None and base.local_tag == tag(node)
