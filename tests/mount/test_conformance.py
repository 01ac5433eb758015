"""What a program sees of a mounted drive, through either backend; each difference is marked here.

The drive is served by another process, and this one uses it as any program would. Each test has a
folder of its own in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import random
import select
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.kernel.mounted import HERE, needs_fuse
from vaultsync.core.errors import Blocked
from vaultsync.mount.kernel import holder
from vaultsync.mount.serving import BACKENDS, KERNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [needs_fuse, pytest.mark.timeout(120)]

LIMIT = 60.0
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE = 1, 2, 8, 16
libc = ctypes.CDLL(None, use_errno=True)


class Served:
    """A mounted drive, and the process that serves it."""

    def __init__(self, backend: str, home: Path) -> None:
        self.backend = backend
        self.point, work = home / "mount", home / "work"
        self.point.mkdir()
        work.mkdir()
        fd = holder.mount(self.point)
        # Only the server has the connection: when it dies, whoever waits for it is let go.
        try:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.mount.drive_server", backend, str(fd), str(work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(fd,),
                cwd=HERE,
            )
        finally:
            os.close(fd)
        self._guard = threading.Timer(LIMIT, self._server.kill)
        self._guard.daemon = True
        self._guard.start()
        if self.hear() != {}:
            self.close()
            raise AssertionError("the drive is not served")

    def hear(self) -> Any:
        """The next line of the server's, None when it has ended."""
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        return json.loads(line) if line else None

    def tell(self, what: str, **arguments: Any) -> Any:
        """Have the server do something; see `drive_server.Orders`."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._server.stdin.flush()
        return self.hear()["answer"]

    def close(self) -> None:
        """Leave neither mount nor process."""
        with contextlib.suppress(Blocked):
            holder.unmount(self.point, lazy=True)
        self._guard.cancel()
        self._server.kill()
        self._server.communicate(timeout=LIMIT)


@pytest.fixture(scope="module", params=BACKENDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    made = Served(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture
def top(served: Served, request: pytest.FixtureRequest) -> Path:
    made = served.point / hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    made.mkdir()
    return made


def refused(call: Callable[[], object]) -> int:
    """The errno that a call fails with; 0: it does not."""
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


def rename(old: Path, new: Path, flags: int) -> int:
    """renameat2(2); returns the errno."""
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        return ctypes.get_errno()
    return 0


def fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2); returns the errno."""
    size = ctypes.c_longlong
    if libc.fallocate(fd, mode, size(offset), size(length)):
        return ctypes.get_errno()
    return 0


# Files


def test_create_read_write(top: Path) -> None:
    file = top / "file"
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    assert os.write(fd, b"content") == 7
    assert os.pwrite(fd, b"TENT", 3) == 4
    assert os.pread(fd, 100, 0) == b"conTENT"
    os.close(fd)
    assert file.read_bytes() == b"conTENT"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert refused(lambda: os.open(file, os.O_CREAT | os.O_EXCL)) == errno.EEXIST
    assert refused(lambda: os.open(top / "none", os.O_RDONLY)) == errno.ENOENT
    assert refused(lambda: os.open(file / "below", os.O_RDONLY)) == errno.ENOTDIR
    assert refused(lambda: os.open(top, os.O_WRONLY)) == errno.EISDIR
    file.write_bytes(b"")
    assert file.stat().st_size == 0


def test_large_and_unaligned_content(top: Path) -> None:
    data = random.Random(7).randbytes(3_000_001)
    file = top / "file"
    file.write_bytes(data)
    assert file.stat().st_size == len(data)
    with file.open("r+b") as stream:
        stream.seek(1_048_575)
        stream.write(b"xyz")
        stream.seek(1_048_570)
        assert stream.read(10) == data[1_048_570:1_048_575] + b"xyz" + data[1_048_578:1_048_580]
    edited = data[:1_048_575] + b"xyz" + data[1_048_578:]
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(edited).digest()


