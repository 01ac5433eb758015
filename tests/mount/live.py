"""A drive behind a real mount: kernel, tree, cache, and a vault in memory; programs use it.

    python -m tests.mount.live FOLDER

mounts one at an empty folder until Ctrl-C, to try a program or a suite of tests on it. What is
written is kept in a temporary folder, and goes with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from tests.mount.joint import Joint
from tests.mount.kernel.server import FileKeeper
from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.kernel import Kernel

LIMIT = 60.0
"""Seconds for a program that uses the drive."""


class Mounted:
    """A mounted drive. This process never looks into it itself.

    Args:
        home: An empty folder for all that the drive has.
        point: An empty folder to mount at; without one it is made in `home`.
        limit: Bytes that the cache may take.
        options: How to mount.
    """

    def __init__(
        self,
        home: Path,
        point: Path | None = None,
        *,
        limit: int = 1 << 40,
        options: holder.Options | None = None,
    ) -> None:
        work = home / "work"
        work.mkdir()
        self.point = point or home / "mount"
        self.point.mkdir(exist_ok=True)
        self.joint = Joint(work, limit)
        self.joint.tree.fresh()
        self.fd = holder.mount(self.point, options)
        self.kernel = Kernel(self.joint.tree, FileKeeper(home / "agreed"))
        self._thread = threading.Thread(
            target=lambda: self.kernel.serve(self.fd, fresh=True), daemon=True
        )
        self._thread.start()
        assert self.kernel.ready.wait(LIMIT)

    def run(self, script: str, *, limit: float = LIMIT) -> str:
        """Run a shell script in the mount; returns what it printed."""
        done = subprocess.run(
            ["env", f"--chdir={self.point}", "bash", "-euc", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        """Unmount."""
        holder.unmount(self.point, lazy=True)
        self.kernel.close()  # it may be mounted still where somebody has a copy of all mounts
        self._thread.join(LIMIT)
        os.close(self.fd)
        self.joint.close()


def main() -> None:
    """Mount until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Mount a drive that has no vault, to try it.")
    parser.add_argument("folder", type=Path, help="an empty folder")
    parser.add_argument("--limit", type=int, default=1 << 40, help="bytes that the cache may take")
    asked = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    options = holder.Options(allow_other=os.geteuid() == 0, devices=os.geteuid() == 0)
    with tempfile.TemporaryDirectory() as home:
        mounted = Mounted(Path(home), asked.folder, limit=asked.limit, options=options)
        print(f"A drive is at {asked.folder} until Ctrl-C.", flush=True)
        signal.sigwait(ends)
        mounted.close()


if __name__ == "__main__":
    main()
