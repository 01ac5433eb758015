"""Each operation of the wire: its message is read, the `FileSystem` asked, the answer written down.

A handler gets the message, its size, the request's number, the node that it is about, and whether
it may wait; it returns the answer, or None where the protocol has none, or where it was given
already. It raises OSError for what fails, and WouldBlock (only when it may not wait) with nothing
done.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from vaultsync.mount.kernel import replies, wire
from vaultsync.mount.kernel.replies import KEEP_CACHE, NO_FLUSH, Reply
from vaultsync.mount.ports import Caller, Node, WouldBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vaultsync.mount.kernel.pipe import Pipe
    from vaultsync.mount.ports import FileSystem

Handler = Callable[[memoryview, int, int, int, bool], Reply | None]
Again = Callable[[memoryview, int, int, int, int], Reply]

_BODY: Final = wire.HEADER_SIZE
_NUMBER: Final = wire.RESEND - 1
"""Of a request's number: all but the bit that says that it comes again."""
_NEVER: Final = (b"security.", b"system.")
"""Attributes that there are none of. The kernel asks for such ones before writes, and `ls -l` for
two of each file, until it is told that they are not supported."""
_ROOTS: Final = b"trusted."
"""Attributes that only root is told of."""
_MAKING: Final = os.O_CREAT | os.O_EXCL | os.O_TRUNC