def test_appending(top: Path) -> None:
    file, other = top / "file", top / "other"
    file.write_bytes(b"0")
    os.link(file, other)
    with file.open("ab", 0) as first, other.open("ab", 0) as second, file.open("ab", 0) as third:
        for number in range(1, 10, 3):
            first.write(b"%d" % number)
            second.write(b"%d" % (number + 1))
            third.write(b"%d" % (number + 2))
    assert file.read_bytes() == other.read_bytes() == b"0123456789"


def test_appending_from_threads(top: Path) -> None:
    file = top / "file"
    file.touch()

    def append(letter: bytes) -> None:
        with file.open("ab", 0) as stream:
            for _ in range(50):
                stream.write(letter * 100 + b"\n")

    threads = [threading.Thread(target=append, args=[letter]) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = sorted(file.read_bytes().splitlines())
    assert lines == [letter * 100 for letter in (b"a", b"b", b"c") for _ in range(50)]


def test_truncating(top: Path) -> None:
    file = top / "file"
    file.write_bytes(b"content")
    os.truncate(file, 4)
    assert file.read_bytes() == b"cont"
    with file.open("r+b") as stream:
        stream.truncate(6)
        assert os.fstat(stream.fileno()).st_size == 6
        assert stream.read() == b"cont\0\0"
    assert refused(lambda: os.truncate(top, 0)) == errno.EISDIR
    assert refused(lambda: os.truncate(top / "none", 0)) == errno.ENOENT
    os.close(os.open(file, os.O_WRONLY | os.O_TRUNC))
    assert file.stat().st_size == 0


def test_syncing(top: Path) -> None:
    fd = os.open(top / "file", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"content")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    folder = os.open(top, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def test_what_is_written_is_in_the_tree_when_the_call_returns(served: Served, top: Path) -> None:
    with (top / "file").open("wb", 0) as stream:
        stream.write(b"content")
        told = served.tell("state", path=f"{top.name}/file")
        assert (told["size"], told["dirty"]) == (7, True)
    (top / "file").unlink()
    assert served.tell("state", path=f"{top.name}/file") == {}


# Names


def test_directories(top: Path) -> None:
    folder = top / "folder"
    folder.mkdir(0o750)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert folder.stat().st_nlink == 2
    assert refused(folder.mkdir) == errno.EEXIST
    assert refused((top / "none" / "below").mkdir) == errno.ENOENT
    (folder / "file").write_text("x")
    assert refused(folder.rmdir) == errno.ENOTEMPTY
    assert refused((folder / "file").rmdir) == errno.ENOTDIR
    assert refused((folder / "none").rmdir) == errno.ENOENT
    assert refused(folder.unlink) in (errno.EISDIR, errno.EPERM)
    assert refused((top / "none").unlink) == errno.ENOENT
    (folder / "file").unlink()
    folder.rmdir()
    assert list(top.iterdir()) == []


def test_renaming(top: Path) -> None:
    (top / "a").write_text("a")
    (top / "b").write_text("b")
    inode = (top / "a").stat().st_ino
    (top / "a").rename(top / "b")
    assert (top / "b").read_text() == "a"
    assert (top / "b").stat().st_ino == inode
    (top / "one" / "below").mkdir(parents=True)
    (top / "two").mkdir()
    (top / "one" / "below" / "file").write_text("x")
    (top / "one").rename(top / "two")
    assert (top / "two" / "below" / "file").read_text() == "x"
    (top / "full").mkdir()
    (top / "full" / "file").touch()
    two = top / "two"
    assert refused(lambda: two.rename(top / "full")) == errno.ENOTEMPTY
    assert refused(lambda: two.rename(top / "b")) == errno.ENOTDIR
    assert refused(lambda: (top / "b").rename(two)) == errno.EISDIR
    assert refused(lambda: two.rename(two / "below" / "in")) == errno.EINVAL
    assert refused(lambda: (top / "none").rename(two)) == errno.ENOENT


def test_a_rename_that_must_not_replace(top: Path) -> None:
    (top / "a").write_text("a")
    (top / "b").write_text("b")
    assert rename(top / "a", top / "b", NOREPLACE) == errno.EEXIST
    assert [(top / name).read_text() for name in "ab"] == ["a", "b"]
    assert rename(top / "a", top / "c", NOREPLACE) == 0
    assert (top / "c").read_text() == "a"
    assert rename(top / "b", top / "c", WHITEOUT) == errno.EINVAL
    assert (top / "b").read_text() == "b"


def test_an_exchange(served: Served, top: Path) -> None:
    (top / "a").write_text("a")
    (top / "b").write_text("b")
    with (top / "b").open():
        if served.backend == KERNEL:
            assert rename(top / "a", top / "b", EXCHANGE) == 0
            assert [(top / name).read_text() for name in "ab"] == ["b", "a"]
        else:
            assert rename(top / "a", top / "b", EXCHANGE) == errno.EINVAL
            assert [(top / name).read_text() for name in "ab"] == ["a", "b"]


def test_links(top: Path) -> None:
    (top / "link").symlink_to("some/where")
    assert os.readlink(top / "link") == "some/where"  # noqa: PTH115
    assert refused(lambda: os.readlink(top)) == errno.EINVAL  # noqa: PTH115
    long = "x" * 4095
    (top / "long").symlink_to(long)
    assert os.readlink(top / "long") == long  # noqa: PTH115
    assert (top / "long").lstat().st_size == 4095
    first, second = top / "first", top / "second"
    first.write_text("one")
    os.link(first, second)
    assert first.stat().st_ino == second.stat().st_ino
    assert (first.stat().st_nlink, second.stat().st_nlink) == (2, 2)
    with second.open() as reader:
        assert reader.read() == "one"
        first.write_text("two")
        reader.seek(0)
        assert reader.read() == "two"
    second.write_text("three!")
    assert first.stat().st_size == 6
    first.unlink()
    assert second.stat().st_nlink == 1
    assert second.read_text() == "three!"
    assert refused(lambda: os.link(top, top / "folder")) == errno.EPERM
    assert refused(lambda: os.link(second, top / "long")) == errno.EEXIST


def test_special_files(top: Path) -> None:
    os.mkfifo(top / "fifo")
    assert stat.S_ISFIFO((top / "fifo").stat().st_mode)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(top / "s"))
    assert stat.S_ISSOCK((top / "s").stat().st_mode)
    os.mknod(top / "file", 0o600 | stat.S_IFREG)
    assert (top / "file").stat().st_size == 0


def test_an_unlinked_open_file(top: Path) -> None:
    file = top / "file"
    file.write_bytes(b"content")
    with file.open("r+b", 0) as stream:
        file.unlink()
        assert list(top.iterdir()) == []
        assert stream.read() == b"content"
        stream.write(b" and more")
        stream.seek(0)
        assert stream.read() == b"content and more"
        os.ftruncate(stream.fileno(), 3)
        os.fsync(stream.fileno())
        assert os.pread(stream.fileno(), 10, 0) == b"con"
        os.fchmod(stream.fileno(), 0o600)
        os.utime(stream.fileno(), ns=(5, 7))
        found = os.fstat(stream.fileno())
        assert (found.st_nlink, found.st_size, found.st_mtime_ns) == (0, 3, 7)
        assert stat.S_IMODE(found.st_mode) == 0o600
        file.write_bytes(b"another")
        assert os.pread(stream.fileno(), 10, 0) == b"con"
    assert [one.name for one in top.iterdir()] == ["file"]
    assert file.read_bytes() == b"another"


def test_renaming_over_an_open_file(top: Path) -> None:
    (top / "old").write_bytes(b"old")
    (top / "new").write_bytes(b"new")
    with (top / "old").open("r+b", 0) as stream:
        (top / "new").rename(top / "old")
        assert stream.read() == b"old"
        assert (top / "old").read_bytes() == b"new"
        stream.write(b"er")
        assert (top / "old").read_bytes() == b"new"
        assert [one.name for one in top.iterdir()] == ["old"]


def test_an_open_directory_that_was_removed(served: Served, top: Path) -> None:
    folder = top / "folder"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    folder.rmdir()
    make = refused(lambda: os.open("below", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    if served.backend == KERNEL:
        assert os.listdir(fd) == []
        assert make == errno.ENOENT
    else:
        assert refused(lambda: os.listdir(fd)) == errno.ESTALE
        assert make == errno.ESTALE
    os.close(fd)


NAMES = (
    b"plain",
    b"with space",
    "grün-日本語-🗝".encode(),
    "n\u0303 and ñ".encode(),
    b"no \xff\xfe utf-8 \x80",
    b"line\nbreak",
    b"back\\slash",
    b"x" * 255,
    b".fuse_hidden0000000200000001",
)


def test_names_are_bytes(top: Path) -> None:
    base = os.fsencode(top)
    for name in NAMES:
        with open(base + b"/" + name, "wb") as stream:  # noqa: PTH123
            stream.write(name)
    assert sorted(os.listdir(base)) == sorted(NAMES)
    for name in NAMES:
        with open(base + b"/" + name, "rb") as stream:  # noqa: PTH123
            assert stream.read() == name
        os.rename(base + b"/" + name, base + b"/other")  # noqa: PTH104
        os.symlink(name, base + b"/" + name)  # noqa: PTH211
        assert os.readlink(base + b"/" + name) == name  # noqa: PTH115
        os.unlink(base + b"/" + name)  # noqa: PTH108
    assert refused((top / ("x" * 256)).touch) == errno.ENAMETOOLONG
    assert refused((top / ("x" * 256)).mkdir) == errno.ENAMETOOLONG


def test_a_large_directory(top: Path) -> None:
    names = {f"{number:04d}-{'x' * 60}" for number in range(600)}
    for name in names:
        (top / name).touch()
    with os.scandir(top) as found:
        entries = {entry.name: (entry.is_file(follow_symlinks=False), entry.inode()) for entry in found}
    assert set(entries) == names
    assert all(is_file for is_file, _ in entries.values())
    assert all((top / name).stat().st_ino == entries[name][1] for name in list(names)[:20])
    told = []
    with os.scandir(top) as found:
        for entry in found:  # names go while they are read
            told.append(entry.name)
            os.unlink(entry)  # noqa: PTH108
    assert sorted(told) == sorted(names)
    assert list(top.iterdir()) == []


# Attributes


def test_modes_owners_and_times(top: Path) -> None:
    file = top / "file"
    file.touch()
    for mode in (0o600, 0o4755, 0o2755, 0o444):
        file.chmod(mode)
        assert stat.S_IMODE(file.stat().st_mode) == mode
    if os.getuid() == 0:
        os.chown(file, 12, 34)
        assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)
        os.chown(file, -1, 56)
        assert (file.stat().st_uid, file.stat().st_gid) == (12, 56)
        file.chmod(0o4755)
        os.chown(file, 13, -1)
        assert stat.S_IMODE(file.stat().st_mode) == 0o755
    for times in ((5, 1_234_567_890_123_456_789), (-1_500_000_001, -1), (0, 2**32 * 10**9 + 1)):
        os.utime(file, ns=times)
        found = file.stat()
        assert (found.st_atime_ns, found.st_mtime_ns) == times
    assert libc.utimensat(-100, os.fsencode(file), omitted(), 0) == 0
    assert file.stat().st_atime_ns == 0
    assert file.stat().st_mtime_ns > 1_600_000_000 * 10**9
    before = file.stat().st_ctime_ns
    os.utime(file)
    assert file.stat().st_ctime_ns > before
    folder = top.stat().st_mtime_ns
    (top / "another").touch()
    assert top.stat().st_mtime_ns > folder


def omitted() -> Any:
    """Two `struct timespec`: leave the time of access, and set that of change to now."""
    return (ctypes.c_long * 4)(0, (1 << 30) - 2, 0, (1 << 30) - 1)


def test_extended_attributes(top: Path) -> None:
    file = top / "file"
    file.touch()
    os.setxattr(file, "user.name", b"value\0\xff")
    os.setxattr(file, "user.empty", b"")
    os.setxattr(file, "user.long", b"x" * 60_000)
    assert sorted(os.listxattr(file)) == ["user.empty", "user.long", "user.name"]
    assert os.getxattr(file, "user.name") == b"value\0\xff"
    assert os.getxattr(file, "user.empty") == b""
    assert len(os.getxattr(file, "user.long")) == 60_000
    assert refused(lambda: os.getxattr(file, "user.none")) == errno.ENODATA
    assert refused(lambda: os.removexattr(file, "user.none")) == errno.ENODATA
    create, replace = os.XATTR_CREATE, os.XATTR_REPLACE
    assert refused(lambda: os.setxattr(file, "user.name", b"", create)) == errno.EEXIST
    assert refused(lambda: os.setxattr(file, "user.none", b"", replace)) == errno.ENODATA
    assert refused(lambda: os.getxattr(file, "security.capability")) == errno.EOPNOTSUPP
    os.removexattr(file, "user.name")
    assert sorted(os.listxattr(file)) == ["user.empty", "user.long"]
    os.setxattr(top, "user.name", b"folder's")
    assert os.getxattr(top, "user.name") == b"folder's"


def test_room(top: Path) -> None:
    space = os.statvfs(top)
    assert space.f_bsize == 4096
    assert space.f_namemax == 255
    assert space.f_blocks > space.f_bfree >= space.f_bavail > 0
    assert space.f_files > 0


# Holes, mappings, locks


def test_holes(top: Path) -> None:
    file = top / "file"
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 65_536, 1 << 20)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 65_536
    assert refused(lambda: os.lseek(fd, 1 << 30, os.SEEK_DATA)) == errno.ENXIO
    assert os.lseek(fd, -6, os.SEEK_END) == (1 << 20) + 65_530
    assert os.read(fd, 100) == b"x" * 6
    assert os.pread(fd, 10, 500) == bytes(10)
    os.close(fd)


def test_allocating(top: Path) -> None:
    file = top / "file"
    fd = os.open(file, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 20_000)
    assert fallocate(fd, 0, 0, 30_000) == 0
    assert os.fstat(fd).st_size == 30_000
    assert fallocate(fd, KEEP_SIZE, 0, 50_000) == 0
    assert os.fstat(fd).st_size == 30_000
    assert fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 4096) == 0
    assert fallocate(fd, ZERO_RANGE, 12_288, 4096) == 0
    wanted = bytearray(b"x" * 20_000 + bytes(10_000))
    wanted[4096:8192] = wanted[12_288:16_384] = bytes(4096)
    assert os.pread(fd, 40_000, 0) == wanted
    assert fallocate(fd, COLLAPSE_RANGE, 0, 4096) == errno.EOPNOTSUPP
    os.close(fd)


