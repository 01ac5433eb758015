"""The past of a profile that no daemon serves, for one command."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vaultsync.daemon.binding import locked
from vaultsync.daemon.clock import SystemClock
from vaultsync.daemon.home import home
from vaultsync.daemon.past import Past, Sides
from vaultsync.daemon.service import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.config import Profile
    from vaultsync.paths import Places


def history(profile: Profile, places: Places) -> Past:
    """What was written down; nothing else can be asked of it."""
    return Past(places.state_dir, profile.trash, SystemClock(), threading.Condition())


@contextmanager
def folder(profile: Profile, places: Places) -> Iterator[Past]:
    """History and trash, while nobody else serves the folder. Needs neither sign-in nor network.

    Raises:
        AnotherInstance: Somebody does.
        Fatal: The folder is not there, or not the one of this profile.
    """
    with ExitStack() as stack:
        stack.enter_context(locked(places.lock, f"the profile '{profile.name}'"))
        local = home(profile, places, SystemClock())
        stack.callback(local.close)
        local.open()
        store = stack.enter_context(local.store())
        side = local.side(stack, store)
        side.check()
        past = history(profile, places)
        with past.serving(Sides(store, side)):
            yield past
            past.record(store)


@contextmanager
def vault(profile: Profile, places: Places) -> Iterator[Past]:
    """All of it, with the vault's old versions; raises what `Service.opened` raises."""
    with build(profile, places).opened() as past:
        yield past