class Operations:
    """The handlers.

    Args:
        files: Who is asked.
        live: How long the kernel may believe what it is told.

    Attributes:
        table: Handlers by operation.
        again: Handlers for requests that come again and were done before, with the node that
            `FileSystem.remembered` gave in place of whether to wait; for the operations that must
            not be done twice.
        pipe: For long reads, if any; used by who may not wait.
    """

    def __init__(self, files: FileSystem, live: replies.Timeouts) -> None:
        self.pipe: Pipe | None = None
        self._files = files
        self._live = live
        self.table: dict[int, Handler] = {
            wire.LOOKUP: self._lookup,
            wire.FORGET: self._forget,
            wire.BATCH_FORGET: self._batch_forget,
            wire.GETATTR: self._getattr,
            wire.SETATTR: self._setattr,
            wire.READLINK: self._readlink,
            wire.SYMLINK: self._symlink,
            wire.MKNOD: self._mknod,
            wire.MKDIR: self._mkdir,
            wire.UNLINK: self._unlink,
            wire.RMDIR: self._rmdir,
            wire.RENAME: self._rename,
            wire.RENAME2: self._rename2,
            wire.LINK: self._link,
            wire.CREATE: self._create,
            wire.OPEN: self._open,
            wire.READ: self._read,
            wire.WRITE: self._write,
            wire.FLUSH: self._flush,
            wire.RELEASE: self._release,
            wire.FSYNC: self._fsync,
            wire.OPENDIR: self._opendir,
            wire.READDIR: self._readdir,
            wire.READDIRPLUS: self._readdirplus,
            wire.RELEASEDIR: self._releasedir,
            wire.FSYNCDIR: self._fsync,
            wire.STATFS: self._statfs,
            wire.FALLOCATE: self._fallocate,
            wire.LSEEK: self._lseek,
            wire.COPY_FILE_RANGE: self._copy_file_range,
            wire.GETXATTR: self._getxattr,
            wire.SETXATTR: self._setxattr,
            wire.LISTXATTR: self._listxattr,
            wire.REMOVEXATTR: self._removexattr,
            wire.IOCTL: self._ioctl,
        }
        self.again: dict[int, Again] = {
            wire.SYMLINK: self._symlink_again,
            wire.MKNOD: self._mknod_again,
            wire.MKDIR: self._mkdir_again,
            wire.LINK: self._link_again,
            wire.CREATE: self._create_again,
            wire.UNLINK: self._done_again,
            wire.RMDIR: self._done_again,
            wire.RENAME: self._done_again,
            wire.RENAME2: self._done_again,
            wire.SETXATTR: self._done_again,
            wire.REMOVEXATTR: self._done_again,
        }

    # Looking

    def _lookup(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        name = wire.name_at(m, _BODY, size)
        try:
            found = self._files.lookup(node, name)
        except FileNotFoundError:
            return replies.nothing(unique, self._live)
        return replies.entry(unique, found, self._live)

    def _forget(self, m: memoryview, _size: int, _unique: int, node: int, _wait: bool) -> None:
        self._files.forget(node, wire.FORGET_IN.unpack_from(m, _BODY)[0])

    def _batch_forget(
        self, m: memoryview, _size: int, _unique: int, _node: int, _wait: bool
    ) -> None:
        for node, count in wire.forgotten(m):
            self._files.forget(node, count)

    def _getattr(self, _m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        return replies.attr(unique, self._files.getattr(node), self._live)

    def _readlink(self, _m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        return replies.data(unique, self._files.readlink(node))

    def _opendir(self, _m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        return replies.opened(unique, self._files.opendir(node), 0)

    def _readdir(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        handle, offset, room = wire.READ_IN.unpack_from(m, _BODY)
        entries = self._files.readdir(node, handle, offset, plus=False)
        return replies.data(unique, replies.page(entries, room))

    def _readdirplus(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        handle, offset, room = wire.READ_IN.unpack_from(m, _BODY)
        entries = self._files.readdir(node, handle, offset, plus=True)
        return replies.data(
            unique, replies.page_plus(entries, room, self._live, self._files.forget)
        )

    def _statfs(self, _m: memoryview, _size: int, unique: int, _node: int, _wait: bool) -> Reply:
        space = self._files.statfs()
        return replies.statfs(
            unique,
            block=space.block,
            blocks=space.blocks,
            free=space.free,
            available=space.available,
            files=space.files,
            files_free=space.files_free,
        )

    # Making and removing

    def _mkdir(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        mode, _ = wire.MKDIR_IN.unpack_from(m, _BODY)
        name = wire.name_at(m, _BODY + wire.MKDIR_IN.size, size)
        made = self._files.mkdir(_caller(m, unique), node, name, mode & 0o7777)
        return replies.entry(unique, made, self._live)

    def _mkdir_again(self, m: memoryview, size: int, unique: int, node: int, made: int) -> Reply:
        name = wire.name_at(m, _BODY + wire.MKDIR_IN.size, size)
        return replies.entry(unique, self._refer(node, name, made), self._live)

    def _mknod(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        mode, rdev, _, _ = wire.MKNOD_IN.unpack_from(m, _BODY)
        name = wire.name_at(m, _BODY + wire.MKNOD_IN.size, size)
        made = self._files.mknod(_caller(m, unique), node, name, mode, rdev)
        return replies.entry(unique, made, self._live)

    def _mknod_again(self, m: memoryview, size: int, unique: int, node: int, made: int) -> Reply:
        name = wire.name_at(m, _BODY + wire.MKNOD_IN.size, size)
        return replies.entry(unique, self._refer(node, name, made), self._live)

    def _symlink(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        name, target = self._link_and_target(m, size)
        made = self._files.symlink(_caller(m, unique), node, name, target)
        return replies.entry(unique, made, self._live)

    def _symlink_again(self, m: memoryview, size: int, unique: int, node: int, made: int) -> Reply:
        name, _ = self._link_and_target(m, size)
        return replies.entry(unique, self._refer(node, name, made), self._live)

    def _link_and_target(self, m: memoryview, size: int) -> tuple[bytes, bytes]:
        name, target = wire.name_and_rest(m, _BODY, size)
        return wire.name_at(m, _BODY, _BODY + len(name) + 1), target[:-1]

    def _link(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        (old,) = wire.LINK_IN.unpack_from(m, _BODY)
        name = wire.name_at(m, _BODY + wire.LINK_IN.size, size)
        linked = self._files.link(_caller(m, unique), old, node, name)
        return replies.entry(unique, linked, self._live)

    def _link_again(self, m: memoryview, size: int, unique: int, node: int, made: int) -> Reply:
        name = wire.name_at(m, _BODY + wire.LINK_IN.size, size)
        return replies.entry(unique, self._refer(node, name, made), self._live)

    def _create(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        flags, mode, _, _ = wire.CREATE_IN.unpack_from(m, _BODY)
        name = wire.name_at(m, _BODY + wire.CREATE_IN.size, size)
        made, handle = self._files.create(_caller(m, unique), node, name, mode & 0o7777, flags)
        return replies.created(unique, made, handle, self._live)

    def _create_again(self, m: memoryview, size: int, unique: int, node: int, made: int) -> Reply:
        flags, _, _, _ = wire.CREATE_IN.unpack_from(m, _BODY)
        name = wire.name_at(m, _BODY + wire.CREATE_IN.size, size)
        handle, _ = self._files.open(made, flags & ~_MAKING, wait=True)
        return replies.created(unique, self._refer(node, name, made), handle, self._live)

    def _unlink(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        self._files.unlink(_caller(m, unique), node, wire.name_at(m, _BODY, size))
        return replies.done(unique)

    def _rmdir(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        self._files.rmdir(_caller(m, unique), node, wire.name_at(m, _BODY, size))
        return replies.done(unique)

    def _rename(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        (parent,) = wire.RENAME_IN.unpack_from(m, _BODY)
        old, new = wire.names_at(m, _BODY + wire.RENAME_IN.size, size)
        self._files.rename(_caller(m, unique), node, old, parent, new, 0)
        return replies.done(unique)

    def _rename2(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        parent, flags, _ = wire.RENAME2_IN.unpack_from(m, _BODY)
        old, new = wire.names_at(m, _BODY + wire.RENAME2_IN.size, size)
        self._files.rename(_caller(m, unique), node, old, parent, new, flags)
        return replies.done(unique)

    def _done_again(
        self, _m: memoryview, _size: int, unique: int, _node: int, _about: int
    ) -> Reply:
        return replies.done(unique)

    def _refer(self, parent: int, name: bytes, made: int) -> Node:
        """The node that was made under a name, with one more reference.

        Where the name leads elsewhere by now none is taken: the file system of a new process counts
        from 0 and is told to forget more than that anyway.
        """
        try:
            found = self._files.lookup(parent, name)
        except OSError:
            return self._files.getattr(made)
        if found.id == made:
            return found
        self._files.forget(found.id, 1)
        return self._files.getattr(made)

    # Files

    def _open(self, m: memoryview, _size: int, unique: int, node: int, wait: bool) -> Reply:
        flags, more = wire.OPEN_IN.unpack_from(m, _BODY)
        kill = bool(more & wire.OPEN_KILL_SUIDGID)
        handle, keep = self._files.open(node, flags, wait=wait, kill=kill)
        # Whoever only reads has nothing to be told of when he closes; it saves a request.
        answer = 0 if flags & os.O_ACCMODE else NO_FLUSH
        return replies.opened(unique, handle, answer | KEEP_CACHE if keep else answer)

    def _read(self, m: memoryview, _size: int, unique: int, node: int, wait: bool) -> Reply | None:
        handle, offset, size = wire.READ_IN.unpack_from(m, _BODY)
        _, _, pid = wire.CALLER.unpack_from(m, 24)
        if not wait and self.pipe is not None and self.pipe.fits(offset, size):
            lend = partial(self._files.lend, node, handle, offset, size)
            if self.pipe.answer(unique, lend):
                return None
        content = self._files.read(node, handle, offset, size, wait=wait, pid=pid)
        return replies.data(unique, content)

    def _write(self, m: memoryview, size: int, unique: int, node: int, wait: bool) -> Reply:
        handle, offset, length, flags = wire.WRITE_IN.unpack_from(m, _BODY)
        end = wire.WRITE_DATA + length
        if end > size:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        content = m[wire.WRITE_DATA : end]
        kill = bool(flags & wire.WRITE_KILL_SUIDGID)
        done = self._files.write(node, handle, offset, content, wait=wait, kill=kill)
        return replies.size(unique, done)

    def _flush(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        self._files.flush(node, wire.HANDLE_IN.unpack_from(m, _BODY)[0])
        return replies.done(unique)

    def _release(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        self._files.release(node, wire.HANDLE_IN.unpack_from(m, _BODY)[0])
        return replies.done(unique)

    def _releasedir(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        self._files.releasedir(node, wire.HANDLE_IN.unpack_from(m, _BODY)[0])
        return replies.done(unique)

    def _fsync(self, m: memoryview, _size: int, unique: int, node: int, wait: bool) -> Reply:
        if not wait:
            raise WouldBlock
        handle, flags = wire.FSYNC_IN.unpack_from(m, _BODY)
        self._files.fsync(node, handle, data_only=bool(flags & wire.FSYNC_DATA_ONLY))
        return replies.done(unique)

    def _setattr(self, m: memoryview, _size: int, unique: int, node: int, wait: bool) -> Reply:
        changed = self._files.setattr(_caller(m, unique), node, wire.changes(m), wait=wait)
        return replies.attr(unique, changed, self._live)

    def _fallocate(self, m: memoryview, _size: int, unique: int, node: int, wait: bool) -> Reply:
        handle, offset, length, mode = wire.FALLOCATE_IN.unpack_from(m, _BODY)
        kill = _user(m) != 0  # the kernel says so of opening and writing alone
        self._files.fallocate(node, handle, mode, offset, length, wait=wait, kill=kill)
        return replies.done(unique)

    def _lseek(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        handle, offset, whence = wire.LSEEK_IN.unpack_from(m, _BODY)
        return replies.offset(unique, self._files.lseek(node, handle, offset, whence))

    def _copy_file_range(
        self, m: memoryview, _size: int, unique: int, node: int, wait: bool
    ) -> Reply:
        _, offset, target, _, target_offset, length, flags = wire.COPY_IN.unpack_from(m, _BODY)
        if flags:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        length = min(length, wire.LONGEST_COPY)
        copied = self._files.copy_file_range(
            node, offset, target, target_offset, length, wait=wait, kill=_user(m) != 0
        )
        return replies.size(unique, copied)

    # Extended attributes

    def _getxattr(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        room, _ = wire.GETXATTR_IN.unpack_from(m, _BODY)
        name, _ = wire.name_and_rest(m, _BODY + wire.GETXATTR_IN.size, size)
        if name.startswith(_NEVER):
            return replies.error(unique, errno.EOPNOTSUPP)
        return _value(unique, self._files.getxattr(node, name), room)

    def _listxattr(self, m: memoryview, _size: int, unique: int, node: int, _wait: bool) -> Reply:
        room, _ = wire.GETXATTR_IN.unpack_from(m, _BODY)
        names = self._files.listxattr(node)
        if names and _user(m):
            names = [name for name in names if not name.startswith(_ROOTS)]
        return _value(unique, _terminated(names), room)

    def _setxattr(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        length, flags = wire.SETXATTR_IN.unpack_from(m, _BODY)
        name, value = wire.name_and_rest(m, _BODY + wire.SETXATTR_IN.size, size)
        if len(value) != length:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._files.setxattr(_caller(m, unique), node, name, value, flags)
        return replies.done(unique)

    def _removexattr(self, m: memoryview, size: int, unique: int, node: int, _wait: bool) -> Reply:
        name, _ = wire.name_and_rest(m, _BODY, size)
        self._files.removexattr(_caller(m, unique), node, name)
        return replies.done(unique)

    # What there is not

    def _ioctl(self, _m: memoryview, _size: int, unique: int, _node: int, _wait: bool) -> Reply:
        # Python's open() asks each file whether it is a terminal.
        return replies.error(unique, errno.ENOTTY)


def _user(message: memoryview) -> int:
    user: int = wire.CALLER.unpack_from(message, 24)[0]
    return user


def _caller(message: memoryview, unique: int) -> Caller:
    uid, gid, pid = wire.CALLER.unpack_from(message, 24)
    return Caller(uid, gid, pid, unique & _NUMBER)


def _terminated(names: Sequence[bytes]) -> bytes:
    return b"".join([name + b"\0" for name in names])


def _value(unique: int, value: bytes, room: int) -> Reply:
    if not room:
        return replies.size(unique, len(value))
    if len(value) > room:
        return replies.error(unique, errno.ERANGE)
    return replies.data(unique, value)