def test_copying_within(top: Path) -> None:
    data = random.Random(3).randbytes(100_000)
    (top / "file").write_bytes(data)
    with (top / "file").open("rb") as source, (top / "copy").open("wb") as target:
        done = 0
        while done < 90_000:
            done += os.copy_file_range(source.fileno(), target.fileno(), 90_000 - done, 5000 + done)
    assert (top / "copy").read_bytes() == data[5000:95_000]


def test_mappings(top: Path) -> None:
    file = top / "file"
    with file.open("w+b") as stream:
        stream.truncate(10_000)
        with mmap.mmap(stream.fileno(), 10_000) as view:
            view[5000:5007] = b"content"
            view.flush()
            assert file.read_bytes()[4999:5008] == b"\0content\0"
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[5000:5007] == b"content"


def test_locks(top: Path) -> None:
    file = top / "file"
    file.touch()
    tries = "import fcntl, sys; fcntl.%s(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"

    def taken(how: str) -> bool:
        command = [sys.executable, "-Sc", tries % how, os.fspath(file)]
        ended = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
        return b"BlockingIOError" in ended.stderr

    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert taken("flock")
        fcntl.flock(stream, fcntl.LOCK_UN)
        assert not taken("flock")
        fcntl.lockf(stream, fcntl.LOCK_EX)
        assert taken("lockf")


