"""The kernel: inodes, names, and what may be done to them."""

from __future__ import annotations

import errno
import heapq
import stat
from typing import TYPE_CHECKING

from tests.memfs.inodes import Inode, Times, fault, require_name
from tests.memfs.journal import Change, Journal, survivor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

TICK = 4_000_000
"""Nanoseconds between two times that the kernel writes down (HZ=250)."""
_ROOT = 2


class Tree:
    """One file system.

    Args:
        clock: Nanoseconds since the epoch.
        tick: How many of them a time stamp counts at once.
        size: Bytes that it holds in all.
        ordered: See `journal`.
        safe: See `journal`.

    Attributes:
        readonly: Whether it is mounted for reading only.
        changed: Called with a directory and a name that leads somewhere else now.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        tick: int = TICK,
        size: int = 1 << 40,
        ordered: bool = False,
        safe: bool = False,
    ) -> None:
        self.clock = clock
        self.tick = tick
        self.size = size
        self.journal = Journal(ordered=ordered, safe=safe)
        self.readonly = False
        self.changed: Callable[[Inode, str], None] = lambda _directory, _name: None
        self.used = 0
        self._free: list[int] = []
        self._next = _ROOT
        self.root = self._inode(stat.S_IFDIR | 0o755, 1)

    # Looking

    def child(self, directory: Inode, name: str) -> Inode:
        """What a name leads to; ENOENT."""
        found = self.find(directory, name)
        if found is None:
            raise fault(errno.ENOENT, name)
        return found

    def find(self, directory: Inode, name: str) -> Inode | None:
        if not directory.is_directory:
            raise fault(errno.ENOTDIR, name)
        if name == ".":
            return directory
        if not directory.links:
            raise fault(errno.ENOENT, name)
        require_name(name)
        return directory.entries.get(name)

    def inodes(self) -> Iterator[Inode]:
        """All that have a name, each once for each of its names."""
        left = [self.root]
        while left:
            inode = left.pop()
            yield inode
            left += inode.entries.values()

    # Names

    def make(self, directory: Inode, name: str, mode: int, data: bytes = b"") -> Inode:
        """A new inode under a new name; EEXIST."""
        if self.find(directory, name) is not None:
            raise fault(errno.EEXIST, name)
        self._require_writable()
        inode = self._inode(mode, directory.device)
        inode.data = data
        if inode.is_directory:
            inode.above = directory
        self._record(((directory, name, inode),), (inode,))
        return inode

    def link(self, inode: Inode, directory: Inode, name: str) -> None:
        if self.find(directory, name) is not None:
            raise fault(errno.EEXIST, name)
        if inode.device != directory.device:
            raise fault(errno.EXDEV, name)
        if inode.is_directory:
            raise fault(errno.EPERM, name)
        self._require_writable()
        inode.links += 1
        self._changed(inode)
        self._record(((directory, name, inode),), (inode,))

    def unlink(self, directory: Inode, name: str) -> None:
        inode = self.child(directory, name)
        self._require_writable()
        if inode.is_directory:
            raise fault(errno.EISDIR, name)
        self._drop(inode)
        self._record(((directory, name, None),), (inode,))
        self.release(inode)

    def rmdir(self, directory: Inode, name: str) -> None:
        inode = self.child(directory, name)
        self._require_writable()
        if not inode.is_directory:
            raise fault(errno.ENOTDIR, name)
        if inode.device != directory.device:
            raise fault(errno.EBUSY, name)
        if inode.entries:
            raise fault(errno.ENOTEMPTY, name)
        self._drop(inode)
        self._record(((directory, name, None),), (inode,))
        self.release(inode)

    def rename(
        self, source: Inode, name: str, target: Inode, new: str, *, replace: bool = True
    ) -> None:
        self._require_one_device(source, target, new)
        inode = self.child(source, name)
        covered = self.find(target, new)
        if covered is not None and not replace:
            raise fault(errno.EEXIST, new)
        self._require_writable()
        if inode.is_directory and self._is_within(target, inode):
            raise fault(errno.EINVAL, new)
        if covered is not None and covered.is_directory and self._is_within(source, covered):
            raise fault(errno.ENOTEMPTY, new)
        if covered is inode:
            return
        self._require_no_mount(source, inode, name)
        moved = [inode]
        if covered is not None:
            self._require_no_mount(target, covered, new)
            self._require_replaceable(inode, covered, new)
            self._drop(covered)
            moved.append(covered)
        if inode.is_directory:
            inode.above = target
        self._changed(inode)
        self._record(((source, name, None), (target, new, inode)), moved)
        if covered is not None:
            self.release(covered)

    def exchange(self, source: Inode, name: str, target: Inode, new: str) -> None:
        self._require_one_device(source, target, new)
        one, other = self.child(source, name), self.child(target, new)
        self._require_writable()
        if (one.is_directory and self._is_within(target, one)) or (
            other.is_directory and self._is_within(source, other)
        ):
            raise fault(errno.EINVAL, new)
        if one is other:
            return
        self._require_no_mount(source, one, name)
        self._require_no_mount(target, other, new)
        for inode, directory in ((one, target), (other, source)):
            if inode.is_directory:
                inode.above = directory
            self._changed(inode)
        self._record(((source, name, other), (target, new, one)), (one, other))

    # Content

    def put(self, inode: Inode, data: bytes) -> None:
        """A file's whole content; ENOSPC, then as much of it as there is room for."""
        self._require_writable()
        grown = len(data) - len(inode.data)
        if grown > self.size - self.used:
            room = len(inode.data) + max(0, self.size - self.used)
            self._fill(inode, data[:room])
            raise fault(errno.ENOSPC)
        self._fill(inode, data)

    def store(self, inode: Inode, data: bytes) -> None:
        """Bytes written through a mapping: the times move when they are written back."""
        inode.data, inode.lazy, inode.dirty = data, True, True

    def sync(self, inode: Inode) -> None:
        if inode.is_directory:
            self.journal.sync_names(inode)
        elif inode.is_file:
            self.write_back(inode)
            self.journal.sync_file(inode)
        else:
            raise fault(errno.EINVAL)

    def write_back(self, inode: Inode) -> None:
        if inode.lazy:
            inode.lazy = False
            inode.times = Times(self.now(), self.now())

    def chmod(self, inode: Inode, mode: int) -> None:
        self._require_writable()
        inode.mode = stat.S_IFMT(inode.mode) | (mode & 0o7777)
        inode.dirty = True
        self._changed(inode)

    def utime(self, inode: Inode, mtime_ns: int) -> None:
        self._require_writable()
        inode.times = Times(mtime_ns, self.now())
        inode.dirty = True

    def now(self) -> int:
        return self.clock() // self.tick * self.tick

    def release(self, inode: Inode) -> None:
        """Give an inode's number and bytes back once nothing leads to it any more."""
        if not inode.links and not inode.opened:
            self.used -= len(inode.data)
            heapq.heappush(self._free, inode.number)

    def mount(self, directory: Inode, name: str) -> Inode:
        """Another file system, empty, at a new name."""
        inode = self.make(directory, name, stat.S_IFDIR | 0o755)
        inode.device = directory.device + 1
        return inode

    # The end

    def crash(self, chance: random.Random) -> Tree:
        """The file system after a power cut; this one is void then."""
        self.journal.cut(chance)
        after = Tree(self.clock, tick=self.tick, size=self.size, ordered=self.journal.ordered)
        after.changed = self.changed
        copies: dict[Inode, Inode] = {}
        after.root = after._restored(self.root, copies, chance)
        numbers = {inode.number for inode in copies.values()}
        after._next = max(numbers) + 1
        after._free = sorted(set(range(_ROOT, after._next)) - numbers)
        after.used = sum(len(inode.data) for inode in copies.values())
        return after

    def _restored(self, inode: Inode, copies: dict[Inode, Inode], chance: random.Random) -> Inode:
        if inode in copies:
            copies[inode].links += 1
            return copies[inode]
        state = survivor(inode, chance) if inode.is_file else inode.state
        copy = Inode(inode.number, inode.device, state.mode, state.times, state.data)
        copy.foreign = inode.foreign
        copy.kept = copy.state
        copies[inode] = copy
        for name, below in inode.kept_entries.items():
            restored = self._restored(below, copies, chance)
            copy.entries[name] = copy.kept_entries[name] = restored
            if restored.is_directory:
                restored.above = copy
        return copy

    # Inside

    def _inode(self, mode: int, device: int) -> Inode:
        if self._free:
            number = heapq.heappop(self._free)
        else:
            number, self._next = self._next, self._next + 1
        now = self.now()
        return Inode(number, device, mode, Times(now, now), dirty=True)

    def _record(
        self,
        changes: tuple[tuple[Inode, str, Inode | None], ...],
        moved: list[Inode] | tuple[Inode, ...],
    ) -> None:
        now = self.now()
        for directory, name, inode in changes:
            if inode is None:
                del directory.entries[name]
            else:
                directory.entries[name] = inode
            directory.times = Times(now, now)
        self.journal.add((Change(*change) for change in changes), moved)
        for directory, name, _ in changes:
            self.changed(directory, name)

    def _changed(self, inode: Inode) -> None:
        inode.times = Times(inode.times.modified, self.now())

    def _drop(self, inode: Inode) -> None:
        inode.links = 0 if inode.is_directory else inode.links - 1
        self._changed(inode)

    def _fill(self, inode: Inode, data: bytes) -> None:
        self.used += len(data) - len(inode.data)
        inode.data = data
        inode.times = Times(self.now(), self.now())
        inode.dirty, inode.lazy = True, False

    def _is_within(self, directory: Inode, above: Inode) -> bool:
        here: Inode | None = directory
        while here is not None:
            if here is above:
                return True
            here = here.above
        return False

    def _require_writable(self) -> None:
        if self.readonly:
            raise fault(errno.EROFS)

    def _require_one_device(self, one: Inode, other: Inode, name: str) -> None:
        for directory in (one, other):
            if not directory.is_directory:
                raise fault(errno.ENOTDIR, name)
        if one.device != other.device:
            raise fault(errno.EXDEV, name)

    def _require_no_mount(self, directory: Inode, inode: Inode, name: str) -> None:
        if inode.device != directory.device:
            raise fault(errno.EBUSY, name)

    def _require_replaceable(self, inode: Inode, covered: Inode, new: str) -> None:
        if inode.is_directory and not covered.is_directory:
            raise fault(errno.ENOTDIR, new)
        if covered.is_directory and not inode.is_directory:
            raise fault(errno.EISDIR, new)
        if covered.entries:
            raise fault(errno.ENOTEMPTY, new)
