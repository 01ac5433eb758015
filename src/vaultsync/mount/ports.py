"""What the parts of the drive are to one another, as Protocols; the comments here are the law.

`FileSystem` is what a wire (`kernel`, `compat`) asks, in inode numbers and bytes, and knows nothing
of any wire; `tree` implements it. `Contents` keeps the bytes of files; `cache` implements it.
`Source` reads ranges of versions in the vault; the daemon makes one of the bucket.

Errors are OSError with the errno that the system call is to fail with. All methods may be called
from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = 1
"""The root's inode number."""


class WouldBlock(Exception):  # noqa: N818 - not a fault
    """What was asked for needs the network or the disk; ask again on another thread with `wait`.

    Nothing was changed.
    """


class NodeKind(StrEnum):
    """What an inode is."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "char"
    BLOCK = "block"


@dataclass(slots=True, weakref_slot=True)
class Node:
    """An inode, as the table `node` of the state database has it (see there for each column).

    Mutable: there is one of them for an inode at a time, changed under the drive's lock only.

    Attributes:
        holes: No column: bytes of the size for which the cache file takes no disk; less than 0
            when it takes more than that. It counts while all is here.
    """

    id: int
    kind: NodeKind
    mode: int
    uid: int
    gid: int
    nlink: int
    atime: int
    mtime: int
    ctime: int
    born: int
    size: int = 0
    rdev: int = 0
    target: bytes | None = None
    change: int = 0
    dirty: bool = False
    sha256: str | None = None
    here: int = 2
    pinned: bool = False
    used: int = 0
    o_path: str | None = None
    o_etag: str | None = None
    o_version: str | None = None
    holes: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        uid: User.
        gid: Group.
        pid: Process; 0 when it is not known.
        request: The wire's number of the request, by which an answer is remembered; 0: none.
        umask: To be taken from the mode of what is made; 0 when the kernel has done it.
    """

    uid: int
    gid: int
    pid: int = 0
    request: int = 0
    umask: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What `setattr` is to change; None: nothing.

    Attributes:
        mode: Permission bits, 0 to 0o7777.
        uid: User.
        gid: Group.
        size: Bytes: cut there, or filled up with zeros.
        atime: Nanoseconds since the epoch, in 64 bits with a sign; NOW for the time of the call.
        mtime: The same.
        ctime: The same; set by kernels that keep times themselves.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None
    ctime: int | None = None


NOW = 1 << 63
"""Stands for the time of the call; no time that can be kept."""


@dataclass(frozen=True, slots=True)
class Space:
    """What statfs tells.

    Attributes:
        block: Bytes of a block.
        blocks: All of them.
        free: Free ones.
        available: Free ones for people who are not root.
        files: Inodes.
        files_free: Free ones.
    """

    block: int
    blocks: int
    free: int
    available: int
    files: int
    files_free: int


Use = Callable[[int, int, int], bool]
"""Takes bytes out of a file: descriptor, offset, how many. Returns whether all of them were there.

The descriptor may be read at that place, and is valid during the call only.
"""


