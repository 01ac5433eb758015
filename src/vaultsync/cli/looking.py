"""Commands that look: status, why, conflicts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from vaultsync.cli import exits
from vaultsync.cli.call import Call, Family, Verb
from vaultsync.cli.render import ago, amount, printable, until
from vaultsync.core.errors import NotRunning
from vaultsync.core.model import State, Status, Waiting
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
@click.option("--wait", is_flag=True, help="Return once everything is in sync.")
@click.option(
    "--timeout", type=click.FloatRange(0, FOREVER), default=FOREVER, help="Seconds to wait at most."
)
@click.option("--check", is_flag=True, help="Exit with 5 if there are conflicts or blocked items.")
@click.option("--pending", is_flag=True, help="List what is not in sync yet, and why.")
@click.pass_obj
def status(call: Call, wait: bool, timeout: float, check: bool, pending: bool) -> int:
    """Show what the daemon does and whether everything is in sync."""
    profile, client = call.profile, call.client
    if wait:
        client.wait_at_rest(timeout)
    found = client.status()
    rows = client.waiting() if pending else []
    told = wire.status_to_json(found) | {
        "profile": profile.name,
        "folder": str(profile.folder.path),
    }
    if pending:
        told["waiting"] = [wire.waiting_to_json(item) for item in rows]
    call.screen.result(told, describe(found, profile))
    if pending and not call.screen.json:
        call.screen.table(("PATH", "WAITS FOR", "WHY", "NEXT TRY"), [_row(item) for item in rows])
        if not rows:
            call.screen.note("Nothing is waiting.")
    return verdict(found) if check else exits.OK


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
    """A path as the vault calls it: an absolute one below the folder is shortened."""
    shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if not shown.startswith("/"):
        return shown.removeprefix("./")
    for place in _places(call):
        if (shown + "/").startswith(place):
            return shown.removeprefix(place)
    return shown


def _places(call: Call) -> Iterator[str]:
    """Where what is in the vault is shown, each with a `/` at its end."""
    profile = call.profile
    yield str(profile.folder.path).rstrip("/") + "/"
    if profile.folder.kind == "drive":
        with suppress(NotRunning):
            drive = call.client.status().drive
            if drive is not None and drive.at is not None:
                yield drive.at.rstrip("/") + "/"


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
