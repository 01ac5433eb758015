"""Which paths are left alone on both sides: gitignore rules, with defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pathspec

from vaultsync.core.names import parents

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = ".vaultsyncignore"
"""An ordinary synced file at the root with the user's own rules."""

DEFAULTS = (
    "*~",
    ".*.sw?",
    ".~lock.*#",
    "~$*",
    ".#*",
    "4913",
    ".goutputstream-*",
    ".fuse_hidden*",
    ".nfs????????????????????????",
    "*.part",
    "*.partial",
    "*.crdownload",
    ".Trash-*/",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
)
"""Editors' swap, lock and backup names, partial downloads, file managers' droppings."""

REMEMBERED = 4096
"""Directories whose verdict is kept at hand: files come in the order of their directories."""


class Ignore:
    """Gitignore rules, the later ones winning: the defaults, then the given ones.

    https://git-scm.com/docs/gitignore describes the syntax. A path below an ignored directory is
    ignored, whatever rules follow, as git does: so a scan that does not descend and a listing that
    cannot help descending agree.
    """

    def __init__(self, rules: Iterable[str] = ()) -> None:
        self.rules = (*DEFAULTS, *(rule for rule in rules if rule.strip()))
        self._spec = pathspec.GitIgnoreSpec.from_lines(self.rules)
        self._directories: dict[str, str | None] = {}

    def rule(self, path: str) -> str | None:
        """The rule that makes `path` ignored, or None when it is not ignored.

        Args:
            path: Relative to the root; with a trailing `/` when it is a directory.
        """
        for directory in parents(path):
            rule = self._directory(directory)
            if rule is not None:
                return rule
        return self._directory(path) if path.endswith("/") else self._match(path)

    def __call__(self, path: str) -> bool:
        """Whether `path` is ignored."""
        return self.rule(path) is not None

    def _directory(self, path: str) -> str | None:
        if path not in self._directories:
            if len(self._directories) >= REMEMBERED:
                self._directories.clear()
            self._directories[path] = self._match(path)
        return self._directories[path]

    def _match(self, path: str) -> str | None:
        result = self._spec.check_file(path)
        return self.rules[result.index] if result.include and result.index is not None else None
