"""Files that come from the vault, errors of ours, and how serving ends."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mount.conformance.calls import LIMIT, Served, cold, refused
from tests.mount.kernel.mounted import needs_fuse
from vaultsync.mount.kernel import holder
from vaultsync.mount.serving import BACKENDS, KERNEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [needs_fuse, pytest.mark.timeout(120)]


def seen(served: Served, change: Callable[[], bool]) -> None:
    """Go on once a change is seen: the kernel is told of it by another thread, or needs no word."""
    ends = time.monotonic() + LIMIT
    while served.backend == KERNEL and not change() and time.monotonic() < ends:
        time.sleep(0.01)
    assert change()


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


def test_one_who_waits_for_the_network(served: Served, top: Path) -> None:
    data = cold(served, top, "file", 100_000, 6)
    (top / "other").write_text("here")
    with ThreadPoolExecutor(2) as pool:
        served.tell("hold", now=True)
        try:
            waiting = pool.submit((top / "file").read_bytes)
            served.tell("entered")
            other = pool.submit((top / "other").read_text)
            if served.backend == KERNEL:  # through mfusepy all wait for him
                assert other.result(LIMIT) == "here"
            assert not waiting.done()
        finally:
            served.tell("hold", now=False)
        assert waiting.result(LIMIT) == data
        assert other.result(LIMIT) == "here"


def test_what_comes_from_the_vault_is_seen_at_once(served: Served, top: Path) -> None:
    file = top / "file"
    assert not file.exists()
    first = cold(served, top, "file", 10_000, 4)
    seen(served, file.exists)
    assert file.read_bytes() == first
    inode = file.stat().st_ino
    with file.open("rb", 0) as stream:
        second = cold(served, top, "file", 10_000, 5)
        seen(served, lambda: file.stat().st_ino != inode)
        assert file.read_bytes() == second
        # Who has it open goes on with the version that he has opened.
        assert stream.read() == first
        assert file.read_bytes() == second
        stream.seek(5000)
        assert stream.read() == first[5000:]
        with file.open("r+b") as other:
            told = refused(lambda: mmap.mmap(other.fileno(), 10_000))
            assert told == (0 if served.backend == KERNEL else errno.ENODEV)
    with file.open("r+b") as other, mmap.mmap(other.fileno(), 10_000) as view:
        assert view[:] == second


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
