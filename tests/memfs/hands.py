"""What people's programs do on a tree in memory, by path.

Paths are relative to `home`, and links on the way are followed, as every program does.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from tests.memfs.inodes import Inode, fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.memfs.tree import Tree

_MOST_LINKS = 40


class Hands:
    """Plain operations.

    Args:
        tree: The file system.
        home: Absolute path of the directory that paths begin at; made if it is missing.
    """

    def __init__(self, tree: Tree, home: str = "/") -> None:
        self.tree = tree
        self.home = tree.root
        for segment in home.strip("/").split("/"):
            if segment:
                found = tree.find(self.home, segment)
                self.home = found or tree.make(self.home, segment, stat.S_IFDIR | 0o755)

    # Looking

    def walk(self, path: str = "") -> Iterator[tuple[str, Inode]]:
        """All below a directory, each directory before what it holds; links are not followed."""
        start = self.find(path)
        left = [] if start is None else [(path, start)]
        while left:
            above, inode = left.pop()
            for name, below in inode.entries.items():
                at = f"{above}/{name}" if above else name
                yield at, below
                if below.is_directory:
                    left.append((at, below))

    def find(self, path: str) -> Inode | None:
        """What is at a path, a link itself; None for nothing."""
        try:
            directory, name = self._split(path)
            return self.tree.find(directory, name) if name else directory
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    def at(self, path: str) -> Inode:
        directory, name = self._split(path)
        return self.tree.child(directory, name) if name else directory

    def read(self, path: str) -> bytes:
        return self._resolved(path).data

    # Files

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Make a file, or empty it and write it anew."""
        directory, name = self._split(path)
        found = self.tree.find(directory, name)
        inode = self._resolved(path) if found else self._make(path, stat.S_IFREG | mode)
        if inode.is_directory:
            raise fault(errno.EISDIR, path)
        inode.foreign = True
        self.tree.put(inode, data)
        self._touched(path)

    def append(self, path: str, data: bytes) -> None:
        self.write(path, self.read(path) + data)

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Some bytes in the middle of a file."""
        old = self.read(path)
        self.write(path, old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :])

    def truncate(self, path: str, size: int) -> None:
        self.write(path, self.read(path)[:size].ljust(size, b"\0"))

    def store(self, path: str, data: bytes) -> None:
        """Through a mapping, as long as the file was before; the times move at the write-back."""
        inode = self._resolved(path)
        if len(data) != len(inode.data):
            raise fault(errno.EINVAL, path)
        inode.foreign = True
        self.tree.store(inode, data)
        self._touched(path)

    def write_back(self, path: str) -> None:
        self.tree.write_back(self._resolved(path))

    def save_atomically(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """As good editors do: a new file beside, renamed over."""
        fresh = f"{path}.swp.skip"
        self.write(fresh, data, mode)
        self.rename(fresh, path)

    def symlink(self, path: str, target: bytes) -> None:
        self._make(path, stat.S_IFLNK | 0o777, target).foreign = True

    def pipe(self, path: str) -> None:
        self._make(path, stat.S_IFIFO | 0o644)

    def link(self, path: str, new: str) -> None:
        self.tree.link(self.at(path), *self._split(new))

    def remove(self, path: str) -> None:
        self.tree.unlink(*self._split(path))

    def rename(self, path: str, new: str) -> None:
        self.tree.rename(*self._split(path), *self._split(new))

    def chmod(self, path: str, mode: int) -> None:
        self.tree.chmod(self._resolved(path), mode)

    def utime(self, path: str, mtime_ns: int) -> None:
        self.tree.utime(self._resolved(path), mtime_ns)

    # Directories

    def mkdir(self, path: str) -> None:
        self._make(path, stat.S_IFDIR | 0o755)

    def mkdirs(self, path: str) -> None:
        """With all that is missing above."""
        segments = path.split("/") if path else []
        for depth in range(1, len(segments) + 1):
            above = "/".join(segments[:depth])
            if self.find(above) is None:
                self.mkdir(above)

    def rmdir(self, path: str) -> None:
        self.tree.rmdir(*self._split(path))

    def remove_tree(self, path: str) -> None:
        for below, inode in reversed(list(self.walk(path))):
            if inode.is_directory:
                self.rmdir(below)
            else:
                self.remove(below)
        self.rmdir(path)

    # Inside

    def _make(self, path: str, mode: int, data: bytes = b"") -> Inode:
        return self.tree.make(*self._split(path), mode, data)

    def _touched(self, path: str) -> None:
        self.tree.changed(*self._split(path))

    def _split(self, path: str) -> tuple[Inode, str]:
        above, _, name = path.rpartition("/")
        return self._directory(above), name

    def _directory(self, path: str) -> Inode:
        inode = self._resolved(path) if path else self.home
        if not inode.is_directory:
            raise fault(errno.ENOTDIR, path)
        return inode

    def _resolved(self, path: str) -> Inode:
        """What a path leads to, every link followed."""
        here = self.tree.root if path.startswith("/") else self.home
        left = path.split("/")[::-1]
        followed = 0
        while left:
            segment = left.pop()
            if segment == "..":
                here = here.above or here
            elif segment:
                found = self.tree.child(here, segment)
                if found.is_link:
                    followed += 1
                    if followed > _MOST_LINKS:
                        raise fault(errno.ELOOP, path)
                    target = found.data.decode("utf-8", "surrogateescape")
                    if target.startswith("/"):
                        here = self.tree.root
                    left += target.split("/")[::-1]
                else:
                    here = found
        return here
