"""Names: made, given anew, taken away, while something is open or not."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from tests.mount.conformance.calls import EXCHANGE, NOREPLACE, WHITEOUT, Served, refused, rename
from tests.mount.kernel.mounted import needs_fuse
from vaultsync.mount.serving import KERNEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs_fuse, pytest.mark.timeout(120)]


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
    assert os.readlink(top / "link") == "some/where"
    assert refused(lambda: os.readlink(top)) == errno.EINVAL
    long = "x" * 4095
    (top / "long").symlink_to(long)
    assert os.readlink(top / "long") == long
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


def test_an_open_file_with_another_name(top: Path) -> None:
    (top / "one").write_bytes(b"content")
    os.link(top / "one", top / "two")
    with (top / "one").open("r+b", 0) as first, (top / "two").open("rb", 0) as second:
        (top / "one").unlink()
        assert os.fstat(first.fileno()).st_nlink == 1
        assert os.fstat(second.fileno()).st_nlink == 1
        first.write(b"CON")
        assert second.read() == (top / "two").read_bytes() == b"CONtent"
        (top / "two").unlink()
        assert os.fstat(first.fileno()).st_nlink == 0
        assert os.fstat(second.fileno()).st_nlink == 0


def test_renaming_over_an_open_file(top: Path) -> None:
    (top / "old").write_bytes(b"old")
    (top / "new").write_bytes(b"new")
    with (top / "old").open("r+b", 0) as stream:
        (top / "new").rename(top / "old")
        assert stream.read() == b"old"
        assert (top / "old").read_bytes() == b"new"
        with (top / "old").open("r+b") as other, mmap.mmap(other.fileno(), 3) as view:
            assert view[:] == b"new"
        stream.write(b"er")
        assert (top / "old").read_bytes() == b"new"
        assert [one.name for one in top.iterdir()] == ["old"]


def test_a_rename_over_an_open_file_that_fails(served: Served, top: Path) -> None:
    (top / "old").write_bytes(b"old")
    (top / "new").write_bytes(b"new")
    with (top / "old").open("r+b", 0) as stream:
        served.tell("fail", operation="rename", now=True)
        told = rename(top / "new", top / "old", 0)
        served.tell("fail", operation="rename", now=False)
        assert told == errno.EIO
        assert stream.read() == b"old"
        assert (top / "old").read_bytes() == b"old"
    assert {one.name: one.read_bytes() for one in top.iterdir()} == {"old": b"old", "new": b"new"}
    (top / "new").rename(top / "old")
    assert (top / "old").read_bytes() == b"new"


def test_an_open_file_follows_its_folder(top: Path) -> None:
    (top / "folder").mkdir()
    file = top / "folder" / "file"
    with file.open("w+b", 0) as stream, (top / "folder" / "gone").open("w+b", 0) as gone:
        (top / "folder" / "gone").unlink()
        (top / "folder").rename(top / "moved")
        stream.write(b"content")
        gone.write(b"more")
        assert (top / "moved" / "file").read_bytes() == b"content"
        assert os.fstat(stream.fileno()).st_size == 7
        assert os.fstat(gone.fileno()).st_size == 4
        assert [one.name for one in (top / "moved").iterdir()] == ["file"]


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
    folder.mkdir()
    with os.scandir(folder) as found:
        folder.rmdir()
        assert list(found) == []


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
        with open(base + b"/" + name, "wb") as stream:
            stream.write(name)
    assert sorted(os.listdir(base)) == sorted(NAMES)
    for name in NAMES:
        with open(base + b"/" + name, "rb") as stream:
            assert stream.read() == name
        os.rename(base + b"/" + name, base + b"/other")
        os.symlink(name, base + b"/" + name)
        assert os.readlink(base + b"/" + name) == name
        os.unlink(base + b"/" + name)
    assert refused((top / ("x" * 256)).touch) == errno.ENAMETOOLONG
    assert refused((top / ("x" * 256)).mkdir) == errno.ENAMETOOLONG


def test_a_large_directory(top: Path) -> None:
    names = {f"{number:04d}-{'x' * 60}" for number in range(600)}
    for name in names:
        (top / name).touch()
    with os.scandir(top) as found:
        entries = {
            entry.name: (entry.is_file(follow_symlinks=False), entry.inode()) for entry in found
        }
    assert set(entries) == names
    assert all(is_file for is_file, _ in entries.values())
    assert all((top / name).stat().st_ino == entries[name][1] for name in list(names)[:20])
    told = []
    with os.scandir(top) as found:
        for entry in found:  # names go while they are read
            told.append(entry.name)
            os.unlink(entry)
    assert sorted(told) == sorted(names)
    assert list(top.iterdir()) == []
