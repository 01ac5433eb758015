"""What a script of system calls can say, and how what it led to is told."""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import stat
import struct
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE = -100
_NOFOLLOW = 0x100
_FORCE_SYNC = 0x2000
_BASIC = 0x7FF
_STATX = struct.Struct("=IIQIIIHHQQQQ")
"""The beginning of struct statx: mask, block size, attributes, links, user, group, mode, -, inode,
size, blocks, mask of attributes."""
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
_READABLE = 1 << 16
_WHEN = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}


class Stage:
    """One script's folder, which is the working directory, and what the script has open.

    Attributes:
        changed: Whether the last look found times that had changed since the one before.
    """

    def __init__(self) -> None:
        self.changed = False
        self._fds: dict[str, int] = {}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._seen: dict[int, tuple[int, int]] = {}

    def close(self) -> None:
        for descriptor in self._fds.values():
            with suppress(OSError):
                os.close(descriptor)
        for program in self._programs.values():
            program.kill()
            program.wait()

    # What the lines can say

    def create(self, path: str, mode: str = "644", text: str = "") -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        descriptor = os.open(path, flags, int(mode, 8))
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def open(self, path: str, flags: str, mode: str = "644") -> None:
        os.close(os.open(path, _flags(flags), int(mode, 8)))

    def hold(self, name: str, path: str, flags: str, mode: str = "644") -> None:
        self._fds[name] = os.open(path, _flags(flags), int(mode, 8))

    def drop(self, name: str) -> None:
        os.close(self._fds.pop(name))

    def dup(self, name: str, path: str, flags: str) -> None:
        """Open once more what a descriptor is of, by way of /proc."""
        self._fds[path] = os.open(f"/proc/self/fd/{self._fds[name]}", _flags(flags))

    def mkdir(self, path: str, mode: str = "755") -> None:
        os.mkdir(path, int(mode, 8))

    def mkfifo(self, path: str, mode: str = "644") -> None:
        os.mkfifo(path, int(mode, 8))

    def mknod(
        self, path: str, kind: str, mode: str = "644", major: str = "1", minor: str = "2"
    ) -> None:
        form = next(form for form, name in _TYPES.items() if name == kind)
        os.mknod(path, form | int(mode, 8), os.makedev(int(major), int(minor)))

    def bind(self, path: str) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path)

    def connect(self, path: str) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(path)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def link(self, path: str, new: str, follow: str = "") -> None:
        os.link(path, new, follow_symlinks=bool(follow))

    def linkfd(self, name: str, new: str) -> None:
        """Give what a descriptor is of a name."""
        os.link(f"/proc/self/fd/{self._fds[name]}", new, follow_symlinks=True)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def rename(self, path: str, new: str, flags: str = "0") -> None:
        _check(_LIBC.renameat2(_HERE, path.encode(), _HERE, new.encode(), int(flags)))

    def chmod(self, path: str, mode: str) -> None:
        os.chmod(path, int(mode, 8))

    def fchmod(self, name: str, mode: str) -> None:
        os.fchmod(self._fds[name], int(mode, 8))

    def chown(self, path: str, user: str, group: str) -> None:
        os.chown(path, int(user), int(group))

    def lchown(self, path: str, user: str, group: str) -> None:
        os.lchown(path, int(user), int(group))

    def fchown(self, name: str, user: str, group: str) -> None:
        os.fchown(self._fds[name], int(user), int(group))

    def umask(self, mask: str) -> str:
        return f"{os.umask(int(mask, 8)):o}"

    def truncate(self, path: str, size: str) -> None:
        os.truncate(path, int(size))

    def ftruncate(self, name: str, size: str) -> None:
        os.ftruncate(self._fds[name], int(size))

    def write(self, path: str, text: str, flags: str = "wronly") -> int:
        descriptor = os.open(path, _flags(flags))
        try:
            return os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def fwrite(self, name: str, text: str, offset: str = "") -> int:
        descriptor = self._fds[name]
        data = text.encode()
        return os.pwrite(descriptor, data, int(offset)) if offset else os.write(descriptor, data)

    def fread(self, name: str, size: str, offset: str) -> str:
        return repr(os.pread(self._fds[name], int(size), int(offset)))

    def fallocate(self, name: str, mode: str, offset: str, length: str) -> None:
        arguments = (ctypes.c_int64(int(offset)), ctypes.c_int64(int(length)))
        _check(_LIBC.fallocate(self._fds[name], int(mode), *arguments))

    def seek(self, name: str, offset: str, whence: str) -> int:
        return os.lseek(self._fds[name], int(offset), int(whence))

    def copy(self, source: str, offset: str, target: str, to: str, length: str) -> int:
        fds = self._fds
        return os.copy_file_range(fds[source], fds[target], int(length), int(offset), int(to))

    def fstat(self, name: str) -> str:
        return _told(os.fstat(self._fds[name]))

    def fsync(self, name: str) -> None:
        os.fsync(self._fds[name])

    def utimens(self, path: str, accessed: str, modified: str, follow: str = "follow") -> str:
        """Set times: nanoseconds, now or omit; returns those that were given in nanoseconds."""
        times = b"".join(map(_timespec, (accessed, modified)))
        follows = follow == "follow"
        _check(_LIBC.utimensat(_HERE, path.encode(), times, 0 if follows else _NOFOLLOW))
        found = os.stat(path, follow_symlinks=follows)
        return _set(found, accessed, modified)

    def futimens(self, name: str, accessed: str, modified: str) -> str:
        times = b"".join(map(_timespec, (accessed, modified)))
        _check(_LIBC.futimens(self._fds[name], times))
        return _set(os.fstat(self._fds[name]), accessed, modified)

    def touch(self, path: str) -> None:
        os.utime(path)

    def access(self, path: str, mode: str) -> bool:
        return os.access(path, int(mode), effective_ids=True)

    def setxattr(self, path: str, name: str, value: str, flags: str = "0") -> None:
        os.setxattr(path, name, value.encode(), int(flags), follow_symlinks=False)

    def getxattr(self, path: str, name: str) -> str:
        return os.getxattr(path, name, follow_symlinks=False).decode()

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(path, name, follow_symlinks=False)

    def listxattr(self, path: str) -> str:
        return " ".join(sorted(os.listxattr(path, follow_symlinks=False)))

    def list(self, path: str) -> str:
        return " ".join(sorted(os.listdir(path)))

    def program(self, path: str) -> None:
        """Make a program that runs until it is stopped."""
        with open("/bin/sleep", "rb") as source, open(path, "wb") as target:
            target.write(source.read())
        os.chmod(path, 0o755)

    def run(self, name: str, path: str) -> None:
        self._programs[name] = subprocess.Popen([os.path.join(".", path), "1000"])

    def stop(self, name: str) -> None:
        program = self._programs.pop(name)
        program.kill()
        program.wait()

    def space(self) -> str:
        return str(os.statvfs(".").f_namemax)

    # What is told

    def state(self) -> dict[str, str]:
        """All that is in the folder, in words, and what has changed since this was asked last."""
        self.changed = False
        found = {}
        first: dict[int, str] = {}
        for path in _paths("."):
            known = os.lstat(path)
            words = [_told(known)]
            if known.st_nlink > 1 and first.setdefault(known.st_ino, path) != path:
                words.append(f"is {first[known.st_ino]}")
            with suppress(OSError):
                if _asked(path) != _compared(known):
                    words.append(f"stale: it really is {_asked(path)}")
            times = (known.st_mtime_ns, known.st_ctime_ns)
            before = self._seen.get(known.st_ino, (0, 0))
            new = [word for word, old, time in zip("mc", before, times, strict=True) if old != time]
            self.changed |= bool(new)
            words += new
            if stat.S_ISLNK(known.st_mode):
                words.append(os.readlink(path))
            elif stat.S_ISREG(known.st_mode) and known.st_size <= _READABLE:
                with suppress(PermissionError), open(path, "rb") as file:
                    words.append(hashlib.sha256(file.read()).hexdigest()[:8])
            found[path] = " ".join(words)
        for path in found:
            known = os.lstat(path)
            self._seen[known.st_ino] = (known.st_mtime_ns, known.st_ctime_ns)
        return found


