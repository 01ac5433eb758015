"""The ignore rules in force: those of the profile and those of the folder's own file."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from vaultsync.core.ignore import FILE, Ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LONGEST = 1 << 20
"""Bytes of `.vaultsyncignore` that are read; nobody writes that many rules by hand."""
SETTLING = 2.0
"""Seconds for which rules that were taken out still hold: the file may be half written."""


class Rules:
    """Whether a path is left alone; follows the folder's `.vaultsyncignore` as it changes.

    New rules hold at once. Old ones hold a moment longer: an editor that empties the file before it
    writes it, or replaces it, must not let out what was meant to stay here.

    Args:
        root: The synced folder.
        given: Rules of the profile, which come before those of the file.
        now: Seconds that only grow.
    """

    def __init__(
        self, root: Path, given: Iterable[str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = root / FILE
        self._given = tuple(given)
        self._now = now
        self._seen: tuple[int, int, int] | None = None
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
            seen, text = self._read()
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

    def _read(self) -> tuple[tuple[int, int, int] | None, str | None]:
        """What the file is and says; no text when it is as it was."""
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            gone = self._seen is not None and self._file.parent.is_dir()
            return None, "" if gone else None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen or not stat.S_ISREG(found.st_mode):
                return self._seen, None
            return seen, file.read(LONGEST).decode(errors="replace")
