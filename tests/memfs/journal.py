"""What is durable, and what a power cut leaves of the rest.

Changes of names wait, one operation after another, until a directory that they touch is synced; an
operation is never halved. Which of the waiting ones survive a cut is chance, within what holds on
every file system that people use: an operation survives only together with those before it on the
same names, inodes and directories. With `ordered`, as on ext4 and xfs, any sync makes all earlier
changes of names durable, and a cut leaves the first so and so many.

Content is durable once its file is synced. Of a file that changed since, a cut leaves the old
content, the new one, a part of it, or zeros. Blocks that are on the disk already are written in
place: of a file that was stored to through mmap, and has its old size and times, a cut leaves what
was there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.memfs.inodes import Inode, State

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Change:
    """A name of a directory that leads somewhere else now, or nowhere."""

    directory: Inode
    name: str
    now: Inode | None


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """Changes of names that happen together, and the earlier operations that they rest on."""

    changes: tuple[Change, ...]
    keys: frozenset[object]
    rests_on: tuple[Operation, ...]

    def apply(self) -> None:
        for change in self.changes:
            if change.now is None:
                change.directory.kept_entries.pop(change.name, None)
            else:
                change.directory.kept_entries[change.name] = change.now


class Journal:
    """The operations that wait.

    Args:
        ordered: Whether the file system keeps the order of all of them.
        safe: Whether everything is durable at once: for those who never cut the power.
    """

    def __init__(self, *, ordered: bool, safe: bool) -> None:
        self.ordered = ordered
        self.safe = safe
        self._waiting: list[Operation] = []

    def add(self, changes: Iterable[Change], moved: Iterable[Inode]) -> None:
        """Something happened to names.

        Args:
            changes: What they lead to now.
            moved: The inodes that came, went, or changed places.
        """
        if self.safe:
            return
        changes, moved = tuple(changes), tuple(moved)
        keys: set[object] = {(change.directory.number, change.name) for change in changes}
        keys |= {inode.number for inode in moved}
        if any(inode.is_directory for inode in moved):
            keys.add("a directory")  # the kernel moves them one at a time
        touched = {change.directory.number for change in changes}
        gone = {inode for inode in moved if inode.is_directory and not inode.links}
        rests_on = tuple(
            earlier
            for earlier in self._waiting
            if keys & earlier.keys
            or touched & earlier.keys
            or any(change.directory in gone for change in earlier.changes)
        )
        self._waiting.append(Operation(changes, frozenset(keys), rests_on))

    def sync_file(self, inode: Inode) -> None:
        inode.kept = inode.state
        inode.dirty = False
        if self.ordered:
            self._settle(self._waiting)

    def sync_names(self, directory: Inode) -> None:
        if self.ordered:
            self._settle(self._waiting)
        else:
            self._settle(
                operation
                for operation in self._waiting
                if any(change.directory is directory for change in operation.changes)
            )

    def sync_all(self, inodes: Iterable[Inode]) -> None:
        """What the kernel does by itself sooner or later."""
        self._settle(self._waiting)
        for inode in inodes:
            inode.kept, inode.dirty = inode.state, False

    def cut(self, chance: random.Random) -> None:
        """The power fails: apply what happened to reach the disk. The live image is void."""
        if self.ordered:
            self._settle(self._waiting[: chance.randrange(len(self._waiting) + 1)])
        else:
            odds = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
            self._settle([one for one in self._waiting if chance.random() < odds])
        self._waiting.clear()

    def _settle(self, operations: Iterable[Operation]) -> None:
        chosen: set[Operation] = set()
        left = list(operations)
        while left:
            operation = left.pop()
            if operation not in chosen:
                chosen.add(operation)
                left += operation.rests_on
        waiting = []
        for operation in self._waiting:
            if operation in chosen:
                operation.apply()
            else:
                waiting.append(operation)
        # Each refers to earlier ones, which may be other objects by now.
        renewed: dict[Operation, Operation] = {}
        for one in waiting:
            rests_on = tuple(renewed[rest] for rest in one.rests_on if rest not in chosen)
            renewed[one] = one if rests_on == one.rests_on else replace(one, rests_on=rests_on)
        self._waiting = list(renewed.values())


def survivor(inode: Inode, chance: random.Random) -> State:
    """What a power cut leaves of a file."""
    if not inode.dirty and inode.kept is not None:
        return State(inode.data, inode.mode, inode.times)
    now, size = inode.state, len(inode.data)
    kept = inode.kept
    if kept is not None and kept.data == now.data:
        return chance.choice((now, kept))
    if kept is not None and len(kept.data) == size and kept.times == now.times:
        return kept
    choices = [now, now._replace(data=b"\0" * size)]
    if size:
        choices.append(now._replace(data=inode.data[: chance.randrange(size)]))
    if kept is None:
        choices.append(now._replace(data=b""))
    else:
        choices += [kept, now._replace(data=kept.data)]
    return chance.choice(choices)
