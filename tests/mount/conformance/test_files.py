"""Content: written, read, cut, mapped, locked."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import random
import select
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.mount.conformance.calls import (
    COLLAPSE_RANGE,
    KEEP_SIZE,
    LIMIT,
    PUNCH_HOLE,
    ZERO_RANGE,
    Served,
    fallocate,
    refused,
)
from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs_fuse, pytest.mark.timeout(120)]


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
    appending = os.open(file, os.O_RDWR | os.O_APPEND)
    with mmap.mmap(appending, 10_000) as view:
        view[:5] = b"start"
    os.close(appending)
    assert file.stat().st_size == 10_000
    reading = os.open(file, os.O_RDONLY)
    with mmap.mmap(reading, 0, prot=mmap.PROT_READ) as view:
        assert view[:6] == b"start\0"
        assert view[5000:5007] == b"content"
    os.close(reading)


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
