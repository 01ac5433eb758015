"""Where a profile's files are on this machine, behind one face: a folder, or a drive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from vaultsync.config import Profile
    from vaultsync.core.model import Mount
    from vaultsync.core.ports import Clock
    from vaultsync.core.standing import Shown
    from vaultsync.daemon.rules import Rules
    from vaultsync.local.disk import Disk
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
    from vaultsync.daemon.folder import FolderHome  # noqa: PLC0415 - a drive starts sooner without

    return FolderHome(profile, places, clock)
