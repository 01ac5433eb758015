"""Devices whose daemons run in the foreground, so that a test can wait for, kill and judge them."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from vaultsync.cli.demo.world import Device, differences, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.cloud.local import LocalCloud


class Machine(Device):
    """A device with a daemon of its own.

    Attributes:
        daemon: The daemon's process while it runs.
    """

    daemon: subprocess.Popen[str] | None = None

    def up(self, seconds: float = 30) -> None:
        """Start the daemon and return once it says that it is ready."""
        address = f"vaultsync-e2e-{secrets.token_hex(8)}"
        environment = {**self.environment, "NOTIFY_SOCKET": "@" + address}
        self.config_dir.mkdir(exist_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            self.log.open("a") as log,
        ):
            manager.bind("\0" + address)
            manager.settimeout(0.2)
            self.daemon = self.process("daemon", env=environment, stdout=log, stderr=log)
            deadline = time.monotonic() + seconds
            while True:
                try:
                    if b"READY=1" in manager.recv(4096):
                        return
                except TimeoutError:
                    assert self.daemon.poll() is None, self.log.read_text()[-2000:]
                    assert time.monotonic() < deadline, "the daemon did not become ready"

    @property
    def log(self) -> Path:
        """What the daemon said."""
        return self.config_dir.parent / "daemon.log"

    def down(self) -> int:
        """Ask the daemon to end and return its exit code."""
        return self._end(signal.SIGTERM)

    def crash(self) -> None:
        """End the daemon as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        daemon, self.daemon = self.daemon, None
        assert daemon is not None
        daemon.send_signal(how)
        try:
            return daemon.wait(30)
        finally:
            daemon.kill()
            daemon.wait()

    def refusal(self, *words: str, seconds: float = 30) -> tuple[int, str]:
        """Run a command that is to fail; its exit code and what it said on standard error."""
        pipe = subprocess.PIPE
        with self.process("--no-input", *words, stdout=pipe, stderr=pipe) as process:
            try:
                _, complaint = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, complaint

    def until_told(self, path: str, word: str, reason: str) -> None:
        """Wait until `status PATH` says this of a file."""
        ends = time.monotonic() + 30
        while True:
            (found,) = self.run("status", path)["paths"]
            if (found["condition"], found["reason"]) == (word, reason):
                return
            assert time.monotonic() < ends, found
            time.sleep(0.1)

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file in the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def files(self) -> dict[str, bytes]:
        """Every file in the folder with its content, control folder left out."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and ".vaultsync" not in path.relative_to(self.folder).parts
        }


class Household(NamedTuple):
    """One person with two devices, both signed in, daemons not started."""

    laptop: Machine
    desktop: Machine

    def up(self) -> None:
        """Start both daemons."""
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(Machine.up, self))

    def down(self) -> None:
        """End both daemons; each must leave with 0."""
        with ThreadPoolExecutor() as at_once:
            assert list(at_once.map(Machine.down, self)) == [0, 0]

    def same(self) -> dict[str, bytes]:
        """Wait until both are at rest and equal; return the files."""
        settle(*self)
        assert differences(self.laptop.folder, self.desktop.folder) == []
        return self.laptop.files()


@pytest.fixture
def new_machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Call it with a name for a new device; its daemon is ended after the test."""
    made: list[Machine] = []

    def make(name: str = "laptop") -> Machine:
        made.append(Machine(tmp_path, name))
        return made[-1]

    yield make
    for machine in made:
        if machine.daemon is not None:
            machine.crash()


@pytest.fixture
def new_household(
    new_machine: Callable[..., Machine], new_person: Callable[..., Any]
) -> Callable[[LocalCloud], Household]:
    """Call it with a cloud for a new person with two devices."""

    def make(local: LocalCloud) -> Household:
        email, password = new_person(local)
        both = Household(new_machine("laptop"), new_machine("desktop"))
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(lambda machine: machine.join(local.cloud, email, password), both))
        return both

    return make


@pytest.fixture
def household(new_household: Callable[[LocalCloud], Household], cloud: LocalCloud) -> Household:
    """A new person with two devices on the cloud that all tests share."""
    return new_household(cloud)