def test_what_is_no_terminal(top: Path) -> None:
    with (top / "file").open("w") as stream:
        assert not stream.isatty()
        ready = select.select([stream], [stream], [], LIMIT)
        assert ready[1] == [stream]


# Files of the vault


def cold(served: Served, top: Path, name: str, size: int, seed: int) -> bytes:
    """Have a file come from the vault; returns its bytes, of which none are here."""
    served.tell("pull", path=f"{top.name}/{name}", size=size, seed=seed)
    return random.Random(seed).randbytes(size)


def test_reading_what_is_not_here(served: Served, top: Path) -> None:
    data = cold(served, top, "file", 5_000_000, 1)
    asked = served.tell("asked")
    assert (top / "file").stat().st_size == 5_000_000
    assert served.tell("asked") == asked
    with (top / "file").open("rb") as stream:
        stream.seek(3_000_000)
        assert stream.read(1000) == data[3_000_000:3_001_000]
    assert served.tell("asked") > asked
    assert hashlib.sha256((top / "file").read_bytes()).digest() == hashlib.sha256(data).digest()


def test_writing_to_what_is_not_here(served: Served, top: Path) -> None:
    data = cold(served, top, "file", 200_000, 2)
    with (top / "file").open("r+b") as stream:
        stream.seek(100_000)
        stream.write(b"edit")
    assert (top / "file").read_bytes() == data[:100_000] + b"edit" + data[100_004:]
    with (top / "file").open("ab") as stream:
        stream.write(b"more")
    assert (top / "file").stat().st_size == 200_004


