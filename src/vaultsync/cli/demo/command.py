"""`vaultsync demo`: everything that matters, shown on this machine alone in about two minutes.

A local cloud, two people and four devices come up in a temporary folder. The steps are judged by
files on disk, by what the public commands print and by what S3 answers.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaultsync.cli import exits
from vaultsync.cli.call import Call, Verb
from vaultsync.cli.demo.drive import DRIVE
from vaultsync.cli.demo.steps import ANN, FOUNDATIONS, LAST, LIFETIME, STEPS, World
from vaultsync.cli.demo.world import PASSWORD, CommandFailed, Device
from vaultsync.cli.render import printable
from vaultsync.core.errors import VaultsyncError
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes:
        name: The step's function.
        title: What it shows, one sentence.
        ok: Whether that was so.
        seconds: How long it took.
        detail: What was seen, or why it failed.
    """

    name: str
    title: str
    ok: bool
    seconds: float
    detail: str


def _try(step: Callable[[World], str], world: World) -> Outcome:
    """Do one step and time it; whatever goes wrong is its outcome."""
    begun = time.monotonic()
    try:
        detail, ok = step(world), True
    except VaultsyncError as error:
        detail, ok = " ".join(filter(None, (error.message, error.hint))), False
    except Exception as error:  # noqa: BLE001 - a step that breaks is a line of the checklist
        detail, ok = f"{type(error).__name__}: {error}", False
    title = (step.__doc__ or "").rstrip(".")
    return Outcome(step.__name__, title, ok, round(time.monotonic() - begun, 1), detail)


def perform(world: World, told: Callable[[Outcome], None], keep: Callable[[], None]) -> bool:
    """Do all steps.

    Args:
        world: Where.
        told: Called with each outcome as it is known.
        keep: Called before everything is stopped.

    Returns:
        Whether all of it was as it should be.
    """
    fine = True
    for step in (*FOUNDATIONS, *STEPS, *DRIVE):
        outcome = _try(step, world)
        told(outcome)
        fine = fine and outcome.ok
        if not outcome.ok and step in FOUNDATIONS:
            break
    keep()
    last = _try(LAST, world)
    told(last)
    return fine and last.ok


@contextmanager
def _world() -> Iterator[World]:
    """A world in a temporary folder; on leaving nothing of it runs or remains."""
    from vaultsync.cloud.local import LocalCloud  # noqa: PLC0415 - brings boto3

    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="vaultsync-demo-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        cloud = LocalCloud(home / "cloud", credential_seconds=LIFETIME)
        stack.callback(cloud.stop)
        laptop, desktop, other = (Device(home, name) for name in ("laptop", "desktop", "other"))
        drive = Device(home, "drive", drive=True)
        for device in (laptop, desktop, other, drive):
            stack.callback(_stop, device)
        stack.callback(_unmount, drive)
        yield World(home, cloud, laptop, desktop, other, drive, holder.usable())


def _unmount(device: Device) -> None:
    """Leave no mount, whatever has become of its daemon."""
    with suppress(VaultsyncError):
        holder.unmount(device.folder, lazy=True)


def _stop(device: Device) -> None:
    """Stop a device's daemon if there is one."""
    try:
        device.run("stop")
    except CommandFailed:
        return


@click.command(cls=Verb)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.pass_obj
def demo(call: Call, keep: bool) -> int:
    """Show vaultsync at work on this machine alone, and check every claim.

    A local cloud, two people and four devices come up in a temporary folder. Needs the extra
    `local`. Takes about two minutes, reaches nothing but this machine, and leaves nothing behind.
    """
    signal.signal(signal.SIGTERM, _interrupted)
    begun = time.monotonic()
    outcomes: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if not call.screen.json:
            mark = (
                click.style("  ok  ", fg="green") if outcome.ok else click.style("FAILED", fg="red")
            )
            click.echo(
                f"{mark} {outcome.seconds:5.1f} s  {outcome.title}: {printable(outcome.detail)}"
            )

    with _world() as world:
        fine = perform(world, told, lambda: _linger(call, world) if keep else None)
    seconds = round(time.monotonic() - begun, 1)
    result = {"passed": fine, "seconds": seconds, "steps": [asdict(each) for each in outcomes]}
    count, steps = sum(outcome.ok for outcome in outcomes), (*FOUNDATIONS, *STEPS, *DRIVE, LAST)
    summary = f"{count} of {len(steps)} as they should be, in {seconds} s"
    call.screen.result(result, [summary])
    return exits.OK if fine else exits.FAILED


def _linger(call: Call, world: World) -> None:
    """Say what to try, and wait for Ctrl-C."""
    call.screen.note(
        f"""
Everything is still running. In another terminal, try:

  {world.laptop.command} status
  {world.laptop.command} conflicts
  echo hello > {world.laptop.folder}/hello.txt
  ls {world.desktop.folder}

{ANN}'s password is {PASSWORD}
Ctrl-C here ends it all and removes {world.home}"""
    )
    with suppress(KeyboardInterrupt):
        signal.pause()


def _interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
