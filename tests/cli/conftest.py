"""The program as people start it: a process, with a pipe or a terminal, against a served vault."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.served import PlainVault, serving
from vaultsync import config
from vaultsync.paths import places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 30


@dataclass(frozen=True)
class Said:
    """What a command said.

    Attributes:
        code: Its exit code.
        out: Standard output; on a terminal both streams, as the terminal got them.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one envelope on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


@dataclass(frozen=True)
class Program:
    """`vaultsync --config-dir DIR`.

    Attributes:
        home: That folder.
        folder: The synced folder of the profile `default`.
    """

    home: Path
    folder: Path

    def __call__(self, *words: str, typed: str = "", **environment: str) -> Said:
        """Run in a pipe."""
        done = subprocess.run(
            self.command(*words),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=os.environ | environment,
        )
        assert "Traceback" not in done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def on_terminal(
        self, *words: str, answers: tuple[tuple[str, str], ...] = (), **environment: str
    ) -> Said:
        """Run on a terminal of 100 columns.

        Args:
            words: The command.
            answers: Pairs of what to wait for on the terminal and what to type then.
            environment: More variables.
        """
        ours, theirs = pty.openpty()
        environment = {"TERM": "xterm-256color", "COLUMNS": "100", **environment}

        def own_terminal() -> None:
            # A run in the background may be deaf to Ctrl-C, and its children with it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        with subprocess.Popen(
            self.command(*words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=own_terminal,  # noqa: PLW1509 - no thread of the test holds a lock
            env=os.environ | environment,
        ) as process:
            os.close(theirs)
            seen = keys = ""
            for prompt, keys in answers:
                seen += _read(ours, prompt)
                os.write(ours, keys.encode())
            # Python sees no Ctrl-C that comes after its prompt and before its read, until the
            # next key: a person presses it once more.
            seen += _read(ours, again=keys if keys == "\x03" else "")
            os.close(ours)
            return Said(process.wait(SECONDS), seen.replace("\r\n", "\n"), "")

    def command(self, *words: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "vaultsync.cli", "--config-dir", str(self.home), *words]


def _read(descriptor: int, until: str = "", *, again: str = "") -> str:
    """What a terminal shows up to some text, or to the end, which it tells as EIO.

    Args:
        descriptor: Our end of the terminal.
        until: The text to wait for; empty for the end.
        again: What to type once more when nothing comes for a tenth of the time.
    """
    seen = b""
    while not until or until.encode() not in seen:
        ready, _, _ = select.select([descriptor], [], [], SECONDS / 10 if again else SECONDS)
        if again and not ready:
            os.write(descriptor, again.encode())
            again = ""
            continue
        assert ready, f"nothing came for {SECONDS} s after {seen!r}"
        try:
            seen += os.read(descriptor, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            assert not until, f"it ended without '{until}': {seen!r}"
            break
    return seen.decode()


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """The program without any profile."""
    return Program(tmp_path / "vs", tmp_path / "folder")


@pytest.fixture
def program(bare: Program) -> Program:
    """The program with the profile `default`; its cloud does not exist."""
    bare.folder.mkdir()
    settings = {
        "cloud.region": "eu-west-1",
        "cloud.user_pool_id": "eu-west-1_abc",
        "cloud.client_id": "client",
        "cloud.identity_pool_id": "eu-west-1:pool",
        "cloud.bucket": "bucket",
        "cloud.endpoint_url": "http://127.0.0.1:9",
        "folder.path": bare.folder,
        "auth.store": "file",
    }
    config.save(bare.home / "config.toml", "default", settings)
    return bare


@pytest.fixture
def vault(program: Program) -> Iterator[PlainVault]:
    """What the profile's daemon serves."""
    with serving(PlainVault(), places("default", program.home).socket) as served:
        yield served