def test_what_cannot_be_had_is_an_error(served: Served, top: Path) -> None:
    cold(served, top, "file", 100_000, 3)
    served.tell("offline", now=True)
    try:
        assert refused((top / "file").read_bytes) == errno.EIO
        (top / "new").write_text("here")
        assert (top / "new").read_text() == "here"
    finally:
        served.tell("offline", now=False)
    assert (top / "file").read_bytes() == random.Random(3).randbytes(100_000)


def test_what_comes_from_the_vault_is_seen_at_once(served: Served, top: Path) -> None:
    file = top / "file"
    assert not file.exists()
    first = cold(served, top, "file", 10_000, 4)
    assert file.read_bytes() == first
    inode = file.stat().st_ino
    with file.open("rb", 0) as stream:
        second = cold(served, top, "file", 10_000, 5)
        assert file.read_bytes() == second
        assert file.stat().st_ino != inode
        # Who has it open goes on with the version that he has opened.
        assert stream.read() == first
        assert file.read_bytes() == second
        stream.seek(5000)
        assert stream.read() == first[5000:]


# What must not happen to anybody


@pytest.mark.parametrize(
    ("operation", "use"),
    [
        ("lookup", lambda file: (file.parent / "unknown").stat()),
        ("read", lambda file: file.read_bytes()),
        ("mkdir", lambda file: (file.parent / "folder").mkdir()),
        ("setxattr", lambda file: os.setxattr(file, "user.name", b"")),
    ],
)
def test_an_error_of_ours_is_one_calls_error(
    served: Served, top: Path, operation: str, use: Callable[[Path], object]
) -> None:
    file = top / "file"
    file.write_text("content")
    served.tell("fail", operation=operation, now=True)
    told = refused(lambda: use(file))
    served.tell("fail", operation=operation, now=False)
    assert told == errno.EIO
    (top / "after").write_text("goes on")
    assert (top / "after").read_text() == "goes on"


# Ends


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_of_a_mount_ends_serving(backend: str, tmp_path: Path) -> None:
    served = Served(backend, tmp_path)
    try:
        (served.point / "file").write_text("content")
        holder.unmount(served.point)
        assert served.hear() == {"ended": True}
    finally:
        served.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_serving_ends_when_it_is_told_to(backend: str, tmp_path: Path) -> None:
    served = Served(backend, tmp_path)
    try:
        with contextlib.suppress(OSError), (served.point / "file").open("w") as stream:
            stream.write("content")
            stream.flush()
            served.tell("close")
            assert served.hear() == {"ended": True}
            gone = (errno.ENOTCONN, errno.ECONNABORTED)
            assert refused(lambda: os.fstat(stream.fileno())) in gone
    finally:
        served.close()
