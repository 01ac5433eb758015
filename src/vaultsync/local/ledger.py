"""What went to the trash, as it was at that moment: `.vaultsync/trashed/<shelf>`, a line an item.

It only adds to what the trash itself shows: since when an item is there, and whether somebody has
gone on writing to it; and, in `days`, on which days there was somebody to see it age. A line that a
crash kept from being written, or tore, costs no more than that.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.core.errors import VaultsyncError
from vaultsync.local.folder import TRASHED, Folder

if TYPE_CHECKING:
    from vaultsync.local.files import Node


_DAYS = "days"
_DAY = re.compile(rb"\d{4}-\d\d-\d\d")


class Note(NamedTuple):
    """One item at the moment when it went to the trash.

    Attributes:
        path: Its path below the shelf.
        ino: Its inode.
        size: Bytes of content.
        mtime_ns: Its modification time.
        sha256: Hex digest of its content; empty when that was not known.
        at: The moment, seconds since the epoch.
    """

    path: str
    ino: int
    size: int
    mtime_ns: int
    sha256: str
    at: float

    def describes(self, node: Node) -> bool:
        """Whether this is still the item as it was."""
        return (node.ino, node.size, node.mtime_ns) == (self.ino, self.size, self.mtime_ns)


class Ledger:
    """The notes of one folder's trash. Used by several threads at once."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def write(self, shelf: str, note: Note) -> None:
        """Write a note down; what is in the trash already must not fail because of it."""
        self._add(shelf, json.dumps(note))

    def read(self, shelf: str) -> dict[str, Note]:
        """The notes of a shelf by path; of several for one path, the last."""
        notes = {}
        for line in self._lines(shelf):
            with suppress(ValueError, TypeError):
                note = Note(*json.loads(line))
                notes[note.path] = note
        return notes

    def drop(self, shelf: str) -> None:
        """Forget a shelf that is gone."""
        with suppress(OSError, VaultsyncError), self._folder.control(TRASHED) as directory:
            self._folder.files.unlink(directory, shelf)

    def lived(self, today: str) -> list[str]:
        """The days, in order, on which this was asked; today is written down and the last.

        Args:
            today: As in `2026-11-23`.
        """
        known = {line.decode() for line in self._lines(_DAYS) if _DAY.fullmatch(line)}
        if today not in known:
            self._add(_DAYS, today)
        # A clock that was ahead for a while has left days that are still to come.
        return sorted(day for day in {*known, today} if day <= today)

    def _add(self, name: str, line: str) -> None:
        files = self._folder.files
        with suppress(OSError, VaultsyncError), self._folder.control(TRASHED) as directory:
            descriptor = files.append(directory, name)
            try:
                # Begun with a line of its own: a crash may have cut off the last one.
                files.write(descriptor, f"\n{line}".encode())
            finally:
                files.close(descriptor)

    def _lines(self, name: str) -> list[bytes]:
        files = self._folder.files
        with suppress(OSError, VaultsyncError), self._folder.control(TRASHED) as directory:
            descriptor = files.open(directory, name)
            try:
                return files.read(descriptor, 0, files.fstat(descriptor).size).splitlines()
            finally:
                files.close(descriptor)
        return []
