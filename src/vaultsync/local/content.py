"""The bytes of one local version, readable only as long as it is that version."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from vaultsync.core.errors import Stale
from vaultsync.core.model import Entry, Kind
from vaultsync.local.faults import translated
from vaultsync.local.identity import Grain, Match, compare, tag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from vaultsync.core.ports import Content
    from vaultsync.local.files import Files, Node

CHUNK = 1 << 20
"""Bytes read at a time."""


class Closing:
    """What `with` closes at the end."""

    def close(self) -> None:
        """Release what reading needs; mostly there is nothing."""

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


class FileContent(Closing):
    """`core.ports.Content` over an open descriptor.

    Args:
        files: The port to the system.
        descriptor: An open file; owned from now on.
        path: What to call it in messages.
        expected: The version that it must be; None takes it as it is now.
        grain: How finely the file system keeps time.

    Raises:
        Stale: When it is another version. The descriptor is closed then.
        OSError: When it cannot be examined. The descriptor is closed then.
    """

    def __init__(
        self, files: Files, descriptor: int, path: str, expected: Entry | None, grain: Grain
    ) -> None:
        self._files = files
        self._descriptor = descriptor
        self._path = path
        self._grain = grain
        self._md5: str | None = None
        try:
            now = files.now_ns()
            node = files.fstat(descriptor)
            found = file_entry(node, grain, now)
            verdict = self._compare(node, expected)
        except BaseException:
            self.close()
            raise
        known = None if expected is None else expected.sha256
        self._promised = known
        # A racy version may have been rewritten unseen: its digest has to be computed again.
        self._sha256 = known if verdict is Match.YES else None
        self._entry = replace(found, sha256=self._sha256)
        self._identity = _identity(node)

    @property
    def entry(self) -> Entry:
        """The version that is being read."""
        return self._entry

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes [offset, offset+length), cut at the end.

        Raises:
            Stale: When the file is not this version any more.
        """
        with translated(self._path):
            data = self._files.read(self._descriptor, offset, length)
            self._check()
        return data

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in pieces of at most `CHUNK` bytes."""
        offset = 0
        while offset < self._entry.size:
            data = self.read(offset, min(CHUNK, self._entry.size - offset))
            if not data:
                raise self._moved()
            offset += len(data)
            yield data

    def sha256(self) -> str:
        """Return the hex digest of the content.

        Raises:
            Stale: When the file moved, or does not hold what its entry promised.
        """
        if self._sha256 is None:
            with translated(self._path):
                self._files.sync(self._descriptor)
                self._check()
            digest = self._digest("sha256")
            if self._promised is not None and digest != self._promised:
                raise self._moved()
            # The tag stays the one of the beginning: whether it is racy depends on when we began.
            self._sha256 = digest
            self._entry = replace(self._entry, sha256=digest)
        return self._sha256

    def md5(self) -> str:
        """Return the hex MD5 of the content, to be compared with an ETag."""
        if self._md5 is None:
            self._md5 = self._digest("md5")
        return self._md5

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            self._files.close(self._descriptor)
            self._descriptor = -1

    def _compare(self, node: Node, expected: Entry | None) -> Match:
        verdict = Match.YES if expected is None else compare(expected, node)
        if verdict is Match.NO or not node.is_file:
            raise self._moved()
        return verdict

    def _digest(self, algorithm: str) -> str:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        with translated(self._path):
            self._check()
        return digest.hexdigest()

    def _check(self) -> None:
        if _identity(self._files.fstat(self._descriptor)) != self._identity:
            raise self._moved()

    def _moved(self) -> Stale:
        return Stale(f"'{self._path}' is not the version that was seen before")


class Borrowed(Closing):
    """The bytes of one version, to be kept as another one: with that one's times and mode.

    Args:
        content: Gives the bytes; stays its owner's.
        entry: The version that they are to become.
    """

    def __init__(self, content: Content, entry: Entry) -> None:
        self._content = content
        self.entry = replace(
            entry, kind=content.entry.kind, size=content.entry.size, sha256=content.sha256()
        )

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes [offset, offset+length), cut at the end."""
        return self._content.read(offset, length)

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in order."""
        return self._content.chunks()

    def sha256(self) -> str:
        """Return the hex digest of the content."""
        return self._content.sha256()

    def md5(self) -> str:
        """Return the hex MD5 of the content."""
        return self._content.md5()


class LinkContent(Closing):
    """`core.ports.Content` of a symbolic link: the bytes of its target."""

    def __init__(self, entry: Entry, target: bytes) -> None:
        self._entry = entry
        self._target = target

    @property
    def entry(self) -> Entry:
        """The version that is being read."""
        return self._entry

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes [offset, offset+length), cut at the end."""
        return self._target[offset : offset + length]

    def chunks(self) -> Iterator[bytes]:
        """Yield the target."""
        if self._target:
            yield self._target

    def sha256(self) -> str:
        """Return the hex digest of the target."""
        return hashlib.sha256(self._target).hexdigest()

    def md5(self) -> str:
        """Return the hex MD5 of the target."""
        return hashlib.md5(self._target, usedforsecurity=False).hexdigest()


def _identity(node: Node) -> tuple[int, int, int, int]:
    return node.ino, node.size, node.mtime_ns, node.ctime_ns


def file_entry(node: Node, grain: Grain, now_ns: int) -> Entry:
    """The entry of a regular file, without its digest."""
    return Entry(
        Kind.FILE,
        node.size,
        tag(node, grain, now_ns),
        mtime_ns=node.mtime_ns,
        mode=node.permissions,
    )


def link_entry(node: Node, target: bytes, grain: Grain, now_ns: int) -> Entry:
    """The entry of a symbolic link: its content is its target."""
    return Entry(
        Kind.LINK,
        len(target),
        tag(node, grain, now_ns),
        sha256=hashlib.sha256(target).hexdigest(),
        mtime_ns=node.mtime_ns,
        mode=0o777,
    )


def digest_of(files: Files, directory: int, name: str) -> str:
    """Hex SHA-256 of what a name holds now, flushed to disk first (file or link).

    Raises:
        Stale: When it changes while it is read.
        OSError: When it cannot be read.
    """
    if files.stat(directory, name).is_link:
        return hashlib.sha256(files.readlink(directory, name)).hexdigest()
    with FileContent(files, files.open(directory, name), name, None, Grain()) as content:
        return content.sha256()


def is_version(files: Files, directory: int, name: str, expected: Entry) -> bool:
    """Whether a name, just renamed to here, holds the expected version.

    The identity decides, without ctime, which a rename changes. Where it differs or was racy, the
    content does: a file that was only touched is still that version.

    Raises:
        OSError: When it cannot be examined.
    """
    node = files.stat(directory, name)
    if not node.is_file and not node.is_link:
        return False
    if node.is_file:
        # A store through mmap shows in the times only once it is written back.
        descriptor = files.open(directory, name)
        try:
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        node = files.stat(directory, name)
    if compare(expected, node, moved=True) is Match.YES:
        return True
    if expected.sha256 is None or node.size != expected.size:
        return False
    if node.is_link != (expected.kind is Kind.LINK):
        return False
    try:
        return digest_of(files, directory, name) == expected.sha256
    except Stale:  # somebody is writing to it at this moment
        return False
