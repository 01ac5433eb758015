"""The port through which the folder is touched, and the real thing behind it.

Every operation is (directory descriptor, base name), so that no path is ever resolved twice and a
parent that becomes a symbolic link in the middle of it leads nowhere. A twin in memory that
forgets what was not synced can take the place of `SystemFiles`; both raise OSError, which is
translated by `local.faults`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vaultsync.local.lease import claim

if TYPE_CHECKING:
    from pathlib import Path

_OPENAT2 = 437
"""Number of the system call on every architecture (linux/include/uapi/asm-generic/unistd.h)."""
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08
"""RESOLVE_NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH (openat2(2))."""
_FICLONE = 0x40049409
"""Request of ioctl_ficlone(2)."""
_NOREPLACE = 1
_EXCHANGE = 2
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Node(NamedTuple):
    """What stat tells about one name, links not followed."""

    mode: int
    ino: int
    dev: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int = 1
    allocated: int | None = None
    """Bytes that the disk has given to it, where that is known."""

    @property
    def taken(self) -> int:
        """Bytes of the disk that its content takes: no holes, nothing that is compressed away."""
        return self.size if self.allocated is None else min(self.size, self.allocated)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        """The bits rwxrwxrwx."""
        return self.mode & 0o777


class Names(NamedTuple):
    """What a directory holds; names that are not UTF-8 carry surrogates (PEP 383)."""

    directories: list[str]
    others: list[str]
    special: frozenset[str] = frozenset()
    """Those of `others` that are neither regular files nor symbolic links, where that is known."""


class Files(Protocol):
    """What the folder needs from the operating system. Every method may raise OSError."""

    def top(self, path: Path) -> int:
        """Open the root directory itself; links on the way to it are the user's choice."""
        ...

    def enter(self, directory: int, path: str) -> int:
        """Open a directory beneath another one, through directories only.

        Raises ELOOP or ENOTDIR at a symbolic link, EXDEV at a mount point. An empty path opens the
        directory itself once more.
        """
        ...

    def open(self, directory: int, name: str) -> int:
        """Open a file for reading; never follows a link, never waits for a FIFO's writer."""
        ...

    def create(self, directory: int, name: str) -> int:
        """Create a file of mode 0600 for writing; EEXIST when the name is taken."""
        ...

    def append(self, directory: int, name: str) -> int:
        """Open a file of ours, of mode 0600 when it is new, for writing at its end."""
        ...

    def claim(self, descriptor: int) -> bool:
        """Whether nobody else has a file open; until it is closed, whoever opens it waits for us.

        Raises OSError where that cannot be told.
        """
        ...

    def close(self, descriptor: int) -> None:
        """Close a descriptor of any kind."""
        ...

    def read(self, descriptor: int, offset: int, length: int) -> bytes:
        """Read at most `length` bytes at `offset`; fewer only at the end of the file."""
        ...

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data`."""
        ...

    def clone(self, source: int, target: int) -> None:
        """Give an empty file the content of another one, in one step, sharing its blocks."""
        ...

    def sync(self, descriptor: int) -> None:
        """Make a file's content, or a directory's names, durable."""
        ...

    def stat(self, directory: int, name: str) -> Node:
        """Describe a name, not following it."""
        ...

    def fstat(self, descriptor: int) -> Node:
        """Describe what is open."""
        ...

    def names(self, directory: int) -> Names:
        """List a directory in no particular order."""
        ...

    def move(self, source: int, name: str, target: int, new: str) -> None:
        """Rename, never replacing: EEXIST when the name is taken (RENAME_NOREPLACE)."""
        ...

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        """Rename, replacing: only for a new name that is ours alone (in `.vaultsync`)."""
        ...

    def exchange(self, source: int, name: str, target: int, new: str) -> None:
        """Swap two names in one step (RENAME_EXCHANGE)."""
        ...

    def link(self, source: int, name: str, target: int, new: str) -> None:
        """Give a file or link a second name; EEXIST when the name is taken."""
        ...

    def unlink(self, directory: int, name: str) -> None:
        """Remove a name that is not a directory's."""
        ...

    def mkdir(self, directory: int, name: str, mode: int) -> None:
        """Make a directory, the mode under the umask."""
        ...

    def rmdir(self, directory: int, name: str) -> None:
        """Remove a directory that holds nothing."""
        ...

    def symlink(self, directory: int, name: str, target: bytes) -> None:
        """Make a symbolic link."""
        ...

    def readlink(self, directory: int, name: str) -> bytes:
        """Return what a symbolic link says."""
        ...

    def chmod(self, descriptor: int, mode: int) -> None:
        """Set the permission bits of an open file."""
        ...

    def utime(self, descriptor: int, mtime_ns: int) -> None:
        """Set the modification time of an open file."""
        ...

    def utime_link(self, directory: int, name: str, mtime_ns: int) -> None:
        """Set the modification time of a symbolic link itself."""
        ...

    def space(self, directory: int) -> tuple[int, int]:
        """Bytes of the file system in all, and those that its users may still fill."""
        ...

    def writable(self, directory: int) -> bool:
        """Whether names can be made in a directory."""
        ...

    def umask(self) -> int:
        """The bits that new files do not get."""
        ...

    def now_ns(self) -> int:
        """The clock that stamps files, nanoseconds since the epoch."""
        ...


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class SystemFiles:
    """The port `Files`, spoken to Linux."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        # Reading the umask means setting it for a moment; once, before threads run.
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._how = _OpenHow(_DIRECTORY, 0, _RESOLVE)
        self._has_openat2 = self._try_openat2()

    def top(self, path: Path) -> int:
        """Open the root directory."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def enter(self, directory: int, path: str) -> int:
        """Open a directory beneath another one."""
        path = path.rstrip("/") or "."
        if self._has_openat2:
            return self._openat2(directory, path)
        return self._walk(directory, path)

    def open(self, directory: int, name: str) -> int:
        """Open a file for reading."""
        return os.open(name, _READ, dir_fd=directory)

    def create(self, directory: int, name: str) -> int:
        """Create a file for writing."""
        return os.open(name, _CREATE, 0o600, dir_fd=directory)

    def append(self, directory: int, name: str) -> int:
        """Open a file for writing at its end."""
        return os.open(name, _APPEND, 0o600, dir_fd=directory)

    def claim(self, descriptor: int) -> bool:
        """Whether nobody else has a file open."""
        return claim(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def read(self, descriptor: int, offset: int, length: int) -> bytes:
        """Read at an offset."""
        parts = []
        while length > 0:
            part = os.pread(descriptor, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def clone(self, source: int, target: int) -> None:
        """Share blocks."""
        fcntl.ioctl(target, _FICLONE, source)

    def sync(self, descriptor: int) -> None:
        """Make durable."""
        os.fsync(descriptor)

    def stat(self, directory: int, name: str) -> Node:
        """Describe a name."""
        return _node(os.stat(name, dir_fd=directory, follow_symlinks=False))

    def fstat(self, descriptor: int) -> Node:
        """Describe what is open."""
        return _node(os.fstat(descriptor))

    def names(self, directory: int) -> Names:
        """List a directory."""
        directories, others, special = [], [], []
        with os.scandir(directory) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    directories.append(item.name)
                    continue
                others.append(item.name)
                if not item.is_file(follow_symlinks=False) and not item.is_symlink():
                    special.append(item.name)
        return Names(directories, others, frozenset(special))

    def move(self, source: int, name: str, target: int, new: str) -> None:
        """Rename, never replacing."""
        self._rename(source, name, target, new, _NOREPLACE)

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        """Rename, replacing."""
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)

    def exchange(self, source: int, name: str, target: int, new: str) -> None:
        """Swap two names."""
        self._rename(source, name, target, new, _EXCHANGE)

    def link(self, source: int, name: str, target: int, new: str) -> None:
        """Give a second name."""
        os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def unlink(self, directory: int, name: str) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=directory)

    def mkdir(self, directory: int, name: str, mode: int) -> None:
        """Make a directory."""
        os.mkdir(name, mode, dir_fd=directory)

    def rmdir(self, directory: int, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=directory)

    def symlink(self, directory: int, name: str, target: bytes) -> None:
        """Make a symbolic link."""
        os.symlink(target, _encoded(name), dir_fd=directory)

    def readlink(self, directory: int, name: str) -> bytes:
        """Return what a link says."""
        return os.readlink(_encoded(name), dir_fd=directory)

    def chmod(self, descriptor: int, mode: int) -> None:
        """Set permission bits."""
        os.fchmod(descriptor, mode)

    def utime(self, descriptor: int, mtime_ns: int) -> None:
        """Set the modification time."""
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))

    def utime_link(self, directory: int, name: str, mtime_ns: int) -> None:
        """Set a link's own modification time."""
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)

    def space(self, directory: int) -> tuple[int, int]:
        """Bytes in all, and those that are left."""
        found = os.statvfs(directory)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def writable(self, directory: int) -> bool:
        """Whether names can be made in a directory."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True)

    def umask(self) -> int:
        """The bits that new files do not get."""
        return self._umask

    def now_ns(self) -> int:
        """The clock that stamps files."""
        return time.time_ns()

    def _rename(self, source: int, name: str, target: int, new: str, flags: int) -> None:
        if not hasattr(self._libc, "renameat2"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
        if self._libc.renameat2(source, _encoded(name), target, _encoded(new), flags):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name, None, new)

    def _try_openat2(self) -> bool:
        top = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(self._openat2(top, "."))
        except OSError:  # an old kernel (ENOSYS) or a container's filter (EPERM)
            return False
        else:
            return True
        finally:
            os.close(top)

    def _openat2(self, directory: int, path: str) -> int:
        how = self._how
        while True:
            descriptor = self._libc.syscall(
                ctypes.c_long(_OPENAT2),
                ctypes.c_long(directory),
                _encoded(path),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
            if descriptor >= 0:
                return int(descriptor)
            code = ctypes.get_errno()
            # EAGAIN: something was renamed meanwhile, so that "beneath" could not be proved.
            if code not in (errno.EINTR, errno.EAGAIN):
                raise OSError(code, os.strerror(code), path)

    def _walk(self, directory: int, path: str) -> int:
        here = os.open(".", _DIRECTORY, dir_fd=directory)
        device = os.fstat(here).st_dev
        for segment in path.split("/"):
            try:
                if segment == "..":
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
                below = os.open(segment, _DIRECTORY, dir_fd=here)
            finally:
                os.close(here)
            here = below
            if os.fstat(here).st_dev != device:
                os.close(here)
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        return here


def _node(seen: os.stat_result) -> Node:
    return Node(
        seen.st_mode,
        seen.st_ino,
        seen.st_dev,
        seen.st_size,
        seen.st_mtime_ns,
        seen.st_ctime_ns,
        seen.st_nlink,
        seen.st_blocks * 512,  # whatever the file system's own blocks are (inode(7))
    )
