"""Devices for the demonstration: real daemons with folders, steered by the public commands alone.

Nothing here knows the program from the inside. What a device does is judged by `--json` and by the
files on disk, as a user would.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from vaultsync.core.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.config import Cloud

PASSWORD = "Correct-horse-9-battery"  # noqa: S105 - of accounts that live for two minutes
_PROGRAM = (sys.executable, "-m", "vaultsync.cli")
_SETTINGS = ("VAULTSYNC_", "AWS_", "XDG_")
_COMMAND_SECONDS = 120.0


class CommandFailed(Fatal):
    """A command said that it failed.

    Attributes:
        word: The machine-readable word of the answer, such as `offline`.
        status: The exit code.
    """

    def __init__(self, message: str, hint: str, word: str, status: int) -> None:
        super().__init__(message, hint)
        self.word = word
        self.status = status


class Device:
    """One installation: its own configuration, state and folder, side by side with others.

    Attributes:
        name: Shown in the names of conflict copies.
        folder: The synced folder, or where the drive is mounted.
        is_drive: Which of the two.
        config_dir: Where configuration, state and socket are.
        environment: What its commands see.
    """

    def __init__(
        self, home: Path, name: str, poll_seconds: float = 1, *, drive: bool = False
    ) -> None:
        """Describe a device; nothing is started and no file made but its folder.

        Args:
            home: A folder to keep everything of this device in.
            name: The device's name.
            poll_seconds: How often it asks the vault for changes.
            drive: Whether its files are in a drive, to be mounted at the folder.
        """
        self.name = name
        self.folder = home / name / "folder"
        self.config_dir = home / name / "config"
        self.is_drive = drive
        self.folder.mkdir(parents=True)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(_SETTINGS)},
            "VAULTSYNC_DEVICE_NAME": name,
            "VAULTSYNC_FOLDER_POLL_SECONDS": str(poll_seconds),
            "VAULTSYNC_AUTH_STORE": "file",
        }

    @property
    def command(self) -> str:
        """What a person would type to reach this device."""
        return f"vaultsync --config-dir {self.config_dir}"

    def process(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command of this device.

        Args:
            words: The command and its arguments, global options before them.
            options: For `subprocess.Popen`.
        """
        options.setdefault("env", self.environment)
        command = [*_PROGRAM, "--config-dir", str(self.config_dir), *words]
        process: subprocess.Popen[str] = subprocess.Popen(command, text=True, **options)
        return process

    def run(self, *words: str, typed: str = "", seconds: float = _COMMAND_SECONDS) -> Any:
        """Run a command to its end and return the `result` of its JSON answer.

        Args:
            words: The command and its arguments.
            typed: What it reads on standard input.
            seconds: How long it may take.

        Raises:
            CommandFailed: It said so, or said nothing that can be understood.
        """
        pipe = subprocess.PIPE
        command = ("--json", "--no-input", *words)
        with self.process(*command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                said, complained = process.communicate(typed, timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise CommandFailed(
                    f"`{' '.join(words)}` took longer than {seconds:g} s.", "", "timed-out", -1
                ) from None
        try:
            answer = json.loads(said)
        except ValueError:
            answer = {"ok": False, "error": {"message": (said + complained)[-500:]}}
        if answer["ok"] and process.returncode == 0:
            return answer["result"]
        error = answer.get("error", {})
        raise CommandFailed(
            f"{self.name}: `{words[0]}` said: {error.get('message', said)}",
            error.get("hint", ""),
            error.get("code", ""),
            process.returncode,
        )

    def join(self, cloud: Cloud, email: str, password: str = PASSWORD) -> None:
        """Point the device at a vault and sign in.

        Args:
            cloud: Where the vault lives.
            email: A confirmed account.
            password: Its password.
        """
        self.init(cloud)
        self.run("login", email, "--password-stdin", typed=password)

    def init(self, cloud: Cloud) -> None:
        """Write the configuration: this vault, this device's folder or drive."""
        ids = {
            "--region": cloud.region,
            "--user-pool": cloud.user_pool_id,
            "--client": cloud.client_id,
            "--identity-pool": cloud.identity_pool_id,
            "--bucket": cloud.bucket,
            "--endpoint": cloud.endpoint_url,
            "--drive" if self.is_drive else "--folder": str(self.folder),
        }
        self.run("init", *(word for pair in ids.items() for word in pair))

    def settle(self, seconds: float = 90) -> None:
        """Return once nothing is pending and the vault was looked at after this call.

        A daemon that was cut off is asked again until it is back.

        Args:
            seconds: How long that may take.

        Raises:
            CommandFailed: It did not come to rest.
        """
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            try:
                self.run("status", "--wait", "--timeout", str(max(int(left), 1)), seconds=left + 30)
            except CommandFailed as error:
                if error.word != "offline" or left <= 0:
                    raise
                time.sleep(0.5)
                self.run("sync")
            else:
                return


def settle(*devices: Device) -> None:
    """Wait until every device shows what the others have done.

    Args:
        devices: In the order in which changes travel; at the end the first looks once more, for
            what the others may have added.
    """
    for device in (*devices, devices[0]):
        device.settle()


def differences(one: Path, other: Path) -> list[str]:
    """How two folders differ in names, bytes, modification times and exec bits, as sentences."""
    here, there = dict(_tree(one)), dict(_tree(other))
    found = [f"only in {one.parent.name}: {path!r}" for path in sorted(here.keys() - there.keys())]
    found += [
        f"only in {other.parent.name}: {path!r}" for path in sorted(there.keys() - here.keys())
    ]
    for path in sorted(here.keys() & there.keys()):
        if here[path] != there[path]:
            found.append(f"{path!r}: {here[path]} and {there[path]}")
        elif here[path][0] == "file" and (one / path).read_bytes() != (other / path).read_bytes():
            found.append(f"{path!r}: other bytes")
    return found


def paths(root: Path) -> set[str]:
    """Every path below a folder, control folder left out."""
    return {path for path, _ in _tree(root)}


def _tree(root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Every path below a folder with what must be equal on all devices, control folder left out."""
    for directory, names, files in os.walk(root):
        if ".vaultsync" in names:
            names.remove(".vaultsync")
        for name in (*names, *files):
            full = os.path.join(directory, name)  # noqa: PTH118 - names need not be valid text
            found = os.lstat(full)
            path = os.path.relpath(full, root)
            if stat.S_ISDIR(found.st_mode):
                yield path, ("folder",)
            else:
                executable = bool(found.st_mode & stat.S_IXUSR)
                yield path, ("file", found.st_size, found.st_mtime_ns, executable)
