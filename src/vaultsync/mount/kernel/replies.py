"""What the kernel is told over /dev/fuse: answers and notifications, as the bytes to write.

An answer is a list of buffers for writev, its header of 16 bytes in the first. Times to live are
whole seconds. Nothing here does I/O.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from vaultsync.mount.kernel import wire
from vaultsync.mount.ports import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reply = list[bytes]
"""Buffers that make one message."""

HEADER_SIZE: Final = 16
_ATTR = "QQQqqqIIIIIIIIII"
"""Node, size, blocks, atime, mtime, ctime, their nanoseconds, mode, nlink, uid, gid, rdev, block
size, flags."""
_ENTRY = "QQQQII" + _ATTR
"""Node, generation, seconds to live of name and attributes, their nanoseconds, attributes."""

_HEADER = Struct("=IiQ")
_ENTRY_OUT = Struct("=IiQ" + _ENTRY)
_ATTR_OUT = Struct("=IiQ" + "QII" + _ATTR)
_CREATE_OUT = Struct("=IiQ" + _ENTRY + "QII")
_OPEN_OUT = Struct("=IiQ" + "QII")
_SIZE_OUT = Struct("=IiQ" + "II")
_OFFSET_OUT = Struct("=IiQ" + "Q")
_STATFS_OUT = Struct("=IiQ" + "QQQQQIIII24x")
_INIT_OUT = Struct("=IiQ" + "IIIIHHIIHHI28x")
_DIRENT = Struct("=QQII")
"""Node, offset after it, length of the name, type."""
_DIRENTPLUS = Struct("=" + _ENTRY + "QQII")
_INVAL_INODE = Struct("=IiQ" + "Qqq")
_INVAL_ENTRY = Struct("=IiQ" + "QII")
_DELETE = Struct("=IiQ" + "QQII")

_NOTIFY_INVAL_INODE = 2
_NOTIFY_INVAL_ENTRY = 3
_NOTIFY_DELETE = 6
_NOTIFY_RESEND = 7
_NOTIFY_INC_EPOCH = 8

KEEP_CACHE: Final = 1 << 1
"""In the answer to OPEN: pages that the kernel has of the file are still right."""
NO_FLUSH: Final = 1 << 5
"""In the answer to OPEN: closing a descriptor need not be told."""

_SECOND = 1_000_000_000
_BLOCK = 4096
_MOST_BACKGROUND = 64
_CONGESTED = 48
_MAX_PAGES = wire.MAX_WRITE // 4096

_FORMATS = {
    str(kind): form
    for kind, form in (
        (NodeKind.FILE, stat.S_IFREG),
        (NodeKind.DIR, stat.S_IFDIR),
        (NodeKind.LINK, stat.S_IFLNK),
        (NodeKind.FIFO, stat.S_IFIFO),
        (NodeKind.SOCKET, stat.S_IFSOCK),
        (NodeKind.CHAR, stat.S_IFCHR),
        (NodeKind.BLOCK, stat.S_IFBLK),
    )
}
_FILE = NodeKind.FILE
_DIR = NodeKind.DIR
_PADDING = tuple(bytes(-length & 7) for length in range(8))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Whole seconds for which the kernel believes what it was told.

    Attributes:
        entry: That a name leads to a node.
        attr: A node's attributes.
        negative: That there is nothing of a name.
    """

    entry: int = 60
    attr: int = 60
    negative: int = 2


def _format(node: Node) -> int:
    """The type bits of a mode."""
    kind = node.kind
    # A dictionary's lookup costs as much as all the rest: hashing an enum's member runs Python.
    if kind is _FILE:
        return stat.S_IFREG
    if kind is _DIR:
        return stat.S_IFDIR
    return _FORMATS[str(kind)]


def _attributes(node: Node) -> tuple[int, ...]:
    atime, atime_ns = divmod(node.atime, _SECOND)
    mtime, mtime_ns = divmod(node.mtime, _SECOND)
    ctime, ctime_ns = divmod(node.ctime, _SECOND)
    size = node.size
    return (
        node.id,
        size,
        (size - node.holes + 511) >> 9,
        atime,
        mtime,
        ctime,
        atime_ns,
        mtime_ns,
        ctime_ns,
        node.mode | _format(node),
        node.nlink,
        node.uid,
        node.gid,
        node.rdev,
        _BLOCK,
        0,
    )


# Answers


def error(unique: int, number: int) -> Reply:
    """The system call fails with that errno (positive)."""
    return [_HEADER.pack(HEADER_SIZE, -number, unique)]


def done(unique: int) -> Reply:
    """Success, and nothing to tell."""
    return [_HEADER.pack(HEADER_SIZE, 0, unique)]


def header(unique: int, length: int) -> bytes:
    """What comes before so many bytes that are told by other means than `data`."""
    return _HEADER.pack(HEADER_SIZE + length, 0, unique)


def data(unique: int, content: bytes) -> Reply:
    """Bytes: of a file, a link's target, a directory's page, an attribute's value."""
    return [_HEADER.pack(HEADER_SIZE + len(content), 0, unique), content]


def entry(unique: int, node: Node, live: Timeouts) -> Reply:
    """A name leads to that node."""
    return [
        _ENTRY_OUT.pack(
            _ENTRY_OUT.size, 0, unique, node.id, 0, live.entry, live.attr, 0, 0, *_attributes(node)
        )
    ]