class FileSystem(Protocol):
    """A POSIX file system in inode operations.

    Access by permission bits is the wire's to have checked (the kernel does, with
    default_permissions); what is checked here is what a kernel cannot: the sticky bit is its, the
    clearing of setuid and setgid by a write or chown is ours.

    Every operation that changes something is one transaction: it has happened wholly when it
    returns, and survives the death of the process then. Where `caller.request` is not 0, create,
    mknod, mkdir, symlink, link, rename, unlink, rmdir, setxattr and removexattr note in the same
    transaction that this request was done; `remembered` tells later.

    Names are bytes as the kernel gives them: not empty, without `/` and NUL; over 255 of them are
    ENAMETOOLONG. `.` and `..` never arrive, except that `readdir` yields them.

    Operations with `wait` raise WouldBlock when it is False and they would have to wait.
    """

    # Looking

    def lookup(self, parent: int, name: bytes) -> Node:
        """The node of that name, with one more reference held by the kernel. ENOENT, ENOTDIR."""
        ...

    def forget(self, node: int, count: int) -> None:
        """The kernel has dropped so many references; nodes without names and references go."""
        ...

    def getattr(self, node: int) -> Node:
        """The node. ENOENT when there is none, ESTALE is never needed: ids are not used again."""
        ...

    def readlink(self, node: int) -> bytes:
        """A link's target. EINVAL for what is no link."""
        ...

    def readdir(
        self, node: int, handle: int, offset: int, *, plus: bool
    ) -> Iterator[tuple[bytes, Node, int]]:
        """Yield (name, node, offset to go on after it) from an offset on, starting with `.`, `..`.

        What is there during the whole of a reading is told exactly once, whatever is made, removed
        or renamed meanwhile. With `plus`, each node but those of `.` and `..` has one more
        reference, as by lookup: the wire must `forget` those that it takes but does not send.
        """
        ...

    def statfs(self) -> Space:
        """The file system's room: of the disk that the cache is on."""
        ...

    # Making and removing

    def mkdir(self, caller: Caller, parent: int, name: bytes, mode: int) -> Node:
        """Make a directory; the node has one reference. EEXIST, ENOENT, ENOTDIR, ENAMETOOLONG.

        In a directory with the setgid bit what is made takes its group, a directory also the bit.
        """
        ...

    def mknod(self, caller: Caller, parent: int, name: bytes, mode: int, rdev: int) -> Node:
        """Make a file, FIFO, socket or device, by the type bits of `mode`; otherwise as mkdir."""
        ...

    def create(
        self, caller: Caller, parent: int, name: bytes, mode: int, flags: int
    ) -> tuple[Node, int]:
        """Make and open a file; returns its node with one reference, and a handle.

        One that is there is opened, unless `flags` have O_EXCL (EEXIST); O_TRUNC is heeded.
        """
        ...

    def symlink(self, caller: Caller, parent: int, name: bytes, target: bytes) -> Node:
        """Make a symbolic link, as mkdir does. A target over 4,095 bytes is ENAMETOOLONG."""
        ...

    def link(self, caller: Caller, node: int, parent: int, name: bytes) -> Node:
        """Give a node that is no directory one more name and one more reference. EEXIST, EPERM."""
        ...

    def unlink(self, caller: Caller, parent: int, name: bytes) -> None:
        """Remove a name. EISDIR for a directory's. The content lives until nobody has it open."""
        ...

    def rmdir(self, caller: Caller, parent: int, name: bytes) -> None:
        """Remove an empty directory. ENOTEMPTY, ENOTDIR."""
        ...

    def rename(
        self,
        caller: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
    ) -> None:
        """Rename as renameat2(2), with RENAME_NOREPLACE and RENAME_EXCHANGE; others are EINVAL.

        A directory into itself or below is EINVAL, over one that is not empty ENOTEMPTY, over what
        is none ENOTDIR, another thing over a directory EISDIR. Two names of one node: nothing is
        done, successfully.
        """
        ...

    # Files

    def open(self, node: int, flags: int, *, wait: bool, kill: bool = True) -> tuple[int, bool]:
        """Open a file; returns a handle and whether the kernel may keep its cached pages.

        With O_TRUNC it is emptied; `kill` as in `write`. Pages may be kept exactly when
        the content has not changed, but through the kernel, since it was last open. EISDIR for a
        directory.
        """
        ...

    def opendir(self, node: int) -> int:
        """Open a directory. ENOTDIR."""
        ...

    def read(
        self, node: int, handle: int, offset: int, size: int, *, wait: bool, pid: int = 0
    ) -> bytes:
        """Exactly the bytes asked for, cut at the end of the file.

        `pid` is who asks, as in `Caller`: what a handle is read for decides whether more than that
        may be fetched. EIO when they are not here and cannot be had: never zeros instead.
        """
        ...

    def lend(self, node: int, handle: int, offset: int, size: int, use: Use) -> bool:
        """Have `use` take the same bytes as `read` gives out of the file that holds them.

        Returns whether they are right: False when nothing was lent, when `use` says so, or when
        the content was taken away meanwhile. Then they have to be read. Never waits for the
        network; `use` is called once at most.
        """
        ...

    def write(
        self,
        node: int,
        handle: int,
        offset: int,
        data: memoryview,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        """Write all of it; returns how many bytes. ENOSPC, EFBIG, EIO.

        With `kill` setuid, setgid and file capabilities go if they are set: it is for who may not
        keep them (without CAP_FSETID), which kernels tell with FUSE_WRITE_KILL_SUIDGID.
        """
        ...

    def flush(self, node: int, handle: int) -> None:
        """A descriptor is being closed (there may be others of the handle)."""
        ...

    def release(self, node: int, handle: int) -> None:
        """Nobody has the handle any more. Unknown ones, of an earlier process of ours, are fine."""
        ...

    def releasedir(self, node: int, handle: int) -> None:
        """The same for a directory's handle."""
        ...

    def fsync(self, node: int, handle: int, *, data_only: bool) -> None:
        """Return once content and metadata would survive a power cut, or more than that.

        What is waited for beyond is for the owner of the drive to say. EIO when it cannot be had.
        """
        ...

    def setattr(self, caller: Caller, node: int, changes: Changes, *, wait: bool) -> Node:
        """Change attributes; returns the node as it is then. EISDIR, EINVAL for a size."""
        ...

    def fallocate(
        self,
        node: int,
        handle: int,
        mode: int,
        offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> None:
        """Mode 0, KEEP_SIZE, PUNCH_HOLE with KEEP_SIZE and ZERO_RANGE; others are EOPNOTSUPP.

        `kill` as in `write`.
        """
        ...

    def lseek(self, node: int, handle: int, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE; what is not here is data. ENXIO at and after the end."""
        ...

    def copy_file_range(
        self,
        source: int,
        offset: int,
        target: int,
        target_offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        """Copy within the drive; returns how many bytes, fewer at the source's end.

        `kill` as in `write`.
        """
        ...

    # Extended attributes

    def getxattr(self, node: int, name: bytes) -> bytes:
        """The value. ENODATA when there is none; EOPNOTSUPP outside `user.` for what is no own."""
        ...

    def setxattr(self, caller: Caller, node: int, name: bytes, value: bytes, flags: int) -> None:
        """Set it; XATTR_CREATE is EEXIST, XATTR_REPLACE is ENODATA. ENOSPC over 64 KiB."""
        ...

    def listxattr(self, node: int) -> Sequence[bytes]:
        """The names, without those of `user.vaultsync.`, so that copies do not carry them."""
        ...

    def removexattr(self, caller: Caller, node: int, name: bytes) -> None:
        """Remove it. ENODATA."""
        ...

    # Requests that come again

    def remembered(self, request: int) -> int | None:
        """The node that a request made or was about (0: none); None: it was never done."""
        ...


class Contents(Protocol):
    """The bytes of files: in one sparse file of the cache folder each, named by the node's id.

    It trusts `node.size`, `node.change` and the node's origin, and changes `node.here`,
    `node.used` and the extents itself, each in one transaction with what it describes.

    `read` and `hydrate` may wait for the network, `sync` for the disk: the caller must not hold the
    drive's lock (`state.drive.DriveStore.lock`). All others never wait, and are called with it.
    Bytes that arrive for content that was truncated, dropped or replaced meanwhile are thrown away.

    Attributes:
        peek: Gives the `Node` of an inode, if there is one in memory; called with the lock. The
            file system sets it.
        exact: Whether the machine has run since `recovered` was last called: rows have forgotten
            nothing then but what `measure` tells of. A power cut may take more.
    """

    peek: Callable[[int], Node | None]
    exact: bool

    def usable(self, node: Node, offset: int, size: int) -> bool:
        """Whether those bytes are here, so that `read` would not have to wait."""
        ...

    def read(self, node: Node, offset: int, size: int, *, ahead: bool = True) -> bytes:
        """The bytes, cut at the node's size, fetched when they are not here.

        One request fetches a range at a time, whoever asks (single flight); with `ahead`, readers
        that go on where they were get growing ranges in advance. EIO when they cannot be had.
        """
        ...

    def lend(self, node: Node, offset: int, size: int, use: Use) -> bool:
        """As `FileSystem.lend`, of content that is all here; not with the drive's lock."""
        ...

    def hydrate(self, node: Node) -> None:
        """Fetch all that is not here, and check the digest of the whole when it is known. EIO."""
        ...

    def write(self, node: Node, offset: int, data: memoryview) -> int:
        """Write into content that is all here (or new). The caller keeps size and `change`.

        Before `node.here` is believed for this and the next two, `opened`, `usable` or `hydrate`
        has been called since the start: they see whether the file of clean content is still what
        the rows say, and it may be that `here` is less then.
        """
        ...

    def truncate(self, node: Node, size: int) -> None:
        """Make the cache file that long; content that is all here, or becomes so by size 0.

        Called before the node's size changes, or after it became less.
        """
        ...

    def allocate(self, node: Node, mode: int, offset: int, length: int) -> None:
        """fallocate(2) on the cache file of content that is all here."""
        ...

    def seek(self, node: Node, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE on the cache file of content that is all here."""
        ...

    def taken(self, node: Node) -> int | None:
        """Bytes of the disk that the cache file takes; None when there is none."""
        ...

    def sync(self, node: Node) -> None:
        """fdatasync(2) of the cache file, if there is one."""
        ...

    def descriptor(self, node: Node) -> int:
        """A new descriptor for reading the cache file of content that is all here; close it."""
        ...

    def opened(self, node: Node) -> None:
        """Somebody has it open now: it must not be evicted. Calls are counted."""
        ...

    def closed(self, node: Node) -> None:
        """The end of one `opened`."""
        ...

    def settled(self, node: Node) -> None:
        """The row knows of all that was written to this dirty content so far."""
        ...

    def measure(self, node: int) -> tuple[int, int | None] | None:
        """Size of the cache file, and when it was written to since `settled`, if it was.

        The time is in nanoseconds. Asked at the start for dirty content, by its node's number, for
        its last writes may not be in the row. None when there is no file.
        """
        ...

    def recovered(self) -> None:
        """All dirty content was looked at: rows and files agree."""
        ...

    def fill(self, node: Node, data: bytes) -> None:
        """All bytes of a clean file of which nothing is here, as they came with what is told of it.

        They are kept if there is room for them; else, or when something is here, nothing is done.
        """
        ...

    def copy(self, source: Node, node: Node) -> None:
        """A clean file of which nothing is here holds what another one holds: begin to copy that.

        Only what is all here, clean, and stays so meanwhile is copied, and only if there is room;
        else the bytes are fetched when somebody wants them.
        """
        ...

    def replaced(self, node: Node) -> None:
        """A clean node's size and origin name another version now; what is here is of no use.

        Called in the transaction that changes them.
        """
        ...

    def clean(self, node: Node) -> None:
        """The content is what the origin names, and may be evicted from now on.

        Called in the transaction that sets the origin and `dirty` to 0.
        """
        ...

    def drop(self, node: Node) -> None:
        """The node is gone: its bytes go, once the transaction under way has been committed."""
        ...

    def space(self) -> Space:
        """The room of the disk that the cache is on."""
        ...


class Source(Protocol):
    """Reads versions in the vault. Called from several threads."""

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        """Yield exactly those bytes of exactly that version, in pieces.

        Raises Stale when that version is not there any more, and Retry, SignIn, Blocked and Fatal
        as a `core.ports.Side` does.
        """
        ...


class Invalidate(Protocol):
    """Tells the kernel what it must not believe any more. Never called with the drive's lock."""

    def inode(self, node: int, *, content: bool) -> None:
        """The attributes have changed by our doing, and with `content` the bytes too."""
        ...

    def entry(self, parent: int, name: bytes) -> None:
        """What that name means has changed by our doing."""
        ...


Dirty = Callable[[str, bool], None]
"""As `core.ports.Watcher.start` has it: a path, and whether somebody still writes to it."""
