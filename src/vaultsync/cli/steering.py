"""Commands that steer: sync, pause, resume."""

from __future__ import annotations

import click

from vaultsync.cli import exits
from vaultsync.cli.call import Call, Verb
from vaultsync.cli.looking import FOREVER, describe
from vaultsync.daemon import wire


@click.command(cls=Verb)
@click.option("--once", is_flag=True, help="Without a daemon: sync, then end.")
@click.option(
    "--timeout", type=click.FloatRange(0, FOREVER), default=FOREVER, help="Seconds for --once."
)
@click.pass_obj
def sync(call: Call, once: bool, timeout: float) -> int:
    """Look at everything on both sides now."""
    profile = call.profile
    if not once:
        call.client.sync()
        call.screen.result({})
        call.screen.note("The daemon looks at everything now.")
        return exits.OK
    from vaultsync import logs  # noqa: PLC0415 - only here
    from vaultsync.daemon.service import build  # noqa: PLC0415 - imports all of the engine

    logs.setup("debug" if call.verbose else "error")
    service = build(profile, call.places)
    service.run_once(timeout)
    found = service.status()
    call.screen.result(wire.status_to_json(found), describe(found, profile))
    return exits.PARTLY if found.blocked else exits.OK


@click.command(cls=Verb)
@click.pass_obj
def pause(call: Call) -> None:
    """Start no new work until `resume`."""
    call.client.pause()
    call.screen.result({})
    call.screen.note("Paused.")


@click.command(cls=Verb)
@click.pass_obj
def resume(call: Call) -> None:
    """Go on after `pause`."""
    call.client.resume()
    call.screen.result({})
    call.screen.note("Resumed.")