def nothing(unique: int, live: Timeouts) -> Reply:
    """A name leads nowhere, which may be believed for a while."""
    return [_ENTRY_OUT.pack(_ENTRY_OUT.size, 0, unique, 0, 0, live.negative, *_NO_ATTRIBUTES)]


_NO_ATTRIBUTES = (0,) * 19


def attr(unique: int, node: Node, live: Timeouts) -> Reply:
    """A node's attributes."""
    return [_ATTR_OUT.pack(_ATTR_OUT.size, 0, unique, live.attr, 0, 0, *_attributes(node))]


def created(unique: int, node: Node, handle: int, live: Timeouts) -> Reply:
    """A file was made and opened."""
    return [
        _CREATE_OUT.pack(
            _CREATE_OUT.size,
            0,
            unique,
            node.id,
            0,
            live.entry,
            live.attr,
            0,
            0,
            *_attributes(node),
            handle,
            0,
            0,
        )
    ]


def opened(unique: int, handle: int, flags: int) -> Reply:
    """A file or directory was opened; `flags`: KEEP_CACHE, NO_FLUSH."""
    return [_OPEN_OUT.pack(_OPEN_OUT.size, 0, unique, handle, flags, 0)]


def size(unique: int, count: int) -> Reply:
    """So many bytes were written or copied, or an attribute's value or list is so long."""
    return [_SIZE_OUT.pack(_SIZE_OUT.size, 0, unique, count, 0)]


def offset(unique: int, found: int) -> Reply:
    """Where lseek found what it was to find."""
    return [_OFFSET_OUT.pack(_OFFSET_OUT.size, 0, unique, found)]


def statfs(
    unique: int,
    *,
    block: int,
    blocks: int,
    free: int,
    available: int,
    files: int,
    files_free: int,
) -> Reply:
    """The room, in the units of `ports.Space`."""
    return [
        _STATFS_OUT.pack(
            _STATFS_OUT.size,
            0,
            unique,
            blocks,
            free,
            available,
            files,
            files_free,
            block,
            wire.LONGEST_NAME,
            block,
            0,
        )
    ]


def init(unique: int, agreed: wire.Agreed) -> Reply:
    """What both speak from now on."""
    return [
        _INIT_OUT.pack(
            _INIT_OUT.size,
            0,
            unique,
            wire.MAJOR,
            agreed.minor,
            agreed.readahead,
            agreed.flags & 0xFFFF_FFFF,
            _MOST_BACKGROUND,
            _CONGESTED,
            agreed.max_write,
            1,
            _MAX_PAGES,
            0,
            agreed.flags >> 32,
        )
    ]


def page(entries: Iterator[tuple[bytes, Node, int]], room: int) -> bytes:
    """As many names as there is room for, for READDIR.

    An error after the first name ends the page: it comes again with the next one.
    """
    parts: list[bytes] = []
    try:
        for name, node, after in entries:
            length = len(name)
            room -= 24 + length + (-length & 7)
            if room < 0:
                break
            parts.append(_DIRENT.pack(node.id, after, length, _format(node) >> 12))
            parts.append(name + _PADDING[length & 7])
    except OSError:
        if not parts:
            raise
    return b"".join(parts)


def page_plus(
    entries: Iterator[tuple[bytes, Node, int]],
    room: int,
    live: Timeouts,
    forget: Callable[[int, int], None],
) -> bytes:
    """The same for READDIRPLUS; the reference of a node that found no room is given back."""
    parts: list[bytes] = []
    lives = (live.entry, live.attr, 0, 0)
    try:
        for name, node, after in entries:
            length = len(name)
            room -= 152 + length + (-length & 7)
            own = name in (b".", b"..")
            if room < 0:
                if not own:
                    forget(node.id, 1)
                break
            attributes = _attributes(node)
            parts.append(
                # Of `.` and `..` no reference was taken: node 0 tells the kernel so.
                _DIRENTPLUS.pack(
                    0 if own else node.id,
                    0,
                    *lives,
                    *attributes,
                    node.id,
                    after,
                    length,
                    attributes[9] >> 12,
                )
            )
            parts.append(name + _PADDING[length & 7])
    except OSError:
        if not parts:
            raise
    return b"".join(parts)


# Notifications


def invalidate_inode(node: int, *, content: bool) -> bytes:
    """A node's attributes, and with `content` also its pages, are not to be believed any more."""
    start = 0 if content else -1
    return _INVAL_INODE.pack(_INVAL_INODE.size, _NOTIFY_INVAL_INODE, 0, node, start, 0)


def invalidate_entry(parent: int, name: bytes) -> bytes:
    """What a name leads to is not to be believed any more."""
    length = len(name)
    whole = _INVAL_ENTRY.size + length + 1
    return _INVAL_ENTRY.pack(whole, _NOTIFY_INVAL_ENTRY, 0, parent, length, 0) + name + b"\0"


def deleted(parent: int, child: int, name: bytes) -> bytes:
    """A name that led to `child` is gone; watchers (inotify) are told."""
    length = len(name)
    whole = _DELETE.size + length + 1
    return _DELETE.pack(whole, _NOTIFY_DELETE, 0, parent, child, length, 0) + name + b"\0"


def resend() -> bytes:
    """Send again what was read and not answered (Linux 6.9)."""
    return _HEADER.pack(HEADER_SIZE, _NOTIFY_RESEND, 0)


def new_epoch() -> bytes:
    """Look up every name afresh when it is next used (Linux 6.16)."""
    return _HEADER.pack(HEADER_SIZE, _NOTIFY_INC_EPOCH, 0)
