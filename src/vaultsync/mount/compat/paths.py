"""A `ports.FileSystem` by paths, which is how libfuse's high-level interface asks.

Paths are absolute within the drive, and text: bytes that are no UTF-8 are surrogates, so that all
names come and go as they are. The methods have the names, arguments and results that mfusepy wants
of its operations; where those lose something, `session` has its own.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from vaultsync.mount.compat.opened import Opened
from vaultsync.mount.kernel import wire
from vaultsync.mount.ports import ROOT, Caller, Changes, FileSystem, Node, NodeKind, Space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RENAME_NOREPLACE: Final = 1
_NAME_MAX: Final = 255
_NEVER: Final = ("security.", "system.")
"""Extended attributes that there are none of; the kernel backend says so too."""
_ROOTS: Final = "trusted."
"""Extended attributes that only root is told of."""
_FORMATS: Final = {
    NodeKind.FILE: stat.S_IFREG,
    NodeKind.DIR: stat.S_IFDIR,
    NodeKind.LINK: stat.S_IFLNK,
    NodeKind.FIFO: stat.S_IFIFO,
    NodeKind.SOCKET: stat.S_IFSOCK,
    NodeKind.CHAR: stat.S_IFCHR,
    NodeKind.BLOCK: stat.S_IFBLK,
}


class Paths:
    """Translates paths to inode numbers, and keeps what is open. For one thread.

    A path is looked up name by name each time: the engine changes the tree meanwhile, and libfuse
    cannot be told.

    Args:
        files: The file system.
        caller: Tells user, group and process of the request under way.
    """

    def __init__(self, files: FileSystem, caller: Callable[[], tuple[int, int, int]]) -> None:
        self._files = files
        self._who = caller
        self._opened = Opened()
        self._asked = 0
        self._new_name: str | None = None

    def begin(self, operation: int, new_name: bytes | None) -> None:
        """A request has come.

        Args:
            operation: Its number, as `kernel.wire` has them.
            new_name: What a rename is to lead to.
        """
        self._asked = operation
        self._new_name = None if new_name is None else _text(new_name)

    # Where things are

    def _caller(self) -> Caller:
        return Caller(*self._who())

    def _find(self, path: str) -> Node:
        """The node of a path. ENOENT, ENOTDIR, ENAMETOOLONG."""
        parents, _, last = path.rpartition("/")
        if not last:
            return self._files.getattr(ROOT)
        hidden = self._opened.hidden.get(last)
        if hidden is not None and self._asked != wire.LOOKUP:
            return self._files.getattr(hidden)
        node = self._files.lookup(self._find(parents).id, _bytes(last))
        self._drop(node)
        return node

    def _place(self, path: str) -> tuple[int, bytes]:
        """The directory that a path leads to a name in, and the name."""
        parent, _, name = path.rpartition("/")
        return self._find(parent).id, _bytes(name)

    def _node(self, path: str | None, handle: int | None) -> int:
        """The node that is meant: of what is open, if it is, for its path may be another's now."""
        node = self._opened.node(handle)
        if node is not None:
            return node
        if path is None:
            raise _fail(errno.ESTALE)
        return self._find(path).id

    def _drop(self, node: Node) -> None:
        """Give back the reference that came with a node: libfuse finds it by its path again."""
        self._files.forget(node.id, 1)

    # Looking

    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        """Attributes as stat(2) has them, with times in nanoseconds."""
        found = _attributes(self._files.getattr(self._node(path, handle)))
        if self._asked == wire.GETATTR and self._opened.is_hidden(path, handle):
            found["st_nlink"] += 1  # libfuse takes off one again: the hidden name
        return found

    def readlink(self, path: str) -> str:
        """A link's target."""
        return _text(self._files.readlink(self._find(path).id))

    def opendir(self, path: str) -> int:
        """Open a directory."""
        node = self._find(path).id
        handle = self._files.opendir(node)
        self._opened.add(handle, node, path)
        return handle

    def readdir_with_offset(
        self, path: str | None, offset: int, handle: int
    ) -> Iterator[tuple[str, dict[str, int], int]]:
        """Yield name, kind and number, and the offset to go on from."""
        node = self._node(path, handle)
        for name, child, after in self._files.readdir(node, handle, offset, plus=False):
            yield _text(name), {"st_ino": child.id, "st_mode": _FORMATS[child.kind]}, after

    def releasedir(self, _path: str | None, handle: int) -> None:
        """Close a directory."""
        self._files.releasedir(self._opened.remove(handle), handle)

    def statfs(self, _path: str) -> dict[str, int]:
        """The file system's room."""
        return _room(self._files.statfs())

    # Making and removing

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        self._drop(self._files.mkdir(self._caller(), *self._place(path), mode & 0o7777))

    def mknod(self, path: str, mode: int, rdev: int) -> None:
        """Make a special file; files come by `create`."""
        self._drop(self._files.mknod(self._caller(), *self._place(path), mode, rdev))

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self._drop(self._files.symlink(self._caller(), *self._place(path), _bytes(target)))

    def link(self, path: str, old: str) -> None:
        """Give what `old` names one more name."""
        node = self._find(old).id
        self._drop(self._files.link(self._caller(), node, *self._place(path)))

    def unlink(self, path: str) -> None:
        """Remove a name; one that is hidden is not there any more."""
        if self._asked == wire.UNLINK and _last(path) not in self._opened.hidden:
            self._unlink(path)
        else:
            self._opened.hidden.pop(_last(path), None)

    def _unlink(self, path: str) -> None:
        self._files.unlink(self._caller(), *self._place(path))
        self._opened.moved(path, None)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._files.rmdir(self._caller(), *self._place(path))
        self._opened.moved(path, None)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """Rename, with RENAME_NOREPLACE if `flags` say so.

        RENAME_EXCHANGE is EINVAL, as where a file system has none: a caller without it renames in
        another way.
        """
        if _last(new) != self._new_name:
            self._hide(old, new)
            return
        if flags & ~RENAME_NOREPLACE:
            raise _fail(errno.EINVAL)
        self._files.rename(self._caller(), *self._place(old), *self._place(new), flags)
        if old != new:
            self._opened.moved(new, None)
            self._opened.moved(old, new)

    def _hide(self, path: str, hidden: str) -> None:
        """Know a file by its hidden name; its own one goes now, or when it is replaced.

        A rename to another name than was asked for is libfuse's own; see `Opened`.
        """
        node = self._find(path).id
        if self._asked == wire.UNLINK:
            self._unlink(path)
        self._opened.hide(path, _last(hidden), node)

    # Files

    def create(self, path: str, mode: int, flags: int) -> int:
        """Make and open a file."""
        place = self._place(path)
        node, handle = self._files.create(self._caller(), *place, mode & 0o7777, flags)
        self._opened.add(handle, node.id, path)
        self._drop(node)
        return handle

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        node = self._find(path).id
        handle, _ = self._files.open(node, flags, wait=True, kill=self._kill())
        self._opened.add(handle, node, path)
        return handle

    def estranged(self, handle: int) -> bool:
        """See `Opened.estranged`."""
        return self._opened.estranged(handle)

    def read(self, path: str | None, size: int, offset: int, handle: int) -> bytes:
        """Exactly the bytes asked for, cut at the end."""
        node, pid = self._node(path, handle), self._who()[2]
        return self._files.read(node, handle, offset, size, wait=True, pid=pid)

    def write(
        self, path: str | None, data: bytes, offset: int, handle: int, *, append: bool = False
    ) -> int:
        """Write all of it, at the end with `append`."""
        node = self._node(path, handle)
        if append:
            # Of a file with two names the kernel knows two sizes, and one of them is too old.
            offset = self._files.getattr(node).size
        view = memoryview(data)
        return self._files.write(node, handle, offset, view, wait=True, kill=self._kill())

    def _kill(self) -> bool:
        return self._who()[0] != 0

    def flush(self, path: str | None, handle: int) -> None:
        """A descriptor is being closed."""
        self._files.flush(self._node(path, handle), handle)

    def release(self, _path: str | None, handle: int) -> None:
        """Nobody has the handle any more."""
        self._files.release(self._opened.remove(handle), handle)

    def fsync(self, path: str | None, data_only: int, handle: int) -> None:
        """Return once it would survive a power cut."""
        self._files.fsync(self._node(path, handle), handle, data_only=bool(data_only))

    fsyncdir = fsync

    def fallocate(self, path: str | None, mode: int, offset: int, length: int, handle: int) -> None:
        """Reserve room, or make holes."""
        node = self._node(path, handle)
        self._files.fallocate(node, handle, mode, offset, length, wait=True, kill=self._kill())

    def lseek(self, path: str | None, offset: int, whence: int, handle: int) -> int:
        """Where data, or a hole, begins."""
        return self._files.lseek(self._node(path, handle), handle, offset, whence)

    def change(self, path: str | None, handle: int | None, **changes: Any) -> None:
        """Change attributes: the fields of `ports.Changes`."""
        node = self._node(path, handle)
        self._files.setattr(self._caller(), node, Changes(**changes), wait=True)

    # Extended attributes

    def getxattr(self, path: str, name: str) -> bytes:
        """The value."""
        if name.startswith(_NEVER):
            raise _fail(errno.EOPNOTSUPP)
        return self._files.getxattr(self._find(path).id, _bytes(name))

    def setxattr(self, path: str, name: str, value: bytes, flags: int) -> None:
        """Set it."""
        self._files.setxattr(self._caller(), self._find(path).id, _bytes(name), value, flags)

    def listxattr(self, path: str) -> list[str]:
        """The names."""
        names = [_text(name) for name in self._files.listxattr(self._find(path).id)]
        return [name for name in names if not (self._who()[0] and name.startswith(_ROOTS))]

    def removexattr(self, path: str, name: str) -> None:
        """Remove it."""
        self._files.removexattr(self._caller(), self._find(path).id, _bytes(name))


def _attributes(node: Node) -> dict[str, int]:
    return {
        "st_ino": node.id,
        "st_mode": node.mode | _FORMATS[node.kind],
        "st_nlink": node.nlink,
        "st_uid": node.uid,
        "st_gid": node.gid,
        "st_rdev": node.rdev,
        "st_size": node.size,
        "st_blksize": 4096,
        "st_blocks": (node.size - node.holes + 511) >> 9,
        "st_atime": node.atime,
        "st_mtime": node.mtime,
        "st_ctime": node.ctime,
    }


def _room(space: Space) -> dict[str, int]:
    return {
        "f_bsize": space.block,
        "f_frsize": space.block,
        "f_blocks": space.blocks,
        "f_bfree": space.free,
        "f_bavail": space.available,
        "f_files": space.files,
        "f_ffree": space.files_free,
        "f_favail": space.files_free,
        "f_namemax": _NAME_MAX,
    }


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
