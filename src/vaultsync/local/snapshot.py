"""A version of a file that does not hold still: the file as it was at one moment.

Where the file system can share blocks between files (FICLONE), a clone is taken in one step. Else
the file is copied, which takes a while, so that it has to be proved that the copy is what was there
at one moment T: what lies before T was read before it and again after it, with the same bytes; the
rest was read between two looks at T that show the same size and times. A file that is only appended
to passes; one that is rewritten in place meanwhile does not, and no snapshot is made of it. (Bytes
that are changed and changed back between both readings escape this.)

The snapshot lies in `.vaultsync/staging` without a name: it goes when it is closed, or the process
dies.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Stale
from vaultsync.local.content import CHUNK, FileContent, file_entry
from vaultsync.local.faults import translated
from vaultsync.local.folder import STAGING, Folder, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.core.model import Entry
    from vaultsync.core.ports import Content
    from vaultsync.local.files import Files, Node
    from vaultsync.local.identity import Grain
    from vaultsync.local.room import Room

TRIES = 3
"""Copies that are begun before the file is given up for now."""
GLANCES = 100
"""Looks for a moment in which the file holds still, at the end of a copy."""


class SnapshotContent(FileContent):
    """`core.ports.Content` of a snapshot: the bytes of one file, the entry of another.

    Args:
        files: The port to the system.
        descriptor: The snapshot, open; owned from now on.
        path: What to call it in messages.
        source: The file as it was at the moment of the snapshot; with its digest, when known.
        grain: How finely the file system keeps time.
    """

    def __init__(
        self, files: Files, descriptor: int, path: str, source: Entry, grain: Grain
    ) -> None:
        super().__init__(files, descriptor, path, None, grain)
        self._sha256 = source.sha256
        self._entry = replace(source, size=self._entry.size)


class Snapshots:
    """Takes snapshots of files below a root.

    Args:
        folder: The root.
        room: How full the disk may get.
    """

    def __init__(self, folder: Folder, room: Room) -> None:
        self._folder = folder
        self._files: Files = folder.files
        self._room = room

    def take(self, path: str) -> Content:
        """The file at a path, as it is at some moment during this call.

        Raises:
            Stale: When no file is there, or it is rewritten in place meanwhile.
            Blocked: When there is no room for a copy.
        """
        files = self._files
        with (
            self._folder.place(path) as place,
            self._folder.control(STAGING) as staging,
            translated(path),
        ):
            source = files.open(place.directory, place.name)
            try:
                if not files.fstat(source).is_file:
                    raise Stale(f"'{path}' is not a file any more")
                content = self._clone(staging, source, path) or self._copy(staging, source, path)
                if not self._is_at(place, source):
                    content.close()
                    raise Stale(f"'{path}' was moved or replaced in the meantime")
                return content
            finally:
                files.close(source)

    def _is_at(self, place: Place, source: int) -> bool:
        """Whether a path still leads to the file: else what was read may never have been there."""
        try:
            there = self._files.stat(place.directory, place.name)
        except FileNotFoundError:
            return False
        return there.ino == self._files.fstat(source).ino and not self._folder.moved(place)

    def _clone(self, staging: int, source: int, path: str) -> Content | None:
        """A clone; None where the file system has no such thing."""
        files = self._files
        files.sync(source)
        entry = self._look(source)
        target = self._nameless(staging)
        try:
            files.clone(source, target)
        except OSError:
            files.close(target)
            return None
        # The clone may be newer than this entry: then the file counts as changed once more.
        return SnapshotContent(files, target, path, entry, self._folder.grain)

    def _copy(self, staging: int, source: int, path: str) -> Content:
        for _ in range(TRIES):
            content = self._try_to_copy(staging, source, path)
            if content is not None:
                return content
        raise Stale(f"'{path}' is rewritten while it is read")

    def _try_to_copy(self, staging: int, source: int, path: str) -> Content | None:
        """A proved copy; None when the file did not allow one."""
        files = self._files
        files.sync(source)
        size = files.fstat(source).size
        target = self._nameless(staging)
        try:
            with self._room.taken(staging, size, path) as written:
                digest = hashlib.sha256()
                for data in self._read(source, 0, size):
                    digest.update(data)
                    files.write(target, data)
                    written(len(data))
                entry = self._catch_up(source, target, digest.update, size)
            again = "" if entry is None else self._digest(source, entry.size)
        except BaseException:
            files.close(target)
            raise
        if entry is None or again != digest.hexdigest():
            files.close(target)
            return None
        entry = replace(entry, sha256=again)
        return SnapshotContent(files, target, path, entry, self._folder.grain)

    def _catch_up(
        self, source: int, target: int, update: Callable[[bytes], None], copied: int
    ) -> Entry | None:
        """Copy what was appended, until there is a moment in which the copy is complete."""
        for _ in range(GLANCES):
            before, entry = self._files.fstat(source), self._look(source)
            for data in self._read(source, copied, entry.size):
                update(data)
                self._files.write(target, data)
                copied += len(data)
            if copied != entry.size:
                return None
            if _moment(self._files.fstat(source)) == _moment(before):
                return entry
        return None

    def _read(self, source: int, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`, or fewer if the file has become shorter."""
        while start < end and (data := self._files.read(source, start, min(CHUNK, end - start))):
            start += len(data)
            yield data

    def _digest(self, source: int, size: int) -> str:
        digest = hashlib.sha256()
        for data in self._read(source, 0, size):
            digest.update(data)
        return digest.hexdigest()

    def _look(self, source: int) -> Entry:
        now = self._files.now_ns()
        return file_entry(self._files.fstat(source), self._folder.grain, now)

    def _nameless(self, staging: int) -> int:
        name = f"snapshot-{secrets.token_hex(8)}"
        descriptor = self._files.create(staging, name)
        self._files.unlink(staging, name)
        return descriptor


def _moment(node: Node) -> tuple[int, int, int, int]:
    return node.ino, node.size, node.mtime_ns, node.ctime_ns
