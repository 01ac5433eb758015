"""Where commands about the past get it from: the daemon, or without one the profile itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.cli import looking
from vaultsync.core.errors import NotRunning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.cli.call import Call
    from vaultsync.core.ports import Past


def running(call: Call) -> Past | None:
    """The past as the daemon tells it; None when none runs. Misconfigured without a profile."""
    _ = call.profile
    client = call.client
    try:
        client.about()
    except NotRunning:
        return None
    return client.past


def history(call: Call) -> Past:
    """What was written down, whether a daemon runs or not."""
    found = running(call)
    if found is not None:
        return found
    from vaultsync.daemon import alone  # noqa: PLC0415 - imports all of the engine

    return alone.history(call.profile, call.places)


@contextmanager
def folder(call: Call) -> Iterator[Past]:
    """The trash of the folder."""
    found = running(call)
    if found is not None:
        yield found
        return
    from vaultsync.daemon import alone  # noqa: PLC0415

    with alone.folder(call.profile, call.places) as past:
        yield past


@contextmanager
def vault(call: Call) -> Iterator[Past]:
    """The old versions in the vault."""
    found = running(call)
    if found is not None:
        yield found
        return
    from vaultsync import logs  # noqa: PLC0415
    from vaultsync.daemon import alone  # noqa: PLC0415

    logs.setup("debug" if call.verbose else "error")
    with alone.vault(call.profile, call.places) as past:
        yield past
        call.screen.note("No daemon runs: what changed here is sent when the next one does.")


def relative(call: Call, path: str) -> str:
    """A path as the vault calls it, a folder's without its slash; the folder itself is empty."""
    plain = looking.relative(call, path + "/") if path else ""
    return plain.strip("/") if not plain.startswith("/") else plain.rstrip("/")
