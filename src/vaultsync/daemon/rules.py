"""The ignore rules in force: those of the profile and those of the folder's own file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.ignore import FILE, Ignore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LONGEST = 1 << 20
"""Bytes of `.vaultsyncignore` that are read; nobody writes that many rules by hand."""


class Rules:
    """Whether a path is left alone; follows the folder's `.vaultsyncignore` as it changes.

    Args:
        root: The synced folder.
        given: Rules of the profile, which come before those of the file.
    """

    def __init__(self, root: Path, given: Iterable[str]) -> None:
        self._file = root / FILE
        self._given = tuple(given)
        self._seen: tuple[int, int, int] | None = None
        self._ignore = Ignore(self._given)
        self.reload()

    def __call__(self, path: str) -> bool:
        """Whether a path is ignored; a directory's ends with `/`."""
        return self._ignore(path)

    def rule(self, path: str) -> str | None:
        """The rule that makes a path ignored, or None."""
        return self._ignore.rule(path)

    def reload(self) -> bool:
        """Read the file again if it has changed; returns whether the rules are new.

        A file that cannot be read leaves the rules as they were: forgetting them would send what
        was meant to stay here.
        """
        try:
            found = self._file.lstat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return False
            text = self._file.read_text(errors="replace")[:LONGEST]
        except FileNotFoundError:
            if self._seen is None or not self._file.parent.is_dir():
                return False
            seen, text = None, ""
        except OSError:
            return False
        self._seen = seen
        before = self._ignore.rules
        self._ignore = Ignore((*self._given, *text.splitlines()))
        return self._ignore.rules != before
