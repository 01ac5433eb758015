"""The ignore rules in force: those of the profile and those of the folder's own file."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Protocol

from vaultsync.core.ignore import FILE, Ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LONGEST = 1 << 20
"""Bytes of `.vaultsyncignore` that are read; nobody writes that many rules by hand."""
SETTLING = 2.0
"""Seconds for which rules that were taken out still hold: the file may be half written."""


Seen = tuple[int, int, int]
"""What tells one state of the file from another."""


class Reader(Protocol):
    """Reads `.vaultsyncignore`."""

    def __call__(self, seen: Seen | None) -> tuple[Seen | None, str | None]:
        """What the file is, and what it says; no text when it is as it was, at `seen`.

        Raises OSError when it cannot be read now.
        """
        ...


class FolderFile:
    """The file in a folder.

    Args:
        root: The synced folder.
    """

    def __init__(self, root: Path) -> None:
        self._file = root / FILE

    def __call__(self, seen: Seen | None) -> tuple[Seen | None, str | None]:
        """See `Reader`."""
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            gone = seen is not None and self._file.parent.is_dir()
            return None, "" if gone else None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            now = (found.st_ino, found.st_size, found.st_mtime_ns)
            if now == seen or not stat.S_ISREG(found.st_mode):
                return seen, None
            return now, file.read(LONGEST).decode(errors="replace")


class Rules:
    """Whether a path is left alone; follows `.vaultsyncignore` as it changes.

    New rules hold at once. Old ones hold a moment longer: an editor that empties the file before it
    writes it, or replaces it, must not let out what was meant to stay here.

    Args:
        read: Reads the file.
        given: Rules of the profile, which come before those of the file.
        now: Seconds that only grow.
    """

    def __init__(
        self, read: Reader, given: Iterable[str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._given = tuple(given)
        self._now = now
        self._seen: Seen | None = None
        self._ignore = Ignore(self._given)
        self._before: Ignore | None = None
        self._settled = now()
        self.reload()
        self._before = None

    def __call__(self, path: str) -> bool:
        """Whether a path is ignored; a directory's ends with `/`."""
        before = self._before
        return self._ignore(path) or (before is not None and before(path))

    @property
    def settling(self) -> bool:
        """Whether rules that were taken out still hold, for a moment."""
        return self._before is not None

    def rule(self, path: str) -> str | None:
        """The rule that makes a path ignored, or None."""
        before = self._before
        return self._ignore.rule(path) or (None if before is None else before.rule(path))

    def reload(self) -> bool:
        """Read the file again if it has changed; returns whether what is ignored may be new.

        A file that cannot be read leaves the rules as they were: forgetting them would send what
        was meant to stay here. The same goes for what is no ordinary file, or a link.
        """
        now = self._now()
        settled = self._before is not None and now >= self._settled
        try:
            seen, text = self._read(self._seen)
        except OSError:
            return False
        if text is None:
            if settled:
                self._before = None
            return settled
        self._seen = seen
        ignore = Ignore((*self._given, *text.splitlines()))
        if ignore.rules == self._ignore.rules:
            return False
        if self._before is None:
            self._before = self._ignore
        self._ignore, self._settled = ignore, now + SETTLING
        return True
