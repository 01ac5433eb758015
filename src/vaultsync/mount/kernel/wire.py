"""What the kernel sends over /dev/fuse: numbers, structures, and how names and changes are read.

The reference is <linux/fuse.h>. Everything is in the machine's byte order and without padding but
the one that is written out; a request is a header of 40 bytes, a structure, and perhaps names or
data. Nothing here does I/O; `replies` has the other direction.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from vaultsync.mount.ports import NOW, Changes

if TYPE_CHECKING:
    from collections.abc import Iterator

# Operations

LOOKUP: Final = 1
FORGET: Final = 2
GETATTR: Final = 3
SETATTR: Final = 4
READLINK: Final = 5
SYMLINK: Final = 6
MKNOD: Final = 8
MKDIR: Final = 9
UNLINK: Final = 10
RMDIR: Final = 11
RENAME: Final = 12
LINK: Final = 13
OPEN: Final = 14
READ: Final = 15
WRITE: Final = 16
STATFS: Final = 17
RELEASE: Final = 18
FSYNC: Final = 20
SETXATTR: Final = 21
GETXATTR: Final = 22
LISTXATTR: Final = 23
REMOVEXATTR: Final = 24
FLUSH: Final = 25
INIT: Final = 26
OPENDIR: Final = 27
READDIR: Final = 28
RELEASEDIR: Final = 29
FSYNCDIR: Final = 30
CREATE: Final = 35
INTERRUPT: Final = 36
DESTROY: Final = 38
IOCTL: Final = 39
BATCH_FORGET: Final = 42
FALLOCATE: Final = 43
READDIRPLUS: Final = 44
RENAME2: Final = 45
LSEEK: Final = 46
COPY_FILE_RANGE: Final = 47
STATX: Final = 52

RESEND: Final = 1 << 63
"""Set in the number of a request that comes again; an answer to it carries the bit too."""

# Sizes

HEADER_SIZE: Final = 40
WRITE_DATA: Final = 80
"""Where the data of a WRITE begins."""
MAX_WRITE: Final = 1 << 20
"""Bytes that one WRITE carries at most."""
BUFFER_SIZE: Final = MAX_WRITE + 4096
"""Bytes to read at a time: the kernel refuses a smaller buffer than its longest request."""
LONGEST_NAME: Final = 255
LONGEST_COPY: Final = 1 << 30
"""Bytes that one COPY_FILE_RANGE is asked to copy; the answer has 32 bits for them."""

# Structures. The first field of each is at the offset in the message that is given to unpack_from.

HEADER = Struct("=IIQQ")
"""Length, operation, number, node. Then CALLER at 24, and 4 bytes."""
CALLER = Struct("=III")
"""User, group, process."""
INIT_IN = Struct("=IIII")
"""Major, minor, read-ahead, flags; from 7.36 on flags2 and 44 bytes."""
FLAGS2 = Struct("=I")
FORGET_IN = Struct("=Q")
FORGET_ONE = Struct("=QQ")
BATCH_FORGET_IN = Struct("=II")
SETATTR_IN = Struct("=IIQQQqqqIIIIIIII")
"""Valid, -, handle, size, owner of a lock, atime, mtime, ctime, their nanoseconds, mode, -, uid,
gid, -."""
MKNOD_IN = Struct("=IIII")
"""Mode, rdev, umask, -."""
MKDIR_IN = Struct("=II")
"""Mode, umask."""
RENAME_IN = Struct("=Q")
"""New parent."""
RENAME2_IN = Struct("=QII")
"""New parent, flags, -."""
LINK_IN = Struct("=Q")
"""The node."""
OPEN_IN = Struct("=II")
"""Flags, flags of FUSE."""
CREATE_IN = Struct("=IIII")
"""Flags, mode, umask, flags of FUSE."""
READ_IN = Struct("=QQI")
"""Handle, offset, size; then 20 bytes."""
WRITE_IN = Struct("=QQII")
"""Handle, offset, size; then 20 bytes, and the data."""
HANDLE_IN = Struct("=Q")
"""RELEASE, RELEASEDIR and FLUSH begin with it."""
FSYNC_IN = Struct("=QI")
"""Handle, flags."""
SETXATTR_IN = Struct("=II")
"""Size of the value, flags."""
GETXATTR_IN = Struct("=II")
"""Room for the answer (0: only its size is asked for), -."""
INTERRUPT_IN = Struct("=Q")
"""The number of the request that is not waited for any more."""
FALLOCATE_IN = Struct("=QQQI")
"""Handle, offset, length, mode."""
LSEEK_IN = Struct("=QQI")
"""Handle, offset, whence."""
COPY_IN = Struct("=QQQQQQQ")
"""Handle, offset, target's node, its handle, its offset, length, flags."""

FSYNC_DATA_ONLY: Final = 1
OPEN_KILL_SUIDGID: Final = 1
WRITE_KILL_SUIDGID: Final = 1 << 2

# What INIT agrees on

ASYNC_READ: Final = 1 << 0
ATOMIC_O_TRUNC: Final = 1 << 3
BIG_WRITES: Final = 1 << 5
DO_READDIRPLUS: Final = 1 << 13
READDIRPLUS_AUTO: Final = 1 << 14
PARALLEL_DIROPS: Final = 1 << 18
HANDLE_KILLPRIV: Final = 1 << 19
ABORT_ERROR: Final = 1 << 21
MAX_PAGES: Final = 1 << 22
CACHE_SYMLINKS: Final = 1 << 23
HANDLE_KILLPRIV_V2: Final = 1 << 28
INIT_EXT: Final = 1 << 30
HAS_RESEND: Final = 1 << 39