def _told(found: os.stat_result) -> str:
    kind = _TYPES[stat.S_IFMT(found.st_mode)]
    size = "" if kind == "dir" else f" {found.st_size}"
    device = f" {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if found.st_rdev else ""
    mode = stat.S_IMODE(found.st_mode)
    return f"{kind} {mode:04o} {found.st_uid}:{found.st_gid} n{found.st_nlink}{size}{device}"


def _flags(words: str) -> int:
    return sum(getattr(os, f"O_{word.upper()}") for word in words.split(","))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _timespec(when: str) -> bytes:
    if when in _WHEN:
        return struct.pack("=qq", 0, _WHEN[when])
    return struct.pack("=qq", *divmod(int(when), 10**9))


def _set(found: os.stat_result, accessed: str, modified: str) -> str:
    times = ((found.st_atime_ns, accessed), (found.st_mtime_ns, modified))
    return " ".join(asked if asked in _WHEN else str(time) for time, asked in times)


def _compared(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_nlink, found.st_uid, found.st_gid, found.st_mode, found.st_ino, found.st_size)


def _asked(path: str) -> tuple[int, ...]:
    """The same from the file system itself, whatever the kernel remembers of it."""
    room = ctypes.create_string_buffer(256)
    flags = _NOFOLLOW | _FORCE_SYNC
    _check(_LIBC.statx(_HERE, path.encode(), flags, _BASIC, room))
    _, _, _, links, user, group, mode, _, inode, size, _, _ = _STATX.unpack_from(room)
    return (links, user, group, mode, inode, size)


def _paths(folder: str) -> Iterator[str]:
    yield folder
    names: list[str] = []
    with suppress(PermissionError):
        names = sorted(os.listdir(folder))
    for name in names:
        path = name if folder == "." else f"{folder}/{name}"
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from _paths(path)
        else:
            yield path
