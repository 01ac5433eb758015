"""Mounting and unmounting, and handing the connection to whoever serves it.

Mounting is fusermount3's work, which is setuid root: the descriptor of /dev/fuse that it opens
comes back over a socket. Whoever keeps one keeps the mount alive, so the holder of a mount gives a
duplicate to each daemon that comes, and the mount outlives them.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vaultsync.core.errors import Blocked, MachineRefused

NAME: Final = "vaultsync"
FSTYPE: Final = f"fuse.{NAME}"
"""What /proc/self/mountinfo calls a mount of ours."""

_HELPER = "fusermount3"
_DEVICE = Path("/dev/fuse")
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNTING = 30.0
"""Seconds that fusermount3 may take."""
_LOOKING = 5.0
"""Seconds for a mount to answer before it counts as one that somebody still holds."""
_MOST_STACKED = 16
_READ_AHEAD_KIB = 1024
_MAX_READ = 512 << 10
"""Bytes that one READ asks for at most."""
_LENGTH = struct.Struct("!I")
_LONGEST = 65_536
_PEER = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Options:
    """How to mount.

    Attributes:
        allow_other: Other users may enter, as far as the permission bits let them.
        read_only: Nothing can be changed.
        devices: Device nodes and setuid bits work; only root can have that.
        backend: What is to serve it, one of `mount.serving.BACKENDS`; mounting is the same.
    """

    allow_other: bool = False
    read_only: bool = False
    devices: bool = False
    backend: str = "kernel"

    def words(self) -> str:
        """As fusermount3 takes them behind `-o`."""
        words = [f"fsname={NAME}", f"subtype={NAME}", "default_permissions"]
        # Longer answers would not fit into a pipe; see `pipe`.
        words.append(f"max_read={_MAX_READ}")
        words += ["dev", "suid"] if self.devices else ["nodev", "nosuid"]
        if self.allow_other:
            words.append("allow_other")
        words.append("ro" if self.read_only else "rw")
        return ",".join(words)


def mount(point: Path, options: Options | None = None) -> int:
    """Mount, and return the connection's descriptor; nobody serves it yet, so do not look inside.

    A mount of ours there that nobody holds any more is detached first.

    Args:
        point: An empty directory.
        options: How.

    Raises MachineRefused when this machine cannot mount, Blocked when it cannot mount there.
    """
    _require_machine()
    point = _require_point(point)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            ended = _run_helper(
                "-o",
                (options or Options()).words(),
                "--",
                os.fspath(point),
                environment={"_FUSE_COMMFD": str(theirs.fileno())},
                keep=theirs.fileno(),
            )
        if ended.returncode:
            raise _explained(point, ended.stderr)
        fd = _received(ours)[1]
    if fd is None:
        raise MachineRefused(
            f"{_HELPER} mounted {point}, but did not hand over its connection.",
            f"Unmount it with `{_HELPER} -u {point}`; is another program of that name installed?",
        )
    _read_farther(point)
    return fd


def usable() -> bool:
    """Whether this machine lets us mount: in some containers the device is there in vain."""
    with tempfile.TemporaryDirectory() as name:
        point = Path(name)
        try:
            os.close(mount(point))
            unmount(point, lazy=True)
        except (Blocked, MachineRefused):
            return False
    return True


def _read_farther(point: Path) -> None:
    """Let the kernel read ahead as much as one request can carry, where this process may say so."""
    found = _mounted(point)
    if found is not None:
        with contextlib.suppress(OSError):
            file = Path("/sys/class/bdi", found.device, "read_ahead_kb")
            file.write_text(f"{_READ_AHEAD_KIB}")


def unmount(point: Path, *, lazy: bool = False) -> None:
    """Unmount.

    Args:
        point: Where.
        lazy: Detach it also while it is in use; it goes when the last user has gone.

    Raises Blocked when it is in use or is no mount, MachineRefused without fusermount3.
    """
    if shutil.which(_HELPER) is None:
        raise _no_helper()
    flags = ("-u", "-z") if lazy else ("-u",)
    ended = _run_helper(*flags, "--", os.fspath(point))
    if ended.returncode:
        busy = "busy" in ended.stderr
        raise Blocked(
            f"{point} cannot be unmounted: {_said(ended.stderr)}.",
            "Close what uses it, or leave the folder in every terminal." if busy else "",
        )


def mounted(point: Path) -> str | None:
    """The type of the file system that is mounted at a path (the uppermost one); None for none.

    Never touches what is mounted, so it does not wait for whoever serves it.
    """
    found = _mounted(_resolved(point))
    return None if found is None else found.type


def stale(point: Path) -> bool:
    """Whether a mount of ours is there that nobody holds any more."""
    if mounted(point) != FSTYPE:
        return False
    # In a process of its own: where nobody answers, this would wait for ever. What stat(2) tells
    # may still be known to the kernel, what statfs(2) tells never is.
    try:
        ended = subprocess.run(
            ["stat", "--file-system", "--format=%t", "--", os.fspath(point)],
            capture_output=True,
            text=True,
            env=os.environ | {"LC_ALL": "C"},
            timeout=_LOOKING,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return os.strerror(errno.ENOTCONN) in ended.stderr


# Handing over


def offer(to: socket.socket, fd: int, description: dict[str, Any]) -> None:
    """Give a duplicate of a descriptor, and words about it, to the process at the other end.

    Args:
        to: A connected Unix stream socket; its timeout holds.
        fd: The descriptor. It stays open here.
        description: What can be JSON, up to 64 KiB.

    Raises Blocked when another user is at the other end, OSError when it does not get there.
    """
    _require_same_user(to)
    words = json.dumps(description).encode()
    if len(words) > _LONGEST:
        raise ValueError("the description is too long")
    socket.send_fds(to, [_LENGTH.pack(len(words))], [fd])
    to.sendall(words)


def take(of: socket.socket) -> tuple[int, dict[str, Any]]:
    """Receive what the other end offers: the descriptor, the caller's to close, and the words.

    Args:
        of: A connected Unix stream socket; its timeout holds.

    Raises Blocked when another user is at the other end, OSError or ValueError when nothing usable
    comes.
    """
    _require_same_user(of)
    length, fd = _received(of, _LENGTH.size)
    if fd is None:
        raise _cut()
    try:
        return fd, _description(of, length)
    except BaseException:
        os.close(fd)
        raise


def _description(of: socket.socket, length: bytes) -> dict[str, Any]:
    """The words that follow their length."""
    left = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else 0
    if not 0 < left <= _LONGEST:
        raise _cut()
    words = b""
    while len(words) < left:
        part = of.recv(left - len(words))
        if not part:
            raise _cut()
        words += part
    description = json.loads(words)
    if not isinstance(description, dict):
        raise _cut()
    return description


def _cut() -> ConnectionAbortedError:
    return ConnectionAbortedError(errno.ECONNABORTED, "no whole offer of a drive came")


def _received(of: socket.socket, size: int = 1) -> tuple[bytes, int | None]:
    """Some bytes, and the one descriptor that came with them."""
    fds = array.array("i")
    content, ancillary, _, _ = of.recvmsg(
        size, socket.CMSG_SPACE(4 * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
    for spare in fds[1:]:
        os.close(spare)
    return content, fds[0] if fds else None


def _require_same_user(of: socket.socket) -> None:
    peer = of.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(peer)
    if user != os.getuid():
        raise Blocked(
            f"A process of user {user} wants to do with a drive of user {os.getuid()}.",
            "Run `vaultsync mount` and the daemon as the same user.",
        )


# Mounting


def _require_machine() -> None:
    if not _DEVICE.exists():
        raise MachineRefused(
            f"{_DEVICE} is missing, so nothing can be mounted through FUSE.",
            "Load the module with `sudo modprobe fuse`; a container needs `--device /dev/fuse`.",
        )
    if shutil.which(_HELPER) is None:
        raise _no_helper()


def _no_helper() -> MachineRefused:
    return MachineRefused(
        f"{_HELPER} is missing, which does the mounting.",
        "Install it: `sudo apt-get install fuse3`, or what your distribution calls it.",
    )


def _require_point(point: Path) -> Path:
    """The mount point, absolute, once it is an empty directory."""
    point = _resolved(point)
    for _ in range(_MOST_STACKED):
        kind = mounted(point)
        if kind != FSTYPE:
            break
        if not stale(point):
            raise Blocked(
                f"A drive is mounted at {point} already.",
                f"Unmount it first: `{_HELPER} -u {point}`.",
            )
        unmount(point, lazy=True)
    try:
        full = next(point.iterdir(), None) is not None
    except FileNotFoundError as error:
        raise Blocked(f"{point} does not exist.", f"Make it: `mkdir -p {point}`.") from error
    except NotADirectoryError as error:
        raise Blocked(f"{point} is no directory.", "Mount at an empty directory.") from error
    except OSError as error:
        raise Blocked(f"{point} cannot be read: {error.strerror}.") from error
    if full:
        raise Blocked(
            f"{point} is not empty, and what is in it would be hidden by the drive.",
            "Mount at an empty directory.",
        )
    return point


def _resolved(point: Path) -> Path:
    """Absolute and without links, with no look at what a last segment that is no link leads to.

    Of a mount that nobody serves, even lstat waits.
    """
    point = Path(os.path.abspath(point))  # noqa: PTH100 - Path.absolute keeps `..`
    point = Path(os.path.realpath(point.parent), point.name)
    with contextlib.suppress(OSError):
        if _mounted(point) is None and point.is_symlink():
            return Path(os.path.realpath(point))
    return point


@dataclass(frozen=True, slots=True)
class _Mount:
    """A line of mountinfo: the file system's type and its device's number, as `0:42`."""

    type: str
    device: str


def _mounted(point: Path) -> _Mount | None:
    """What is mounted at a path that is resolved, uppermost."""
    wanted = os.fsencode(point)
    # mountinfo writes these as three octal digits.
    for character in b"\\ \t\n":
        wanted = wanted.replace(bytes([character]), b"\\%03o" % character)
    found = None
    for line in _MOUNTS.read_bytes().splitlines():
        where, _, what = line.partition(b" - ")
        fields = where.split(b" ")
        if fields[4] == wanted:
            found = _Mount(what.split(b" ")[0].decode(), fields[2].decode())
    return found


def _run_helper(
    *arguments: str, environment: dict[str, str] | None = None, keep: int | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [_HELPER, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"} | (environment or {}),
            pass_fds=() if keep is None else (keep,),
            timeout=_MOUNTING,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Blocked(f"{_HELPER} did not end within {_MOUNTING:.0f} seconds.") from error


def _said(words: str) -> str:
    """What fusermount3 said, as part of a sentence."""
    line = next((line for line in words.splitlines() if line.strip()), "it gave no reason")
    return line.removeprefix(f"{_HELPER}:").strip().rstrip(".")


def _explained(point: Path, words: str) -> MachineRefused | Blocked:
    """Why fusermount3 refused, by its words."""
    if "user_allow_other" in words:
        return MachineRefused(
            "This machine does not let people share a mount with other users (allow_other).",
            "Put a line `user_allow_other` into /etc/fuse.conf, or mount without allow_other.",
        )
    if str(_DEVICE) in words or "fuse device not found" in words:
        return MachineRefused(
            f"{_HELPER} cannot use {_DEVICE}: {_said(words)}.",
            "Is the module loaded, and may this user open the device?",
        )
    if "Operation not permitted" in words:
        return MachineRefused(
            f"This machine does not let {_HELPER} mount: {_said(words)}.",
            f"It has to be setuid root: `ls -l $(command -v {_HELPER})`. "
            "Containers and services with NoNewPrivileges cannot mount.",
        )
    return Blocked(
        f"{point} cannot be mounted: {_said(words)}.",
        "The directory has to belong to you, on a file system that may be mounted upon.",
    )
