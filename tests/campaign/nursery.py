"""Starts processes from one that has nothing open.

A process that has files of a drive open cannot start the daemon which the drive waits for: what is
started closes its copies of them first, and closing waits for the daemon.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT = Path(__file__).parents[2]
_GLANCE = 0.02


class Child:
    """A process of the nursery's, with what is needed of `subprocess.Popen`.

    Args:
        nursery: Whose.
        pid: Its number.
    """

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        code: int | None = self._nursery.ask(["poll", self.pid])
        return code

    def send_signal(self, number: int) -> None:
        """Send it."""
        self._nursery.ask(["signal", self.pid, int(number)])

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        ends = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if ends is not None and time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(_GLANCE)
        return code


class Nursery:
    """The process, while the block runs; its children do not end with it. For any thread."""

    def __enter__(self) -> Self:
        command = (sys.executable, "-m", "tests.campaign.nursery")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True)
        self._lock = threading.Lock()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def ask(self, words: list[Any]) -> Any:
        """Have something done; returns what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            told = json.loads(self._process.stdout.readline())
        if "error" in told:
            raise OSError(told["error"])
        return told["result"]

    def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
        """Start a process in a session of its own, which writes to a log."""
        words = ["start", list(command), dict(environment), str(log), os.getcwd()]
        return Child(self, self.ask(words))

    def run(self, *command: str) -> bool:
        """Run a command to its end; whether it succeeded."""
        done: bool = self.ask(["run", list(command)])
        return done


def _start(
    children: dict[int, subprocess.Popen[bytes]],
    command: list[str],
    environment: dict[str, str],
    log: str,
    folder: str,
) -> int:
    with Path(log).open("ab") as said:
        made = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    children[made.pid] = made
    return made.pid


def _serve() -> None:
    children: dict[int, subprocess.Popen[bytes]] = {}
    for line in sys.stdin:
        what, *more = json.loads(line)
        try:
            if what == "start":
                result: object = _start(children, *more)
            elif what == "run":
                done = subprocess.run(more[0], check=False, capture_output=True)
                result = done.returncode == 0
            elif what == "poll":
                result = children[more[0]].poll()
            else:
                children[more[0]].send_signal(more[1])
                result = None
            told = {"result": result}
        except OSError as error:
            told = {"error": str(error)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve()
