"""Commands of the drive: mount, unmount, pin, unpin."""

from __future__ import annotations

import os
import select
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaultsync.cli.call import Call, Verb
from vaultsync.cli.looking import FOREVER, relative
from vaultsync.cli.running import Beginning, begin_daemon, last_words, spawn
from vaultsync.core.errors import (
    AnotherInstance,
    Misconfigured,
    NotFound,
    NotRunning,
    TimedOut,
    VaultsyncError,
)
from vaultsync.paths import make_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.model import Status

_STARTING = 60.0
"""Seconds for the daemon to start, and to serve the mount."""
_CACHE = click.FloatRange(0.01, 1_000_000)


@click.command(cls=Verb)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--read-only", is_flag=True, help="Let nothing be changed in the drive.")
@click.option(
    "--cache-size", metavar="GB", type=_CACHE, help="Keep so much on this disk meanwhile."
)
@click.option("--allow-other", is_flag=True, help="Let other users in, as the modes of files say.")
@click.option(
    "--backend",
    type=click.Choice(["kernel", "mfusepy"]),
    help="What speaks to the system: vaultsync itself, or libfuse3 for it; as is set otherwise.",
)
@click.option("--foreground", is_flag=True, help="Hold the mount here, until it is unmounted.")
@click.option("--ready-fd", type=int, hidden=True, help="Where to write when it is mounted.")
@click.pass_obj
def mount(
    call: Call,
    directory: Path | None,
    read_only: bool,
    cache_size: float | None,
    allow_other: bool,
    backend: str | None,
    foreground: bool,
    ready_fd: int | None,
) -> None:
    """Mount the drive at DIR, or where the profile says; the daemon is started when needed."""
    point = _point(call, directory)
    backend = backend or call.profile.drive.backend
    daemon = None
    if ready_fd is None:  # else who started this process has seen to it
        found = _running(call)
        _require_unmounted(found)
        daemon = begin_daemon(call) if found is None else None

    def mounted() -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"\n")
            os.close(ready_fd)
            return
        call.screen.result({"path": str(point), "pid": os.getpid()})
        call.screen.note(f"The drive is mounted at {point}.")

    if not foreground:
        options = ["--read-only"] * read_only + ["--allow-other"] * allow_other
        options += ["--backend", backend]
        if cache_size is not None:
            options += ["--cache-size", str(cache_size)]
        pid = _hold_in_background(call, point, options, daemon)
        call.screen.result({"path": str(point), "pid": pid})
        call.screen.note(f"The drive is mounted at {point} (held by process {pid}).")
        return
    from vaultsync.cli.holding import Holder  # noqa: PLC0415 - only here
    from vaultsync.mount.kernel.holder import Options  # noqa: PLC0415

    # Files that are executed or opened with their owner's rights are for root alone.
    how = Options(allow_other, read_only, devices=os.geteuid() == 0, backend=backend)
    serving = partial(_check, daemon)
    Holder(point, how, call.places.drive_socket, cache_size, _STARTING, serving, mounted).run()


def _check(daemon: Beginning | None) -> None:
    """Raise what a daemon said that has ended; that another one serves already is no fault."""
    if daemon is not None:
        with suppress(AnotherInstance):
            daemon.check()


def _hold_in_background(
    call: Call, point: Path, options: list[str], daemon: Beginning | None
) -> int:
    """Start a holder and return its process once the mount is served; raise what it says.

    Args:
        call: Which profile.
        point: Where to mount.
        options: Of the holder.
        daemon: The daemon, if it was started for this; raise what it says if it ends.
    """
    make_private(call.places.state_dir)
    words = call.places.holder_log
    ours, theirs = os.pipe()
    try:
        command = ["mount", str(point), *options, "--foreground", "--ready-fd", str(theirs)]
        try:
            process = spawn(call, words, *command, keep=(theirs,))
        finally:
            os.close(theirs)
        try:
            _await_word(ours, daemon, words)
        except BaseException:
            process.terminate()
            raise
        if os.read(ours, 1):
            return process.pid
    finally:
        os.close(ours)
    raise last_words(words, process.wait(_STARTING), words)


