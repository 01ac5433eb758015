"""A mount and the process that serves it, from a test's side."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from vaultsync.core.errors import Blocked
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Sequence


needs_fuse = pytest.mark.skipif(not holder.usable(), reason="nothing can be mounted here")
_LIMIT = 30.0
HERE = Path(__file__).parents[3]


class Mounted:
    """The holder: mounts, keeps the descriptor, and starts a server as often as it is told.

    Args:
        point: Where to mount; made.
        work: Folder for the server's files.
        durable: Whether the file system survives its process.
        allow_other: Whether other users may enter.
    """

    def __init__(
        self,
        point: Path,
        work: Path,
        *,
        durable: bool = False,
        allow_other: bool = False,
    ) -> None:
        self.point = point
        self._work = work
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lines: TextIO | None = None
        self._programs: list[subprocess.Popen[bytes]] = []
        point.mkdir()
        self.fd = holder.mount(point, holder.Options(allow_other=allow_other))

    def start(self, *, fresh: bool) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(_LIMIT)
        self._control = ours
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.mount.kernel.server"], stdin=theirs.fileno(), cwd=HERE
            )
        place = str(self._work) if self._durable else ""
        keeper = str(self._work / "agreed")
        holder.offer(ours, self.fd, {"place": place, "keeper": keeper, "fresh": fresh})
        self._lines = ours.makefile("rw")
        assert self._lines.readline() == "{}\n"

    def tell(self, what: str, **arguments: Any) -> Any:
        """Have the server do something; see `server.Orders`."""
        assert self._lines is not None
        self._lines.write(json.dumps({"do": what, **arguments}) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())["answer"]

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(_LIMIT)
            self._server = None
        if self._lines is not None:
            with contextlib.suppress(OSError):
                self._lines.close()
        if self._control is not None:
            self._control.close()

    def ended(self) -> int:
        """Wait for the server to end by itself; returns its exit code."""
        assert self._server is not None
        return self._server.wait(_LIMIT)

    def run(self, command: Sequence[str]) -> str:
        """Run a program that uses the mount, for a limited time; returns what it printed."""
        # Not by `cwd`: this process would wait until the new one is there.
        return subprocess.run(
            ["env", f"--chdir={self.point}", *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        ).stdout

    def begin(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start a program outside of the mount; it is killed if it has not ended at the end.

        Not inside: this process would wait until the new one is there.
        """
        program = subprocess.Popen(command, cwd=self._work)
        self._programs.append(program)
        return program

    def python(self, program: str, *arguments: str) -> Any:
        """Run Python in the mount; returns what it printed as JSON."""
        printed = self.run([sys.executable, "-c", f"import json, os, sys\n{program}", *arguments])
        return json.loads(printed)

    def close(self) -> None:
        """Leave neither mount nor process."""
        with contextlib.suppress(Blocked):
            holder.unmount(self.point, lazy=True)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.kill()
        # Only now: who waits for a request that was read cannot even be killed.
        for program in self._programs:
            program.kill()
            program.wait(_LIMIT)
