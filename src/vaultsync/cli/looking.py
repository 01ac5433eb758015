"""Commands that look: status, why, conflicts."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from vaultsync.cli import exits
from vaultsync.cli.call import Call, Family, Verb
from vaultsync.cli.render import ago, amount, printable, until
from vaultsync.core.errors import NotRunning, Usage
from vaultsync.core.model import State, Status, Waiting
from vaultsync.core.standing import Condition, Standing
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.config import Profile

FOREVER = 86_400.0
"""Seconds that a wait without a limit lasts at most."""

_SENTENCES = {
    State.STARTING: "Starting.",
    State.SYNCING: "Syncing.",
    State.PAUSED: "Paused.",
    State.OFFLINE: "Offline.",
    State.SIGN_IN_NEEDED: "Sign-in needed.",
    State.WAITING_FOR_KEYRING: "Waiting for the keyring.",
    State.STOPPED: "Stopped.",
}
_COLOURS = {State.IDLE: "green", State.SYNCING: "cyan", State.STARTING: "cyan"}

_NEXT = {
    State.SIGN_IN_NEEDED: "vaultsync login",
    State.PAUSED: "vaultsync resume",
}


@click.command(cls=Verb)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--wait", is_flag=True, help="Return once everything is in sync.")
@click.option(
    "--timeout", type=click.FloatRange(0, FOREVER), default=FOREVER, help="Seconds to wait at most."
)
@click.option("--check", is_flag=True, help="Exit with 5 if there are conflicts or blocked items.")
@click.option("--pending", is_flag=True, help="List what is not in sync yet, and why.")
@click.pass_obj
def status(
    call: Call, paths: tuple[str, ...], wait: bool, timeout: float, check: bool, pending: bool
) -> int:
    """Show what the daemon does and whether everything is in sync.

    With PATH, tell how each of these files stands, and why: synced, online-only, uploading,
    pending, conflict, held, error or ignored; and of a folder, how many files are in each state.
    """
    if paths and pending:
        raise Usage("`--pending` lists everything that waits.", "Give it without a PATH.")
    profile, client = call.profile, call.client
    if wait:
        client.wait_at_rest(timeout)
    if paths:
        rows = [client.standing(path) for path in [relative(call, path) for path in paths]]
        return _standings(call, rows, check=check)
    found = client.status()
    waiting = client.waiting() if pending else []
    told = wire.status_to_json(found) | {
        "profile": profile.name,
        "folder": str(profile.folder.path),
    }
    if pending:
        told["waiting"] = [wire.waiting_to_json(item) for item in waiting]
    call.screen.result(told, describe(found, profile))
    if pending and not call.screen.json:
        head = ("PATH", "WAITS FOR", "WHY", "NEXT TRY")
        call.screen.table(head, [_row(item) for item in waiting])
        if not waiting:
            call.screen.note("Nothing is waiting.")
    return verdict(found) if check else exits.OK


def _standings(call: Call, found: list[Standing], *, check: bool) -> int:
    """Print how paths stand; the exit code is that of `--check`, if it was given."""
    told = [wire.standing_to_json(each) for each in found]
    call.screen.result({"profile": call.profile.name, "paths": told})
    if not call.screen.json:
        rows = [
            (
                each.path or "/",
                _words(each),
                f"{each.reason} {each.hint}".rstrip(),
                "" if each.next_try is None else until(each.next_try),
            )
            for each in found
        ]
        call.screen.table(("PATH", "STATE", "WHY", "NEXT TRY"), rows)
    words = {str(each.condition) for each in found}.union(*(each.counts or () for each in found))
    if not check:
        return exits.OK
    if Condition.HELD in words:
        return exits.HELD
    return exits.FOUND if words & {Condition.CONFLICT, Condition.ERROR} else exits.OK


def _words(found: Standing) -> str:
    """The state of a file, or the states of the files of a folder."""
    if found.condition is not None:
        return found.condition
    counts = (found.counts or {}).items()
    return ", ".join(f"{count:,} {word}" for word, count in counts) or "no files"


def describe(found: Status, profile: Profile) -> Iterator[str]:
    """A status in words, a line each."""
    sentence = _SENTENCES.get(found.state, "")
    if found.state is State.IDLE:
        sentence = "In sync." if not found.pending else "Waiting."
    yield click.style(sentence, fg=_COLOURS.get(found.state, "yellow"), bold=True)
    if found.reason:
        yield f"{printable(found.reason)} {printable(found.hint)}".rstrip()
    for warning in found.warnings:
        yield click.style("Warning", fg="yellow") + f"    {printable(warning)}"
    yield from _place(found, profile)
    yield f"Files      {found.files:,} ({amount(found.bytes)})"
    for label, count in (("Waiting", found.pending), ("Blocked", found.blocked)):
        if count:
            yield f"{label:<10} {count:,}  (`vaultsync status --pending`)"
    if found.held:
        yield f"Held       {found.held:,}  (`vaultsync held list`)"
    if found.conflicts:
        yield f"Conflicts  {found.conflicts:,}  (`vaultsync conflicts list`)"
    for transfer in found.transfers:
        size = amount(transfer.size)
        yield f"{str(transfer.verb).capitalize():<10} {printable(transfer.path)} ({size})"
    yield f"Looked     here {ago(found.scanned_at)}, in the vault {ago(found.polled_at)}"


def _place(found: Status, profile: Profile) -> Iterator[str]:
    drive = found.drive
    if drive is None:
        yield f"Folder     {printable(str(profile.folder.path))}"
        return
    mounted = "not mounted" if drive.at is None else "mounted"
    if drive.backend not in (None, "kernel"):
        mounted += f" through {drive.backend}"
    yield f"Drive      {printable(drive.at or str(profile.folder.path))} ({mounted})"
    yield f"Cache      {amount(drive.cached)} of {amount(drive.limit)}"


def verdict(found: Status) -> int:
    """The exit code of `--check`: the worst of what is not right."""
    by_state = {State.SIGN_IN_NEEDED: 4, State.OFFLINE: 8, State.STOPPED: exits.FAILED}
    if found.state in by_state:
        return by_state[found.state]
    if found.held:
        return exits.HELD
    return exits.FOUND if found.conflicts or found.blocked else exits.OK


def _row(item: Waiting) -> tuple[str, str, str, str]:
    why = f"{item.reason} {item.hint}".rstrip()
    return item.path, item.code, why, "" if item.next_try is None else until(item.next_try)


def overview(call: Call) -> int:
    """What `vaultsync` alone prints: the status, and what to do next."""
    call.screen.command = "status"
    config = call.config
    if call.profile_name not in config.profiles:
        _step(call, {"state": "not set up"}, "Not set up yet.", "vaultsync init")
        return exits.OK
    profile = config.profiles[call.profile_name]
    try:
        found = call.client.status()
    except NotRunning:
        step = "vaultsync start" if profile.auth.username else "vaultsync login"
        _step(call, {"state": "not running"}, "The daemon is not running.", step)
        return exits.OK
    told = wire.status_to_json(found) | {
        "profile": profile.name,
        "folder": str(profile.folder.path),
    }
    call.screen.result(told | {"next": _next(found)}, describe(found, profile))
    if _next(found):
        call.screen.note(f"Next: `{_next(found)}`")
    return exits.OK


def _next(found: Status) -> str:
    if found.state in _NEXT:
        return _NEXT[found.state]
    if found.held:
        return "vaultsync held list"
    if found.blocked:
        return "vaultsync status --pending"
    return "vaultsync conflicts list" if found.conflicts else ""


def _step(call: Call, told: dict[str, str], sentence: str, step: str) -> None:
    option = "" if call.profile_name == "default" else f" --profile {call.profile_name}"
    call.screen.result(told | {"next": step + option}, [sentence])
    call.screen.note(f"Next: `{step}{option}`")


@click.command(cls=Verb)
@click.argument("path")
@click.pass_obj
def why(call: Call, path: str) -> None:
    """Tell what decides about one PATH of the folder or drive."""
    told = call.client.why(relative(call, path))
    call.screen.result(told, _explain(told))


def relative(call: Call, path: str) -> str:
    """A path as the vault calls it.

    An absolute one below the folder or the mount is shortened, and so is one that is relative to a
    working directory in there. Any other is taken for what the vault calls it already.
    """
    shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    places = list(_places(call))
    if not shown.startswith("/"):
        here = _working_directory()
        if not any((here + "/").startswith(place) for place in places):
            return shown.removeprefix("./")
        shown = os.path.normpath(f"{here}/{shown}")
    for place in places:
        if (shown + "/").startswith(place):
            return shown[len(place) :]
    return shown


def _working_directory() -> str:
    """Without a look at it: it may be in a drive that nobody serves."""
    try:
        return os.getcwd()  # noqa: PTH109 - text is what it is compared with
    except OSError:
        return "/"


def _places(call: Call) -> Iterator[str]:
    """Where what is in the vault is shown, each with a `/` at its end."""
    profile = call.profile
    yield from _spellings(str(profile.folder.path))
    if profile.folder.kind == "drive":
        with suppress(NotRunning):
            drive = call.client.status().drive
            if drive is not None and drive.at is not None:
                yield from _spellings(drive.at)


def _spellings(place: str) -> Iterator[str]:
    """A place as it was given, and as the system calls it; without a look at the place itself."""
    above, name = os.path.split(place.rstrip("/"))
    yield f"{place.rstrip('/')}/"
    yield f"{os.path.realpath(above).rstrip('/')}/{name}/"


def _explain(told: dict[str, Any]) -> Iterator[str]:
    yield f"{printable(str(told['path']))}: {told['decision']}"
    yield printable(str(told["reason"]))
    if told.get("ignored"):
        yield f"Ignored by the rule  {printable(str(told['ignored']))}"
    for label, side in (("Here", "local"), ("Agreed", "base"), ("In the vault", "remote")):
        yield f"{label:<13} {_entry(told.get(side))}"
    waiting = told.get("waiting")
    if waiting:
        yield f"Waits         {printable(waiting['reason'])} {printable(waiting['hint'])}".rstrip()


def _entry(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "nothing"
    words = [str(entry.get("kind", "")), amount(int(entry.get("size", 0)))]
    if entry.get("sha256"):
        words.append(f"sha256 {str(entry['sha256'])[:12]}")
    return ", ".join(word for word in words if word)


@click.group(cls=Family)
def conflicts() -> None:
    """Files of which two versions were kept."""


@conflicts.command("list")
@click.pass_obj
def list_conflicts(call: Call) -> None:
    """List conflict copies with the files they are copies of."""
    pairs = call.client.conflicts()
    call.screen.result([wire.conflict_to_json(pair) for pair in pairs])
    if call.screen.json:
        return
    call.screen.table(("CONFLICT COPY", "COPY OF"), pairs)
    if not pairs:
        call.screen.note("There are no conflicts.")
