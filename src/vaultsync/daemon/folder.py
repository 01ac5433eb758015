"""A folder as the home of a profile's files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.errors import Usage
from vaultsync.core.standing import Shown
from vaultsync.daemon.binding import DATABASE, locked, move_aside, open_store
from vaultsync.daemon.rules import FolderFile, Rules
from vaultsync.daemon.watching import Watching
from vaultsync.local.disk import Disk
from vaultsync.remote.bucket import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from vaultsync.config import Profile
    from vaultsync.core.model import Mount
    from vaultsync.core.ports import Clock
    from vaultsync.daemon.home import Watch
    from vaultsync.paths import Places
    from vaultsync.remote.bucket import Bucket
    from vaultsync.state.store import Store
    from vaultsync.sync.engine import Engine


class FolderHome:
    """A folder that holds all files. Implements `home.Home`, whose comments hold."""

    def __init__(self, profile: Profile, places: Places, clock: Clock) -> None:
        self._profile = profile
        self._places = places
        self._clock = clock
        self._root = profile.folder.path
        self.rules = Rules(FolderFile(self._root), profile.folder.ignore)
        self.whole = WHOLE
        self.lazy = False

    def open(self) -> None:
        """A folder has nothing that is open all the time."""

    def listen(self) -> None:
        """A folder is not mounted."""

    def close(self) -> None:
        """See `open`."""

    def store(self) -> Store:
        """See `home.Home`."""
        return open_store(self._places.state_dir, self._profile.cloud, self._root, None)

    def give_up(self) -> None:
        """See `home.Home`."""
        move_aside(self._places.state_dir / DATABASE, "damaged", None)

    def side(self, stack: ExitStack, store: Store) -> Disk:
        """See `home.Home`. A folder that is used for the first time gets its marker.

        Raises:
            AnotherInstance: The folder is served already.
            MachineRefused: The folder's file system lacks what is needed.
        """
        device = self._profile.device.name
        marker = store.meta("marker")
        if marker is None:
            marker = Disk(self._root, device, self._clock, self.rules).bind()
            with store.transaction(durable=True):
                store.set_meta("marker", marker)
        disk = Disk(self._root, device, self._clock, self.rules, marker)
        control = self._root / names.CONTROL
        if control.is_dir() and not control.is_symlink():
            stack.enter_context(locked(control / "lock", f"the folder {self._root}"))
        disk.clear_staging([operation.op for operation in store.journal()])
        return disk

    def connect(self, stack: ExitStack, engine: Engine, bucket: Bucket) -> None:
        """A folder holds everything itself."""

    def watch(self, mark: Callable[[str, bool], None]) -> Watch:
        """See `home.Home`."""
        return Watching(self._root, self.rules, mark)

    def keep(self, store: Store) -> None:
        """Nothing follows."""

    def warnings(self) -> tuple[str, ...]:
        """There are none."""
        return ()

    def mount(self) -> Mount | None:
        """There is none."""
        return None

    def show(self, path: str) -> Shown | None:
        """See `Home`."""
        if ".." in path.split("/"):
            return None
        try:
            found = os.lstat(self._root / path)
        except (OSError, ValueError):
            return None
        return Shown(stat.S_ISDIR(found.st_mode))

    def pin(self, path: str, *, pinned: bool) -> None:  # noqa: ARG002
        """See `home.Home`."""
        raise Usage(
            "This profile is a folder, which holds all its files anyway.",
            "Pinning is for drives: `vaultsync init --drive DIR`.",
        )
