"""What the guards hold until a person decides: list, allow, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vaultsync.cli.call import Call, Family
from vaultsync.cli.render import ago, printable
from vaultsync.core.safety import Guard
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from collections.abc import Callable

_GUARD = click.argument("guard", required=False, type=click.Choice([str(one) for one in Guard]))
_SHOWN = 10
"""Paths of each guard that are printed; with --json, the first thousand."""


@click.group(cls=Family)
def held() -> None:
    """What would delete or change too much at once, and waits for your word."""


@held.command("list")
@click.pass_obj
def list_held(call: Call) -> None:
    """List what is held, since when, and why."""
    items = call.client.held()
    call.screen.result([wire.held_to_json(item) for item in items])
    if call.screen.json:
        return
    rows = [(item.guard, f"{item.count:,}", ago(item.since), item.reason) for item in items]
    call.screen.table(("GUARD", "FILES", "SINCE", "WHY"), rows)
    for item in items:
        for path in item.paths[:_SHOWN]:
            call.screen.note(f"{item.guard}: {printable(path)}")
        if item.count > _SHOWN:
            call.screen.note(f"{item.guard}: and {item.count - _SHOWN:,} more")
    if not items:
        call.screen.note("Nothing is held.")
    else:
        call.screen.note("Next: `vaultsync held allow`, or `vaultsync held restore` to undo it.")


@held.command("allow")
@_GUARD
@click.pass_obj
def allow(call: Call, guard: str | None) -> None:
    """Let through what is held now. What comes later is judged anew.

    GUARD: only what this one holds, as `vaultsync held list` names it.
    """
    _decide(call, lambda: call.client.allow_held(guard), "let through")


@held.command("restore")
@_GUARD
@click.pass_obj
def restore(call: Call, guard: str | None) -> None:
    """Undo what is held: files come back from the side that still has them.

    Versions that were changed here stay beside those of the vault as conflict copies.

    GUARD: only what this one holds, as `vaultsync held list` names it.
    """
    _decide(call, lambda: call.client.restore_held(guard), "brought back")


def _decide(call: Call, act: Callable[[], int], done: str) -> None:
    files = act()
    call.screen.result({"files": files})
    what = "1 file is" if files == 1 else f"{files:,} files are"
    call.screen.note(f"{what} {done}." if files else "Nothing is held.")
