"""What to do next: which paths to plan, in which order, and what stands in an action's way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.model import IMPLIED, Verb
from vaultsync.core.plan import needs_children, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.core.model import Action, Row
    from vaultsync.state.store import Store

MANY_PATHS = 10_000
"""Changed paths that are remembered one by one; beyond, the plan walks all rows."""
PLANS = 8
"""Plans that may be under way at once, the newest going first: an edit waits for no first sync."""


class Changed:
    """Paths whose rows have changed since they were last planned.

    Args:
        everything: Whether it begins with all paths.
    """

    def __init__(self, *, everything: bool = True) -> None:
        self._paths: set[str] = set()
        self._everything = everything

    def add(self, path: str) -> None:
        """Note one path."""
        if not self._everything:
            self._paths.add(path)
            if len(self._paths) > MANY_PATHS:
                self._everything = True
                self._paths.clear()

    def take_over(self, other: Changed) -> None:
        """Note all that another one has noted, and leave it with nothing."""
        paths = other.take()
        if paths is None:
            self._everything = True
            self._paths.clear()
        for path in paths or ():
            self.add(path)

    def take(self) -> list[str] | None:
        """Remove and return the paths, in order; None for all."""
        paths = None if self._everything else sorted(self._paths)
        self._everything = False
        self._paths.clear()
        return paths

    def __bool__(self) -> bool:
        """Whether anything has changed."""
        return self._everything or bool(self._paths)

    def __len__(self) -> int:
        """How many paths are known one by one."""
        return len(self._paths)


class Agenda:
    """Hands out actions, planned afresh from the stored rows.

    Args:
        store: The rows.
        busy: Whether work is under way, or held back, that deletions have to wait for.

    Attributes:
        changed: Paths to plan again.
        stalled: Whether the last `take` found only deletions that have to wait.
    """

    def __init__(self, store: Store, busy: Callable[[], bool]) -> None:
        self.changed = Changed()
        self.stalled = False
        self._store = store
        self._busy = busy
        self._plans: list[Iterator[Action]] = []
        self._later = Changed(everything=False)
        self._deletions: Iterator[Action] | None = None

    def __bool__(self) -> bool:
        """Whether anything is left to plan or to hand out."""
        return bool(self.changed or self._plans or self._later or self._deletions)

    @property
    def ready(self) -> bool:
        """Whether `take` may have something now."""
        return bool(self) and not self.stalled

    def take(self) -> Action | None:
        """The next action; None when there is none for now.

        Deletions come when all plans have handed out what makes or changes things, and their
        (short) work has ended: content is never removed in one place before it has arrived in the
        other.
        """
        self.stalled = False
        while self.changed or self._plans:
            if self.changed and len(self._plans) < PLANS:
                self._plans.append(self._makings(self.changed.take()))
            action = next(self._plans[-1], None)
            if action is not None:
                return action
            self._plans.pop()
        if self._deletions is None and self._later:
            if self._busy():
                self.stalled = True
                return None
            self._deletions = self._removals(self._later.take())
        action = None if self._deletions is None else next(self._deletions, None)
        if action is None:
            self._deletions = None
        return action

    def obstacle(self, path: str) -> str | None:
        """What stands on the local side where `path` must be made, or None.

        That is a file where a folder must be, or a folder where a file must be.
        """
        for wanted in [*names.parents(path), path]:
            other = wanted[:-1] if wanted.endswith("/") else wanted + "/"
            if self._store.row(other).local is not None:
                return other
        return None

    def clash(self, obstacle: str) -> Row | None:
        """The vault's file whose name a folder bears, there or about to be there, or None.

        Args:
            obstacle: What `obstacle` found: one of the two, here.
        """
        row = self._store.row(obstacle.removesuffix("/"))
        folder = self._store.row(row.path + "/")
        coming = any(action.verb is Verb.PUSH for action in plan([folder]))
        return row if row.remote is not None and (folder.remote is not None or coming) else None

    def leaving(self, path: str) -> str | None:
        """The file that has to go from the vault before something can be pushed below its name.

        Nobody is to see a file and a folder of one name because a file became a folder here; and an
        empty folder is nothing to put beside a file.
        """
        for directory in [*names.parents(path), path]:
            row = self._store.row(directory.removesuffix("/"))
            # One that still seems to be here cannot be: what is pushed is in a folder of its name.
            if row.path == path or row.remote is None:
                continue
            if directory == path or (row.base and row.remote.tag == row.base.remote_tag):
                return row.path
        return None

    def folder_there(self, path: str, unsure: Callable[[str], bool]) -> bool | None:
        """Whether the vault holds a folder where this file would go, and means to keep it.

        Args:
            path: The file.
            unsure: Whether what is known of a path may be about to change.

        Returns:
            None while it has not gone yet, or it is not known whether something in it is to stay.
        """
        folder = path + "/"
        rows = [self._store.row(folder), *self._store.rows(path, after=folder)]
        verbs = {action.path: action.verb for action in plan(rows)}
        there = [
            verbs.get(row.path)
            for row in rows
            if row.remote is not None and row.remote.tag != IMPLIED
        ]
        if any(unsure(row.path) for row in rows):
            return None
        if Verb.PULL in there:
            return True
        return None if there else False

    def _makings(self, paths: list[str] | None) -> Iterator[Action]:
        """What makes or changes things; what deletes is left for later."""
        for action in plan(self._rows(paths)):
            if not action.verb.deletes:
                yield action
            else:
                self._later.add(action.path)

    def _removals(self, paths: list[str] | None) -> Iterator[Action]:
        """What deletes, and still does so now."""
        for action in plan(self._rows(paths)):
            if action.verb.deletes:
                yield action

    def _rows(self, paths: list[str] | None) -> Iterator[Row]:
        """The rows to plan: all, or the given paths' and what decisions on them depend on.

        The directories above take part: what becomes of one depends on what becomes of the last
        thing in it.
        """
        if paths is None:
            yield from self._store.rows()
            return
        above = {directory for path in paths for directory in names.parents(path)}
        below = ""
        for path in sorted(above.union(paths)):
            if below and path.startswith(below):
                continue
            row = self._store.row(path)
            yield row
            if needs_children(row):
                below = path
                yield from self._store.rows(path[:-1], after=path)
