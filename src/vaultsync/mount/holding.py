"""The bytes of one version of a file in the drive, as `core.ports.Content`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Retry, Stale
from vaultsync.core.model import is_stand_in
from vaultsync.local.content import CHUNK, Closing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.model import Entry
    from vaultsync.mount.ports import Contents, Node
    from vaultsync.mount.tree.tree import Tree


def tag(node: Node) -> str:
    """The compare-and-set token of a node: another one after each change."""
    return f"{node.id}.{node.change}"


def changed_at(node: Node, name: str) -> int | None:
    """The `change` of a node that a tag of it was given at; None when it is not one of it."""
    number, _, change = name.partition(".")
    return int(change) if number == str(node.id) and change.isdigit() else None


class Whole(Closing, ABC):
    """What all contents do with their pieces."""

    entry: Entry

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in pieces of at most `CHUNK` bytes."""
        offset = 0
        while offset < self.entry.size:
            piece = self.read(offset, min(CHUNK, self.entry.size - offset))
            offset += len(piece)
            yield piece

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return exactly the bytes [offset, offset+length), cut at the end."""

    def sha256(self) -> str:
        """Return the hex digest of the whole content."""
        if self.entry.sha256 is None:
            self.entry = replace(self.entry, sha256=self._digest("sha256"))
        return self.entry.sha256 or ""

    def md5(self) -> str:
        """Return the hex MD5 of the whole content."""
        return self._digest("md5")

    def _digest(self, name: str) -> str:
        digest = hashlib.new(name, usedforsecurity=False)
        for piece in self.chunks():
            digest.update(piece)
        return digest.hexdigest()


class Target(Whole):
    """A symbolic link's content: its target."""

    def __init__(self, entry: Entry, target: bytes) -> None:
        self.entry = entry
        self._target = target

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes of the target."""
        return self._target[offset : offset + length]


class Held(Whole):
    """A file's content, as long as it is this version; what is not here is fetched.

    Args:
        tree: The file's tree.
        contents: Its bytes.
        node: The file.
        path: What to call it in messages.
        entry: The version.
    """

    def __init__(self, tree: Tree, contents: Contents, node: Node, path: str, entry: Entry) -> None:
        self.entry = entry
        self._tree = tree
        self._contents = contents
        self._node = node
        self._path = path
        self._open = True
        self._known: str | None = None
        self._change = int(entry.tag.rpartition(".")[2])
        with tree.store.lock:
            contents.opened(node)

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes; Stale when the file is not this version any more."""
        try:
            data = self._contents.read(self._node, offset, length)
        except OSError as error:
            self._require()
            raise Retry(f"'{self._path}' cannot be fetched just now.") from error
        self._require()
        if len(data) != max(0, min(length, self.entry.size - offset)):
            raise Stale(f"'{self._path}' changed while it was read")
        return data

    def sha256(self) -> str:
        """Return the hex digest, which the tree keeps; Stale when the file changed meanwhile.

        It is always a real one: what only stands for it, as the entry may have it, is of use for
        who reads nothing.
        """
        known = self._known or self.entry.sha256
        if known is not None and not is_stand_in(known):
            return known
        try:
            self._contents.sync(self._node)
        except OSError as error:
            raise Blocked(f"'{self._path}' cannot be written to the disk.") from error
        self._known = digest = self._digest("sha256")
        if known is None:
            if not self._tree.digested(self._node.id, self._change, digest):
                raise Stale(f"'{self._path}' changed while it was read")
            self.entry = replace(self.entry, sha256=digest)
        self._require()
        return digest

    def close(self) -> None:
        """Let it be evicted again."""
        if self._open:
            self._open = False
            with self._tree.store.lock:
                self._contents.closed(self._node)

    def _require(self) -> None:
        if not self._tree.is_at(self._node.id, self._change):
            raise Stale(f"'{self._path}' changed while it was read")
