"""The drive as a `core.ports.Side`: the engine's view of the tree and of the cache.

Names and metadata are all here, contents only where somebody used them. What is pulled is what the
vault says of a file; its bytes come when they are read. Every change is one transaction that
compares and then sets, so nothing is ever staged, half done or set aside unseen.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Fatal, Retry, Stale, VaultsyncError
from vaultsync.core.model import Entry, Kind, is_stand_in, stand_in
from vaultsync.core.names import conflict_digest, conflict_name, original_name, parent
from vaultsync.mount.holding import Held, Target, tag
from vaultsync.mount.keeping import Keeping
from vaultsync.mount.nothing import NoBin
from vaultsync.mount.ports import NodeKind
from vaultsync.mount.snapshot import Photographer
from vaultsync.mount.staged import DriveCommitted, DriveStaged, read_token, verified
from vaultsync.mount.tree.grafting import Values
from vaultsync.mount.walk import Walk, directory_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.core.model import Row, Seen, Unseen
    from vaultsync.core.ports import Clock, Content, Staged
    from vaultsync.mount.ports import Contents, Invalidate, Node
    from vaultsync.mount.tree.grafting import Effects
    from vaultsync.mount.tree.tree import Tree

FILE_MODE = 0o644
"""Permission bits of a file whose object tells none."""
SMALL = 32 << 10
"""Bytes of content that are kept when they arrive with what is told of it."""


class Drive:
    """A tree of which the vault is the other side.

    Args:
        tree: Names and metadata.
        contents: The bytes.
        scratch: A folder for copies of files that never hold still.
        device: This device's name, for conflict copies.
        clock: For the times in names; it decides nothing.
        ignored: Whether to leave a path alone; directories end with `/`.

    Attributes:
        invalidate: Told what the kernel must not believe any more, while it is mounted.
        keeping: Finds out what is in the vault, and what is not there any more.
        bin: The trash, in which there is never anything.
    """

    def __init__(
        self,
        tree: Tree,
        contents: Contents,
        scratch: Path,
        device: str,
        clock: Clock,
        ignored: Callable[[str], bool],
    ) -> None:
        self.invalidate: Invalidate | None = None
        self._tree = tree
        self._contents = contents
        self._scratch = scratch
        self._device = device
        self._clock = clock
        self._ignored = ignored
        self.keeping = Keeping(tree, ignored)
        tree.rescued = self._rescued
        self.bin = NoBin()

    def keep(self, row: Callable[[str], Row]) -> int:
        """Find out which pushes have arrived; see `Keeping.keep`."""
        found = self.keeping.keep(row)
        for effects in self.keeping.strays():
            self._tell(effects)
        return found

    def relocate(self, node: Node) -> bool:
        """Find out where content is that is not at its origin; see `Keeping.relocate`."""
        return self.keeping.relocate(node)

    def check(self) -> None:
        """The tree is there as long as the database is, and that is looked after elsewhere."""

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """Yield what is at and below a path, in byte order of the full path."""
        return Walk(self._tree, self._ignored, self.entry, after).walk(at)

    def look(self, path: str) -> Entry | None:
        """Observe one path; a path with a trailing `/` is a directory's."""
        node = self._tree.find(path.rstrip("/"))
        if node is None or (node.kind is NodeKind.DIR) != path.endswith("/"):
            return None
        if node.kind is NodeKind.DIR:
            return directory_entry(self._tree, node, path, self._ignored)
        entry = self.entry(node)
        if entry is None:
            raise Blocked(
                f"'{path}' is a device, a pipe or a socket, which have no content to sync",
                "Ignore it in .vaultsyncignore.",
            )
        return entry

    def entry(self, node: Node) -> Entry | None:
        """A file's or link's entry; None for what cannot be synced."""
        if node.kind is NodeKind.LINK:
            target = node.target or b""
            digest = hashlib.sha256(target).hexdigest()
            return Entry(Kind.LINK, len(target), tag(node), digest, mtime_ns=node.mtime)
        if node.kind is not NodeKind.FILE:
            return None
        return Entry(
            Kind.FILE,
            node.size,
            tag(node),
            node.sha256,
            mtime_ns=node.mtime,
            mode=node.mode & 0o777,
        )

    def identify(self, path: str, entry: Entry, like: Content | None = None) -> Entry:  # noqa: ARG002
        """Return `entry` as it is now, with its digest; fetches nothing that is known."""
        with self.open(path, entry) as content:
            return replace(content.entry, sha256=content.entry.sha256 or content.sha256())

    def open(self, path: str, entry: Entry) -> Content:
        """Open this very version for reading: what is not here is fetched."""
        node = self._tree.find(path)
        if node is None or tag(node) != entry.tag:
            raise Stale(f"'{path}' is not the version that was seen before")
        found = self.entry(node)
        if found is None:
            raise Stale(f"'{path}' has no content any more")
        if node.kind is NodeKind.LINK:
            return Target(found, node.target or b"")
        return Held(self._tree, self._contents, node, path, found)

    def snapshot(self, path: str, entry: Entry) -> Content:
        """Open a file that is being written all the time, as it is at one moment of this call."""
        node = self._tree.find(path)
        found = None if node is None else self.entry(node)
        if node is None or found is None:
            raise Stale(f"'{path}' is no file any more")
        if node.kind is NodeKind.LINK:
            return self.open(path, replace(entry, tag=found.tag))
        taking = Photographer(self._tree, self._contents, node, self.entry)
        return taking.take(self._scratch)

    def stage(
        self,
        path: str,
        content: Content,
        op: str,
        parents: tuple[str, ...] = (),  # noqa: ARG002 - only objects carry their ancestry
        *,
        origin: str | None = None,
    ) -> DriveStaged:
        """Note what a path is going to be. Fetches a link's target, and what came along anyway.

        Args:
            path: Where it is going to be.
            content: The version.
            op: The operation id.
            parents: Of no use here.
            origin: The path in the vault where that version is, when it is another one.
        """
        entry = content.entry
        if entry.kind is Kind.LINK:
            target = b"".join(content.chunks())
            digest = hashlib.sha256(target).hexdigest()
            if b"\0" in target or not target:
                raise Blocked(f"'{path}' is a link to what cannot be a path.", "Remove it.")
            values = Values(NodeKind.LINK, 0o777, self._mtime(entry), len(target), target=target)
            return DriveStaged(path, op, digest, len(target), values)
        few = None if entry.size > SMALL else verified(path, content)
        told = content.entry.sha256
        sha256 = told or (stand_in(entry.tag) if few is None else hashlib.sha256(few).hexdigest())
        values = self._values(origin or path, entry, sha256)
        return DriveStaged(path, op, sha256, entry.size, values, few)

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> DriveStaged:
        """Note that a path is going to hold what another one holds, as the vault has it there."""
        node = self._tree.find(source)
        if node is None or tag(node) != entry.tag:
            raise Stale(f"'{source}' is not the version that was seen before")
        if node.kind is NodeKind.LINK:
            with self.open(source, entry) as content:
                return self.stage(path, content, op)
        sha256 = entry.sha256 or node.sha256 or stand_in(like.tag)
        values = self._values(path, replace(like, size=entry.size), sha256)
        return DriveStaged(path, op, sha256, entry.size, values, source=(source, entry.tag))

    def remember(self, staged: Staged) -> None:
        """Nothing is staged that a crash could leave behind."""

    def commit(self, staged: Staged, expected: Entry | None) -> DriveCommitted:
        """Put what was staged at its path, iff the drive still shows `expected` there."""
        if not isinstance(staged, DriveStaged):
            raise Fatal("What was staged elsewhere cannot be committed here.")
        path = staged.path

        def still(node: Node | None) -> bool:
            self._require_unwritten(path, node)
            if expected is None:
                return node is None
            return node is not None and tag(node) == expected.tag

        with self._tree.store.lock:
            effects = self._tree.graft(path, staged.values, still)
            node = effects.node
            entry = None if node is None else self.entry(node)
            if node is None or entry is None:
                raise Fatal("What was put into the drive is not there.")
            self._fill(node, staged)
        self._tell(effects, content=True)
        return DriveCommitted(entry)

    def discard(self, token: str) -> None:
        """Nothing was staged outside memory."""

    def recover(self, path: str, op: str, token: str) -> Entry | None:  # noqa: ARG002
        """Tell whether a commit happened: what is at the path then comes from the same version."""
        source, etag, sha256 = read_token(token)
        node = self._tree.find(path)
        if node is None:
            return None
        if node.kind is NodeKind.LINK:
            entry = self.entry(node)
            return entry if entry is not None and entry.sha256 == sha256 else None
        if node.dirty or (node.o_path, node.o_etag) != (source, etag):
            return None
        return self.entry(node)

    def make_directory(self, path: str) -> Entry:
        """Make a directory and those above it; no error if it is there already."""
        values = Values(NodeKind.DIR, 0o755, self._now())
        node = self._tree.find(path.rstrip("/"))
        if node is None:
            try:
                effects = self._tree.graft(path.rstrip("/"), values, lambda node: node is None)
            except Stale:
                node = self._tree.find(path.rstrip("/"))
            else:
                self._tell(effects)
                node = effects.node
        if node is None or node.kind is not NodeKind.DIR:
            raise Blocked(f"A file is where the folder '{path}' should be.", "Rename one of them.")
        return directory_entry(self._tree, node, path, self._ignored)

    def delete(self, path: str, expected: Entry) -> None:
        """Remove one file, link or empty directory; who reads it goes on reading."""
        wants_directory = expected.kind is Kind.DIR
        node = self._tree.find(path.rstrip("/"))
        if node is None or _is_directory(node) != wants_directory:
            return
        self._remove(path.rstrip("/"), _is_a_directory if wants_directory else _is(expected))

    def apply(
        self,
        path: str,
        expected: Entry,
        mtime_ns: int | None,
        mode: int | None,
        op: str = "",  # noqa: ARG002 - what is done here leaves no doubt
    ) -> Entry:
        """Set mtime and permission bits of the expected version; return it as it is then."""
        with self._tree.store.lock:
            effects = self._tree.adjust(path, _is(expected), mtime_ns=mtime_ns, mode=mode)
            entry = None if effects.node is None else self.entry(effects.node)
        self._tell(effects)
        if entry is None:
            raise Stale(f"'{path}' vanished in the meantime")
        return replace(entry, sha256=entry.sha256 or expected.sha256)

    def set_aside(self, path: str, expected: Entry) -> str:
        """Rename the expected version to its conflict name; return the copy's path.

        Who has it open goes on with it under that name.
        """
        known = self.identify(path, expected)
        digest = known.sha256 or ""
        if is_stand_in(digest):
            digest = hashlib.sha256(digest.encode()).hexdigest()
        copy = self._existing_copy(path, known, digest)
        if copy is not None:
            self._remove(path, _is(known))
            return copy
        when = datetime.fromtimestamp(self._clock.now())  # noqa: DTZ006 - local time, for people
        copy = conflict_name(path, self._device, when, digest)
        while self._tree.find(copy) is not None:
            when += timedelta(seconds=1)
            copy = conflict_name(path, self._device, when, digest)
        self._tell(self._tree.shift(path, copy, _is(known)))
        return copy

    def _rescued(self, name: bytes) -> bytes:
        """What a file is called that is written to after it was replaced in the vault's name."""
        old = name.decode("utf-8", "replace")
        when = datetime.fromtimestamp(self._clock.now())  # noqa: DTZ006 - local time, for people
        return conflict_name(old, self._device, when, secrets.token_hex(3)).encode()

    def _existing_copy(self, path: str, known: Entry, digest: str) -> str | None:
        """Path of a conflict copy of the same original that holds the same bytes."""
        folder = self._tree.find(parent(path).rstrip("/"))
        if folder is None:
            return None
        for name, node in self._tree.children(folder):
            try:
                copy = parent(path) + name.decode()
            except UnicodeDecodeError:
                continue
            if copy == path or conflict_digest(copy) != digest[:6]:
                continue
            entry = self.entry(node)
            if entry is None or original_name(copy) != original_name(path):
                continue
            with suppress(Stale, Retry):
                if self.identify(copy, entry).sha256 == known.sha256:
                    return copy
        return None

    def _require_unwritten(self, path: str, node: Node | None) -> None:
        """With the lock: what somebody is about to write to is neither replaced nor removed."""
        if node is not None and self._tree.is_written(node):
            raise Retry(
                f"'{path}' is open for writing here.", "It goes on once the program closes it."
            )

    def _fill(self, node: Node, staged: DriveStaged) -> None:
        """Let the cache have the bytes of a new node, where they are at hand."""
        if node.kind is not NodeKind.FILE or not node.size:
            return
        try:
            if staged.content is not None:
                self._contents.fill(node, staged.content)
            elif staged.source is not None:
                source = self._tree.find(staged.source[0])
                if source is not None and tag(source) == staged.source[1]:
                    self._contents.copy(source, node)
        except (OSError, VaultsyncError):
            return  # they are fetched when they are read

    def _remove(self, path: str, expected: Callable[[Node | None], bool]) -> None:
        def still(node: Node | None) -> bool:
            self._require_unwritten(path, node)
            return expected(node)

        self._tell(self._tree.prune(path, still))

    def _tell(self, effects: Effects, *, content: bool = False) -> None:
        told = self.invalidate
        if told is None:
            return
        for folder, name in effects.entries:
            told.entry(folder, name)
        for node in effects.inodes:
            told.inode(node, content=content)

    def _values(self, path: str, entry: Entry, sha256: str) -> Values:
        return Values(
            NodeKind.FILE,
            FILE_MODE if entry.mode is None else entry.mode & 0o777,
            self._mtime(entry),
            entry.size,
            sha256=sha256,
            path=path,
            etag=entry.tag,
            version=entry.version,
        )

    def _mtime(self, entry: Entry) -> int:
        """When a version was changed, as far as the vault can tell."""
        if entry.mtime_ns is not None:
            return entry.mtime_ns
        if entry.stamp:
            return int(datetime.fromisoformat(entry.stamp).timestamp()) * 1_000_000_000
        return self._now()

    def _now(self) -> int:
        return int(self._clock.now() * 1e9)


def _is(expected: Entry) -> Callable[[Node | None], bool]:
    """Whether a node is the expected version."""
    return lambda node: node is not None and tag(node) == expected.tag


def _is_directory(node: Node) -> bool:
    return node.kind is NodeKind.DIR


def _is_a_directory(node: Node | None) -> bool:
    return node is not None and _is_directory(node)
