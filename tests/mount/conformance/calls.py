"""A mounted drive from a program's side, and what it calls there."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from tests.mount.kernel.mounted import HERE
from vaultsync.core.errors import Blocked
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
        fd = holder.mount(self.point, holder.Options(allow_other=os.getuid() == 0))
        # Only the server has the connection: when it dies, whoever waits for it is let go.
        try:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.mount.conformance.server",
                    backend,
                    str(fd),
                    str(work),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(fd,),
                cwd=HERE,
            )
        finally:
            os.close(fd)
        with self.guarded():
            if self.hear() != {}:
                self.close()
                raise AssertionError("the drive is not served")

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Kill the server if this lasts too long: who waits for it cannot be interrupted."""
        guard = threading.Timer(LIMIT, self._server.kill)
        guard.daemon = True
        guard.start()
        try:
            yield
        finally:
            guard.cancel()

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
        self._server.kill()
        self._server.communicate(timeout=LIMIT)


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


def cold(served: Served, top: Path, name: str, size: int, seed: int) -> bytes:
    """Have a file come from the vault; returns its bytes, of which none are here."""
    served.tell("pull", path=f"{top.name}/{name}", size=size, seed=seed)
    return random.Random(seed).randbytes(size)