def _await_word(ours: int, daemon: Beginning | None, words: Path) -> None:
    """Return when there is something to read, or its end; raise what the daemon says if it ends."""
    waiting = [ours]
    with ExitStack() as stack:
        if daemon is not None:
            ended = os.pidfd_open(daemon.process.pid)
            stack.callback(os.close, ended)
            waiting.append(ended)
        while True:
            ready = select.select(waiting, [], [], 2 * _STARTING)[0]
            if not ready:
                raise TimedOut("The drive was not mounted in time.", f"See {words}.")
            if ours in ready:
                return
            _check(daemon)
            waiting = [ours]


@click.command(cls=Verb)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Return once everything is in the vault.")
@click.option(
    "--timeout", type=click.FloatRange(0, FOREVER), default=FOREVER, help="Seconds to wait at most."
)
@click.pass_obj
def unmount(call: Call, directory: Path | None, wait: bool, timeout: float) -> None:
    """Unmount the drive; what is not in the vault yet is sent all the same, by the daemon."""
    from vaultsync.mount.kernel import holder  # noqa: PLC0415 - only here

    ends = time.monotonic() + timeout
    found = _running(call)
    if directory is None and found is not None and found.drive is not None and found.drive.at:
        point = Path(found.drive.at)
    else:
        point = _point(call, directory)
    if holder.mounted(point) != holder.FSTYPE:
        raise NotFound(f"No drive is mounted at {point}.", "See `vaultsync status`.")
    holder.unmount(point, lazy=holder.stale(point))
    if found is not None:
        _until(lambda: _at(_running(call)) != str(point), min(10.0, timeout))
    if wait:
        call.client.wait_at_rest(max(0.0, ends - time.monotonic()))
    call.screen.result({"path": str(point)})
    call.screen.note(f"The drive is not mounted at {point} any more.")


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.pass_obj
def pin(call: Call, paths: tuple[str, ...]) -> None:
    """Keep files of the drive, or all below folders, on this machine, fetched in advance."""
    _pin(call, paths, pinned=True)


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.pass_obj
def unpin(call: Call, paths: tuple[str, ...]) -> None:
    """Let files of the drive go from this machine again, when room is needed."""
    _pin(call, paths, pinned=False)


def _pin(call: Call, paths: tuple[str, ...], *, pinned: bool) -> None:
    found = [relative(call, path) for path in paths]
    for path in found:
        call.client.pin(path, pinned=pinned)
    call.screen.result({"paths": found, "pinned": pinned})
    call.screen.note("Pinned." if pinned else "Not pinned any more.")


def _point(call: Call, directory: Path | None) -> Path:
    """The mount point that is meant, absolute."""
    profile = call.profile
    if profile.folder.kind != "drive":
        raise Misconfigured(
            f"The profile '{profile.name}' is the folder {profile.folder.path}, not a drive.",
            "Set up a drive with `vaultsync init --drive DIR`, in a profile of its own.",
        )
    point = profile.folder.path if directory is None else directory.expanduser()
    return Path(os.path.abspath(point))  # noqa: PTH100 - a link is kept as it is


def _require_unmounted(found: Status | None) -> None:
    """Raise AnotherInstance if somebody holds a mount; one that nobody holds is taken away."""
    drive = None if found is None else found.drive
    if drive is None or drive.at is None:
        return
    if drive.pid is not None:
        raise AnotherInstance(
            f"The drive is mounted at {drive.at} already.",
            "Unmount it there first, with `vaultsync unmount`.",
        )
    from vaultsync.mount.kernel import holder  # noqa: PLC0415 - only here

    # The daemon serves it, but it would not outlive the daemon.
    holder.unmount(Path(drive.at))


def _running(call: Call) -> Status | None:
    try:
        return call.client.status()
    except NotRunning:
        return None


def _at(found: Status | None) -> str | None:
    return None if found is None or found.drive is None else found.drive.at


def _until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for something that takes a moment, but is not worth failing for."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if done():
                return
        except VaultsyncError:
            return
        time.sleep(0.05)
