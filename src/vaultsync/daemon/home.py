"""Where a profile's files are on this machine, behind one face: a folder, or a drive."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

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
    from vaultsync.mount.drive import Drive
    from vaultsync.paths import Places
    from vaultsync.remote.bucket import Bucket
    from vaultsync.state.store import Store
    from vaultsync.sync.engine import Engine


class Watch(Protocol):
    """Sees to it that changes are noticed. See `watching.Watching`."""

    def keep(self) -> None:
        """Do what is due; call it every turn."""
        ...

    def renew(self) -> None:
        """Other rules apply."""
        ...

    def patience(self) -> float:
        """Seconds until `keep` has something to do."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """Why changes are noticed late."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class Home(Protocol):
    """The local side of a profile. Used by the engine's thread, but for what says otherwise.

    Attributes:
        rules: What is left alone.
        whole: Bytes of an object up to which it is fetched together with what is told of it.
        lazy: Whether content is fetched when it is read only.
    """

    rules: Rules
    whole: int
    lazy: bool

    def open(self) -> None:
        """Open what lives as long as the process serves the profile. Idempotent.

        Raises Damaged, and Blocked and Fatal when that cannot be had.
        """
        ...

    def listen(self) -> None:
        """Let the drive be mounted from now on, whenever it is open."""
        ...

    def close(self) -> None:
        """Close it. Idempotent."""
        ...

    def store(self) -> Store:
        """The state, opened for the engine."""
        ...

    def give_up(self) -> None:
        """Move a damaged state aside; closes first."""
        ...

    def side(self, stack: ExitStack, store: Store) -> Disk | Drive:
        """The side that the engine works on, until `stack` closes it."""
        ...

    def connect(self, stack: ExitStack, engine: Engine, bucket: Bucket) -> None:
        """The vault can be reached, until `stack` ends that."""
        ...

    def watch(self, mark: Callable[[str, bool], None]) -> Watch:
        """Have changes marked from now on."""
        ...

    def keep(self, store: Store) -> None:
        """Do what follows from what the engine recorded; cheap. Raises Blocked, Damaged."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be. Called from any thread."""
        ...

    def mount(self) -> Mount | None:
        """The drive and its mount; None for a folder. Called from any thread."""
        ...

    def show(self, path: str) -> Shown | None:
        """What is at a path now; the empty one is the whole. Called from any thread."""
        ...

    def pin(self, path: str, *, pinned: bool) -> None:
        """Keep a file, or all below a folder, on this machine, or no longer. From any thread.

        Raises NotFound when there is nothing there, Usage for a folder, where all is kept.
        """
        ...


def home(profile: Profile, places: Places, clock: Clock) -> Home:
    """The home of a profile; nothing is opened yet."""
    if profile.folder.kind == "drive":
        from vaultsync.daemon.drive import DriveHome  # noqa: PLC0415 - folders do without FUSE

        return DriveHome(profile, places, clock)
    return FolderHome(profile, places, clock)


class FolderHome:
    """A folder that holds all files. Implements `Home`, whose comments hold."""

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
        """See `Home`."""
        return open_store(self._places.state_dir, self._profile.cloud, self._root, None)

    def give_up(self) -> None:
        """See `Home`."""
        move_aside(self._places.state_dir / DATABASE, "damaged", None)

    def side(self, stack: ExitStack, store: Store) -> Disk:
        """See `Home`. A folder that is used for the first time gets its marker.

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
        """See `Home`."""
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
        """See `Home`."""
        raise Usage(
            "This profile is a folder, which holds all its files anyway.",
            "Pinning is for drives: `vaultsync init --drive DIR`.",
        )
