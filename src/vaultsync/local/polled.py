"""Directories for which no watch could be had: looked at now and then instead."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST = 30.0
"""Seconds between two looks at a small subtree."""
EACH = 0.01
"""Seconds of that for each directory of a large one: looking stays a small share of the time."""


@dataclass(slots=True)
class _Tree:
    due: float
    directories: set[str] = field(default_factory=set)

    @property
    def interval(self) -> float:
        return max(SHORTEST, EACH * len(self.directories))


class Polled:
    """The subtrees that have to be polled, each by a schedule of its own. For any thread.

    Paths are relative to the root, without a trailing `/`; the empty one is everything.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._trees: dict[str, _Tree] = {}

    def add(self, path: str) -> None:
        """Poll a directory from now on, along with a polled one that holds it."""
        with self._lock:
            top = next((top for top in self._trees if _holds(top, path)), None)
            if top is None:
                tree = _Tree(self._now() + SHORTEST)
                for below in [top for top in self._trees if _holds(path, top)]:
                    tree.directories |= self._trees.pop(below).directories
                self._trees[path] = tree
                top = path
            self._trees[top].directories.add(path)

    def drop(self, path: str) -> None:
        """Poll a subtree no longer."""
        with self._lock:
            self._trees.pop(path, None)

    def take(self) -> list[str]:
        """The subtrees whose time has come; their next time begins now."""
        now = self._now()
        with self._lock:
            due = [path for path, tree in self._trees.items() if tree.due <= now]
            for path in due:
                self._trees[path].due = now + self._trees[path].interval
        return due

    def next(self) -> float | None:
        """When the next subtree is due (seconds of the given clock), or None."""
        with self._lock:
            return min((tree.due for tree in self._trees.values()), default=None)

    @property
    def slowest(self) -> float:
        """Seconds within which a change is seen at the latest."""
        with self._lock:
            return max((tree.interval for tree in self._trees.values()), default=0.0)

    def __len__(self) -> int:
        """How many directories are polled."""
        with self._lock:
            return sum(len(tree.directories) for tree in self._trees.values())


def _holds(directory: str, path: str) -> bool:
    return not directory or path == directory or path.startswith(directory + "/")
