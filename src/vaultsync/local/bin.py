"""What people and time do with the trash: look into it, put something back, remove it for good.

The directory itself is the truth. Nothing is removed that a program has open, and what somebody has
gone on writing to there (an editor had it open when it went) comes back as a conflict copy.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, NotFound, Stale, VaultsyncError
from vaultsync.core.model import Emptied, Trashed
from vaultsync.core.names import local_problem, parent, restored_name
from vaultsync.local.abilities import move
from vaultsync.local.content import digest_of
from vaultsync.local.faults import GONE, translated
from vaultsync.local.folder import TRASH, Folder, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.ports import Clock
    from vaultsync.local.files import Node
    from vaultsync.local.ledger import Note
    from vaultsync.local.swap import Swap
    from vaultsync.local.trash import Trash

RECENT = 2 * 86_400.0
"""Seconds for which an item is looked at again, whether somebody goes on writing to it."""
SPARED = 86_400.0
"""Seconds that an item stays however much there is in the trash."""
UNTOLD = 86_400.0
"""Seconds that an item stays at least where nobody can tell whether it is open."""

_SHELF = re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d{6})(?: [0-9a-f]{8})?)?")


@dataclass(frozen=True, slots=True)
class Returned:
    """An item that came back out of the trash.

    Attributes:
        path: Where it was.
        kept: The conflict copy that it is now.
        size: Bytes of content.
    """

    path: str
    kept: str
    size: int


@dataclass(frozen=True, slots=True)
class _Item:
    shelf: str
    path: str
    node: Node
    note: Note | None

    @property
    def at(self) -> float:
        """When it went to the trash; by its shelf and its ctime when nobody wrote it down."""
        if self.note is not None and self.note.ino == self.node.ino:
            return self.note.at
        begins, ends = _span(self.shelf)
        return min(max(begins, self.node.ctime_ns / 1e9), ends)


class Bin:
    """The trash of one folder, beyond what a synchronisation does with it.

    Args:
        folder: The root.
        trash: Takes things in, and keeps the notes.
        swap: Makes conflict copies.
        clock: What age is measured by.
    """

    def __init__(self, folder: Folder, trash: Trash, swap: Swap, clock: Clock) -> None:
        self._folder = folder
        self._files = folder.files
        self._trash = trash
        self._swap = swap
        self._clock = clock

    def items(self, path: str = "") -> list[Trashed]:
        """What is there, newest first.

        Args:
            path: Only what was this file, or was in this folder; empty: everything.
        """
        plain = path.removesuffix("/")
        found = [
            Trashed(f"{item.shelf}/{item.path}", item.path, item.node.size, item.at)
            for item in self._items(0.0)
            if not plain or item.path == plain or item.path.startswith(plain + "/")
        ]
        return sorted(found, key=lambda item: (-item.at, item.path))

    def put_back(self, item: str, to: str = "") -> str:
        """Move an item back into the folder, never replacing anything; see `core.ports.Past`."""
        shelf, _, path = item.partition("/")
        target = (to or path).removesuffix("/")
        if not _SHELF.fullmatch(shelf) or local_problem(path) is not None:
            raise _missing(item)
        with translated(item), self._place(shelf, path) as (directory, name):
            try:
                if self._files.stat(directory, name).is_directory:
                    raise _missing(item)
            except FileNotFoundError as fault:
                raise _missing(item) from fault
            shown = self._show(directory, name, target)
            with suppress(OSError):
                self._files.sync(directory)
        self._clear(shelf)
        return shown

    def empty(self, before: float) -> Emptied:
        """Remove for good what came before a time; what is open, or was changed, stays."""
        done = Emptied()
        shelves = set()
        for item in self._items(0.0):
            if item.at >= before:
                continue
            shelves.add(item.shelf)
            done = self._remove(item, done)
        for shelf in shelves:
            self._clear(shelf)
        return done

    def age(self, days: float, share: float) -> Emptied:
        """Remove for good what is old, and the oldest of what is too much.

        Only days on which this was asked make anything old, however far the clock was set ahead.

        Args:
            days: How long things are kept.
            share: Which part of the disk the trash may take at most, 0 to 1; what came within the
                last day (`SPARED`) stays all the same, for it may be the only copy.
        """
        done = self.empty(self._before(days * 86_400))
        with self._folder.control(TRASH) as trash, translated(TRASH):
            total = self._files.space(trash)[0]
        if not total:  # some network file systems do not know their size
            return done
        items = sorted(self._items(0.0), key=lambda item: item.at)
        size = sum(item.node.taken for item in items)
        spared = self._before(SPARED)
        shelves = set()
        for item in items:
            if size <= total * share or item.at > spared:
                break
            shelves.add(item.shelf)
            before = done.files
            done = self._remove(item, done)
            if done.files > before:
                size -= item.node.taken
        for shelf in shelves:
            self._clear(shelf)
        return done

    def returns(self) -> list[Returned]:
        """Show again, as a conflict copy, what was written to after it went to the trash."""
        found = []
        for item in self._items(self._clock.now() - RECENT):
            if not self._is_changed(item):
                continue
            with (
                suppress(VaultsyncError, OSError),
                self._place(item.shelf, item.path) as (directory, name),
                self._folder.place(item.path, make=True) as place,
            ):
                kept = self._swap.keep(directory, name, place)
                self._require_still(place, kept.rpartition("/")[2], directory, name)
                found.append(Returned(item.path, kept, item.node.size))
        return found

    def _before(self, seconds: float) -> float:
        """The time so long ago, or an earlier one with as many days that this has seen since."""
        now = self._clock.now()
        lived = self._trash.ledger.lived(f"{datetime.fromtimestamp(now):%Y-%m-%d}")  # noqa: DTZ006
        # One more: today may be no day that was lived, but one to which the clock was set.
        days = int(seconds / 86_400) + 1
        return min(now - seconds, _span(lived[-days])[0]) if len(lived) >= days else 0.0

    def _items(self, since: float) -> Iterator[_Item]:
        """What is on the shelves that may hold something that came after a time."""
        with self._folder.control(TRASH) as trash, translated(TRASH):
            for shelf in sorted(self._files.names(trash).directories):
                if _SHELF.fullmatch(shelf) and _span(shelf)[1] >= since:
                    notes = self._trash.ledger.read(shelf)
                    for path, node in self._walk(trash, shelf, ""):
                        yield _Item(shelf, path, node, notes.get(path))

    def _walk(self, above: int, name: str, path: str) -> Iterator[tuple[str, Node]]:
        """All that is no directory below one, with the path it is to have."""
        try:
            here = self._files.enter(above, name)
        except OSError as fault:
            if fault.errno in GONE:  # removed or put back a moment ago
                return
            raise
        try:
            names = self._files.names(here)
            for inner in names.others:
                if _utf8(inner):
                    with suppress(FileNotFoundError):
                        yield path + inner, self._files.stat(here, inner)
            for inner in names.directories:
                if _utf8(inner):
                    yield from self._walk(here, inner, f"{path}{inner}/")
        finally:
            self._files.close(here)

    @contextmanager
    def _place(self, shelf: str, path: str) -> Iterator[tuple[int, str]]:
        """Open the directory of the trash that holds an item; NotFound when it is not there."""
        with self._folder.control(TRASH) as trash:
            try:
                directory = self._files.enter(trash, parent(f"{shelf}/{path}"))
            except OSError as fault:
                if fault.errno in GONE:
                    raise _missing(f"{shelf}/{path}") from fault
                raise
            try:
                yield directory, path.rpartition("/")[2]
            finally:
                self._files.close(directory)

    def _show(self, directory: int, name: str, target: str) -> str:
        """Move something from the trash to a visible name, or to the next free one beside it."""
        number, path = 0, target
        while True:
            try:
                with self._folder.place(path, make=True) as place:
                    self._move(directory, name, place)
                    return path
            except FileExistsError:
                number += 1
                path = restored_name(target, number)
            except Stale as stale:
                raise Blocked(
                    f"'{target}' cannot be put there: its folder is no folder, or was just moved.",
                    "Say where to with --to.",
                ) from stale

    def _move(self, directory: int, name: str, place: Place) -> None:
        abilities = self._folder.abilities
        move(self._files, abilities, directory, name, place.directory, place.name)
        self._require_still(place, place.name, directory, name)
        self._files.sync(place.directory)

    def _require_still(self, place: Place, shown: str, directory: int, name: str) -> None:
        """Take back what was just shown, and raise Stale, if its folder was moved meanwhile."""
        if self._folder.moved(place):
            with suppress(OSError):
                move(self._files, self._folder.abilities, place.directory, shown, directory, name)
            raise Stale(f"The folder that holds '{place.path}' was moved in the meantime")

    def _is_changed(self, item: _Item) -> bool:
        """Whether somebody wrote to an item after it went to the trash."""
        node, note = item.node, item.note
        if not node.is_file or node.links != 1:
            return False
        if note is None or note.ino != node.ino:
            # Nobody wrote down how it was. The rename moved its ctime alone; a write moves both.
            return node.mtime_ns == node.ctime_ns
        if note.describes(node):
            return False
        if not note.sha256 or note.size != node.size:
            return True
        try:
            with self._place(item.shelf, item.path) as (directory, name):
                return digest_of(self._files, directory, name) != note.sha256
        except Stale:  # somebody is writing to it at this moment
            return True
        except (OSError, VaultsyncError):
            return False

    def _remove(self, item: _Item, done: Emptied) -> Emptied:
        """Remove one item for good, unless somebody has use for it; returns the new count."""
        gone = False
        if not self._is_changed(item):
            with (
                suppress(VaultsyncError, OSError),
                self._place(item.shelf, item.path) as (directory, name),
                self._trash.making,  # or another one could get its name before it is removed
            ):
                gone = self._unlink(item, directory, name)
        if gone:
            return Emptied(done.files + 1, done.bytes + item.node.size, done.kept)
        return Emptied(done.files, done.bytes, done.kept + 1)

    def _unlink(self, item: _Item, directory: int, name: str) -> bool:
        files = self._files
        node = files.stat(directory, name)
        if node != item.node:
            return False
        if not node.is_file:
            files.unlink(directory, name)
            return True
        descriptor = None
        try:
            try:
                descriptor = files.open(directory, name)
                # Looked at again once nobody else can have it open.
                free = files.claim(descriptor) and files.fstat(descriptor) == node
            except OSError:  # not readable, or a file system that keeps no leases
                free = self._clock.now() - item.at > UNTOLD
            if free:
                files.unlink(directory, name)
        finally:
            if descriptor is not None:
                files.close(descriptor)
        return free

    def _clear(self, shelf: str) -> None:
        """Remove the directories of a shelf that hold nothing, and its notes when it is gone."""
        with self._trash.making, suppress(OSError), self._folder.control(TRASH) as trash:
            if self._prune(trash, shelf):
                self._trash.ledger.drop(shelf)

    def _prune(self, above: int, name: str) -> bool:
        """Remove a directory if it holds nothing but directories that hold nothing."""
        here = self._files.enter(above, name)
        try:
            names = self._files.names(here)
            inner = [self._prune(here, directory) for directory in names.directories]
            empty = not names.others and all(inner)
        finally:
            self._files.close(here)
        if empty:
            self._files.rmdir(above, name)
        return empty


def _span(shelf: str) -> tuple[float, float]:
    """Begin and end of the time in which things went to a shelf, seconds since the epoch."""
    match = _SHELF.fullmatch(shelf)
    if match is None:
        return 0.0, 0.0
    try:  # local time, as the shelf's name is
        if match[2]:
            begins = datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H%M%S")  # noqa: DTZ007
            return begins.timestamp(), begins.timestamp() + 1
        begins = datetime.strptime(match[1], "%Y-%m-%d")  # noqa: DTZ007
    except ValueError:
        return 0.0, 0.0
    return begins.timestamp(), (begins + timedelta(days=1)).timestamp()


def _utf8(name: str) -> bool:
    return name.isascii() or name.encode(errors="replace") == name.encode(errors="surrogateescape")


def _missing(item: str) -> NotFound:
    return NotFound(f"There is no '{item}' in the trash.", "See `vaultsync trash list`.")
