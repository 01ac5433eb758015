"""Names that some file systems take for one: they differ in case, or in the form of an accent."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from vaultsync.core.names import parent

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT = 100
"""Pairs that are remembered; the others are only counted."""


def folded(name: str) -> str:
    """What such a name looks like to a file system that folds both case and normalisation."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def same_to_some(names: Iterable[str], name: str) -> str | None:
    """The one of some names that looks like another name, without being it; None if none does."""
    wanted = folded(name)
    return next((other for other in names if other != name and folded(other) == wanted), None)


class Lookalikes:
    """Finds look-alikes among paths that are shown in byte order; holds one directory per level.

    Attributes:
        count: How many names look like one that came before.
        pairs: The first of them, as (the one before, the later one).
    """

    def __init__(self) -> None:
        self.count = 0
        self.pairs: list[tuple[str, str]] = []
        self._open: list[tuple[str, dict[str, str]]] = []

    def show(self, path: str) -> None:
        """Take account of the next path; a directory's ends with `/`."""
        directory = parent(path)
        while self._open and not directory.startswith(self._open[-1][0]):
            self._open.pop()
        if not self._open or self._open[-1][0] != directory:
            self._open.append((directory, {}))
        name = path[len(directory) :].removesuffix("/")
        before = self._open[-1][1].setdefault(folded(name), name)
        if before != name:
            self.count += 1
            if len(self.pairs) < KEPT:
                self.pairs.append((directory + before, directory + name))
