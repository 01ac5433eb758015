"""Commands that start and stop the daemon."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

from vaultsync.cli.call import Call, Verb
from vaultsync.core import errors
from vaultsync.core.errors import AnotherInstance, NotRunning, TimedOut, VaultsyncError
from vaultsync.core.model import State
from vaultsync.paths import make_private

if TYPE_CHECKING:
    from pathlib import Path

_ASK_EVERY = 0.05
_BEGINNING = 20.0
"""Seconds that are waited for a daemon that answers to find out what keeps it from its work."""


@click.command(cls=Verb)
@click.option("--timeout", type=click.FloatRange(0, 600), default=30.0, help="Seconds to wait.")
@click.pass_obj
def start(call: Call, timeout: float) -> None:
    """Start the daemon in the background and wait until it answers."""
    call.profile  # noqa: B018 - a wrong configuration is told here, not in the daemon's log
    try:
        running = call.client.about()
    except NotRunning:
        pass
    else:
        raise AnotherInstance(
            f"The daemon is running already (process {running['pid']}).",
            "`vaultsync status` shows what it does.",
        )
    about = start_daemon(call, timeout)
    call.screen.result(about)
    call.screen.note(f"The daemon runs (process {about['pid']}).")


def start_daemon(call: Call, timeout: float) -> dict[str, object]:
    """Start the daemon, which is not running, and return what it says of itself.

    What keeps it from its work at once, such as a missing sign-in, is known by then.
    """
    ends = time.monotonic() + timeout
    about = _await_answer(call, begin_daemon(call), timeout)
    ends = min(ends, time.monotonic() + _BEGINNING)
    while call.client.status().state is State.STARTING and time.monotonic() < ends:
        time.sleep(_ASK_EVERY)
    return about


class Beginning:
    """A process that was started in the background, and may end at once.

    Args:
        process: It.
        words: Where its standard output and error go.
        log: What to point people to.
    """

    def __init__(self, process: subprocess.Popen[bytes], words: Path, log: Path) -> None:
        self.process = process
        self._words = words
        self._log = log

    def check(self, seconds: float = 0) -> None:
        """Wait for its end for so long; raise what it said, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise last_words(self._words, self.process.wait(seconds), self._log)


def begin_daemon(call: Call) -> Beginning:
    """Start the daemon, which is not running, and return at once."""
    make_private(call.places.state_dir)
    words = call.places.state_dir / "daemon.err"
    return Beginning(spawn(call, words, "daemon", "--background"), words, call.places.log)


def spawn(
    call: Call, words: Path, *command: str, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, with its errors as JSON.

    Args:
        call: Which profile.
        words: Where its standard output and error go.
        command: The command.
        keep: Descriptors that it gets.
    """
    program = [sys.executable, "-m", "vaultsync.cli", "--profile", call.profile_name]
    if call.config_dir is not None:
        program += ["--config-dir", str(call.config_dir.absolute())]
    program += ["-v"] if call.verbose else []
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(words, flags, 0o600), "wb") as stream:
        return subprocess.Popen(
            [*program, *command, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd="/",
            start_new_session=True,
            env=_own_environment(),
            pass_fds=keep,
        )


def _own_environment() -> dict[str, str]:
    """What a process sees that is nobody's service: ours may be the one that systemd watches."""
    watched = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    return {name: value for name, value in os.environ.items() if name not in watched}


def _await_answer(call: Call, daemon: Beginning, timeout: float) -> dict[str, object]:
    """Wait until the daemon answers; raise what it said when it ends instead."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            return call.client.about()
        except NotRunning:
            pass
        daemon.check(_ASK_EVERY)
    daemon.process.terminate()
    daemon.process.wait()
    raise TimedOut(
        f"The daemon did not answer within {timeout:g} seconds.", f"See {call.places.log}."
    )


def last_words(words: Path, code: int, log: Path) -> VaultsyncError:
    """The error with which a process in the background ended."""
    import json  # noqa: PLC0415

    from vaultsync.daemon import wire  # noqa: PLC0415

    for line in reversed(words.read_text(errors="replace").splitlines()):
        if line.startswith("{"):
            return wire.error_from_json(json.loads(line).get("error", {}))
    return errors.Fatal(f"It ended at once with code {code}.", f"See {log}.")


@click.command(cls=Verb)
@click.option("--timeout", type=click.FloatRange(0, 600), default=60.0, help="Seconds to wait.")
@click.pass_obj
def stop(call: Call, timeout: float) -> None:
    """End the daemon; what is under way is finished or undone."""
    pid = int(call.client.about()["pid"])
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        watched = None
    try:
        call.client.stop()
        if watched is not None and not select.select([watched], [], [], timeout)[0]:
            raise TimedOut(
                f"The daemon (process {pid}) has not ended within {timeout:g} seconds.",
                f"Wait, or see {call.places.log}.",
            )
    finally:
        if watched is not None:
            os.close(watched)
    call.screen.result({"pid": pid})
    call.screen.note("The daemon has ended.")


@click.command(cls=Verb)
@click.option("--background", is_flag=True, hidden=True, help="Log to a file.")
@click.pass_obj
def daemon(call: Call, background: bool) -> None:
    """Run the daemon in the foreground, for systemd and for looking closely."""
    from vaultsync import logs  # noqa: PLC0415 - only a daemon logs
    from vaultsync.daemon.service import build  # noqa: PLC0415 - imports all of the engine

    profile = call.profile
    logs.setup(profile.log.level, call.places.log if background else None)
    build(profile, call.places).run()
