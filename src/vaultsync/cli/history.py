"""Commands that tell what was done, and what is being done: history, activity."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from vaultsync.cli import past
from vaultsync.cli.call import Call, Verb
from vaultsync.cli.moments import Moment, shown
from vaultsync.cli.render import amount, printable
from vaultsync.core.model import Deed
from vaultsync.core.model import Verb as Did
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.model import Event
    from vaultsync.core.ports import Past

PAGE = 1000
"""Events that are asked for at once."""
PATIENCE = 30.0
"""Seconds that one request waits for something to happen."""
RECENT = 10
"""Events that `activity` begins with."""

_WORDS: dict[str, str] = {
    Did.PULL: "received",
    Did.PUSH: "sent",
    Did.DELETE_LOCAL: "deleted here",
    Did.DELETE_REMOTE: "deleted in the vault",
    Did.APPLY_LOCAL: "adjusted here",
    Did.APPLY_REMOTE: "adjusted in the vault",
    Did.CONFLICT: "both kept",
    Deed.PUT_BACK: "put back",
    Deed.BRING_BACK: "brought back",
    Deed.EMPTY: "trash emptied",
    Deed.RETURN: "came back",
}


@click.command(cls=Verb)
@click.argument("path", default="")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Entries at most."
)
@click.option("--since", type=Moment(), default=None, help="Only what was done after that.")
@click.pass_obj
def history(call: Call, path: str, limit: int, since: float | None) -> None:
    """Tell what was done to either side and why, newest first: of a file, a folder, or all."""
    found = past.history(call)
    events = list(_pages(found, past.relative(call, path), since or 0.0, limit))
    call.screen.result([wire.event_to_json(event) for event in events])
    if call.screen.json:
        return
    call.screen.table(("WHEN", "WHAT", "PATH", "SIZE", "WHY"), [_row(event) for event in events])
    if not events:
        call.screen.note("Nothing is known to have been done.")


@click.command(cls=Verb)
@click.option("--follow", "-f", is_flag=True, help="Go on until interrupted.")
@click.pass_obj
def activity(call: Call, follow: bool) -> None:
    """Show what is under way and what was done last."""
    _ = call.profile
    client = call.client
    transfers = client.status().transfers
    events = client.past.events(limit=RECENT)[::-1]
    if call.screen.json and not follow:
        told = wire.status_to_json(client.status())["transfers"]
        call.screen.result(
            {"transfers": told, "events": [wire.event_to_json(event) for event in events]}
        )
        return
    _tell(call, events)
    if not call.screen.json:
        for transfer in transfers:
            size = amount(transfer.size)
            call.screen.result(
                None, [f"{'now':<19}  {transfer.verb} {printable(transfer.path)} ({size})"]
            )
        if not events and not transfers and not follow:
            call.screen.note("Nothing is under way, and nothing is known to have been done.")
    last = events[-1].id if events else 0
    while follow:
        events = client.past.follow(last, PATIENCE)
        _tell(call, events)
        last = events[-1].id if events else last


def _tell(call: Call, events: list[Event]) -> None:
    """Print events at once, a line each."""
    for event in events:
        call.screen.result(wire.event_to_json(event), [_line(event)])
    sys.stdout.flush()


def _pages(found: Past, path: str, since: float, limit: int) -> Iterator[Event]:
    """Up to so many events, asked for a page at a time."""
    before = 0
    while limit > 0:
        wanted = min(limit, PAGE)
        page = found.events(path, before=before, since=since, limit=wanted)
        yield from page
        if len(page) < wanted:
            return
        before, limit = page[-1].id, limit - len(page)


def _row(event: Event) -> tuple[str, str, str, str, str]:
    size = "" if event.size is None else amount(event.size)
    return shown(event.at), _WORDS.get(event.verb, str(event.verb)), event.path, size, _why(event)


def _line(event: Event) -> str:
    when, what, path, size, why = _row(event)
    size = f" ({size})" if size else ""
    return f"{when}  {what} {printable(path)}{size}: {printable(why)}".replace("  :", ":")


def _why(event: Event) -> str:
    return event.reason if event.kept is None else f"{event.reason}; kept as {event.kept}"
