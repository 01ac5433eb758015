"""What an operation costs the serving process: `python -m tests.mount.kernel.measure`.

The file system is the tests' one in memory, so what is seen is the wire and little else. CPU is
user and system time of the server, per operation of the client.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mount.kernel.mounted import Mounted

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 5000


def _report(mount: Mounted, what: str, count: int, work: Callable[[], None]) -> None:
    before, start = mount.tell("usage"), time.monotonic()
    work()
    took, used = time.monotonic() - start, mount.tell("usage") - before
    print(
        f"{what:32} {used / count * 1e6:8.1f} us CPU {took / count * 1e6:8.1f} us elapsed",
        flush=True,
    )


def _all(mount: Mounted) -> None:
    root = os.fspath(mount.point)
    names = [f"{root}/f{index}" for index in range(COUNT)]

    def lookup() -> None:
        for name in names:
            os.path.lexists(name + "x")

    def create() -> None:
        for name in names:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, bytes(4096))
            os.close(fd)

    def getattr_() -> None:
        for name in names:
            os.stat(name)  # noqa: PTH116 - the call that is measured

    def read() -> None:
        for name in names:
            fd = os.open(name, os.O_RDONLY)
            os.read(fd, 8192)
            os.close(fd)

    def unlink() -> None:
        for name in names:
            os.unlink(name)  # noqa: PTH108 - the same

    _report(mount, "lookup of nothing", COUNT, lookup)
    _report(mount, "create, write 4 KiB, close", COUNT, create)
    _report(mount, "getattr (after write)", COUNT, getattr_)
    _report(mount, "open, read, close", COUNT, read)
    _report(mount, "unlink", COUNT, unlink)
    mount.tell("fill", name="dir", count=10_000)

    def list_() -> None:
        mount.run(["ls", "-l", "dir"])

    _report(mount, "ls -l of 10,000, per entry", 10_000, list_)
    big = f"{root}/big"

    def write() -> None:
        block = bytes(1 << 20)
        fd = os.open(big, os.O_WRONLY | os.O_CREAT, 0o644)
        for _ in range(128):
            os.write(fd, block)
        os.close(fd)

    def sequential() -> None:
        fd = os.open(big, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(fd, 1 << 20):
            pass
        os.close(fd)

    _report(mount, "write, per MiB", 128, write)
    _report(mount, "read, per MiB", 128, sequential)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        mount = Mounted(Path(folder) / "drive", work)
        try:
            mount.start(fresh=True)
            _all(mount)
        finally:
            mount.close()


if __name__ == "__main__":
    main()