_NEEDED = ATOMIC_O_TRUNC | BIG_WRITES | DO_READDIRPLUS | MAX_PAGES
_WANTED = (
    _NEEDED
    | ASYNC_READ
    | READDIRPLUS_AUTO
    | PARALLEL_DIROPS
    # The file system clears setuid and setgid itself. Besides, without this each write is preceded
    # by a question for security.capability.
    | HANDLE_KILLPRIV
    | HANDLE_KILLPRIV_V2
    | ABORT_ERROR
    | CACHE_SYMLINKS
    | INIT_EXT
    | HAS_RESEND
)

MAJOR: Final = 7
MINOR: Final = 40
"""The newest minor version whose structures are known here."""
OLDEST_MINOR: Final = 28
"""Linux 4.20: the first with max_pages and copy_file_range."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What INIT agreed on; it holds as long as the connection does, whoever serves it.

    Attributes:
        minor: Minor version of the protocol.
        flags: Those that both know, 64 bits.
        max_write: Bytes that one WRITE carries at most.
        readahead: Bytes that the kernel reads ahead at most.
    """

    minor: int
    flags: int
    max_write: int
    readahead: int

    @property
    def resend(self) -> bool:
        """Whether the kernel sends requests in flight again when asked to (Linux 6.9)."""
        return bool(self.flags & HAS_RESEND)


class TooOld(Exception):  # noqa: N818 - a verdict on the kernel
    """The kernel's protocol lacks what is needed; the text says what it speaks."""


def agree(message: memoryview) -> Agreed:
    """Read an INIT, and decide.

    Args:
        message: All of it, with the header.

    Raises TooOld.
    """
    major, minor, readahead, flags = INIT_IN.unpack_from(message, HEADER_SIZE)
    if major != MAJOR or minor < OLDEST_MINOR or flags & _NEEDED != _NEEDED:
        raise TooOld(f"version {major}.{minor}, flags {flags:#x}")
    if flags & INIT_EXT:
        flags |= FLAGS2.unpack_from(message, HEADER_SIZE + INIT_IN.size)[0] << 32
    # It takes the smaller one of this and what the administrator has set by the time of the answer.
    return Agreed(min(minor, MINOR), flags & _WANTED, MAX_WRITE, max(readahead, MAX_WRITE))


def name_at(message: memoryview, start: int, size: int) -> bytes:
    """The name that is the rest of a message: with its NUL from `start` up to `size`.

    Raises OSError: EINVAL for what can be no name, ENAMETOOLONG.
    """
    name = message[start : size - 1].tobytes()
    if not name or message[size - 1] or b"/" in name or b"\0" in name or name in _DOTS:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    if len(name) > LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return name


_DOTS = (b".", b"..")


def names_at(message: memoryview, start: int, size: int) -> tuple[bytes, bytes]:
    """The two names that are the rest of a message. Raises as `name_at`."""
    middle = _end(message, start, size)
    return name_at(message, start, middle), name_at(message, middle, size)


def name_and_rest(message: memoryview, start: int, size: int) -> tuple[bytes, bytes]:
    """A name and the bytes after its NUL, for names of any kind: attributes, links' targets."""
    middle = _end(message, start, size)
    return message[start : middle - 1].tobytes(), message[middle:size].tobytes()


def _end(message: memoryview, start: int, size: int) -> int:
    """Where what follows the first NUL begins."""
    found = message[start:size].tobytes().find(b"\0")
    if found <= 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return start + found + 1


def forgotten(message: memoryview) -> Iterator[tuple[int, int]]:
    """Yield (node, references dropped) from a BATCH_FORGET."""
    count, _ = BATCH_FORGET_IN.unpack_from(message, HEADER_SIZE)
    start = HEADER_SIZE + BATCH_FORGET_IN.size
    return FORGET_ONE.iter_unpack(message[start : start + count * FORGET_ONE.size])


_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME = (1 << bit for bit in range(6))
_ATIME_NOW = 1 << 7
_MTIME_NOW = 1 << 8
_CTIME = 1 << 10
_SECOND = 1_000_000_000
_EARLIEST = -(1 << 63)
_LATEST = (1 << 63) - 1


def changes(message: memoryview) -> Changes:
    """What a SETATTR asks for."""
    (
        valid,
        _,
        _,
        size,
        _,
        atime,
        mtime,
        ctime,
        atime_ns,
        mtime_ns,
        ctime_ns,
        mode,
        _,
        uid,
        gid,
        _,
    ) = SETATTR_IN.unpack_from(message, HEADER_SIZE)
    accessed = modified = None
    if valid & _ATIME_NOW:
        accessed = NOW
    elif valid & _ATIME:
        accessed = _moment(atime, atime_ns)
    if valid & _MTIME_NOW:
        modified = NOW
    elif valid & _MTIME:
        modified = _moment(mtime, mtime_ns)
    return Changes(
        mode=mode & 0o7777 if valid & _MODE else None,
        uid=uid if valid & _UID else None,
        gid=gid if valid & _GID else None,
        size=size if valid & _SIZE else None,
        atime=accessed,
        mtime=modified,
        ctime=_moment(ctime, ctime_ns) if valid & _CTIME else None,
    )


def _moment(seconds: int, nanoseconds: int) -> int:
    """Nanoseconds since the epoch: the nearest that 64 bits hold, from 1677 to 2262."""
    return max(_EARLIEST, min(seconds * _SECOND + nanoseconds, _LATEST))
