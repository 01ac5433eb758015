"""A device whose files are in a drive, mounted for real; nobody but other programs looks inside."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.e2e.conftest import Machine

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 60.0
"""Seconds for a program that uses the drive."""

_FILES = """
import base64, json, os, sys
found = {}
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(directory, name)
        with open(path, "rb") as file:
            found[os.path.relpath(path, sys.argv[1])] = base64.b64encode(file.read()).decode()
print(json.dumps(found))
"""
_WRITE = """
import os, sys
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
with open(sys.argv[1], "wb") as file:
    file.write(sys.stdin.buffer.read())
"""
_MARK = "import os, sys; print(os.getxattr(sys.argv[1], 'user.vaultsync.' + sys.argv[2]).decode())"


class DriveMachine(Machine):
    """A device with a daemon and a drive.

    Attributes:
        holder: The process that holds the mount, while one of ours does.
    """

    holder: subprocess.Popen[str] | None = None

    def __init__(self, home: Path, name: str) -> None:
        super().__init__(home, name, drive=True)

    @property
    def point(self) -> Path:
        """Where it is mounted."""
        return self.folder

    def mount(self, *options: str) -> None:
        """Mount in the foreground of a process of ours; return once it is served."""
        log = (self.config_dir.parent / "holder.log").open("a")
        with log:
            self.holder = self.process(
                "--json", "mount", "--foreground", *options, stdout=subprocess.PIPE, stderr=log
            )
        assert self.holder.stdout is not None
        said = json.loads(self.holder.stdout.readline())
        assert said["ok"], said

    def unmounted(self) -> int:
        """Wait until the holder has ended; returns its exit code."""
        holder, self.holder = self.holder, None
        assert holder is not None
        try:
            return holder.wait(30)
        finally:
            holder.kill()
            holder.wait()
            if holder.stdout is not None:
                holder.stdout.close()

    def use(self, *command: str | Path, typed: bytes = b"") -> bytes:
        """Run a program that uses the drive; returns what it printed."""
        return subprocess.run(
            command, input=typed, stdout=subprocess.PIPE, timeout=LIMIT, check=True
        ).stdout

    def python(self, program: str, *arguments: str | Path, typed: bytes = b"") -> str:
        """Run Python that uses the drive; returns what it printed."""
        return self.use(sys.executable, "-c", program, *arguments, typed=typed).decode().strip()

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file in the drive."""
        data = content.encode() if isinstance(content, str) else content
        self.python(_WRITE, self.point / path, typed=data)

    def read(self, path: str) -> bytes:
        """What is in a file of the drive."""
        return self.use("cat", self.point / path)

    def names(self) -> list[str]:
        """The names in the drive's root."""
        return sorted(self.use("ls", "-A", self.point).decode().splitlines())

    def mark(self, path: str, name: str = "status") -> str:
        """An extended attribute of ours."""
        return self.python(_MARK, self.point / path, name)

    def files(self) -> dict[str, bytes]:
        """Every file in the drive with its content."""
        found: dict[str, str] = json.loads(self.python(_FILES, self.point))
        return {path: base64.b64decode(content) for path, content in found.items()}

    def until_mark(self, path: str, wanted: str, seconds: float = 30) -> None:
        """Wait until a file's status is this."""
        ends = time.monotonic() + seconds
        while (found := self.mark(path)) != wanted:
            assert time.monotonic() < ends, f"{path} is {found}, not {wanted}"
            time.sleep(0.1)

    def drive(self) -> Any:
        """What the daemon says of the drive."""
        return self.run("status")["drive"]

    def close(self) -> None:
        """Leave neither mount nor process, whatever has become of them."""
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["fusermount3", "-u", "-z", os.fspath(self.point)]
            subprocess.run(command, capture_output=True, timeout=10, check=False)
        if self.holder is not None:
            self.holder.kill()
            self.unmounted()
        if self.daemon is not None:
            self.crash()
