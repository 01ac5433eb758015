"""Walk the folder in byte order of the full path, holding one directory's names per level."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.core.errors import Fatal
from vaultsync.core.model import EMPTY, FULL, UNMANAGED, Entry, Kind, Seen, Unseen
from vaultsync.core.names import CONTROL, is_control, local_problem, parents
from vaultsync.local.content import file_entry, link_entry
from vaultsync.local.faults import GONE, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.local.files import Files, Names, Node
    from vaultsync.local.folder import Folder

_MOVING = "it moved or vanished while it was being looked at"
_SPECIAL = "it is a device, a pipe or a socket, which have no content to sync"
_NOT_UTF8 = "its name is not valid UTF-8"
_RENAME = "Rename it, or ignore it in .vaultsyncignore."


class _Item(NamedTuple):
    """One name, with what it is sorted by: itself, followed by `/` for a directory."""

    key: str
    name: str
    is_directory: bool


class _Level(NamedTuple):
    """A directory being walked."""

    path: str
    descriptor: int
    items: Iterator[_Item]


class Scan:
    """One walk.

    Args:
        folder: The root.
        ignored: Whether to leave a path alone; directories end with `/`.
        after: Leave out every path that is not greater.
    """

    def __init__(self, folder: Folder, ignored: Callable[[str], bool], after: str) -> None:
        self._folder = folder
        self._files: Files = folder.files
        self._ignored = ignored
        self._after = after

    def walk(self, at: str) -> Iterator[Seen | Unseen]:
        """Yield what is at and below `at` (see `core.ports.Side.entries`).

        Raises:
            Fatal: When the root is not the bound one, also at the end of the walk: then nothing
                may be concluded from what was not yielded.
        """
        with self._folder.top() as top:
            for item in self._whole(top) if not at else self._at(top, at):
                if item.path > self._after:
                    yield item
            self._folder.still_bound(top)

    def _whole(self, top: int) -> Iterator[Seen | Unseen]:
        try:
            descriptor = self._files.enter(top, "")
        except OSError as fault:
            raise self._unreadable(fault) from fault
        try:
            names = self._files.names(descriptor)
        except OSError as fault:
            self._files.close(descriptor)
            raise self._unreadable(fault) from fault
        yield from self._below(_Level("", descriptor, iter(_sorted(names))))

    def _at(self, top: int, at: str) -> Iterator[Seen | Unseen]:
        if is_control(at) or local_problem(at) or any(map(self._ignored, parents(at))):
            return
        above, _, name = at.rpartition("/")
        if self._folder.twin(top, at) is not None:
            return
        try:
            directory = self._files.enter(top, above)
            try:
                node = self._files.stat(directory, name)
                if node.is_directory:
                    if not self._ignored(at + "/"):
                        yield from self._directory(directory, name, at + "/")
                elif not self._ignored(at):
                    yield self._leaf(directory, name, at)
            finally:
                self._files.close(directory)
        except OSError as fault:
            if fault.errno in GONE:
                return
            # What hides the place hides a file there as well as all that a directory would hold.
            yield Unseen(at, *reason(fault))
            yield Unseen(at + "/", *reason(fault))

    def _directory(self, above: int, name: str, path: str) -> Iterator[Seen | Unseen]:
        """Yield a directory and everything below it."""
        opened = self._open(above, name, path)
        if isinstance(opened, Unseen):
            yield opened
            return
        level, entry = opened
        yield Seen(path, entry)
        yield from self._below(level)

    def _below(self, level: _Level) -> Iterator[Seen | Unseen]:
        """Yield everything below a directory; a stack instead of recursion bears any depth."""
        stack = [level]
        try:
            while stack:
                level = stack[-1]
                item = next(level.items, None)
                if item is None:
                    self._files.close(stack.pop().descriptor)
                    continue
                path = level.path + item.key
                if not _is_utf8(item.name):
                    printable = level.path + _printable(item.key)
                    yield Unseen(printable, _NOT_UTF8, "Rename it.", valid=False)
                    continue
                if item.name == CONTROL or self._is_past(path) or self._ignored(path):
                    continue
                if not item.is_directory:
                    yield self._leaf(level.descriptor, item.name, path)
                else:
                    opened = self._open(level.descriptor, item.name, path)
                    if isinstance(opened, Unseen):
                        yield opened
                    else:
                        stack.append(opened[0])
                        yield Seen(path, opened[1])
        finally:
            for level in stack:
                self._files.close(level.descriptor)

    def _open(self, above: int, name: str, path: str) -> tuple[_Level, Entry] | Unseen:
        try:
            descriptor = self._files.enter(above, name)
        except OSError as fault:
            return _unseen(path, fault)
        try:
            self._require_same_device(above, descriptor)
            names = self._files.names(descriptor)
        except OSError as fault:
            self._files.close(descriptor)
            return _unseen(path, fault)
        except BaseException:
            self._files.close(descriptor)
            raise
        entry = directory_entry(names, path, self._ignored)
        return _Level(path, descriptor, iter(_sorted(names))), entry

    def _require_same_device(self, above: int, below: int) -> None:
        """A subvolume is no mount point, but nothing can be renamed across its border either."""
        if self._files.fstat(above).dev != self._files.fstat(below).dev:
            raise OSError(errno.EXDEV, "another file system")

    def _leaf(self, directory: int, name: str, path: str) -> Seen | Unseen:
        try:
            now = self._files.now_ns()
            node = self._files.stat(directory, name)
            entry = leaf_entry(self._folder, directory, name, node, now)
        except OSError as fault:
            return _unseen(path, fault)
        if entry is not None:
            return Seen(path, entry)
        if node.is_directory:  # it was a file when its directory was listed
            return Unseen(path, _MOVING)
        return Unseen(path, _SPECIAL, _RENAME)

    def _is_past(self, path: str) -> bool:
        """Whether a path, and all that a directory of that path holds, lies before `after`."""
        return path < self._after and not self._after.startswith(path)

    def _unreadable(self, fault: OSError) -> Fatal:
        why, hint = reason(fault)
        return Fatal(f"The folder '{self._folder.path}' cannot be read: {why}.", hint)


def directory_entry(names: Names, path: str, ignored: Callable[[str], bool]) -> Entry:
    """The entry of a directory, whose tag tells what kind of content it has."""
    if not names.directories and not names.others:
        tag = EMPTY
    elif any(
        name != CONTROL and _is_utf8(name) and not ignored(f"{path}{name}/")
        for name in names.directories
    ) or any(
        name not in names.special
        and name != CONTROL
        and _is_utf8(name)
        and not ignored(path + name)
        for name in names.others
    ):
        tag = FULL
    else:
        tag = UNMANAGED
    return Entry(Kind.DIR, 0, tag)


def leaf_entry(folder: Folder, directory: int, name: str, node: Node, now_ns: int) -> Entry | None:
    """The entry of a file or link; None for anything else.

    Args:
        folder: The root.
        directory: Open descriptor of the directory that holds it.
        name: Its name there.
        node: What stat told.
        now_ns: The time right before stat was asked.

    Raises:
        OSError: When a link cannot be read.
    """
    if node.is_file:
        return file_entry(node, folder.grain, now_ns)
    if node.is_link:
        target = folder.files.readlink(directory, name)
        return link_entry(node, target, folder.grain, now_ns)
    return None


def _sorted(names: Names) -> list[_Item]:
    """Byte order of the full paths: a directory sorts by its name with `/` appended."""
    items = [_Item(name + "/", name, is_directory=True) for name in names.directories]
    items += [_Item(name, name, is_directory=False) for name in names.others]
    items.sort(key=lambda item: item.key if _is_utf8(item.name) else _printable(item.key))
    return items


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unseen(path: str, fault: OSError) -> Unseen:
    if fault.errno in GONE:
        return Unseen(path, _MOVING)
    return Unseen(path, *reason(fault))
