"""The past of a profile that no daemon serves, for one command."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vaultsync.core.names import CONTROL
from vaultsync.daemon.assembly import SystemClock
from vaultsync.daemon.binding import locked, open_store
from vaultsync.daemon.past import Past, Sides
from vaultsync.daemon.rules import Rules
from vaultsync.daemon.service import build
from vaultsync.local.disk import Disk

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
    root = profile.folder.path
    clock = SystemClock()
    with ExitStack() as stack:
        stack.enter_context(locked(places.lock, f"the profile '{profile.name}'"))
        store = stack.enter_context(open_store(places.state_dir, profile.cloud, root))
        rules = Rules(root, profile.folder.ignore)
        marker = store.meta("marker")
        if marker is None:  # the database was lost; the trash was not
            marker = Disk(root, profile.device.name, clock, rules).bind()
        disk = Disk(root, profile.device.name, clock, rules, marker)
        disk.check()
        stack.enter_context(locked(root / CONTROL / "lock", f"the folder {root}"))
        past = history(profile, places)
        with past.serving(Sides(store, disk)):
            yield past
            past.record(store)


@contextmanager
def vault(profile: Profile, places: Places) -> Iterator[Past]:
    """All of it, with the vault's old versions; raises what `Service.opened` raises."""
    with build(profile, places).opened() as past:
        yield past
