"""mfusepy, with what it loses: rename flags, handles, times in nanoseconds, errors of ours.

Importing this loads libfuse3; `library` finds out before whether that can be done.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import mfusepy

from vaultsync.mount.kernel import wire
from vaultsync.mount.ports import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.compat.paths import Paths

_log = logging.getLogger(__name__)

_CALLS: Final = (
    "getattr",
    "readlink",
    "mknod",
    "mkdir",
    "unlink",
    "rmdir",
    "symlink",
    "rename",
    "link",
    "chmod",
    "chown",
    "truncate",
    "open",
    "read",
    "write",
    "statfs",
    "flush",
    "release",
    "fsync",
    "setxattr",
    "getxattr",
    "listxattr",
    "removexattr",
    "opendir",
    "readdir",
    "releasedir",
    "fsyncdir",
    "init",
    "create",
    "utimens",
    "fallocate",
    "lseek",
)
"""What libfuse is to call. Of locks, and of copying within the drive, the kernel takes care."""
_ENCODING: Final = "utf-8"
_ERRORS: Final = "surrogateescape"
_LARGEST_ERRNO: Final = 511
_UTIME_NOW: Final = (1 << 30) - 1
_UTIME_OMIT: Final = (1 << 30) - 2
_NOBODY: Final = 0xFFFF_FFFF
_RENAMES: Final = {wire.RENAME: wire.RENAME_IN.size, wire.RENAME2: wire.RENAME2_IN.size}
"""Bytes before the two names."""


class Session(mfusepy.FUSE):  # type: ignore[misc]
    """The calls of libfuse, translated by mfusepy.

    The constructor of FUSE is not used: it runs libfuse's main program, which goes to `/`, sets
    handlers of signals and cannot be ended.

    Args:
        paths: What does them.
        greeted: Called with version, flags, bytes of a write and of read-ahead once the kernel has
            spoken; what it raises is kept as `refusal`.

    Attributes:
        calls: For libfuse; valid as long as this object lives.
        refusal: Why nothing must be served.
    """

    def __init__(self, paths: Paths, greeted: Callable[[int, int, int, int], None]) -> None:
        self.operations = paths
        self.raw_fi = False
        self.use_ns = True
        self.encoding, self.errors = _ENCODING, _ERRORS
        self.refusal: Exception | None = None
        self._greeted = greeted
        self.calls = mfusepy.fuse_operations()
        prototypes = {field[0]: field[1] for field in mfusepy.fuse_operations._fields_}
        for name in _CALLS:
            method = getattr(self, f"{name}_fuse_3", None) or getattr(self, name)
            setattr(self.calls, name, prototypes[name](partial(self._guarded, name, method)))

    @staticmethod
    def _guarded(name: str, method: Callable[..., int | None], *arguments: Any) -> int:
        """The result of a call, or the error with which it fails; nothing may be raised here."""
        try:
            return method(*arguments) or 0
        except OSError as error:
            number = error.errno or errno.EIO
            return -(number if 0 < number <= _LARGEST_ERRNO else errno.EIO)
        except BaseException:  # noqa: BLE001 - ctypes would tell libfuse of success
            _log.exception("The drive's operation %s failed.", name)
            return -errno.EIO

    def begin(self, message: memoryview) -> None:
        """A request is about to be processed; all of it, or at least its head and its names."""
        _, operation, _, _ = wire.HEADER.unpack_from(message)
        body = _RENAMES.get(operation)
        name = None
        if body is not None:
            names = message[wire.HEADER_SIZE + body :].tobytes()
            name = names.split(b"\0")[1]
        self.operations.begin(operation, name)

    def init_fuse_3(self, conn: Any, config: Any) -> None:
        """Set how libfuse is to work, once the kernel has spoken."""
        how = config.contents
        # Inode numbers are the tree's; what is open is known by its handle, wherever it is by now.
        how.use_ino = how.nullpath_ok = 1
        # The kernel cannot be told of changes, so it must not believe anything for a while. Pages
        # are kept while a file is open, and dropped when its size or time of change has changed.
        how.entry_timeout = how.attr_timeout = how.negative_timeout = 0.0
        how.kernel_cache = how.auto_cache = how.direct_io = 0
        told = conn.contents
        try:
            self._greeted(told.proto_minor, told.want, told.max_write, told.max_readahead)
        except Exception as error:  # noqa: BLE001 - it is raised where the session is served
            self.refusal = error

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        """With the flags, which mfusepy drops: an exchange would destroy its target."""
        self.operations.rename(_text(old), _text(new), flags)
        return 0

    def open(self, path: bytes, fip: Any) -> int:
        """Without the page cache if the kernel would mix this file's up with another one's."""
        return self._opened(self.operations.open(_text(path), fip.contents.flags), fip)

    def create(self, path: bytes, mode: int, fip: Any) -> int:
        """The same."""
        made = self.operations.create(_text(path), mode, fip.contents.flags)
        return self._opened(made, fip)

    def _opened(self, handle: int, fip: Any) -> int:
        fip.contents.fh = handle
        fip.contents.direct_io = self.operations.estranged(handle)
        return 0

    def write(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        """With whether it is to be appended, as what a mapping has changed is not."""
        how = fip.contents
        append = bool(how.flags & os.O_APPEND) and not how.writepage
        where = None if path is None else _text(path)
        data = ctypes.string_at(buf, size)
        return self.operations.write(where, data, offset, how.fh, append=append)

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> int:
        """With the handle."""
        return self._change(path, fip, mode=mode & 0o7777)

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: Any) -> int:
        """With the handle."""
        who = {"uid": uid, "gid": gid}
        return self._change(path, fip, **{k: v for k, v in who.items() if v != _NOBODY})

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        """With the handle."""
        return self._change(path, fip, size=length)

    def utimens_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        """With the handle, and with times that are to be left, or to be that of the call."""
        times = {"atime": buf.contents.actime, "mtime": buf.contents.modtime}
        left = {name: time for name, time in times.items() if time.tv_nsec != _UTIME_OMIT}
        return self._change(path, fip, **{name: _nanoseconds(time) for name, time in left.items()})

    def lseek(self, path: bytes, offset: int, whence: int, fip: Any) -> int:
        """Which mfusepy does not have."""
        return self.operations.lseek(_text(path), offset, whence, fip.contents.fh)

    def _change(self, path: bytes | None, fip: Any, **changes: int) -> int:
        where = None if path is None else _text(path)
        self.operations.change(where, fip.contents.fh if fip else None, **changes)
        return 0


def _text(path: bytes) -> str:
    return path.decode(_ENCODING, _ERRORS)


def _nanoseconds(time: Any) -> int:
    if time.tv_nsec == _UTIME_NOW:
        return NOW
    found = int(time.tv_sec) * 1_000_000_000 + int(time.tv_nsec)
    return max(-(1 << 63), min(found, (1 << 63) - 1))  # as the other backend has them


def caller() -> tuple[int, int, int]:
    """User, group and process of the request under way."""
    who: tuple[int, int, int] = mfusepy.fuse_get_context()
    return who
