"""A device: a folder, a profile, and a real daemon that is killed, stopped and started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.s3model.profile import join
from vaultsync.config import DEFAULT
from vaultsync.core.errors import VaultsyncError
from vaultsync.daemon.client import Client
from vaultsync.paths import places

if TYPE_CHECKING:
    from tests.campaign.ledger import Ledger
    from tests.campaign.nursery import Child, Nursery
    from vaultsync.core.model import Status

_CLOCK = Path(__file__).with_name("clock.c")
_SETTINGS = ("VAULTSYNC_", "AWS_", "XDG_")


class Device:
    """One installation.

    Args:
        home: Where everything of it is kept.
        name: Its name.
        ledger: Where its life is noted.
        nursery: Starts its daemon.
        folder: Its folder, when it is not to be within `home`.
        clock: What `compiled_clock` made, if its clock is to be turned.

    Attributes:
        prefix: Of the person's keys in the bucket, once it has joined.
        kills: How often its daemon was killed.
        drive: Whether its files are in a drive.
    """

    drive = False

    def __init__(
        self,
        home: Path,
        name: str,
        ledger: Ledger,
        nursery: Nursery,
        folder: Path | None = None,
        clock: Path | None = None,
    ) -> None:
        self.home = home / name
        self.name = name
        self.ledger = ledger
        self.nursery = nursery
        self.folder = folder or self.home / "folder"
        self.config_dir = self.home / "config"
        self.prefix = ""
        self.kills = 0
        self.clock = clock
        self._process: Child | None = None
        self._time = self.home / "time"

    def join(self, url: str, poll_seconds: float, **settings: object) -> None:
        """Make the profile; the person is signed in already."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.turn_clock(0)
        settings |= {"folder.poll_seconds": poll_seconds, "log.level": "debug"}
        self.prefix = join(url, self.config_dir, self.folder, device=self.name, settings=settings)

    def start(self) -> None:
        """Start the daemon; it is not waited for."""
        self.ledger.note(self.name, "daemon starts")
        self._process = self._run("daemon")

    @property
    def log(self) -> Path:
        """What the daemon said."""
        return self.home / "daemon.log"

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        if self._process is not None:
            self.ledger.note(self.name, "daemon is killed")
            self._process.kill()
            self._process.wait()
            self._process = None
            self.kills += 1

    def stop(self) -> None:
        """Ask the daemon to end; one that does not is killed, which is a fault of its own."""
        if self._process is not None:
            self.ledger.note(self.name, "daemon is asked to end")
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.ledger.broke("hangs", "", f"{self.name} did not end within 60 s of SIGTERM")
                self._process.kill()
                self._process.wait()
            self._process = None

    def freeze(self, *, frozen: bool) -> None:
        """SIGSTOP, or SIGCONT."""
        if self._process is not None:
            self.ledger.note(self.name, "daemon is frozen" if frozen else "daemon thaws")
            self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def ended(self) -> int | None:
        """The exit code of a daemon that ended by itself; None otherwise."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        return code

    def turn_clock(self, seconds: int) -> None:
        """Make the daemon's clock wrong by so much."""
        self.home.mkdir(parents=True, exist_ok=True)
        beside = self._time.with_suffix(".new")
        beside.write_text(f"{seconds:+d}\n")
        beside.replace(self._time)

    def close(self) -> None:
        """End what runs."""
        self.kill()

    def watch(self) -> None:
        """Nothing but the daemon runs."""

    def forget(self) -> None:
        """Lose the state database; the daemon must not run."""
        self.ledger.note(self.name, "state database is deleted")
        for path in places(DEFAULT, self.config_dir).state_dir.glob("state.db*"):
            path.unlink()

    @property
    def client(self) -> Client:
        """A line to the daemon."""
        return Client(places(DEFAULT, self.config_dir).socket)

    def status(self) -> Status | None:
        """What the daemon says of itself; None when it does not answer."""
        with contextlib.suppress(VaultsyncError, OSError):
            return self.client.status()
        return None

    def waiting(self) -> list[str]:
        """What waits, and why."""
        with contextlib.suppress(VaultsyncError, OSError):
            return [f"{each.path!r} {each.code}: {each.reason}" for each in self.client.waiting(50)]
        return []

    def command(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one of the public commands."""
        return subprocess.run(
            self._words(*words),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def _run(self, *words: str) -> Child:
        """Start one of the commands that go on and on."""
        return self.nursery.start(self._words(*words), self._environment(), self.log)

    def _words(self, *words: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "vaultsync.cli", "--config-dir", str(self.config_dir), *words)

    def _environment(self) -> dict[str, str]:
        kept: dict[str, Any] = {
            key: value for key, value in os.environ.items() if not key.startswith(_SETTINGS)
        }
        if self.clock is not None:
            kept |= {"LD_PRELOAD": str(self.clock), "CLOCK_OFFSET": str(self._time)}
        return kept


def compiled_clock(place: Path) -> Path | None:
    """Make the library that turns a process's clock; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    made = place / "clock.so"
    subprocess.run((compiler, "-shared", "-fPIC", "-o", made, _CLOCK), check=True, timeout=60)
    return made
